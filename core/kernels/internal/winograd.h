// The transforms of Winograd's minimal filtering F(4x4, 3x3).
//
// A 3x3 filter g over a 6x6 tile d of the input gives a 4x4 tile of the output:
//
//   Y = A^T [ (G g G^T) . (B^T d B) ] A        . is element by element: 36 products instead of 144
//
// Source: A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015. The matrices come from
// multiplying polynomials by their values at six points (Toom and Cook). Lavin and Gray take 0, 1, -1, 2, -2 and
// infinity; we take 0, a, -a, b, -b and infinity with a = 3/4 and b = 3/2, whose powers stay nearer to 1: that halves
// the rounding error, and the constants are still exact.
//
// Each function below is one side of one of these products, for kWidth channels at a time; applied to the columns of a
// tile and then to the rows, it is the whole.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_WINOGRAD_H_
#define GRAFT_CORE_KERNELS_INTERNAL_WINOGRAD_H_

#include "core/kernels/internal/vector.h"

namespace graft::kernels::GRAFT_ISA {

inline constexpr int kTile = 4;                    // a side of an output tile
inline constexpr int kTileIn = 6;                  // a side of an input tile
inline constexpr int kPoints = kTileIn * kTileIn;  // products of a tile

inline constexpr float kA = 3.F / 4;
inline constexpr float kB = 3.F / 2;
inline constexpr float kA2 = kA * kA;
inline constexpr float kB2 = kB * kB;
// What Lagrange's interpolation divides by at 0, at a and -a, and at b and -b.
inline constexpr float kNorm0 = 1 / (kA2 * kB2);
inline constexpr float kNormA = 1 / (2 * kA2 * (kA2 - kB2));
inline constexpr float kNormB = 1 / (2 * kB2 * (kB2 - kA2));

// B^T d:   a^2 b^2    0      -(a^2 + b^2)      0           1   0
//             0    -a b^2        -b^2          a           1   0
//             0     a b^2        -b^2         -a           1   0
//             0    -b a^2        -a^2          b           1   0
//             0     b a^2        -a^2         -b           1   0
//             0    a^2 b^2        0      -(a^2 + b^2)      0   1
inline void InputTransform(const Vec d[6], Vec out[6]) {
  const Vec even_a = d[4] - kB2 * d[2];
  const Vec odd_a = d[3] - kB2 * d[1];
  const Vec even_b = d[4] - kA2 * d[2];
  const Vec odd_b = d[3] - kA2 * d[1];
  out[0] = kA2 * kB2 * d[0] + (d[4] - (kA2 + kB2) * d[2]);
  out[1] = even_a + kA * odd_a;
  out[2] = even_a - kA * odd_a;
  out[3] = even_b + kB * odd_b;
  out[4] = even_b - kB * odd_b;
  out[5] = kA2 * kB2 * d[1] + (d[5] - (kA2 + kB2) * d[3]);
}

// A^T m:   1   1    1    1    1   0
//          0   a   -a    b   -b   0
//          0  a^2  a^2  b^2  b^2  0
//          0  a^3 -a^3  b^3 -b^3  1
inline void OutputTransform(const Vec m[6], Vec out[4]) {
  const Vec even_a = m[1] + m[2];
  const Vec odd_a = m[1] - m[2];
  const Vec even_b = m[3] + m[4];
  const Vec odd_b = m[3] - m[4];
  out[0] = m[0] + even_a + even_b;
  out[1] = kA * odd_a + kB * odd_b;
  out[2] = kA2 * even_a + kB2 * even_b;
  out[3] = kA2 * kA * odd_a + (kB2 * kB * odd_b + m[5]);
}

// G g, with n = norm of the point:   n   0   0
//                                    n  na  na^2
//                                    n -na  na^2
//                                    n  nb  nb^2
//                                    n -nb  nb^2
//                                    0   0   1
inline void FilterTransform(const Vec g[3], Vec out[6]) {
  const Vec even_a = kNormA * g[0] + kNormA * kA2 * g[2];
  const Vec odd_a = kNormA * kA * g[1];
  const Vec even_b = kNormB * g[0] + kNormB * kB2 * g[2];
  const Vec odd_b = kNormB * kB * g[1];
  out[0] = kNorm0 * g[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = g[2];
}

// A y and G^T u, the transposes, by which gradients go back: dg = G^T [ (A dY A^T) . (B^T d B) ] G.
inline void OutputTransformTransposed(const Vec y[4], Vec out[6]) {
  const Vec even_a = y[0] + kA2 * y[2];
  const Vec odd_a = kA * y[1] + kA2 * kA * y[3];
  const Vec even_b = y[0] + kB2 * y[2];
  const Vec odd_b = kB * y[1] + kB2 * kB * y[3];
  out[0] = y[0];
  out[1] = even_a + odd_a;
  out[2] = even_a - odd_a;
  out[3] = even_b + odd_b;
  out[4] = even_b - odd_b;
  out[5] = y[3];
}

inline void FilterTransformTransposed(const Vec u[6], Vec out[3]) {
  const Vec even_a = kNormA * (u[1] + u[2]);
  const Vec odd_a = kNormA * (u[1] - u[2]);
  const Vec even_b = kNormB * (u[3] + u[4]);
  const Vec odd_b = kNormB * (u[3] - u[4]);
  out[0] = kNorm0 * u[0] + even_a + even_b;
  out[1] = kA * odd_a + kB * odd_b;
  out[2] = kA2 * even_a + kB2 * even_b + u[5];
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_WINOGRAD_H_
