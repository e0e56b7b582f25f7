#include "core/nn/runtime.h"

#include <ATen/Parallel.h>
#include <c10/core/Device.h>
#include <malloc.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <atomic>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/base/version.h"
#include "core/kernels/conv3x3.h"

namespace graft {
namespace {

std::atomic<ConvolutionAlgorithm> g_algorithm{ConvolutionAlgorithm::kFastest};

// "model name : AMD EPYC" of /proc/cpuinfo.
std::string ProcessorName() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(field.first) == "model name") {
      return Printable(absl::StripAsciiWhitespace(field.second), 128);
    }
  }
  return "unknown";
}

}  // namespace

void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 1);
}

void SetTorchThreads(int threads) { at::set_num_threads(threads); }

void SetConvolutionAlgorithm(ConvolutionAlgorithm algorithm) { g_algorithm = algorithm; }
ConvolutionAlgorithm CurrentConvolutionAlgorithm() { return g_algorithm; }

absl::Status SetConvolutionAlgorithm(absl::string_view name, Purpose purpose) {
  const ConvolutionAlgorithm automatic =
      purpose == Purpose::kServing ? ConvolutionAlgorithm::kFastest : ConvolutionAlgorithm::kWinograd;
  for (const auto& [known, algorithm] : {std::pair{"auto", automatic},
                                         {"winograd", ConvolutionAlgorithm::kWinograd},
                                         {"onednn", ConvolutionAlgorithm::kOneDnn}}) {
    if (name == known) {
      SetConvolutionAlgorithm(algorithm);
      return absl::OkStatus();
    }
  }
  return InvalidField("convolution", absl::StrCat("'", name, "' is unknown; use auto, winograd or onednn"));
}

absl::StatusOr<std::string> ResolveDevice(const std::string& device) {
  return CatchExceptions("device", [&]() -> absl::StatusOr<std::string> {
    const int count = torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
    if (device == "auto") {
      return count > 0 ? "cuda:0" : "cpu";
    }
    const c10::Device parsed(device);
    if (parsed.is_cpu()) {
      return "cpu";
    }
    const int index = parsed.has_index() ? parsed.index() : 0;
    if (!parsed.is_cuda() || index >= count) {
      return absl::FailedPreconditionError(
          absl::StrCat("device: '", device, "' isn't there; LibTorch sees ", count, " CUDA devices; use auto or cpu"));
    }
    return absl::StrCat("cuda:", index);
  });
}

absl::Status CheckPrecision(Precision precision, const std::string& device) {
  if (precision == Precision::kBfloat16 && device == "cpu" && kernels::BestIsa() != kernels::Isa::kAvx512) {
    return absl::FailedPreconditionError(
        "options.precision: bfloat16 needs a GPU or a CPU with AVX-512 and would be slower than float32 on this one; "
        "use float32");
  }
  return absl::OkStatus();
}

std::string TorchVersion() { return TORCH_VERSION; }

Provenance MadeHere() {
  const bool winograd =
      g_algorithm != ConvolutionAlgorithm::kOneDnn && kernels::BestIsa() != kernels::Isa::kNone;  // as jobs compute
  return {kVersion, TorchVersion(), kernels::IsaName(kernels::BestIsa()), winograd ? "winograd" : "onednn",
          ProcessorName()};
}

}  // namespace graft
