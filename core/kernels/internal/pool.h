// 2x2 max-pool, and the way back through it and ReLU.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_POOL_H_
#define GRAFT_CORE_KERNELS_INTERNAL_POOL_H_

#include <omp.h>

#include "core/kernels/internal/table.h"
#include "core/kernels/internal/vector.h"

namespace graft::kernels::GRAFT_ISA {

inline void MaxPool(const PoolArguments& a, float* y) {
  const int64_t height = a.height / 2;
  const int64_t width = a.width / 2;
  const int64_t row = a.width * a.channels;
#pragma omp parallel for schedule(static) num_threads(a.threads)
  for (int64_t line = 0; line < a.batch * height; ++line) {
    const float* const x = a.x + (line / height * a.height + line % height * 2) * row;
    for (int64_t j = 0; j < width; ++j) {
      for (int64_t c = 0; c < a.channels; c += kWidth) {
        const int64_t rest = a.channels - c;
        const float* const p = x + j * 2 * a.channels + c;
        const Vec upper = MaxOrNan(LoadUpTo(p, rest), LoadUpTo(p + a.channels, rest));
        const Vec lower = MaxOrNan(LoadUpTo(p + row, rest), LoadUpTo(p + row + a.channels, rest));
        StoreUpTo(y + (line * width + j) * a.channels + c, MaxOrNan(upper, lower), rest);
      }
    }
  }
}

inline void ReluPoolBackward(const PoolArguments& a, const float* gradient, bool pool, float* workspace,
                             float* output_gradient, float* bias_gradient) {
  const int64_t row = a.width * a.channels;
  const int64_t pooled_height = a.height / 2;
  const int64_t pooled_width = a.width / 2;
  const Vec zero{};
#pragma omp parallel num_threads(a.threads)
  {
    float* const sums = workspace + omp_get_thread_num() * a.channels;
    for (int64_t c = 0; c < a.channels; ++c) {
      sums[c] = 0;
    }
    // In pairs of rows and columns, whether they are pooled or not.
#pragma omp for schedule(static)
    for (int64_t line = 0; line < a.batch * CeilDiv(a.height, 2); ++line) {
      const int64_t image = line / CeilDiv(a.height, 2);
      const int64_t i = line % CeilDiv(a.height, 2);
      for (int64_t j = 0; j < CeilDiv(a.width, 2); ++j) {
        const bool pooled = pool && i < pooled_height && j < pooled_width;
        const int64_t origin = (image * a.height + 2 * i) * row + 2 * j * a.channels;
        for (int64_t c = 0; c < a.channels; c += kWidth) {
          const int64_t rest = a.channels - c;
          const int64_t at = origin + c;
          Vec from_pool{};
          Vec most{};
          if (pooled) {
            from_pool = LoadUpTo(gradient + ((image * pooled_height + i) * pooled_width + j) * a.channels + c, rest);
            most = Max(Max(LoadUpTo(a.x + at, rest), LoadUpTo(a.x + at + a.channels, rest)),
                       Max(LoadUpTo(a.x + at + row, rest), LoadUpTo(a.x + at + row + a.channels, rest)));
          }
          Vec sum = LoadUpTo(sums + c, rest);
          for (int64_t part = 0; part < 4; ++part) {
            if (2 * i + part / 2 >= a.height || 2 * j + part % 2 >= a.width) {
              continue;
            }
            const int64_t here = at + part / 2 * row + part % 2 * a.channels;
            const Vec value = LoadUpTo(a.x + here, rest);
            Vec out{};
            if (pooled) {
              out = value == most ? from_pool : zero;
              from_pool = value == most ? zero : from_pool;  // the first maximum takes it
            } else if (!pool) {
              out = LoadUpTo(gradient + here, rest);
            }
            out = value > zero ? out : zero;
            StoreUpTo(output_gradient + here, out, rest);
            sum += out;
          }
          StoreUpTo(sums + c, sum, rest);
        }
      }
    }
#pragma omp for schedule(static)
    for (int64_t c = 0; c < a.channels; ++c) {
      float sum = 0;
      for (int t = 0; t < omp_get_num_threads(); ++t) {
        sum += workspace[t * a.channels + c];
      }
      bias_gradient[c] = sum;
    }
  }
}

}  // namespace graft::kernels::GRAFT_ISA

#endif  // GRAFT_CORE_KERNELS_INTERNAL_POOL_H_
