// A training by gradient descent, with all that what comes next in it depends on. Only core's own .cc files include
// this.
#ifndef GRAFT_CORE_TRAIN_SESSION_TORCH_H_
#define GRAFT_CORE_TRAIN_SESSION_TORCH_H_

#include <torch/types.h>

#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/safetensors.h"
#include "core/model/artifact.h"
#include "core/model/options.h"
#include "core/nn/network_torch.h"
#include "core/nn/tensors_torch.h"
#include "core/train/hooks.h"
#include "core/train/inputs_torch.h"
#include "core/train/loss_torch.h"
#include "core/train/meter.h"
#include "core/train/optimizer_torch.h"

namespace graft {

// A generator of the device that nobody else draws from.
at::Generator NewGenerator(const torch::Device& device, uint64_t seed);

// Where a session stands: weights, moments of the optimizer, generators, the order of the images, figures so far. In
// the form of a safetensors file: WriteSafetensors(path, ViewsOf(state.tensors), state.metadata) keeps it.
struct SessionState {
  std::vector<NamedTensor> tensors;  // copies, on the CPU
  std::map<std::string, std::string> metadata;

  static SessionState Of(const Safetensors& file);
};

// Trains a network on the training part of examples, in epochs of steps, each followed by a pass over the validation
// part, and leaves the network with the weights of the epoch that options.keep names. It is used from one thread. The
// same network, examples, options and generator give the same weights, bit by bit, on the same machine; so does a
// session that was put where another one stood, at any step.
class TrainingSession {
 public:
  // `network`, whose weights are defined and on the examples' device, and `examples` outlive it. options: validated,
  // `auto` resolved. generator: of that device; what dropout drops is drawn from it.
  TrainingSession(Network* network, const Examples& examples, const TrainingOptions& options, at::Generator generator);

  // Goes on to the end of the last epoch, or of the one after which options.patience is at its end, or until
  // hooks.finish says so, or until a hook returns an error, which it then returns; the session stands behind the last
  // whole step then, and may be run again. FAILED_PRECONDITION: the loss is no longer finite.
  absl::Status Run(const TrainHooks& hooks);

  // Of the epochs that have ended.
  const std::vector<EpochMetrics>& history() const { return history_; }
  // After Run: the epoch whose weights the network has.
  int kept_epoch() const { return best_epoch_ > 0 ? best_epoch_ : static_cast<int>(history_.size()); }

  // Between two calls of Run, and within hooks.
  SessionState Save() const;
  // The network's weights too. FAILED_PRECONDITION: the state is of another training (other options, another data set);
  // DATA_LOSS: it isn't whole; in both cases nothing has changed.
  absl::Status Restore(const SessionState& state);

 private:
  int steps() const;  // of an epoch
  bool Ended() const;
  static bool Finishes(const TrainHooks& hooks) { return hooks.finish && hooks.finish(); }
  double LearningRate() const;  // of the next step
  // What the epoch that has ended means for the schedule, for which weights are kept, and for when to end.
  void Judge(const EpochMetrics& epoch);
  void NewPass();
  struct StepScore {
    double loss = 0;  // mean over the step's images
    double correct = 0;
  };
  // Leaves the gradients of a batch with the parameters; in parts when memory doesn't suffice for it at once.
  absl::StatusOr<StepScore> Gradients(absl::Span<const int64_t> rows, const torch::Tensor& x, const TrainHooks& hooks);
  // False: hooks.finish said so in its midst.
  absl::StatusOr<bool> TrainEpoch(const TrainHooks& hooks);
  absl::StatusOr<StepUpdate> Step(absl::Span<const int64_t> rows, const torch::Tensor& x, const TrainHooks& hooks);
  absl::StatusOr<Meter> Validate(const TrainHooks& hooks);
  // Of that batch of the validation part, which is the same in each epoch.
  torch::Tensor PreparedForValidation(size_t batch, const torch::Tensor& x);
  void BeginEpoch(int epoch);
  // The tensors that a state has a copy of, weights and moments, under the state's names.
  std::vector<NamedTensor> Kept() const;

  Network* const network_;
  const Examples& examples_;
  const TrainingOptions options_;
  Optimizer optimizer_;
  at::Generator generator_;
  std::mt19937_64 order_generator_;
  const LossOptions loss_;
  std::vector<int64_t> order_;  // of the training part's rows, in this pass
  int pass_ = 0;                // from 1: over the training part
  size_t position_ = 0;         // in order_: of the next step's first row
  int epoch_ = 0;               // from 1; one more than options_.epochs when all have ended
  int step_ = 0;                // steps of this epoch that are done
  Meter training_;              // of this epoch, so far
  double seconds_ = 0;          // likewise
  double waited_ = 0;           // of these: for inputs
  double last_rate_ = 0;        // the last step's
  std::vector<EpochMetrics> history_;
  std::vector<torch::Tensor> best_;  // the trained tensors after best_epoch_; empty: there was none
  int best_epoch_ = 0;
  double lowest_loss_ = std::numeric_limits<double>::infinity();  // of the validation part, for Schedule::kPlateau
  int lowest_epoch_ = 0;
  double plateau_factor_ = 1;
  int micro_batch_ = 0;  // images that run at once; 0: the whole batch
  std::vector<torch::Tensor> validation_inputs_;
};

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_SESSION_TORCH_H_
