// LibTorch's process-wide settings, for main functions, and what `auto` stands for on this machine: each `auto` that
// only the machine can answer is resolved by a function here, and nowhere else.
#ifndef GRAFT_CORE_NN_RUNTIME_H_
#define GRAFT_CORE_NN_RUNTIME_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model/artifact.h"
#include "core/model/options.h"

namespace graft {

// Keeps freed memory instead of giving it back and faulting it in again at every step, which costs a third of the time
// of a batch of 30. Call first in main.
void KeepFreedMemory();

// Sets the number of threads that LibTorch uses when called from this thread (the setting is per thread).
void SetTorchThreads(int threads);

// Who computes 3x3 convolutions with stride 1 on the CPU, in this process.
enum class ConvolutionAlgorithm {
  kFastest,   // whichever is faster: timed for each layer, once (training: kWinograd)
  kWinograd,  // our kernels, see core/kernels/conv3x3.h; oneDNN on CPUs that they aren't for
  kOneDnn,
};
void SetConvolutionAlgorithm(ConvolutionAlgorithm algorithm);
ConvolutionAlgorithm CurrentConvolutionAlgorithm();

// What a process computes for.
enum class Purpose {
  kServing,  // `auto` is kFastest
  kJob,      // `auto` is kWinograd: a choice by timing could differ from run to run, and a job's result must not
};
// "auto", "winograd" or "onednn"; INVALID_ARGUMENT otherwise.
absl::Status SetConvolutionAlgorithm(absl::string_view name, Purpose purpose = Purpose::kServing);

// "cpu" or "cuda:N" for "auto", "cpu", "cuda" or "cuda:N"; FAILED_PRECONDITION when that device isn't there.
absl::StatusOr<std::string> ResolveDevice(const std::string& device);

// FAILED_PRECONDITION when a device (resolved) would be slower in it than in float32.
absl::Status CheckPrecision(Precision precision, const std::string& device);

std::string TorchVersion();

// What this process makes models with.
Provenance MadeHere();

}  // namespace graft

#endif  // GRAFT_CORE_NN_RUNTIME_H_
