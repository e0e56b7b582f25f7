#include "core/kernels/conv3x3.h"

#include <cstdlib>
#include <cstring>

#include "core/kernels/internal/table.h"

namespace graft::kernels {
namespace {

Isa DetectIsa() {
  Isa isa = Isa::kNone;
#ifdef GRAFT_HAVE_X86_KERNELS
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
#ifdef GRAFT_AVX512_KERNELS_ON_AVX2  // tests compile them for AVX2, to have them tried on CPUs without AVX-512
    const bool wide = true;
#else
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#endif
    isa = wide ? Isa::kAvx512 : Isa::kAvx2;
  }
#endif
  const char* const limit = std::getenv("GRAFT_ISA");
  if (limit != nullptr && std::strcmp(limit, "none") == 0) {
    return Isa::kNone;
  }
  if (limit != nullptr && std::strcmp(limit, "avx2") == 0 && isa == Isa::kAvx512) {
    return Isa::kAvx2;
  }
  return isa;
}

}  // namespace

const Table& TableOf(Isa isa) {
#ifdef GRAFT_HAVE_X86_KERNELS
  switch (isa) {
    case Isa::kAvx512:
      return avx512::kTable;
    case Isa::kAvx2:
      return avx2::kTable;
    case Isa::kNone:
      break;
  }
#endif
  std::abort();  // the caller's mistake
}

Isa BestIsa() {
  static const Isa isa = DetectIsa();
  return isa;
}

const char* IsaName(Isa isa) { return isa == Isa::kAvx512 ? "avx512" : isa == Isa::kAvx2 ? "avx2" : "none"; }

int64_t FilterFloats(Isa isa, int64_t in_channels, int64_t out_channels) {
  return TableOf(isa).filter_floats(in_channels, out_channels);
}

void PackFilter(Isa isa, int64_t in_channels, int64_t out_channels, const FilterView& filter, float* packed) {
  TableOf(isa).pack_filter(in_channels, out_channels, filter, packed);
}

int64_t WorkspaceFloats(Isa isa, const ConvShape& shape, int threads) {
  return TableOf(isa).workspace_floats(shape, threads);
}

void Forward(Isa isa, const ConvShape& shape, const float* x, const float* packed, const FilterView& filter,
             const Epilogue& epilogue, int threads, float* workspace, float* y) {
  TableOf(isa).forward({shape, x, packed, filter, epilogue, threads, workspace, y});
}

void BackwardFilter(Isa isa, const ConvShape& shape, const float* x, const float* output_gradient, int threads,
                    float* workspace, float* gradient) {
  TableOf(isa).backward_filter({shape, x, output_gradient, threads, workspace, gradient});
}

void MaxPool(Isa isa, int64_t batch, int64_t height, int64_t width, int64_t channels, const float* x, int threads,
             float* y) {
  TableOf(isa).max_pool({batch, height, width, channels, x, threads}, y);
}

void ReluPoolBackward(Isa isa, int64_t batch, int64_t height, int64_t width, int64_t channels, const float* activations,
                      const float* gradient, bool pool, int threads, float* workspace, float* output_gradient,
                      float* bias_gradient) {
  TableOf(isa).relu_pool_backward({batch, height, width, channels, activations, threads}, gradient, pool, workspace,
                                  output_gradient, bias_gradient);
}

}  // namespace graft::kernels
