// Trains a variant on a data set.
#ifndef GRAFT_CORE_HEADS_TRAINER_H_
#define GRAFT_CORE_HEADS_TRAINER_H_

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/data/manifest.h"
#include "core/model/artifact.h"
#include "core/model/variants.h"
#include "core/train/hooks.h"

namespace graft {

struct TrainRequest {
  const Variant* variant = nullptr;
  TrainingOptions options;  // threads and device resolved
  std::filesystem::path dataset;
  const Manifest* manifest = nullptr;
  std::filesystem::path weights_dir;
  std::filesystem::path out;  // a folder; gets model.safetensors
};

struct TrainOutcome {
  TrainingOptions options;            // `auto` resolved
  std::vector<EpochMetrics> history;  // empty: the head isn't trained in epochs
  std::string trunk_fingerprint;
  double seconds = 0;  // of fitting, validation included

  // Null when there was none.
  const EpochMetrics* last_epoch() const { return history.empty() ? nullptr : &history.back(); }
};

// The same request gives the same weights, bit by bit, on the same machine with the same number of threads.
// FAILED_PRECONDITION: weights or device are missing, or the loss is no longer finite.
absl::StatusOr<TrainOutcome> Train(const TrainRequest& request, const TrainHooks& hooks);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_TRAINER_H_
