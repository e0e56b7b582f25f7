// What a training tells its caller while it runs.
#ifndef GRAFT_CORE_TRAIN_HOOKS_H_
#define GRAFT_CORE_TRAIN_HOOKS_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "core/base/progress.h"
#include "core/model/artifact.h"

namespace graft {

struct StepUpdate {
  int epoch = 0;
  int step = 0;  // from 1, within the epoch
  int steps = 0;
  int epochs = 0;
  int images = 0;
  double loss = 0;  // mean over the step's images
  double accuracy = 0;
  std::string stage = {};  // as EpochMetrics::stage
};

// Anything but OK ends the training, which then returns it. Called one at a time, from the training's threads: must be
// quick.
struct TrainHooks {
  ProgressFn on_progress;  // decoding, features, validation, heads without epochs
  std::function<absl::Status(const StepUpdate&)> on_step;
  std::function<absl::Status(const EpochMetrics&)> on_epoch;
  // Something that the user should know, and that ends nothing. May be empty.
  std::function<void(const std::string&)> on_warning = {};
  // Asked at each step: true ends the training as if its last epoch had ended, once there is one whose weights can be
  // kept. Keep::kLast lets the epoch that runs end first. May be empty.
  std::function<bool()> finish = {};
};

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_HOOKS_H_
