// Trains a variant on a data set.
#ifndef GRAFT_CORE_HEADS_TRAINER_H_
#define GRAFT_CORE_HEADS_TRAINER_H_

#include <chrono>
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
  // Of a model whose weights this one starts from, those that have the same name and shape; empty: none.
  std::filesystem::path init_from;
  // A folder in which a training that was interrupted finds how far it had come; empty: it starts again.
  std::filesystem::path checkpoints;
  std::chrono::milliseconds checkpoint_least = std::chrono::seconds(5);  // see Checkpoints::Open
  size_t most_kept_bytes = size_t{512} << 20;                            // see Examples
};

struct TrainOutcome {
  TrainingOptions options;            // `auto` resolved
  std::vector<EpochMetrics> history;  // never empty: a head that learns all at once has one
  int kept_epoch = 0;                 // the one in history whose weights were kept
  std::string trunk_fingerprint;
  double temperature = 1;  // with options.temperature_scaling; see ScaleByTemperature
  double seconds = 0;      // of fitting, validation included
};

// With options.head_epochs the head is trained alone first, on the trunk's features; its epochs come first in the
// history, and the numbers of the others follow theirs. The same request gives the same weights, bit by bit, on the
// same machine with the same number of threads. FAILED_PRECONDITION: weights or device are missing, or the loss is no
// longer finite.
absl::StatusOr<TrainOutcome> Train(const TrainRequest& request, const TrainHooks& hooks);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_TRAINER_H_
