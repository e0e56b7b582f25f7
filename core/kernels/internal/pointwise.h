// 1x1 convolution: a matrix product with what follows it.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_POINTWISE_H_
#define GRAFT_CORE_KERNELS_INTERNAL_POINTWISE_H_

#include "core/kernels/internal/gemm.h"
#include "core/kernels/internal/vector.h"

namespace graft::kernels::GRAFT_ISA {

// Weights: [panel][input][kPanel], the last panel half as wide where the outputs end in its first half; then the
// biases.
inline int64_t PointwiseFloats(int64_t inputs, int64_t outputs) { return (inputs + 1) * RoundUp(outputs, kWidth); }

// weights: outputs x inputs.
inline void PackPointwise(int64_t inputs, int64_t outputs, const float* weights, const float* biases, float* packed) {
  const int64_t padded = RoundUp(outputs, kWidth);
  for (int64_t first = 0; first < padded; first += kPanel) {
    const int64_t width = Min(kPanel, padded - first);
    for (int64_t i = 0; i < inputs; ++i) {
      for (int64_t k = first; k < first + width; ++k) {
        *packed++ = k < outputs ? weights[k * inputs + i] : 0;
      }
    }
  }
  for (int64_t k = 0; k < padded; ++k) {
    packed[k] = k < outputs ? biases[k] : 0;
  }
}

// C (rows x outputs) = A (rows x inputs) times the weights, plus the biases and, where `add` isn't null, its rows,
// which lie as C's do; ReLU6 last.
struct PointwiseArguments {
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
  const float* a;
  int64_t a_row;  // floats from one row to the next
  const float* packed;
  const float* add;
  bool relu6;
  float* c;
  int64_t c_row;
};

template <int kTileRows, int kVectors>
void PointwiseTile(const PointwiseArguments& p, int64_t row, int64_t first, const float* __restrict b,
                   const float* biases) {
  const float* __restrict const a = p.a + row * p.a_row;
  float* __restrict const c = p.c + row * p.c_row + first;
  Vec sum[kTileRows][kVectors];
#pragma GCC unroll 14
  for (int64_t i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) {
      sum[i][v] = Load(biases + first + v * kWidth);
    }
  }
  for (int64_t k = 0; k < p.inputs; ++k) {
    Vec panel[kVectors];
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) {
      panel[v] = Load(b + k * kVectors * kWidth + v * kWidth);
    }
#pragma GCC unroll 14
    for (int64_t i = 0; i < kTileRows; ++i) {
      const Vec x = Broadcast(a[i * p.a_row + k]);
#pragma GCC unroll 2
      for (int64_t v = 0; v < kVectors; ++v) {
        sum[i][v] = x * panel[v] + sum[i][v];
      }
    }
  }
  const Vec floor = Broadcast(p.relu6 ? 0 : -__builtin_inff());
  const Vec ceiling = Broadcast(p.relu6 ? 6 : __builtin_inff());
#pragma GCC unroll 14
  for (int64_t i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 2
    for (int64_t v = 0; v < kVectors; ++v) {
      const int64_t rest = p.outputs - first - v * kWidth;
      Vec y = sum[i][v];
      if (p.add != nullptr) {
        y += LoadUpTo(p.add + (row + i) * p.c_row + first + v * kWidth, rest);
      }
      y = Min(ceiling, Max(floor, y));
      // What lies beyond the outputs in a row that has room for it is written too: zeros.
      if (rest >= kWidth || p.c_row >= first + (v + 1) * kWidth) {
        Store(c + i * p.c_row + v * kWidth, y);
      } else {
        StoreFirst(c + i * p.c_row + v * kWidth, y, rest);
      }
    }
  }
}

using PointwiseTileFn = void (*)(const PointwiseArguments&, int64_t, int64_t, const float*, const float*);

template <int kVectors, int... kIndex>
struct PointwiseTiles {
  static constexpr PointwiseTileFn kFns[] = {nullptr, PointwiseTile<kIndex, kVectors>...};
};
template <int kVectors>
constexpr const PointwiseTileFn* PointwiseTilesOf() {
  if constexpr (kRows == 14) {
    return PointwiseTiles<kVectors, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::kFns;
  } else {
    return PointwiseTiles<kVectors, 1, 2, 3, 4, 5, 6>::kFns;
  }
}

inline void Pointwise(const PointwiseArguments& p) {
  const int64_t padded = RoundUp(p.outputs, kWidth);
  const float* const biases = p.packed + p.inputs * padded;
  const int64_t tiles = CeilDiv(p.rows, kRows);
  for (int64_t first = 0; first < padded; first += kPanel) {
    const auto* const fns = padded - first >= kPanel ? PointwiseTilesOf<2>() : PointwiseTilesOf<1>();
    for (int64_t i = 0, from = 0; i < tiles; ++i) {
      const int64_t to = p.rows * (i + 1) / tiles;
      fns[to - from](p, from, first, p.packed + first * p.inputs, biases);
      from = to;
    }
  }
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_POINTWISE_H_
