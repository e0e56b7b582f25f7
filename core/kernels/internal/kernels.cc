// The kernels, for the instruction set that this file is compiled for: once for each, with GRAFT_ISA the namespace and
// GRAFT_VECTOR_FLOATS the width of a vector. It must not use anything inline from outside of that namespace, which
// would be compiled for this instruction set and linked for all.
#include "core/kernels/internal/direct_convolution.h"
#include "core/kernels/internal/inverted_residual.h"
#include "core/kernels/internal/pool.h"
#include "core/kernels/internal/table.h"
#include "core/kernels/internal/winograd_convolution.h"

namespace graft::kernels::GRAFT_ISA {

// Below this number, channels don't fill the vectors of Winograd's transforms, and the direct form is faster.
inline constexpr int64_t kFewChannels = 8;

inline bool IsDirect(int64_t in_channels) { return in_channels < kFewChannels; }

int64_t FilterFloats(int64_t in_channels, int64_t out_channels) {
  return (IsDirect(in_channels) ? 9 : kPoints) * in_channels * RoundUp(out_channels, kPanel);
}

void PackFilter(int64_t in_channels, int64_t out_channels, const FilterView& filter, float* packed) {
  if (IsDirect(in_channels)) {
    DirectPackFilter(in_channels, out_channels, filter, packed);
  } else {
    WinogradPackFilter(in_channels, out_channels, filter, packed);
  }
}

int64_t WorkspaceFloats(const ConvShape& shape, int threads) {
  if (IsDirect(shape.in_channels)) {
    const int64_t forward = DirectForwardFloats(shape);
    const int64_t backward = DirectBackwardFilterFloats(shape);
    return threads * (forward > backward ? forward : backward);
  }
  const Tiling tiling(shape);
  const int64_t tiles = BlockTiles(shape, tiling, threads);
  const int64_t together = CeilDiv(tiling.count, tiles) <= threads ? 1 : threads;
  const int64_t block = together == 1 ? tiling.count : tiles;
  const int64_t forward =
      together * (Layout(block, shape.in_channels).floats() + Layout(block, shape.out_channels).floats());
  const int64_t backward = GradientPlan(shape, tiling, threads).WorkspaceFloats(threads);
  return forward > backward ? forward : backward;
}

void Forward(const ForwardArguments& a) {
  if (IsDirect(a.shape.in_channels)) {
    DirectForward(a);
  } else {
    WinogradForward(a);
  }
}

void BackwardFilter(const BackwardFilterArguments& a) {
  if (IsDirect(a.shape.in_channels)) {
    DirectBackwardFilter(a);
  } else {
    WinogradBackwardFilter(a);
  }
}

int64_t InvertedResidualFloats(const InvertedResidualShape& shape) { return PackedBlock(shape).floats; }

int64_t InvertedResidualWorkspaceFloats(const InvertedResidualShape& shape, int threads) {
  return threads * BandPlan(shape, threads).floats();
}

extern const Table kTable = {FilterFloats,           PackFilter,
                             WorkspaceFloats,        Forward,
                             BackwardFilter,         MaxPool,
                             ReluPoolBackward,       InvertedResidualFloats,
                             PackInvertedResidual,   InvertedResidualWorkspaceFloats,
                             InvertedResidualForward};

}  // namespace graft::kernels::GRAFT_ISA
