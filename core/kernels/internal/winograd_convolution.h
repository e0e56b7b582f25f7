// 3x3 convolution by Winograd's transforms (winograd.h), forward and to the filter's gradient.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_WINOGRAD_CONVOLUTION_H_
#define GRAFT_CORE_KERNELS_INTERNAL_WINOGRAD_CONVOLUTION_H_

#include <omp.h>

#include "core/kernels/internal/gemm.h"
#include "core/kernels/internal/table.h"
#include "core/kernels/internal/vector.h"
#include "core/kernels/internal/winograd.h"

namespace graft::kernels::GRAFT_ISA {

// The output is cut into 4x4 tiles, those of all images in one row; tiles at the right and lower edge may reach beyond
// it. A block is a run of tiles whose transforms are in memory at a time:
//
//   V [36][tiles][in_channels]    B^T d B         of the input
//   U [36][in_channels][outputs]  G g G^T         of the filter, made by PackFilter: [36][panel][in_channels][kPanel]
//   M [36][tiles][outputs]        M = V U, 36 matrix products

// Images beside each other on one axis of a plane, and how tiles cover them. Where one output is left over behind the
// last whole tile (VGG16's maps of 37 and of 9 at 150x150), the next image follows after a single zero, which is the
// padding of both, and two images share the tiles there: 9 outputs take two and a half instead of three.
struct Axis {
  int64_t side;     // inputs of an image
  int64_t outputs;  // of an image
  int64_t padding;
  int64_t images;
  int64_t period;  // from an image's first output to that of the next
  int64_t tiles;

  static bool Shares(int64_t outputs, int64_t padding) { return padding == 1 && outputs % kTile == 1; }

  Axis(int64_t input_side, int64_t input_padding, int64_t image_count)
      : side(input_side),
        outputs(side + 2 * input_padding - 2),
        padding(input_padding),
        images(image_count),
        period(Shares(outputs, padding) ? outputs + 1 : RoundUp(outputs, kTile)),
        tiles(Shares(outputs, padding) ? CeilDiv(images * period - 1, kTile) : images * period / kTile) {}

  // Where the input `offset` places behind the first one of a tile lies, and the output. Negative position: nowhere.
  struct Place {
    int64_t image;
    int64_t position;
  };
  Place Input(int64_t tile, int64_t offset) const {
    const int64_t at = tile * kTile + offset - padding;
    const int64_t image = Shares(outputs, padding) ? (at < 0 ? 0 : at / period) : tile * kTile / period;
    const int64_t position = at - image * period;
    return {image, position < side && image < images ? position : -1};
  }
  Place Output(int64_t tile, int64_t offset) const {
    const int64_t at = tile * kTile + offset;
    const int64_t image = at / period;
    return {image, at % period < outputs && image < images ? at % period : -1};
  }
};

struct Tiling {
  Axis rows;
  Axis columns;
  int64_t per_plane;
  int64_t count;

  explicit Tiling(const ConvShape& shape) : Tiling(shape, 1) {
    if (shape.batch > 1 && Axis::Shares(shape.out_height(), shape.padding)) {
      const Tiling pairs(shape, 2);
      if (pairs.count < count) {
        *this = pairs;
      }
    }
  }

 private:
  // Images go down a plane first, then to the right, then to the next plane.
  Tiling(const ConvShape& shape, int64_t down)
      : rows(shape.height, shape.padding, down),
        columns(shape.width, shape.padding,
                Axis::Shares(shape.out_width(), shape.padding) ? CeilDiv(shape.batch, down) : 1),
        per_plane(rows.tiles * columns.tiles),
        count(CeilDiv(shape.batch, down * columns.images) * per_plane) {}
};

// Where the pixels of one tile begin, in floats from the start of the first image; -1: nowhere.
template <int kSide>
struct Pixels {
  int64_t at[kSide][kSide];
  bool inside;  // all of them in one image

  // place(axis, tile, offset) gives an Axis::Place; an image has height x width x channels floats.
  template <typename PlaceOnAxis>
  Pixels(const Tiling& tiling, int64_t tile, int64_t batch, int64_t height, int64_t width, int64_t channels,
         const PlaceOnAxis& place) {
    const int64_t plane = tile / tiling.per_plane;
    const int64_t row = tile % tiling.per_plane / tiling.columns.tiles;
    const int64_t column = tile % tiling.columns.tiles;
    const auto image = [&](const Axis::Place& y, const Axis::Place& x) {
      return (plane * tiling.columns.images + x.image) * tiling.rows.images + y.image;
    };
    for (int i = 0; i < kSide; ++i) {
      const Axis::Place y = place(tiling.rows, row, i);
      for (int j = 0; j < kSide; ++j) {
        const Axis::Place x = place(tiling.columns, column, j);
        const bool present = y.position >= 0 && x.position >= 0 && image(y, x) < batch;
        at[i][j] = present ? ((image(y, x) * height + y.position) * width + x.position) * channels : -1;
      }
    }
    // Of two images in a tile, the zero between them is in it too.
    inside = true;
    for (int i = 0; i < kSide * kSide; ++i) {
      inside = inside && at[i / kSide][i % kSide] >= 0;
    }
  }
};

inline Pixels<kTileIn> InputPixels(const ConvShape& s, const Tiling& tiling, int64_t tile) {
  return {tiling, tile, s.batch, s.height, s.width, s.in_channels, [](const Axis& axis, int64_t t, int64_t offset) {
            return axis.Input(t, offset);
          }};
}

inline Pixels<kTile> OutputPixels(const ConvShape& s, const Tiling& tiling, int64_t tile) {
  return {tiling,
          tile,
          s.batch,
          s.out_height(),
          s.out_width(),
          s.out_channels,
          [](const Axis& axis, int64_t t, int64_t offset) { return axis.Output(t, offset); }};
}

// Of the output after the 2x2 max-pool. Images begin at even places, so that no window has parts of two.
inline Pixels<kTile / 2> PooledPixels(const ConvShape& s, const Tiling& tiling, int64_t tile) {
  return {tiling,
          tile,
          s.batch,
          s.out_height() / 2,
          s.out_width() / 2,
          s.out_channels,
          [](const Axis& axis, int64_t t, int64_t offset) {
            const Axis::Place last = axis.Output(t, 2 * offset + 1);
            return Axis::Place{last.image, last.position < 0 ? -1 : last.position / 2};
          }};
}

// How V, M and their like lie: element (point, tile, channel) at point * slab + tile * row + channel.
struct Layout {
  int64_t row;
  int64_t slab;

  Layout(int64_t tiles, int64_t channels)
      : row(RoundUp(channels, kPanel) + kCacheLine), slab(tiles * row + kCacheLine) {}
  int64_t floats() const { return kPoints * slab; }
};

// Tiles of a block. More of them reuse the filter more often; fewer leave V and M in the cache. A multiple of kRows.
inline int64_t BlockTiles(const ConvShape& shape, const Tiling& tiling, int threads) {
  const int64_t channels = shape.in_channels + shape.out_channels;
  const int64_t few = kWidth == 16 ? 4 * kRows : 8 * kRows;
  const int64_t tiles = channels <= 512 ? few : 4 * few;
  // As many blocks for each thread as for the others.
  const int64_t blocks = RoundUp(CeilDiv(tiling.count, tiles), threads);
  return CeilDiv(tiling.count, blocks);
}

// V of one tile. Outside of the images there are zeros.
inline void TransformInputTile(const ConvShape& shape, const float* x, const Tiling& tiling, int64_t tile,
                               const Layout& layout, float* v) {
  const int64_t channels = shape.in_channels;
  const int64_t row_floats = shape.width * channels;
  const Pixels<kTileIn> pixels = InputPixels(shape, tiling, tile);
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t rest = channels - c;
    Vec columns[kTileIn][kTileIn];  // B^T d
    for (int j = 0; j < kTileIn; ++j) {
      Vec d[kTileIn];
      if (pixels.inside && rest >= kWidth) {
        const float* const p = x + pixels.at[0][j] + c;
        for (int i = 0; i < kTileIn; ++i) {
          d[i] = Load(p + i * row_floats);
        }
      } else {
        for (int i = 0; i < kTileIn; ++i) {
          d[i] = pixels.at[i][j] < 0 ? Vec{} : LoadUpTo(x + pixels.at[i][j] + c, rest);
        }
      }
      Vec out[kTileIn];
      InputTransform(d, out);
      for (int i = 0; i < kTileIn; ++i) {
        columns[i][j] = out[i];
      }
    }
    for (int i = 0; i < kTileIn; ++i) {
      Vec out[kTileIn];
      InputTransform(columns[i], out);
      for (int j = 0; j < kTileIn; ++j) {
        Store(v + (i * kTileIn + j) * layout.slab + c, out[j]);
      }
    }
  }
}

// Adds up the products of one output directly; what lies outside of the image has no part in it.
inline float DirectOutput(const ForwardArguments& a, int64_t image, int64_t row, int64_t column, int64_t out) {
  float sum = 0;
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t s = 0; s < 3; ++s) {
      const int64_t y = row + r - a.shape.padding;
      const int64_t x = column + s - a.shape.padding;
      if (y < 0 || y >= a.shape.height || x < 0 || x >= a.shape.width) {
        continue;
      }
      const float* const pixel = a.x + ((image * a.shape.height + y) * a.shape.width + x) * a.shape.in_channels;
      for (int64_t c = 0; c < a.shape.in_channels; ++c) {
        sum += pixel[c] * a.filter.data[out * a.filter.out_stride + r * a.filter.row_stride +
                                        s * a.filter.column_stride + c * a.filter.in_stride];
      }
    }
  }
  if (a.epilogue.bias != nullptr) {
    sum += a.epilogue.bias[out];
  }
  return a.epilogue.relu && sum < 0 ? 0 : sum;  // NaN stays
}

// A tile in which something isn't finite. Winograd's sums spread that over the whole tile; here it stays where a
// direct convolution has it.
template <int kSide>
inline void DirectTile(const ForwardArguments& a, const Pixels<kSide>& pixels) {
  const int64_t outputs = a.shape.out_channels;
  const int64_t step = a.epilogue.pool ? 2 : 1;
  const int64_t height = a.shape.out_height() / step;
  const int64_t width = a.shape.out_width() / step;
  for (int i = 0; i < kSide * kSide; ++i) {
    const int64_t at = pixels.at[i / kSide][i % kSide];
    if (at < 0) {
      continue;
    }
    const int64_t image = at / outputs / width / height;
    const int64_t row = at / outputs / width % height * step;
    const int64_t column = at / outputs % width * step;
    for (int64_t k = 0; k < outputs; ++k) {
      float value = DirectOutput(a, image, row, column, k);
      for (int64_t other = 1; other < step * step; ++other) {
        const float next = DirectOutput(a, image, row + other / 2, column + other % 2, k);
        value = next > value || next != next ? next : value;
      }
      a.y[at + k] = value;
    }
  }
}

// A^T M A, bias, ReLU and pool of one tile, into y.
template <bool kPool>
inline void TransformOutputTile(const ForwardArguments& a, const Pixels<kPool ? kTile / 2 : kTile>& pixels,
                                const Layout& layout, const float* m) {
  const int64_t outputs = a.shape.out_channels;
  const Vec floor = Broadcast(a.epilogue.relu ? 0 : -__builtin_inff());
  Vec not_finite{};  // 0 as long as every sum is finite, NaN then
  for (int64_t k = 0; k < outputs; k += kWidth) {
    const int64_t rest = outputs - k;
    const Vec bias = a.epilogue.bias == nullptr ? Vec{} : LoadUpTo(a.epilogue.bias + k, rest);
    Vec half[kTile][kTileIn];  // A^T M
    for (int j = 0; j < kTileIn; ++j) {
      Vec point[kTileIn];
      for (int i = 0; i < kTileIn; ++i) {
        point[i] = Load(m + (i * kTileIn + j) * layout.slab + k);
      }
      Vec out[kTile];
      OutputTransform(point, out);
      for (int i = 0; i < kTile; ++i) {
        half[i][j] = out[i];
      }
    }
    if constexpr (kPool) {
      for (int i = 0; i < kTile / 2; ++i) {
        Vec upper[kTile];
        Vec lower[kTile];
        OutputTransform(half[2 * i], upper);
        OutputTransform(half[2 * i + 1], lower);
        for (int j = 0; j < kTile / 2; ++j) {
          const Vec sum = upper[2 * j] + upper[2 * j + 1] + lower[2 * j] + lower[2 * j + 1];
          not_finite += sum - sum;
          const Vec most = Max(Max(upper[2 * j], upper[2 * j + 1]), Max(lower[2 * j], lower[2 * j + 1]));
          if (pixels.at[i][j] >= 0) {
            StoreUpTo(a.y + pixels.at[i][j] + k, Max(floor, most + bias), rest);
          }
        }
      }
    } else {
      for (int i = 0; i < kTile; ++i) {
        Vec out[kTile];
        OutputTransform(half[i], out);
        const Vec sum = (out[0] + out[1]) + (out[2] + out[3]);
        not_finite += sum - sum;
        for (int j = 0; j < kTile; ++j) {
          if (pixels.at[i][j] >= 0) {
            StoreUpTo(a.y + pixels.at[i][j] + k, Max(floor, out[j] + bias), rest);
          }
        }
      }
    }
  }
  float check = 0;
  for (int lane = 0; lane < kWidth; ++lane) {
    check += not_finite[lane];
  }
  if (check != 0) {  // so is NaN
    DirectTile(a, pixels);
  }
}

inline void TransformOutputTile(const ForwardArguments& a, const Tiling& tiling, int64_t tile, const Layout& layout,
                                const float* m) {
  if (a.epilogue.pool) {
    TransformOutputTile<true>(a, PooledPixels(a.shape, tiling, tile), layout, m);
  } else {
    TransformOutputTile<false>(a, OutputPixels(a.shape, tiling, tile), layout, m);
  }
}

// M = V U for one point and one panel of outputs.
inline void MultiplyPointPanel(const ConvShape& shape, int64_t tiles, const float* packed, const Layout& v_layout,
                               const float* v, const Layout& m_layout, float* m, int64_t point, int64_t panel) {
  const int64_t panels = CeilDiv(shape.out_channels, kPanel);
  MultiplyPanel<false, false>(v + point * v_layout.slab, v_layout.row,
                              packed + (point * panels + panel) * shape.in_channels * kPanel, kPanel, shape.in_channels,
                              m + point * m_layout.slab + panel * kPanel, m_layout.row, tiles);
}

inline void WinogradForward(const ForwardArguments& a) {
  const Tiling tiling(a.shape);
  const int64_t block_tiles = BlockTiles(a.shape, tiling, a.threads);
  const int64_t blocks = CeilDiv(tiling.count, block_tiles);
  const int64_t panels = CeilDiv(a.shape.out_channels, kPanel);
  if (blocks <= a.threads) {
    // Little work: the threads share one block and divide the filter, so that each of its numbers is read once.
    const Layout v_layout(tiling.count, a.shape.in_channels);
    const Layout m_layout(tiling.count, a.shape.out_channels);
    float* const v = a.workspace;
    float* const m = v + v_layout.floats();
#pragma omp parallel num_threads(a.threads)
    {
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tiling.count; ++t) {
        TransformInputTile(a.shape, a.x, tiling, t, v_layout, v + t * v_layout.row);
      }
#pragma omp for schedule(static)
      for (int64_t i = 0; i < kPoints * panels; ++i) {
        MultiplyPointPanel(a.shape, tiling.count, a.packed, v_layout, v, m_layout, m, i / panels, i % panels);
      }
#pragma omp for schedule(static)
      for (int64_t t = 0; t < tiling.count; ++t) {
        TransformOutputTile(a, tiling, t, m_layout, m + t * m_layout.row);
      }
    }
    return;
  }
  const Layout v_layout(block_tiles, a.shape.in_channels);
  const Layout m_layout(block_tiles, a.shape.out_channels);
#pragma omp parallel for schedule(dynamic, 1) num_threads(a.threads)
  for (int64_t block = 0; block < blocks; ++block) {
    float* const v = a.workspace + omp_get_thread_num() * (v_layout.floats() + m_layout.floats());
    float* const m = v + v_layout.floats();
    const int64_t first = block * block_tiles;
    const int64_t tiles = Min(block_tiles, tiling.count - first);
    for (int64_t t = 0; t < tiles; ++t) {
      TransformInputTile(a.shape, a.x, tiling, first + t, v_layout, v + t * v_layout.row);
    }
    for (int64_t point = 0; point < kPoints; ++point) {
      for (int64_t panel = 0; panel < panels; ++panel) {
        MultiplyPointPanel(a.shape, tiles, a.packed, v_layout, v, m_layout, m, point, panel);
      }
    }
    for (int64_t t = 0; t < tiles; ++t) {
      TransformOutputTile(a, tiling, first + t, m_layout, m + t * m_layout.row);
    }
  }
}

// U, [36][panel][in_channels][kPanel]; zeros beyond the last output.
inline void WinogradPackFilter(int64_t in_channels, int64_t out_channels, const FilterView& filter, float* packed) {
  const int64_t panels = CeilDiv(out_channels, kPanel);
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels; ++panel) {
    for (int64_t c = 0; c < in_channels; ++c) {
      for (int64_t k = 0; k < kPanel; k += kWidth) {
        const int64_t first = panel * kPanel + k;
        Vec rows[kTileIn][3];  // G g
        for (int s = 0; s < 3; ++s) {
          Vec g[3] = {};
          for (int r = 0; r < 3; ++r) {
            const float* const p = filter.data + first * filter.out_stride + r * filter.row_stride +
                                   s * filter.column_stride + c * filter.in_stride;
            for (int lane = 0; lane < Min(kWidth, out_channels - first); ++lane) {
              g[r][lane] = p[lane * filter.out_stride];
            }
          }
          Vec out[kTileIn];
          FilterTransform(g, out);
          for (int i = 0; i < kTileIn; ++i) {
            rows[i][s] = out[i];
          }
        }
        for (int i = 0; i < kTileIn; ++i) {
          Vec out[kTileIn];
          FilterTransform(rows[i], out);
          for (int j = 0; j < kTileIn; ++j) {
            Store(packed + (((i * kTileIn + j) * panels + panel) * in_channels + c) * kPanel + k, out[j]);
          }
        }
      }
    }
  }
}

// ---- The filter's gradient ------------------------------------------------------------------------------------------

// A dY A^T of one tile.
inline void TransformGradientTile(const ConvShape& shape, const float* gradient, const Tiling& tiling, int64_t tile,
                                  const Layout& layout, float* w) {
  const int64_t outputs = shape.out_channels;
  const Pixels<kTile> pixels = OutputPixels(shape, tiling, tile);
  for (int64_t k = 0; k < outputs; k += kWidth) {
    const int64_t rest = outputs - k;
    Vec columns[kTileIn][kTile];
    for (int j = 0; j < kTile; ++j) {
      Vec y[kTile];
      for (int i = 0; i < kTile; ++i) {
        y[i] = pixels.at[i][j] < 0 ? Vec{} : LoadUpTo(gradient + pixels.at[i][j] + k, rest);
      }
      Vec out[kTileIn];
      OutputTransformTransposed(y, out);
      for (int i = 0; i < kTileIn; ++i) {
        columns[i][j] = out[i];
      }
    }
    for (int i = 0; i < kTileIn; ++i) {
      Vec out[kTileIn];
      OutputTransformTransposed(columns[i], out);
      for (int j = 0; j < kTileIn; ++j) {
        Store(w + (i * kTileIn + j) * layout.slab + k, out[j]);
      }
    }
  }
}

// How the work on D [36][in_channels][outputs], the sum over tiles of V^T W, is divided. Where D is small, each thread
// adds up blocks of its own, and what it transforms stays in its cache; else the threads transform a block together and
// divide its points.
struct GradientPlan {
  bool alone;
  int64_t blocks;
  int64_t block_tiles;
  Layout v;
  Layout w;
  Layout d;

  GradientPlan(const ConvShape& shape, const Tiling& tiling, int threads)
      : alone(tiling.count >= 2 * kAloneTiles * threads &&
              kPoints * shape.in_channels * shape.out_channels <= kAloneFloats),
        blocks(alone ? RoundUp(CeilDiv(tiling.count, kAloneTiles), threads)
                     : CeilDiv(tiling.count, shape.in_channels + shape.out_channels >= 512 ? 256 : 192)),
        block_tiles(CeilDiv(tiling.count, blocks)),
        v(block_tiles, shape.in_channels),
        w(block_tiles, shape.out_channels),
        d(shape.in_channels, shape.out_channels) {}

  int64_t thread_floats() const { return v.floats() + w.floats() + d.floats(); }
  int64_t WorkspaceFloats(int threads) const { return alone ? threads * thread_floats() : thread_floats(); }

 private:
  static constexpr int64_t kAloneTiles = 56;
  static constexpr int64_t kAloneFloats = int64_t{1} << 20;  // of D
};

// D's sums over one block, of one point.
inline void AddGradientPoint(const GradientPlan& plan, int64_t point, int64_t tiles, const float* v, const float* w,
                             bool first, int64_t inputs, int64_t outputs, float* d) {
  const auto multiply = first ? MultiplyPanel<false, true> : MultiplyPanel<true, true>;
  for (int64_t panel = 0; panel < outputs; panel += kPanel) {
    multiply(v + point * plan.v.slab, plan.v.row, w + point * plan.w.slab + panel, plan.w.row, tiles,
             d + point * plan.d.slab + panel, plan.d.row, inputs);
  }
}

inline void WinogradBackwardFilter(const BackwardFilterArguments& a) {
  const int64_t inputs = a.shape.in_channels;
  const int64_t outputs = a.shape.out_channels;
  const Tiling tiling(a.shape);
  const GradientPlan plan(a.shape, tiling, a.threads);
  const auto transform = [&](int64_t first, int64_t t, float* v, float* w) {
    TransformInputTile(a.shape, a.x, tiling, first + t, plan.v, v + t * plan.v.row);
    TransformGradientTile(a.shape, a.output_gradient, tiling, first + t, plan.w, w + t * plan.w.row);
  };
#pragma omp parallel num_threads(a.threads)
  {
    if (plan.alone) {
      float* const d = a.workspace + omp_get_thread_num() * plan.thread_floats();
      float* const v = d + plan.d.floats();
      float* const w = v + plan.v.floats();
      for (int64_t i = 0; i < plan.d.floats(); ++i) {
        d[i] = 0;
      }
#pragma omp for schedule(static)
      for (int64_t block = 0; block < plan.blocks; ++block) {
        const int64_t first = block * plan.block_tiles;
        const int64_t tiles = Min(plan.block_tiles, tiling.count - first);
        for (int64_t t = 0; t < tiles; ++t) {
          transform(first, t, v, w);
        }
        for (int64_t point = 0; point < kPoints && tiles > 0; ++point) {
          AddGradientPoint(plan, point, tiles, v, w, false, inputs, outputs, d);
        }
      }
#pragma omp for schedule(static)
      for (int64_t i = 0; i < plan.d.floats(); i += kWidth) {
        Vec sum = Load(a.workspace + i);
        for (int t = 1; t < omp_get_num_threads(); ++t) {
          sum += Load(a.workspace + t * plan.thread_floats() + i);
        }
        Store(a.workspace + i, sum);
      }
    } else {
      float* const d = a.workspace;
      float* const v = d + plan.d.floats();
      float* const w = v + plan.v.floats();
      for (int64_t first = 0; first < tiling.count; first += plan.block_tiles) {
        const int64_t tiles = Min(plan.block_tiles, tiling.count - first);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < tiles; ++t) {
          transform(first, t, v, w);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t point = 0; point < kPoints; ++point) {
          AddGradientPoint(plan, point, tiles, v, w, first == 0, inputs, outputs, d);
        }
      }
    }
    // G^T D G. gradient[out][row][column][in] wants the inputs in the vector that D has the outputs in, and strides
    // that are multiples of a large power of two push lines out of the cache: so through a small array.
    const float* const d = a.workspace;
    const int64_t in_blocks = CeilDiv(inputs, kWidth);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < CeilDiv(outputs, kWidth) * in_blocks; ++i) {
      const int64_t first_out = i / in_blocks * kWidth;
      const int64_t first_in = i % in_blocks * kWidth;
      const int64_t block_inputs = Min(kWidth, inputs - first_in);
      float taps[9][kWidth][kWidth];  // [tap][in][out]
      for (int64_t in = 0; in < block_inputs; ++in) {
        const float* const sums = d + (first_in + in) * plan.d.row + first_out;
        Vec half[3][kTileIn];
        for (int column = 0; column < kTileIn; ++column) {
          Vec u[kTileIn];
          for (int row = 0; row < kTileIn; ++row) {
            u[row] = Load(sums + (row * kTileIn + column) * plan.d.slab);
          }
          Vec out[3];
          FilterTransformTransposed(u, out);
          for (int row = 0; row < 3; ++row) {
            half[row][column] = out[row];
          }
        }
        for (int row = 0; row < 3; ++row) {
          Vec out[3];
          FilterTransformTransposed(half[row], out);
          for (int column = 0; column < 3; ++column) {
            Store(taps[row * 3 + column][in], out[column]);
          }
        }
      }
      for (int64_t out = 0; out < Min(kWidth, outputs - first_out); ++out) {
        for (int64_t tap = 0; tap < 9; ++tap) {
          float* const gradient = a.gradient + ((first_out + out) * 9 + tap) * inputs + first_in;
          for (int64_t in = 0; in < block_inputs; ++in) {
            gradient[in] = taps[tap][in][out];
          }
        }
      }
    }
  }
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_WINOGRAD_CONVOLUTION_H_
