#include "core/train/session_torch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/train/loss_torch.h"

namespace graft {
namespace {

constexpr char kOrder[] = "order";
constexpr char kGenerator[] = "generator";
constexpr char kFigures[] = "figures";
constexpr char kHistory[] = "history";
constexpr int64_t kFigureCount = 5;
constexpr int64_t kHistoryColumns = 7;

// Fisher-Yates with a generator and a draw that the C++ standard pins down, so that the order is the same everywhere.
void Shuffle(std::mt19937_64* generator, std::vector<int64_t>* values) {
  for (size_t i = values->size(); i > 1; --i) {
    std::swap((*values)[i - 1], (*values)[(*generator)() % i]);
  }
}

std::vector<torch::Tensor> Trainable(const Network& network) {
  std::vector<torch::Tensor> tensors;
  for (const NamedTensor& parameter : network.parameters()) {
    if (parameter.tensor.requires_grad()) {
      tensors.push_back(parameter.tensor);
    }
  }
  return tensors;
}

// A state's tensor of this type and these sizes (-1: any), else DATA_LOSS.
absl::StatusOr<torch::Tensor> Find(const SessionState& state, absl::string_view name, torch::ScalarType type,
                                   at::IntArrayRef sizes) {
  for (const NamedTensor& entry : state.tensors) {
    if (entry.name != name) {
      continue;
    }
    bool fits = entry.tensor.scalar_type() == type && entry.tensor.dim() == static_cast<int64_t>(sizes.size());
    for (size_t d = 0; fits && d < sizes.size(); ++d) {
      fits = sizes[d] == -1 || entry.tensor.size(static_cast<int64_t>(d)) == sizes[d];
    }
    if (fits) {
      return entry.tensor;
    }
    return absl::DataLossError(absl::StrCat("training state: ", name, " is of another type or shape"));
  }
  return absl::DataLossError(absl::StrCat("training state: ", name, " is missing"));
}

absl::StatusOr<std::string> Find(const SessionState& state, const std::string& key) {
  const auto found = state.metadata.find(key);
  if (found == state.metadata.end()) {
    return absl::DataLossError(absl::StrCat("training state: ", key, " is missing"));
  }
  return found->second;
}

absl::StatusOr<int64_t> FindNumber(const SessionState& state, const std::string& key, int64_t low, int64_t high) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, Find(state, key));
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < low || value > high) {
    return absl::DataLossError(absl::StrCat("training state: ", key, " is '", text, "'"));
  }
  return value;
}

}  // namespace

at::Generator NewGenerator(const torch::Device& device, uint64_t seed) {
  at::Generator generator = at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(seed);
  return generator;
}

SessionState SessionState::Of(const Safetensors& file) {
  SessionState state;
  for (const TensorView& view : file.tensors()) {
    state.tensors.push_back({view.name, TensorOf(view).clone()});
  }
  state.metadata = file.metadata();
  return state;
}

TrainingSession::TrainingSession(Network* network, const Examples& examples, const TrainingOptions& options,
                                 at::Generator generator)
    : network_(network),
      examples_(examples),
      options_(options),
      optimizer_(MakeOptimizer(Trainable(*network), options)),
      generator_(std::move(generator)),
      order_generator_(options.seed),
      order_(examples.train) {
  BeginEpoch(1);
}

void TrainingSession::BeginEpoch(int epoch) {
  epoch_ = epoch;
  step_ = 0;
  training_ = {};
  seconds_ = 0;
  waited_ = 0;
  Shuffle(&order_generator_, &order_);
}

int TrainingSession::steps() const {
  const auto batch_size = static_cast<size_t>(options_.batch_size);
  return static_cast<int>((order_.size() + batch_size - 1) / batch_size);
}

absl::Status TrainingSession::Run(const TrainHooks& hooks) {
  while (epoch_ <= options_.epochs) {
    GRAFT_RETURN_IF_ERROR(TrainEpoch(hooks));
    GRAFT_ASSIGN_OR_RETURN(const Meter scored, Validate(hooks));
    history_.push_back(
        {epoch_, training_.MeanLoss(), training_.Accuracy(), scored.MeanLoss(), scored.Accuracy(), seconds_, waited_});
    BeginEpoch(epoch_ + 1);
    GRAFT_RETURN_IF_ERROR(hooks.on_epoch(history_.back()));
  }
  return absl::OkStatus();
}

absl::Status TrainingSession::TrainEpoch(const TrainHooks& hooks) {
  const Stopwatch watch(&seconds_);
  // The last step may have had fewer images than the others.
  const size_t done = std::min(static_cast<size_t>(step_) * static_cast<size_t>(options_.batch_size), order_.size());
  Batches batches(*examples_.inputs, absl::MakeConstSpan(order_).subspan(done),
                  static_cast<size_t>(options_.batch_size), epoch_, &waited_);
  while (step_ < steps()) {
    const auto [rows, x] = batches.Next();
    GRAFT_ASSIGN_OR_RETURN(const StepUpdate update, Step(rows, x));
    GRAFT_RETURN_IF_ERROR(hooks.on_step(update));
  }
  return absl::OkStatus();
}

absl::StatusOr<StepUpdate> TrainingSession::Step(absl::Span<const int64_t> rows, const torch::Tensor& x) {
  network_->ZeroGradients();
  const BatchScore score = Score(network_->Forward(x, {true, generator_}, options_.precision), examples_.Labels(rows));
  const auto loss = score.loss.item<double>();
  if (!std::isfinite(loss)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the loss is no longer finite at epoch %d, step %d; use a lower options.learning_rate than %g",
                        epoch_, step_ + 1, options_.learning_rate));
  }
  score.loss.backward();
  optimizer_.Step();
  ++step_;
  const auto images = static_cast<int64_t>(rows.size());
  training_.Add(loss, score.correct, images);
  return StepUpdate{
      epoch_, step_, steps(), static_cast<int>(images), loss, score.correct / static_cast<double>(images)};
}

absl::StatusOr<Meter> TrainingSession::Validate(const TrainHooks& hooks) {
  const Stopwatch watch(&seconds_);
  const torch::NoGradGuard no_grad;
  Meter scored;
  Batches batches(*examples_.inputs, examples_.validation, static_cast<size_t>(options_.batch_size), 0, &waited_);
  while (true) {
    const auto [rows, x] = batches.Next();
    if (rows.empty()) {
      return scored;
    }
    const BatchScore score = Score(network_->Forward(x, {}, options_.precision), examples_.Labels(rows));
    scored.Add(score.loss.item<double>(), score.correct, static_cast<int64_t>(rows.size()));
    GRAFT_RETURN_IF_ERROR(
        hooks.on_progress({"validate", scored.images, static_cast<int64_t>(examples_.validation.size()), "images"}));
  }
}

std::vector<NamedTensor> TrainingSession::Kept() const {
  std::vector<NamedTensor> kept;
  size_t trainable = 0;
  for (const auto& [name, tensor] : network_->parameters()) {
    kept.push_back({absl::StrCat("weights.", name), tensor.detach()});
    if (tensor.requires_grad()) {
      int number = 0;
      for (const torch::Tensor& moment : optimizer_.moments()[trainable++]) {
        kept.push_back({absl::StrCat("moment", ++number, ".", name), moment});
      }
    }
  }
  return kept;
}

SessionState TrainingSession::Save() const {
  SessionState state;
  for (const auto& [name, tensor] : Kept()) {
    state.tensors.push_back({name, tensor.cpu().clone(at::MemoryFormat::Contiguous)});
  }
  state.tensors.push_back({kOrder, torch::tensor(order_, torch::kLong)});
  state.tensors.push_back({kGenerator, generator_.get_state().clone()});
  state.tensors.push_back({kFigures, torch::tensor({training_.loss, training_.correct,
                                                    static_cast<double>(training_.images), seconds_, waited_},
                                                   torch::kDouble)});
  torch::Tensor history = torch::empty({static_cast<int64_t>(history_.size()), kHistoryColumns}, torch::kDouble);
  auto* row = history.data_ptr<double>();
  for (const EpochMetrics& epoch : history_) {
    for (const double value : {static_cast<double>(epoch.epoch), epoch.loss, epoch.accuracy, epoch.validation_loss,
                               epoch.validation_accuracy, epoch.seconds, epoch.input_wait_seconds}) {
      *row++ = value;
    }
  }
  state.tensors.push_back({kHistory, history});

  std::ostringstream order_generator;
  order_generator << order_generator_;
  state.metadata = {{"options", ToJson(options_).dump()},
                    {"examples", examples_.fingerprint},
                    {"epoch", absl::StrCat(epoch_)},
                    {"step", absl::StrCat(step_)},
                    {"optimizer_steps", absl::StrCat(optimizer_.steps())},
                    {"order_generator", order_generator.str()}};
  return state;
}

absl::Status TrainingSession::Restore(const SessionState& state) {
  GRAFT_ASSIGN_OR_RETURN(const std::string options, Find(state, "options"));
  GRAFT_ASSIGN_OR_RETURN(const std::string examples, Find(state, "examples"));
  if (options != ToJson(options_).dump() || examples != examples_.fingerprint) {
    return absl::FailedPreconditionError(
        absl::StrCat("training state: it is of another training, with ",
                     examples != examples_.fingerprint ? "another data set" : absl::StrCat("the options ", options),
                     "; start this one from its beginning"));
  }
  // All is found and checked before anything changes.
  const std::vector<NamedTensor> kept = Kept();
  std::vector<torch::Tensor> found;
  for (const NamedTensor& entry : kept) {
    GRAFT_ASSIGN_OR_RETURN(found.emplace_back(), Find(state, entry.name, torch::kFloat, entry.tensor.sizes()));
  }
  const auto count = static_cast<int64_t>(order_.size());
  GRAFT_ASSIGN_OR_RETURN(const torch::Tensor order, Find(state, kOrder, torch::kLong, {count}));
  const torch::Tensor own_generator = generator_.get_state();
  GRAFT_ASSIGN_OR_RETURN(const torch::Tensor generator, Find(state, kGenerator, torch::kByte, own_generator.sizes()));
  GRAFT_ASSIGN_OR_RETURN(const torch::Tensor figures, Find(state, kFigures, torch::kDouble, {kFigureCount}));
  GRAFT_ASSIGN_OR_RETURN(const int64_t epoch, FindNumber(state, "epoch", 1, options_.epochs + 1));
  GRAFT_ASSIGN_OR_RETURN(const int64_t step, FindNumber(state, "step", 0, steps()));
  GRAFT_ASSIGN_OR_RETURN(const int64_t optimizer_steps,
                         FindNumber(state, "optimizer_steps", 0, std::numeric_limits<int64_t>::max()));
  GRAFT_ASSIGN_OR_RETURN(const torch::Tensor history,
                         Find(state, kHistory, torch::kDouble, {epoch - 1, kHistoryColumns}));
  GRAFT_ASSIGN_OR_RETURN(const std::string order_text, Find(state, "order_generator"));
  std::istringstream order_stream(order_text);
  std::mt19937_64 order_generator;
  order_stream >> order_generator;
  const torch::Tensor rows = torch::tensor(examples_.train, torch::kLong);
  if (order_stream.fail() || !std::get<0>(order.sort()).equal(std::get<0>(rows.sort()))) {
    return absl::DataLossError("training state: the order of the images is damaged");
  }

  generator_.set_state(generator);  // throws when LibTorch finds it impossible: first, while nothing has changed
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < kept.size(); ++i) {
    torch::Tensor target = kept[i].tensor;
    target.copy_(found[i]);
  }
  optimizer_.set_steps(optimizer_steps);
  order_.assign(order.const_data_ptr<int64_t>(), order.const_data_ptr<int64_t>() + count);
  order_generator_ = order_generator;
  epoch_ = static_cast<int>(epoch);
  step_ = static_cast<int>(step);
  const auto* const values = figures.const_data_ptr<double>();
  training_ = {values[0], values[1], static_cast<int64_t>(values[2])};
  seconds_ = values[3];
  waited_ = values[4];
  history_.clear();
  const auto* row = history.const_data_ptr<double>();
  for (int64_t i = 0; i < history.size(0); ++i, row += kHistoryColumns) {
    history_.push_back({static_cast<int>(row[0]), row[1], row[2], row[3], row[4], row[5], row[6]});
  }
  return absl::OkStatus();
}

}  // namespace graft
