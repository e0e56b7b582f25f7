// 3x3 convolution of few channels, which don't fill the vectors of Winograd's transforms: direct.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_DIRECT_CONVOLUTION_H_
#define GRAFT_CORE_KERNELS_INTERNAL_DIRECT_CONVOLUTION_H_

#include <omp.h>

#include "core/kernels/internal/gemm.h"
#include "core/kernels/internal/table.h"
#include "core/kernels/internal/vector.h"

namespace graft::kernels::GRAFT_ISA {

// The window of an output, taken column by column, and the window of the next output, which begins one column further
// on: with the three input rows interleaved, column by column, these are the rows of a matrix that overlap, and a row
// of outputs is one matrix product.
//
// Column w of the padded input rows is at w * 3 * in_channels, row by row.
inline int64_t WindowRowFloats(const ConvShape& shape) {
  return RoundUp((shape.width + 2 * shape.padding) * 3 * shape.in_channels, kCacheLine);
}

template <int64_t kFixedChannels>  // 0: any number; colour images have a loop of their own
inline void InterleaveRowsOf(const ConvShape& shape, const float* x, int64_t image, int64_t row, float* out) {
  const int64_t channels = kFixedChannels > 0 ? kFixedChannels : shape.in_channels;
  for (int64_t i = 0; i < WindowRowFloats(shape); ++i) {
    out[i] = 0;
  }
  out += shape.padding * 3 * channels;
  for (int64_t r = 0; r < 3; ++r) {
    const int64_t y = row + r - shape.padding;
    if (y < 0 || y >= shape.height) {
      continue;
    }
    const float* in = x + (image * shape.height + y) * shape.width * channels;
    for (int64_t w = 0; w < shape.width; ++w) {
      for (int64_t c = 0; c < channels; ++c) {
        out[w * 3 * channels + r * channels + c] = *in++;
      }
    }
  }
}

inline void InterleaveRows(const ConvShape& shape, const float* x, int64_t image, int64_t row, float* out) {
  const auto interleave = shape.in_channels == 3 ? InterleaveRowsOf<3> : InterleaveRowsOf<0>;
  interleave(shape, x, image, row, out);
}

// [panel][column][row][in_channels][kPanel]
inline void DirectPackFilter(int64_t in_channels, int64_t out_channels, const FilterView& filter, float* packed) {
  for (int64_t panel = 0; panel < CeilDiv(out_channels, kPanel); ++panel) {
    for (int64_t i = 0; i < 9 * in_channels; ++i) {
      for (int64_t k = 0; k < kPanel; ++k) {
        const int64_t out = panel * kPanel + k;
        const int64_t tap = i / in_channels;
        *packed++ = out < out_channels
                        ? filter.data[out * filter.out_stride + tap % 3 * filter.row_stride +
                                      tap / 3 * filter.column_stride + i % in_channels * filter.in_stride]
                        : 0;
      }
    }
  }
}

inline int64_t DirectForwardFloats(const ConvShape& shape) {
  // The input rows, and two rows of outputs for the pool.
  return WindowRowFloats(shape) + 2 * shape.out_width() * RoundUp(shape.out_channels, kPanel);
}

inline void DirectForward(const ForwardArguments& a) {
  const ConvShape& shape = a.shape;
  const int64_t outputs = shape.out_channels;
  const int64_t row_floats = RoundUp(outputs, kPanel);
  const int64_t width = shape.out_width();
  const int64_t depth = 9 * shape.in_channels;
  const int64_t step = a.epilogue.pool ? 2 : 1;
  const int64_t y_height = shape.out_height() / step;
  const int64_t y_width = width / step;
  const Vec floor = Broadcast(a.epilogue.relu ? 0 : -__builtin_inff());
#pragma omp parallel for schedule(static) num_threads(a.threads)
  for (int64_t line = 0; line < shape.batch * y_height; ++line) {
    float* const rows = a.workspace + omp_get_thread_num() * DirectForwardFloats(shape);
    float* const sums = rows + WindowRowFloats(shape);
    const int64_t image = line / y_height;
    for (int64_t part = 0; part < step; ++part) {
      InterleaveRows(shape, a.x, image, line % y_height * step + part, rows);
      for (int64_t panel = 0; panel < row_floats; panel += kPanel) {
        MultiplyPanel<false, false>(rows, 3 * shape.in_channels, a.packed + panel * depth, kPanel, depth,
                                    sums + part * width * row_floats + panel, row_floats, width);
      }
    }
    float* const y = a.y + line * y_width * outputs;
    for (int64_t j = 0; j < y_width; ++j) {
      for (int64_t k = 0; k < outputs; k += kWidth) {
        const int64_t rest = outputs - k;
        const Vec bias = a.epilogue.bias == nullptr ? Vec{} : LoadUpTo(a.epilogue.bias + k, rest);
        const float* const sum = sums + j * step * row_floats + k;
        Vec most = Load(sum);
        if (a.epilogue.pool) {
          most = MaxOrNan(MaxOrNan(most, Load(sum + row_floats)),
                          MaxOrNan(Load(sum + width * row_floats), Load(sum + (width + 1) * row_floats)));
        }
        StoreUpTo(y + j * outputs + k, Max(floor, most + bias), rest);
      }
    }
  }
}

inline int64_t DirectBackwardFilterFloats(const ConvShape& shape) {
  // The input rows, a row of the gradient, and the thread's own sums.
  const int64_t row_floats = RoundUp(shape.out_channels, kPanel);
  return WindowRowFloats(shape) + (shape.out_width() + 9 * shape.in_channels) * row_floats;
}

inline void DirectBackwardFilter(const BackwardFilterArguments& a) {
  const ConvShape& shape = a.shape;
  const int64_t channels = shape.in_channels;
  const int64_t outputs = shape.out_channels;
  const int64_t row_floats = RoundUp(outputs, kPanel);
  const int64_t width = shape.out_width();
  const int64_t thread_floats = DirectBackwardFilterFloats(shape);
  const int64_t sums_at = WindowRowFloats(shape) + width * row_floats;
#pragma omp parallel num_threads(a.threads)
  {
    float* const rows = a.workspace + omp_get_thread_num() * thread_floats;
    float* const gradient = rows + WindowRowFloats(shape);
    float* const sums = rows + sums_at;
    for (int64_t i = 0; i < (width + 9 * channels) * row_floats; ++i) {
      gradient[i] = 0;
    }
#pragma omp for schedule(static)
    for (int64_t line = 0; line < shape.batch * shape.out_height(); ++line) {
      InterleaveRows(shape, a.x, line / shape.out_height(), line % shape.out_height(), rows);
      const float* const in = a.output_gradient + line * width * outputs;
      for (int64_t j = 0; j < width; ++j) {
        for (int64_t k = 0; k < outputs; k += kWidth) {
          Store(gradient + j * row_floats + k, LoadUpTo(in + j * outputs + k, outputs - k));
        }
      }
      for (int64_t panel = 0; panel < row_floats; panel += kPanel) {
        MultiplyPanel<true, true>(rows, 3 * channels, gradient + panel, row_floats, width, sums + panel, row_floats,
                                  9 * channels);
      }
    }
#pragma omp for schedule(static)
    for (int64_t out = 0; out < outputs; ++out) {
      for (int64_t i = 0; i < 9 * channels; ++i) {
        float sum = 0;
        for (int t = 0; t < omp_get_num_threads(); ++t) {
          sum += a.workspace[t * thread_floats + sums_at + i * row_floats + out];
        }
        const int64_t tap = i / channels;  // column by column
        a.gradient[(out * 9 + tap % 3 * 3 + tap / 3) * channels + i % channels] = sum;
      }
    }
  }
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_DIRECT_CONVOLUTION_H_
