#include "core/kernels/inverted_residual.h"

#include "core/kernels/internal/table.h"

namespace graft::kernels {

int64_t PackedFloats(Isa isa, const InvertedResidualShape& shape) {
  return TableOf(isa).inverted_residual_floats(shape);
}

void Pack(Isa isa, const InvertedResidualShape& shape, const InvertedResidualWeights& weights, float* packed) {
  TableOf(isa).pack_inverted_residual(shape, weights, packed);
}

int64_t WorkspaceFloats(Isa isa, const InvertedResidualShape& shape, int threads) {
  return TableOf(isa).inverted_residual_workspace_floats(shape, threads);
}

void Forward(Isa isa, const InvertedResidualShape& shape, const float* x, const float* packed, int threads,
             float* workspace, float* y) {
  TableOf(isa).inverted_residual({shape, x, packed, threads, workspace, y});
}

}  // namespace graft::kernels
