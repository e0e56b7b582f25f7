// Where a training keeps how far it has come, so that one whose process died goes on and ends with the same weights.
#ifndef GRAFT_CORE_TRAIN_CHECKPOINTS_H_
#define GRAFT_CORE_TRAIN_CHECKPOINTS_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/safetensors.h"

namespace graft {

// The checkpoints of one training, in a folder of its own: STAGE-NUMBER.safetensors, sealed, the last two of a stage.
// One user at a time.
class Checkpoints {
 public:
  // The folder is made when it isn't there. `least`: no checkpoint is due before so much time has passed since the
  // last.
  static absl::StatusOr<Checkpoints> Open(std::filesystem::path folder,
                                          std::chrono::milliseconds least = std::chrono::seconds(5));

  // The newest of the stage that is whole; nullopt: there is none. What is damaged is passed over and removed.
  std::optional<Safetensors> Newest(absl::string_view stage);

  // Whether enough time has passed since the last one: `least`, and a hundred times what that one took, so that keeping
  // them costs a hundredth. `between`: not at an epoch's end, where only every few minutes is.
  bool Due(bool between) const;
  // Durable when it returns. RESOURCE_EXHAUSTED: the disk is full.
  absl::Status Save(absl::string_view stage, const std::vector<TensorView>& tensors,
                    const std::map<std::string, std::string>& metadata);

 private:
  using Clock = std::chrono::steady_clock;

  Checkpoints(std::filesystem::path folder, std::chrono::milliseconds least);

  struct Entry {
    int64_t number = 0;
    std::filesystem::path path;
  };
  // From old to new.
  std::vector<Entry> Entries(absl::string_view stage) const;

  std::filesystem::path folder_;
  std::chrono::milliseconds least_;
  Clock::time_point last_;
  Clock::duration cost_{};
};

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_CHECKPOINTS_H_
