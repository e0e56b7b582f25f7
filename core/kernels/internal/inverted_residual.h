// An inverted residual block, band of rows by band of rows, so that what the first convolution makes, several times the
// input, never leaves the cache.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_INVERTED_RESIDUAL_H_
#define GRAFT_CORE_KERNELS_INTERNAL_INVERTED_RESIDUAL_H_

#include <omp.h>

#include <cstddef>

#include "core/kernels/internal/pointwise.h"
#include "core/kernels/internal/table.h"
#include "core/kernels/internal/vector.h"

namespace graft::kernels::GRAFT_ISA {

// Where the parts of a packed block lie: the three convolutions, each with its bias behind it. The middle one is
// [row][column][channel].
struct PackedBlock {
  int64_t channels;  // hidden ones, with those that fill the last vector
  int64_t expand;
  int64_t depthwise;
  int64_t depthwise_bias;
  int64_t project;
  int64_t floats;

  explicit PackedBlock(const InvertedResidualShape& shape)
      : channels(RoundUp(shape.hidden_channels, kWidth)),
        expand(0),
        depthwise(shape.expands ? PointwiseFloats(shape.in_channels, shape.hidden_channels) : 0),
        depthwise_bias(depthwise + shape.window * shape.window * channels),
        project(depthwise_bias + channels),
        floats(project + PointwiseFloats(shape.hidden_channels, shape.out_channels)) {}
};

inline void PackInvertedResidual(const InvertedResidualShape& shape, const InvertedResidualWeights& weights,
                                 float* packed) {
  const PackedBlock parts(shape);
  if (shape.expands) {
    PackPointwise(shape.in_channels, shape.hidden_channels, weights.expand, weights.expand_bias, packed + parts.expand);
  }
  const int64_t taps = shape.window * shape.window;
  for (int64_t c = 0; c < parts.channels; ++c) {
    const bool there = c < shape.hidden_channels;
    for (int64_t tap = 0; tap < taps; ++tap) {
      packed[parts.depthwise + tap * parts.channels + c] = there ? weights.depthwise[c * taps + tap] : 0;
    }
    packed[parts.depthwise_bias + c] = there ? weights.depthwise_bias[c] : 0;
  }
  PackPointwise(shape.hidden_channels, shape.out_channels, weights.project, weights.project_bias,
                packed + parts.project);
}

// How an image is cut: each segment is one thread's, which goes through its bands from above.
struct BandPlan {
  int64_t segments;   // of an image
  int64_t band_rows;  // of output
  int64_t kept_rows;  // of the hidden image, that a band needs at the most
  int64_t hidden_floats;
  int64_t filtered_floats;

  BandPlan(const InvertedResidualShape& shape, int threads) {
    constexpr int64_t kCacheFloats = 64 << 10;  // a quarter of a mebibyte
    const int64_t row = shape.width * RoundUp(shape.hidden_channels, kWidth);
    segments = Min(shape.out_height, CeilDiv(threads, shape.batch));
    const int64_t fitting = (kCacheFloats / row - shape.window) / shape.stride + 1;
    band_rows = Min(CeilDiv(shape.out_height, segments), fitting < 1 ? 1 : fitting);
    kept_rows = Min(shape.height, (band_rows - 1) * shape.stride + shape.window);
    hidden_floats = shape.expands ? kept_rows * row : 0;
    filtered_floats = band_rows * shape.out_width * RoundUp(shape.hidden_channels, kWidth);
  }
  int64_t floats() const { return RoundUp(hidden_floats + filtered_floats, kCacheLine); }
};

// The convolution of each channel by itself, for one row of output: `rows` is the hidden image from its row `first` on,
// `stride` floats a pixel.
inline void DepthwiseRow(const InvertedResidualShape& shape, const PackedBlock& parts, const float* packed,
                         const float* rows, int64_t first, int64_t stride, int64_t row, float* out) {
  const float* const weights = packed + parts.depthwise;
  const float* const biases = packed + parts.depthwise_bias;
  const int64_t channels = shape.expands ? parts.channels : shape.hidden_channels;
  const int64_t top = row * shape.stride - shape.pad_before;
  const int64_t from_y = top < 0 ? -top : 0;
  const int64_t to_y = Min(shape.window, shape.height - top);
  const Vec ceiling = Broadcast(6);
  for (int64_t column = 0; column < shape.out_width; ++column) {
    const int64_t left = column * shape.stride - shape.pad_before;
    const int64_t from_x = left < 0 ? -left : 0;
    const int64_t to_x = Min(shape.window, shape.width - left);
    constexpr int64_t kAtOnce = 4;  // vectors
    for (int64_t c = 0; c < parts.channels; c += kAtOnce * kWidth) {
      const int64_t vectors = Min(kAtOnce, (parts.channels - c) / kWidth);
      Vec sum[kAtOnce];
      for (int64_t v = 0; v < kAtOnce; ++v) {
        sum[v] = v < vectors ? Load(biases + c + v * kWidth) : Vec{};
      }
      for (int64_t y = from_y; y < to_y; ++y) {
        const float* const pixels = rows + ((top + y - first) * shape.width + left) * stride + c;
        const float* const taps = weights + y * shape.window * parts.channels + c;
        for (int64_t x = from_x; x < to_x; ++x) {
          const float* const pixel = pixels + x * stride;
          const float* const tap = taps + x * parts.channels;
          if (vectors == kAtOnce && c + kAtOnce * kWidth <= channels) {
            for (int64_t v = 0; v < kAtOnce; ++v) {
              sum[v] += Load(pixel + v * kWidth) * Load(tap + v * kWidth);
            }
          } else {
            for (int64_t v = 0; v < vectors; ++v) {
              sum[v] += LoadUpTo(pixel + v * kWidth, channels - c - v * kWidth) * Load(tap + v * kWidth);
            }
          }
        }
      }
      for (int64_t v = 0; v < vectors; ++v) {
        Store(out + column * parts.channels + c + v * kWidth, Min(ceiling, Max(Vec{}, sum[v])));
      }
    }
  }
}

inline void InvertedResidualForward(const InvertedResidualArguments& a) {
  const InvertedResidualShape& shape = a.shape;
  const PackedBlock parts(shape);
  const BandPlan plan(shape, a.threads);
  const int64_t x_row = shape.width * shape.in_channels;
  const int64_t y_row = shape.out_width * shape.out_channels;
#pragma omp parallel for schedule(dynamic, 1) num_threads(a.threads)
  for (int64_t item = 0; item < shape.batch * plan.segments; ++item) {
    float* const hidden = a.workspace + omp_get_thread_num() * plan.floats();
    float* const filtered = hidden + plan.hidden_floats;
    const int64_t segment = item % plan.segments;
    const float* const x = a.x + item / plan.segments * shape.height * x_row;
    float* const y = a.y + item / plan.segments * shape.out_height * y_row;
    const int64_t end = shape.out_height * (segment + 1) / plan.segments;
    const int64_t hidden_row = shape.width * parts.channels;
    int64_t kept_from = 0;  // the rows that `hidden` holds
    int64_t kept_to = 0;
    for (int64_t row = shape.out_height * segment / plan.segments; row < end; row += plan.band_rows) {
      const int64_t rows = Min(plan.band_rows, end - row);
      const int64_t top = row * shape.stride - shape.pad_before;
      const int64_t from = top < 0 ? 0 : top;
      const int64_t to = Min(shape.height, top + (rows - 1) * shape.stride + shape.window);
      if (shape.expands) {
        const int64_t known = kept_to > from ? kept_to - from : 0;  // from the band before
        if (known > 0 && from > kept_from) {
          __builtin_memmove(hidden, hidden + (from - kept_from) * hidden_row,
                            static_cast<std::size_t>(known * hidden_row) * sizeof(float));
        }
        Pointwise({.rows = (to - from - known) * shape.width,
                   .inputs = shape.in_channels,
                   .outputs = shape.hidden_channels,
                   .a = x + (from + known) * x_row,
                   .a_row = shape.in_channels,
                   .packed = a.packed + parts.expand,
                   .add = nullptr,
                   .relu6 = true,
                   .c = hidden + known * hidden_row,
                   .c_row = parts.channels});
        kept_from = from;
        kept_to = to;
      }
      for (int64_t r = 0; r < rows; ++r) {
        DepthwiseRow(shape, parts, a.packed, shape.expands ? hidden : x + from * x_row, from,
                     shape.expands ? parts.channels : shape.in_channels, row + r,
                     filtered + r * shape.out_width * parts.channels);
      }
      Pointwise({.rows = rows * shape.out_width,
                 .inputs = shape.hidden_channels,
                 .outputs = shape.out_channels,
                 .a = filtered,
                 .a_row = parts.channels,
                 .packed = a.packed + parts.project,
                 .add = shape.adds ? x + row * x_row : nullptr,
                 .relu6 = false,
                 .c = y + row * y_row,
                 .c_row = shape.out_channels});
    }
  }
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_INVERTED_RESIDUAL_H_
