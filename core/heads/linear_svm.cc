#include "core/heads/linear_svm.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "core/base/mutex.h"
#include "core/base/parallel.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/heads/rows_torch.h"
#include "core/heads/svm.h"
#include "core/nn/tensors_torch.h"

namespace graft {
namespace {

constexpr int kFolds = 5;
// Where the options leave it open.
constexpr double kTried[] = {0.1, 1, 10, 100};
constexpr char kWeights[] = "weights";
constexpr char kBias[] = "bias";
constexpr char kCalibration[] = "calibration";

// Progress of problems that are solved on several threads; its caller hears of it now and then, and one at a time.
class FitProgress {
 public:
  FitProgress(const ProgressFn& progress, int64_t total) : progress_(progress), total_(total) {}

  // Once it has said no, it says so to all.
  absl::Status Check() { return Report(0); }
  absl::Status Solved() { return Report(1); }

 private:
  absl::Status Report(int64_t solved) {
    const MutexLock lock(&mutex_);
    done_ += solved;
    const auto now = std::chrono::steady_clock::now();
    if (status_.ok() && (solved > 0 || now - last_ > std::chrono::milliseconds(100))) {
      last_ = now;
      status_ = progress_({"train", done_, total_, "classifiers"});
    }
    return status_;
  }

  const ProgressFn& progress_;
  const int64_t total_;
  Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point last_ ABSL_GUARDED_BY(mutex_);
};

class LinearSvmHead : public Head {
 public:
  LinearSvmHead(HeadPlan plan, const torch::Device& device)
      : plan_(std::move(plan)), device_(device), outputs_(OutputUnits(plan_.classes)) {}

  absl::StatusOr<FitResult> Fit(const FitRequest& request) override {
    GRAFT_ASSIGN_OR_RETURN(const TrainingRows rows,
                           GatherTrainingRows(request.examples, plan_, request.hooks.on_progress));
    const RowMatrix matrix = {rows.values.const_data_ptr<float>(), rows.values.size(1)};
    // An image and its mirror image stand in the same fold, or machines would be judged on what they have seen.
    std::vector<int> fold_of =
        StratifiedFolds(absl::MakeConstSpan(rows.labels).first(rows.images), kFolds, plan_.options.seed);
    while (fold_of.size() < rows.labels.size()) {
      fold_of.push_back(fold_of[fold_of.size() - rows.images]);
    }

    const bool open = plan_.options.svm_c == 0;
    const std::vector<double> tried =
        open ? std::vector<double>(std::begin(kTried), std::end(kTried)) : std::vector<double>{plan_.options.svm_c};
    FitProgress progress(request.hooks.on_progress, static_cast<int64_t>(tried.size()) * outputs_ * (kFolds + 1));
    std::optional<Machines> best;
    for (const double c : tried) {
      GRAFT_ASSIGN_OR_RETURN(Machines machines, FitMachines(rows, matrix, fold_of, c, &progress));
      if (!best.has_value() || std::tie(machines.errors, machines.loss) < std::tie(best->errors, best->loss)) {
        best = std::move(machines);
      }
    }
    torch::Tensor weights = torch::empty({outputs_, matrix.dimension});
    torch::Tensor bias = torch::empty({outputs_});
    torch::Tensor calibration = torch::empty({outputs_, 2});
    for (int64_t output = 0; output < outputs_; ++output) {
      const LinearScore& machine = best->of[static_cast<size_t>(output)];
      const PlattCurve& curve = best->curves[static_cast<size_t>(output)];
      std::copy(machine.weights.begin(), machine.weights.end(), weights[output].data_ptr<float>());
      bias[output] = machine.bias;
      calibration[output][0] = curve.slope;
      calibration[output][1] = curve.offset;
    }
    Set(weights, bias, calibration);
    FitResult result;
    if (open) {
      result.svm_c = best->c;
    }
    return result;
  }

  absl::Status Save(const std::filesystem::path& file) const override {
    return WriteSafetensors(
        file, ViewsOf({{kWeights, weights_.cpu()}, {kBias, bias_.cpu()}, {kCalibration, calibration_.cpu()}}),
        {{"head", "linear_svm"}});
  }

  absl::Status Load(const std::filesystem::path& path) override {
    GRAFT_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenSealed(path));
    const auto find = [&](absl::string_view name, const std::vector<int64_t>& shape) -> absl::StatusOr<torch::Tensor> {
      auto tensor = FiniteTensor(file, name, shape);
      GRAFT_RETURN_IF_ERROR(Annotate(tensor.status(), path.string()));
      return tensor;
    };
    GRAFT_ASSIGN_OR_RETURN(const torch::Tensor weights, find(kWeights, {outputs_, ElementCount(plan_.input)}));
    GRAFT_ASSIGN_OR_RETURN(const torch::Tensor bias, find(kBias, {outputs_}));
    GRAFT_ASSIGN_OR_RETURN(const torch::Tensor calibration, find(kCalibration, {outputs_, 2}));
    Set(weights, bias, calibration);
    return absl::OkStatus();
  }

  at::Tensor Predict(const at::Tensor& inputs) const override {
    const torch::NoGradGuard no_grad;
    const torch::Tensor positive = torch::sigmoid(Calibrated(inputs));
    if (plan_.classes == 2) {
      return torch::cat({1 - positive, positive}, 1).cpu();
    }
    const torch::Tensor some = positive.clamp_min(1e-30);  // a sum that can be divided by
    return (some / some.sum(1, true)).cpu();
  }

  // What Platt's curve makes of the machine's score, before the sigmoid.
  at::Tensor Score(const at::Tensor& inputs, int64_t label, const LayerTap& /*tap*/) const override {
    return ScoreOf(Calibrated(inputs), label);
  }

 private:
  struct Machines {
    double c = 0;
    std::vector<LinearScore> of;     // each output
    std::vector<PlattCurve> curves;  // likewise
    // Of what machines say of rows that they weren't trained on: how often they are wrong, and by how much.
    int64_t errors = 0;
    double loss = 0;
  };

  absl::StatusOr<Machines> FitMachines(const TrainingRows& rows, const RowMatrix& matrix,
                                       const std::vector<int>& fold_of, double c, FitProgress* progress) const {
    // Of each output: a machine without each fold, and one on all rows.
    constexpr int kAll = kFolds;
    std::vector<absl::StatusOr<LinearScore>> fitted(static_cast<size_t>(outputs_ * (kFolds + 1)), LinearScore());
    ParallelFor(static_cast<int64_t>(fitted.size()), plan_.options.threads, [&](int64_t problem) {
      const auto left_out = static_cast<int>(problem % (kFolds + 1));
      std::vector<int64_t> which;
      for (size_t i = 0; i < fold_of.size(); ++i) {
        if (fold_of[i] != left_out) {
          which.push_back(static_cast<int64_t>(i));
        }
      }
      auto& machine = fitted[static_cast<size_t>(problem)];
      machine = FitLinearSvm(matrix, Positive(rows.labels, problem / (kFolds + 1)), which, c, plan_.options.seed,
                             [&] { return progress->Check(); });
      if (machine.ok()) {
        if (const absl::Status status = progress->Solved(); !status.ok()) {
          machine = status;
        }
      }
    });
    for (const auto& machine : fitted) {
      GRAFT_RETURN_IF_ERROR(machine.status());
    }
    Machines machines;
    machines.c = c;
    for (int64_t output = 0; output < outputs_; ++output) {
      auto* const of_output = fitted.data() + output * (kFolds + 1);
      const std::vector<bool> positive = Positive(rows.labels, output);
      // A class of a single image is in no machine that leaves that image out.
      const auto of_images = positive.begin() + static_cast<int64_t>(rows.images);
      const bool alone = std::count(positive.begin(), of_images, true) < 2;
      std::vector<double> scores;
      scores.reserve(fold_of.size());
      for (size_t i = 0; i < fold_of.size(); ++i) {
        scores.push_back(of_output[alone ? kAll : fold_of[i]]->Of(matrix.row(static_cast<int64_t>(i))));
      }
      const PlattCurve curve = FitCalibration(scores, positive);
      for (size_t i = 0; i < scores.size(); ++i) {
        const double probability = positive[i] ? curve.Of(scores[i]) : 1 - curve.Of(scores[i]);
        machines.errors += probability > 0.5 ? 0 : 1;
        machines.loss -= std::log(std::max(probability, 1e-15));
      }
      machines.of.push_back(*std::move(of_output[kAll]));
      machines.curves.push_back(curve);
    }
    return machines;
  }

  // N x outputs: the more, the more probable.
  torch::Tensor Calibrated(const torch::Tensor& inputs) const {
    const torch::Tensor scores = torch::addmm(bias_, RowsOf(inputs), weights_.t());
    return -(scores * calibration_.select(1, 0) + calibration_.select(1, 1));
  }

  // For each row, whether an output is for its class: of two classes the second.
  std::vector<bool> Positive(const std::vector<int64_t>& labels, int64_t output) const {
    const int64_t wanted = plan_.classes == 2 ? 1 : output;
    std::vector<bool> positive;
    positive.reserve(labels.size());
    for (const int64_t label : labels) {
      positive.push_back(label == wanted);
    }
    return positive;
  }

  void Set(const torch::Tensor& weights, const torch::Tensor& bias, const torch::Tensor& calibration) {
    weights_ = weights.to(device_);
    bias_ = bias.to(device_);
    calibration_ = calibration.to(device_);
  }

  const HeadPlan plan_;
  const torch::Device device_;
  const int64_t outputs_;
  torch::Tensor weights_;      // outputs x numbers
  torch::Tensor bias_;         // outputs
  torch::Tensor calibration_;  // outputs x 2: slope and offset
};

}  // namespace

std::unique_ptr<Head> MakeLinearSvmHead(HeadPlan plan, const std::string& device) {
  return std::make_unique<LinearSvmHead>(std::move(plan), torch::Device(device));
}

}  // namespace graft
