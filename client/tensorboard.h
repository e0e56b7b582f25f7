// A job as TensorBoard shows it.
#ifndef GRAFT_CLIENT_TENSORBOARD_H_
#define GRAFT_CLIENT_TENSORBOARD_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "graft/v1/jobs.pb.h"
#include "tensorboard/event.pb.h"

namespace graft {

// Makes TensorBoard's events of a job's: of each epoch scalars, with the epoch as the step; as texts the spec, its
// states, its log lines and what came of it; of a training its options as hyperparameters. Times are those of the job,
// and nothing else goes in, so that the same job gives the same events each time: what was written of a job that runs
// is the start of what is written of it later. Knows neither files nor streams.
class TensorBoardEvents {
 public:
  // `job`: what of it never changes is used.
  explicit TensorBoardEvents(const v1::Job& job) : job_(job) {}

  // What a file begins with.
  std::vector<tensorboard::Event> Begin() const;
  // Of the job's next event.
  std::vector<tensorboard::Event> Take(const v1::JobEvent& event);
  // Of a picture, after the job's last event. DATA_LOSS: it is no PNG.
  absl::StatusOr<tensorboard::Event> Picture(const std::string& tag, absl::string_view png) const;

  // The last that was taken; 0: none.
  int epoch() const { return epoch_; }

 private:
  // How far a phase has come.
  struct Phase {
    std::string name;
    std::string done;
  };

  std::vector<tensorboard::Event> TakeState(const v1::JobEvent& event) const;
  tensorboard::Event TakeEpoch(const v1::JobEvent& event);
  void TakeProgress(const v1::Progress& progress);
  std::string PhaseTable() const;

  v1::Job job_;
  int epoch_ = 0;
  std::string stage_;  // of that epoch
  double time_ = 0;    // of the last event that was taken
  std::vector<Phase> phases_;
  int lines_ = 0;  // of the log
};

}  // namespace graft

#endif  // GRAFT_CLIENT_TENSORBOARD_H_
