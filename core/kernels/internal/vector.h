// A vector register of floats, as wide as the instruction set that this translation unit is compiled for. Only files
// that are compiled once per instruction set include this. Everything is in a namespace named after the instruction
// set, because a function that two of them shared would be linked once, compiled for whichever came first.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_VECTOR_H_
#define GRAFT_CORE_KERNELS_INTERNAL_VECTOR_H_

#include <cstdint>

namespace graft::kernels::GRAFT_ISA {

inline constexpr int kWidth = GRAFT_VECTOR_FLOATS;

// Operators on these are lane by lane; `a * b + c` becomes one fused instruction (-ffp-contract=fast).
using Vec = float __attribute__((vector_size(kWidth * sizeof(float))));
using UnalignedVec = float __attribute__((vector_size(kWidth * sizeof(float)), aligned(sizeof(float)), may_alias));

inline Vec Load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void Store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }

// The first n lanes; the others are 0.
inline Vec LoadFirst(const float* p, int64_t n) {
  Vec v{};
  for (int64_t i = 0; i < n; ++i) {
    v[i] = p[i];
  }
  return v;
}
inline void StoreFirst(float* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    p[i] = v[i];
  }
}
inline Vec LoadUpTo(const float* p, int64_t n) { return n >= kWidth ? Load(p) : LoadFirst(p, n); }
inline void StoreUpTo(float* p, Vec v, int64_t n) {
  if (n >= kWidth) {
    Store(p, v);
  } else {
    StoreFirst(p, v, n);
  }
}

// x - 0 is x, also for -0: only the copy to all lanes is left of it.
inline Vec Broadcast(float x) { return x - Vec{}; }

// The larger one; b where either is not a number.
inline Vec Max(Vec a, Vec b) { return a > b ? a : b; }

// The smaller one; b where either is not a number.
inline Vec Min(Vec a, Vec b) { return a < b ? a : b; }

// The larger one; NaN where either is.
inline Vec MaxOrNan(Vec a, Vec b) { return a > b ? a : a == a ? b : a; }

// Row strides that are multiples of 4096 bytes would put a whole column of a matrix into one set of the cache; a cache
// line more spreads them.
inline constexpr int64_t kCacheLine = 16;  // floats

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_VECTOR_H_
