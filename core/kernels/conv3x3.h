// 3x3 convolution with stride 1 on the CPU, in float32, for training and for serving: Winograd's minimal filtering
// F(4x4, 3x3), which needs a quarter of the multiplications, and a direct form for inputs of few channels. Written for
// AVX2 and AVX-512; which of them runs is decided by the CPU, when the program runs.
//
// Images are N x height x width x channels, channels last, contiguous. Any size and number of channels is taken;
// nothing need be aligned. The calls run on OpenMP's threads, share no state and may be made from several threads.
// With the same number of threads, the same batch gives the same bits; in another batch, an image's last bits may
// differ.
//
// Error: about 2e-6 of the largest output against float64, as that of a direct convolution. Where an input, or what
// becomes of it inside, is infinite or not a number, the outputs that depend on it are computed directly, so that no
// other is touched.
#ifndef GRAFT_CORE_KERNELS_CONV3X3_H_
#define GRAFT_CORE_KERNELS_CONV3X3_H_

#include <cstdint>

namespace graft::kernels {

enum class Isa { kNone, kAvx2, kAvx512 };

// The best one that this CPU has and this build knows; GRAFT_ISA=none, avx2 or avx512 in the environment lowers it.
Isa BestIsa();
const char* IsaName(Isa isa);

struct ConvShape {
  int64_t batch = 1;
  int64_t height = 0;  // of the input
  int64_t width = 0;
  int64_t in_channels = 0;
  int64_t out_channels = 0;
  int64_t padding = 0;  // zeros around the input: 0, 1 or 2

  int64_t out_height() const { return height + 2 * padding - 2; }
  int64_t out_width() const { return width + 2 * padding - 2; }
};

// Where a filter's weights lie: weight(out, row, column, in) is at data[out * out_stride + ...].
struct FilterView {
  const float* data = nullptr;
  int64_t out_stride = 0;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
  int64_t in_stride = 0;

  float at(int64_t out, int64_t row, int64_t column, int64_t in) const {
    return data[out * out_stride + row * row_stride + column * column_stride + in * in_stride];
  }
  // The filter of the convolution that carries gradients back: turned by 180 degrees, inputs and outputs swapped.
  FilterView Transposed() const {
    return {data + 2 * row_stride + 2 * column_stride, in_stride, -row_stride, -column_stride, out_stride};
  }
};

// What follows a convolution, in this order.
struct Epilogue {
  const float* bias = nullptr;  // one an output channel; null: none
  bool relu = false;
  bool pool = false;  // 2x2 max-pool with stride 2; an odd last row or column is left out
};

// A filter made ready for Forward. The data is the caller's: FilterFloats() floats.
int64_t FilterFloats(Isa isa, int64_t in_channels, int64_t out_channels);
void PackFilter(Isa isa, int64_t in_channels, int64_t out_channels, const FilterView& filter, float* packed);

// Scratch space of any of the calls below for this shape, in floats, with this many threads.
int64_t WorkspaceFloats(Isa isa, const ConvShape& shape, int threads);

// y, N x out_height x out_width x out_channels (with pool: half of height and width, rounded down), of x.
void Forward(Isa isa, const ConvShape& shape, const float* x, const float* packed, const FilterView& filter,
             const Epilogue& epilogue, int threads, float* workspace, float* y);

// The gradient of the weights, written to gradient[out][row][column][in], from the input and from the gradient of the
// convolution's output. A sum that isn't finite may be NaN where a direct convolution has an infinity.
void BackwardFilter(Isa isa, const ConvShape& shape, const float* x, const float* output_gradient, int threads,
                    float* workspace, float* gradient);
// The gradient of the input is Forward() of the output's gradient, with the shape below and filter.Transposed().
inline ConvShape BackwardDataShape(const ConvShape& shape) {
  return {shape.batch, shape.out_height(), shape.out_width(), shape.out_channels, shape.in_channels, 2 - shape.padding};
}

// 2x2 max-pool with stride 2, of N x height x width x channels. NaN wins.
void MaxPool(Isa isa, int64_t batch, int64_t height, int64_t width, int64_t channels, const float* x, int threads,
             float* y);

// From the gradient after ReLU and, with `pool`, after the max-pool behind it (of its shape then), that before the
// ReLU: `activations`, N x height x width x channels, is ReLU's output. Of equal maxima the first in row order takes
// the gradient. bias_gradient: its sum over everything but channels. workspace: threads x channels floats.
void ReluPoolBackward(Isa isa, int64_t batch, int64_t height, int64_t width, int64_t channels, const float* activations,
                      const float* gradient, bool pool, int threads, float* workspace, float* output_gradient,
                      float* bias_gradient);

}  // namespace graft::kernels

#endif  // GRAFT_CORE_KERNELS_CONV3X3_H_
