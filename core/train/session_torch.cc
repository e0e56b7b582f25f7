#include "core/train/session_torch.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/failpoint.h"
#include "core/base/status.h"
#include "core/model/keep.h"
#include "core/train/loss_torch.h"

namespace graft {
namespace {

constexpr char kOrder[] = "order";
constexpr char kGenerator[] = "generator";
constexpr char kFigures[] = "figures";
constexpr char kHistory[] = "history";
constexpr char kBest[] = "best.";
constexpr int64_t kFigureCount = 8;
constexpr int64_t kHistoryColumns = 8;

// Fisher-Yates with a generator and a draw that the C++ standard pins down, so that the order is the same everywhere.
void Shuffle(std::mt19937_64* generator, std::vector<int64_t>* values) {
  for (size_t i = values->size(); i > 1; --i) {
    std::swap((*values)[i - 1], (*values)[(*generator)() % i]);
  }
}

std::vector<TrainedTensor> Trainable(const Network& network) {
  std::vector<TrainedTensor> trained;
  const std::vector<NamedTensor> parameters = network.parameters();
  const std::vector<double> rates = network.rates();
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].tensor.requires_grad()) {
      trained.push_back({parameters[i].tensor, rates[i]});
    }
  }
  return trained;
}

LossOptions Loss(const TrainingOptions& options, const Examples& examples) {
  LossOptions loss{options.label_smoothing, {}};
  if (!examples.class_weights.empty()) {
    loss.class_weights = torch::tensor(examples.class_weights, torch::kFloat).to(examples.device);
  }
  return loss;
}

bool IsOutOfMemory(const std::exception& error) { return absl::IsResourceExhausted(FromException(error, "training")); }

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
      loss_(Loss(options, examples)),
      order_(examples.train),
      micro_batch_(options.micro_batch) {
  NewPass();
  BeginEpoch(1);
}

void TrainingSession::NewPass() {
  ++pass_;
  position_ = 0;
  Shuffle(&order_generator_, &order_);
}

void TrainingSession::BeginEpoch(int epoch) {
  epoch_ = epoch;
  step_ = 0;
  training_ = {};
  seconds_ = 0;
  waited_ = 0;
}

int TrainingSession::steps() const {
  if (options_.steps_per_epoch > 0) {
    return options_.steps_per_epoch;
  }
  const auto batch_size = static_cast<size_t>(options_.batch_size);
  return static_cast<int>((order_.size() + batch_size - 1) / batch_size);
}

bool TrainingSession::Ended() const {
  if (epoch_ > options_.epochs) {
    return true;
  }
  return options_.patience > 0 && best_epoch_ > 0 &&
         static_cast<int>(history_.size()) - best_epoch_ >= options_.patience;
}

double TrainingSession::LearningRate() const {
  const auto done = static_cast<double>(optimizer_.steps());
  const double warm_up = options_.warmup_epochs * steps();
  if (done < warm_up) {
    return options_.learning_rate * (done + 1) / (warm_up + 1);
  }
  switch (options_.schedule) {
    case Schedule::kConstant:
      break;
    case Schedule::kStep:
      return options_.learning_rate * std::pow(options_.schedule_factor, (epoch_ - 1) / options_.schedule_epochs);
    case Schedule::kCosine: {
      const double all = static_cast<double>(options_.epochs) * steps();
      return options_.learning_rate * (1 + std::cos(M_PI * (done - warm_up) / std::max(all - warm_up, 1.0))) / 2;
    }
    case Schedule::kPlateau:
      return options_.learning_rate * plateau_factor_;
  }
  return options_.learning_rate;
}

absl::Status TrainingSession::Run(const TrainHooks& hooks) {
  while (!Ended() && !Finishes(hooks)) {
    GRAFT_ASSIGN_OR_RETURN(const bool whole, TrainEpoch(hooks));
    if (!whole) {
      break;
    }
    GRAFT_ASSIGN_OR_RETURN(const Meter scored, Validate(hooks));
    const EpochMetrics epoch = {epoch_,
                                training_.MeanLoss(),
                                training_.Accuracy(),
                                scored.MeanLoss(),
                                scored.Accuracy(),
                                seconds_,
                                waited_,
                                last_rate_,
                                ""};
    history_.push_back(epoch);
    Judge(epoch);
    BeginEpoch(epoch_ + 1);
    GRAFT_RETURN_IF_ERROR(hooks.on_epoch(history_.back()));
  }
  const torch::NoGradGuard no_grad;
  size_t i = 0;
  for (NamedTensor& parameter : network_->changing()) {
    if (!best_.empty()) {
      parameter.tensor.copy_(best_[i++]);
    }
  }
  return absl::OkStatus();
}

void TrainingSession::Judge(const EpochMetrics& epoch) {
  if (epoch.validation_loss < lowest_loss_) {
    lowest_loss_ = epoch.validation_loss;
    lowest_epoch_ = epoch.epoch;
  } else if (options_.schedule == Schedule::kPlateau && epoch.epoch - lowest_epoch_ >= options_.schedule_epochs) {
    plateau_factor_ *= options_.schedule_factor;
    lowest_epoch_ = epoch.epoch;  // the new rate gets as long
  }
  if (!CanBeBest(options_.keep, epoch)) {
    return;
  }
  if (best_epoch_ == 0 || IsBetter(options_.keep, epoch, history_[static_cast<size_t>(best_epoch_) - 1])) {
    best_epoch_ = epoch.epoch;
    best_.clear();
    for (const NamedTensor& parameter : network_->changing()) {
      best_.push_back(parameter.tensor.detach().clone());
    }
  }
}

absl::StatusOr<bool> TrainingSession::TrainEpoch(const TrainHooks& hooks) {
  const Stopwatch watch(&seconds_);
  while (step_ < steps()) {
    if (position_ == order_.size()) {
      NewPass();
    }
    Batches batches(*examples_.inputs, absl::MakeConstSpan(order_).subspan(position_),
                    static_cast<size_t>(options_.batch_size), pass_, &waited_);
    while (step_ < steps()) {
      const auto [rows, x] = batches.Next();
      if (rows.empty()) {
        break;
      }
      GRAFT_ASSIGN_OR_RETURN(const StepUpdate update, Step(rows, x, hooks));
      position_ += rows.size();
      GRAFT_RETURN_IF_ERROR(hooks.on_step(update));
      // Weights in the midst of an epoch are no epoch's: another's must be there to be put back.
      if (best_epoch_ > 0 && step_ < steps() && Finishes(hooks)) {
        return false;
      }
    }
  }
  return true;
}

absl::StatusOr<StepUpdate> TrainingSession::Step(absl::Span<const int64_t> rows, const torch::Tensor& x,
                                                 const TrainHooks& hooks) {
  GRAFT_ASSIGN_OR_RETURN(const StepScore score, Gradients(rows, x, hooks));
  if (options_.clip_norm > 0) {
    optimizer_.ClipGradients(options_.clip_norm);
  }
  last_rate_ = LearningRate();
  optimizer_.Step(last_rate_);
  ++step_;
  const auto images = static_cast<int64_t>(rows.size());
  training_.Add(score.loss, score.correct, images);
  return StepUpdate{epoch_,
                    step_,
                    steps(),
                    options_.epochs,
                    static_cast<int>(images),
                    score.loss,
                    score.correct / static_cast<double>(images)};
}

absl::StatusOr<TrainingSession::StepScore> TrainingSession::Gradients(absl::Span<const int64_t> rows,
                                                                      const torch::Tensor& x, const TrainHooks& hooks) {
  const auto images = static_cast<int64_t>(rows.size());
  const torch::Tensor drawn = generator_.get_state();
  const torch::Tensor labels = examples_.Labels(rows);
  while (true) {
    const int64_t part = micro_batch_ > 0 ? std::min<int64_t>(micro_batch_, images) : images;
    try {
      if (!Failpoint("train.memory").ok()) {
        throw std::bad_alloc();
      }
      network_->ZeroGradients();
      StepScore sum;
      for (int64_t from = 0; from < images; from += part) {
        const int64_t n = std::min(part, images - from);
        const torch::Tensor inputs = examples_.Prepare(n == images ? x : x.narrow(0, from, n));
        const BatchScore score =
            Score(network_->Forward(
                      inputs, {.training = true, .generator = generator_, .norm_momentum = options_.norm_momentum},
                      options_.precision),
                  n == images ? labels : labels.narrow(0, from, n), loss_);
        const double share = static_cast<double>(n) / static_cast<double>(images);
        const auto loss = score.loss.item<double>();
        if (!std::isfinite(loss)) {
          return absl::FailedPreconditionError(absl::StrFormat(
              "the loss is no longer finite at epoch %d, step %d; use a lower options.learning_rate than %g", epoch_,
              step_ + 1, options_.learning_rate));
        }
        (n == images ? score.loss : score.loss * share).backward();
        sum.loss += n == images ? loss : loss * share;
        sum.correct += score.correct;
      }
      return sum;
    } catch (const std::exception& error) {
      if (part == 1 || !IsOutOfMemory(error)) {
        throw;
      }
      micro_batch_ = static_cast<int>((part + 1) / 2);
      generator_.set_state(drawn);  // dropout draws the same numbers, as far as the smaller parts let it
      if (hooks.on_warning) {
        hooks.on_warning(absl::StrCat("out of memory with ", part, " images at once; going on with ", micro_batch_,
                                      ", whose gradients are added up to those of a batch of ", images));
      }
    }
  }
}

absl::StatusOr<Meter> TrainingSession::Validate(const TrainHooks& hooks) {
  const Stopwatch watch(&seconds_);
  const torch::NoGradGuard no_grad;
  Meter scored;
  Batches batches(*examples_.inputs, examples_.validation, static_cast<size_t>(options_.batch_size), 0, &waited_);
  for (size_t batch = 0;; ++batch) {
    const auto [rows, x] = batches.Next();
    if (rows.empty()) {
      return scored;
    }
    const BatchScore score =
        Score(network_->Forward(PreparedForValidation(batch, x), {}, options_.precision), examples_.Labels(rows));
    scored.Add(score.loss.item<double>(), score.correct, static_cast<int64_t>(rows.size()));
    GRAFT_RETURN_IF_ERROR(
        hooks.on_progress({"validate", scored.images, static_cast<int64_t>(examples_.validation.size()), "images"}));
  }
}

torch::Tensor TrainingSession::PreparedForValidation(size_t batch, const torch::Tensor& x) {
  if (batch < validation_inputs_.size()) {
    return validation_inputs_[batch];
  }
  torch::Tensor prepared = examples_.Prepare(x);
  // All of them or none: the batches are told apart by their number alone.
  const size_t image = prepared.nbytes() / static_cast<size_t>(prepared.size(0));
  if (!prepared.is_same(x) && image * examples_.validation.size() <= examples_.most_kept_bytes) {
    validation_inputs_.push_back(prepared);
  }
  return prepared;
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
  state.tensors.push_back(
      {kFigures, torch::tensor({training_.loss, training_.correct, static_cast<double>(training_.images), seconds_,
                                waited_, lowest_loss_, plateau_factor_, last_rate_},
                               torch::kDouble)});
  torch::Tensor history = torch::empty({static_cast<int64_t>(history_.size()), kHistoryColumns}, torch::kDouble);
  auto* row = history.data_ptr<double>();
  for (const EpochMetrics& epoch : history_) {
    for (const double value :
         {static_cast<double>(epoch.epoch), epoch.loss, epoch.accuracy, epoch.validation_loss,
          epoch.validation_accuracy, epoch.seconds, epoch.input_wait_seconds, epoch.learning_rate}) {
      *row++ = value;
    }
  }
  state.tensors.push_back({kHistory, history});
  size_t best = 0;
  for (const auto& [name, tensor] : network_->changing()) {
    if (!best_.empty()) {
      state.tensors.push_back({absl::StrCat(kBest, name), best_[best++].cpu().clone(at::MemoryFormat::Contiguous)});
    }
  }

  std::ostringstream order_generator;
  order_generator << order_generator_;
  state.metadata = {{"options", ToJson(options_).dump()},
                    {"examples", examples_.fingerprint},
                    {"epoch", absl::StrCat(epoch_)},
                    {"step", absl::StrCat(step_)},
                    {"pass", absl::StrCat(pass_)},
                    {"position", absl::StrCat(position_)},
                    {"best_epoch", absl::StrCat(best_epoch_)},
                    {"lowest_epoch", absl::StrCat(lowest_epoch_)},
                    {"micro_batch", absl::StrCat(micro_batch_)},
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
  GRAFT_ASSIGN_OR_RETURN(const int64_t pass, FindNumber(state, "pass", 1, std::numeric_limits<int>::max()));
  GRAFT_ASSIGN_OR_RETURN(const int64_t position, FindNumber(state, "position", 0, count));
  GRAFT_ASSIGN_OR_RETURN(const int64_t best_epoch, FindNumber(state, "best_epoch", 0, epoch - 1));
  GRAFT_ASSIGN_OR_RETURN(const int64_t lowest_epoch, FindNumber(state, "lowest_epoch", 0, epoch - 1));
  GRAFT_ASSIGN_OR_RETURN(const int64_t micro_batch, FindNumber(state, "micro_batch", 0, options_.batch_size));
  std::vector<torch::Tensor> best;
  for (const auto& [name, tensor] : network_->changing()) {
    if (best_epoch > 0) {
      GRAFT_ASSIGN_OR_RETURN(const torch::Tensor kept_then,
                             Find(state, absl::StrCat(kBest, name), torch::kFloat, tensor.sizes()));
      best.push_back(torch::empty_like(tensor.detach()).copy_(kept_then));
    }
  }
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
  pass_ = static_cast<int>(pass);
  position_ = static_cast<size_t>(position);
  best_epoch_ = static_cast<int>(best_epoch);
  best_ = std::move(best);
  lowest_epoch_ = static_cast<int>(lowest_epoch);
  micro_batch_ = static_cast<int>(micro_batch);
  const auto* const values = figures.const_data_ptr<double>();
  training_ = {values[0], values[1], static_cast<int64_t>(values[2])};
  seconds_ = values[3];
  waited_ = values[4];
  lowest_loss_ = values[5];
  plateau_factor_ = values[6];
  last_rate_ = values[7];
  history_.clear();
  const auto* row = history.const_data_ptr<double>();
  for (int64_t i = 0; i < history.size(0); ++i, row += kHistoryColumns) {
    history_.push_back({static_cast<int>(row[0]), row[1], row[2], row[3], row[4], row[5], row[6], row[7], ""});
  }
  return absl::OkStatus();
}

}  // namespace graft
