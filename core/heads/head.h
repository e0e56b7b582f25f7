// Heads: what is trained, on the features of a trunk or on images themselves. One implementation a kind, in a file of
// its own and a row of the table in head.cc.
#ifndef GRAFT_CORE_HEADS_HEAD_H_
#define GRAFT_CORE_HEADS_HEAD_H_

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/artifact.h"
#include "core/model/heads.h"
#include "core/nn/layer_tap.h"
#include "core/train/hooks.h"

namespace graft {

struct Examples;
class Checkpoints;
class Safetensors;

struct Start {
  const Safetensors* file = nullptr;
  bool required = false;  // FAILED_PRECONDITION when nothing in it fits
};

// What a head is fitted on, and what it starts from.
struct FitRequest {
  const Examples& examples;
  const TrainHooks& hooks;
  // Weights to start from, a later file's over an earlier one's; what none of them has is drawn from the seed.
  std::vector<Start> start;
  // Where a training that can be interrupted keeps how far it is, and under which name. Null: nowhere.
  Checkpoints* checkpoints = nullptr;
  std::string stage = "fit";
  // Keeps the end too, because more is trained after it.
  bool keep_end = false;
};

struct FitResult {
  std::vector<EpochMetrics> history;  // a row an epoch; empty: the head isn't trained in epochs
  int kept_epoch = 0;                 // of these, the one whose weights were kept
  std::optional<double> svm_c = {};   // that was chosen, where the options left it open
};

// What inputs are, below: images as InputTensor makes them, or their features, either as a trunk makes them (N x C x H
// x W in channels_last memory) or as rows (N x numbers, in the order height, width, channels), on the head's device.
class Head {
 public:
  virtual ~Head() = default;

  // Learns; before Load or instead of it. The same plan, examples and start give the same head, bit by bit, on the same
  // machine with the same number of threads, also when it goes on from a checkpoint. Ends with a hook's error.
  virtual absl::StatusOr<FitResult> Fit(const FitRequest& request) = 0;

  // One safetensors file, sealed, with all that it has learnt.
  virtual absl::Status Save(const std::filesystem::path& file) const = 0;
  // NOT_FOUND, DATA_LOSS; FAILED_PRECONDITION: numbers that aren't finite.
  virtual absl::Status Load(const std::filesystem::path& file) = 0;

  // Probabilities, N x classes, on the CPU; each row sums to 1. Thread-safe. Throws what LibTorch throws.
  virtual at::Tensor Predict(const at::Tensor& inputs) const = 0;

  // How much speaks for a class, before that becomes a probability: N numbers on the head's device. Where gradients are
  // on, those of the inputs can be taken. A head that is a network shows each of its layers to `tap`. Thread-safe;
  // nothing of the head changes. Throws what LibTorch throws.
  virtual at::Tensor Score(const at::Tensor& inputs, int64_t label, const LayerTap& tap) const = 0;
};

// `device` is resolved: "cpu" or "cuda:N". INTERNAL: the plan is of a kind that nobody computes.
absl::StatusOr<std::unique_ptr<Head>> MakeHead(HeadPlan plan, const std::string& device);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_HEAD_H_
