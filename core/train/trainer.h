// Trains a variant's network on a data set.
#ifndef GRAFT_CORE_TRAIN_TRAINER_H_
#define GRAFT_CORE_TRAIN_TRAINER_H_

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/progress.h"
#include "core/data/manifest.h"
#include "core/model/artifact.h"
#include "core/model/variants.h"

namespace graft {

struct TrainRequest {
  const Variant* variant = nullptr;
  TrainingOptions options;  // threads and device resolved
  std::filesystem::path dataset;
  const Manifest* manifest = nullptr;
  std::filesystem::path weights_dir;
  std::filesystem::path out;  // a folder; gets model.safetensors
};

struct StepUpdate {
  int epoch = 0;
  int step = 0;  // from 1, within the epoch
  int steps = 0;
  int images = 0;
  double loss = 0;  // mean over the step's images
  double accuracy = 0;
};

// Anything but OK ends the training, which then returns it. Called from the training thread: must be quick.
struct TrainHooks {
  ProgressFn on_progress;  // decoding, features, validation
  std::function<absl::Status(const StepUpdate&)> on_step;
  std::function<absl::Status(const EpochMetrics&)> on_epoch;
};

struct TrainOutcome {
  TrainingOptions options;  // `auto` resolved
  std::vector<EpochMetrics> history;
  std::string trunk_fingerprint;
  double seconds = 0;  // of the epochs, validation included
};

// The same request gives the same weights, bit by bit, on the same machine with the same number of threads.
// FAILED_PRECONDITION: weights or device are missing, or the loss is no longer finite.
absl::StatusOr<TrainOutcome> Train(const TrainRequest& request, const TrainHooks& hooks);

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_TRAINER_H_
