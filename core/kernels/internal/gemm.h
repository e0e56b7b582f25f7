// The inner loop of everything here: a small matrix product kept in registers.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_GEMM_H_
#define GRAFT_CORE_KERNELS_INTERNAL_GEMM_H_

#include "core/kernels/internal/vector.h"

namespace graft::kernels::GRAFT_ISA {

// A tile of kRows x kPanel sums takes two registers a row; with two for a row of B and one for an element of A, that
// is what AVX2's 16 registers, or AVX-512's 32, hold. Each step multiplies kRows broadcast elements of A with a row of
// B.
inline constexpr int kPanel = 2 * kWidth;
inline constexpr int kRows = kWidth == 16 ? 14 : 6;

// C (rows x kPanel) = A (rows x depth) * B (depth x kPanel), or += with kAccumulate. A's element (i, k) is a[i * lda +
// k], or a[k * lda + i] with kColumns. Rows of B and C are ldb and ldc floats apart.
template <int kTileRows, bool kAccumulate, bool kColumns>
void MultiplyTile(const float* __restrict a, int64_t lda, const float* __restrict b, int64_t ldb, int64_t depth,
                  float* __restrict c, int64_t ldc) {
  Vec sum[kTileRows][2];
#pragma GCC unroll 14
  for (int i = 0; i < kTileRows; ++i) {
    sum[i][0] = kAccumulate ? Load(c + i * ldc) : Vec{};
    sum[i][1] = kAccumulate ? Load(c + i * ldc + kWidth) : Vec{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    const Vec b0 = Load(b + k * ldb);
    const Vec b1 = Load(b + k * ldb + kWidth);
#pragma GCC unroll 14
    for (int i = 0; i < kTileRows; ++i) {
      const Vec x = Broadcast(kColumns ? a[k * lda + i] : a[i * lda + k]);
      sum[i][0] = x * b0 + sum[i][0];
      sum[i][1] = x * b1 + sum[i][1];
    }
  }
#pragma GCC unroll 14
  for (int i = 0; i < kTileRows; ++i) {
    Store(c + i * ldc, sum[i][0]);
    Store(c + i * ldc + kWidth, sum[i][1]);
  }
}

using MultiplyTileFn = void (*)(const float*, int64_t, const float*, int64_t, int64_t, float*, int64_t);

// kMultiplyTile<...>[rows], for rows from 1 to kRows.
template <bool kAccumulate, bool kColumns, int... kIndex>
struct TileTable {
  static constexpr MultiplyTileFn kFns[] = {nullptr, MultiplyTile<kIndex, kAccumulate, kColumns>...};
};
template <bool kAccumulate, bool kColumns>
constexpr const MultiplyTileFn* MultiplyTiles() {
  if constexpr (kRows == 14) {
    return TileTable<kAccumulate, kColumns, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14>::kFns;
  } else {
    return TileTable<kAccumulate, kColumns, 1, 2, 3, 4, 5, 6>::kFns;
  }
}

// One panel of C, of any number of rows: rows are dealt evenly to tiles, so that none is nearly empty.
template <bool kAccumulate, bool kColumns>
inline void MultiplyPanel(const float* a, int64_t lda, const float* b, int64_t ldb, int64_t depth, float* c,
                          int64_t ldc, int64_t rows) {
  const int64_t tiles = CeilDiv(rows, kRows);
  for (int64_t i = 0, from = 0; i < tiles; ++i) {
    const int64_t to = rows * (i + 1) / tiles;
    MultiplyTiles<kAccumulate, kColumns>()[to - from](a + (kColumns ? from : from * lda), lda, b, ldb, depth,
                                                      c + from * ldc, ldc);
    from = to;
  }
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_GEMM_H_
