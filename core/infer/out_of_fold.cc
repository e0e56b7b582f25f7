#include "core/infer/out_of_fold.h"

#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/heads/head.h"
#include "core/heads/rows_torch.h"
#include "core/heads/svm.h"
#include "core/train/features.h"
#include "core/train/inputs_torch.h"

namespace graft {
namespace {

torch::Tensor IndexOf(absl::Span<const int64_t> rows) {
  torch::Tensor index = torch::empty({static_cast<int64_t>(rows.size())}, torch::kLong);
  std::copy(rows.begin(), rows.end(), index.data_ptr<int64_t>());
  return index;
}

// Rows that were gathered once, for one head after another.
class RowInputs : public Inputs {
 public:
  explicit RowInputs(torch::Tensor rows) : rows_(std::move(rows)) {}

  torch::Tensor Gather(absl::Span<const int64_t> rows, int /*epoch*/) const override {
    return rows_.index_select(0, IndexOf(rows));
  }

 private:
  const torch::Tensor rows_;
};

absl::Status CheckFolds(const std::vector<int64_t>& labels, const HeadPlan& plan, int folds) {
  if (folds < 2) {
    return InvalidField("folds", absl::StrCat(folds, " leaves nothing to learn from; use 2 or more"));
  }
  for (int64_t label = 0; label < plan.classes; ++label) {
    const auto count = std::count(labels.begin(), labels.end(), label);
    if (count < folds) {
      return absl::FailedPreconditionError(absl::StrCat("folds: ", folds,
                                                        " need as many training images of each class, "
                                                        "and class ",
                                                        label, " has ", count));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<float>> PredictOutOfFold(const Examples& examples, const HeadPlan& plan, int folds,
                                                    const ProgressFn& progress) {
  GRAFT_ASSIGN_OR_RETURN(const TrainingRows rows, GatherTrainingRows(examples, plan, progress));
  GRAFT_RETURN_IF_ERROR(CheckFolds(rows.labels, plan, folds));
  const std::vector<int> fold_of = StratifiedFolds(rows.labels, folds, plan.options.seed);
  std::vector<float> probabilities(rows.labels.size() * static_cast<size_t>(plan.classes));
  Examples others;
  others.inputs = std::make_unique<RowInputs>(rows.values);
  others.device = examples.device;
  others.labels = rows.labels;
  for (int fold = 0; fold < folds; ++fold) {
    others.train.clear();
    std::vector<int64_t> left_out;
    for (size_t i = 0; i < fold_of.size(); ++i) {
      (fold_of[i] == fold ? left_out : others.train).push_back(static_cast<int64_t>(i));
    }
    // One head's classifiers as a part of all heads'.
    TrainHooks hooks;
    hooks.on_progress = [&](const ProgressUpdate& update) {
      const bool fits = update.phase == "train";
      return fits ? progress({update.phase, fold * update.total + update.done, folds * update.total, update.unit})
                  : absl::OkStatus();
    };
    GRAFT_ASSIGN_OR_RETURN(const auto head, MakeHead(plan, plan.options.device));
    GRAFT_RETURN_IF_ERROR(head->Fit({others, hooks, {}}).status());
    const torch::Tensor said = head->Predict(others.inputs->Gather(left_out, 0).to(examples.device)).contiguous();
    const float* from = said.const_data_ptr<float>();
    for (const int64_t row : left_out) {
      std::copy(from, from + plan.classes, probabilities.begin() + row * plan.classes);
      from += plan.classes;
    }
  }
  return probabilities;
}

absl::StatusOr<Predictions> PredictTrainingPart(const Variant& variant, const TrainingOptions& options, int folds,
                                                const Trunk& trunk, const std::filesystem::path& dataset,
                                                const Manifest& manifest, const ProgressFn& progress) {
  return CatchExceptions("judging labels", [&]() -> absl::StatusOr<Predictions> {
    const auto classes = static_cast<int64_t>(manifest.labels.size());
    GRAFT_ASSIGN_OR_RETURN(const HeadPlan plan, PlanHead(variant, options, classes));
    GRAFT_ASSIGN_OR_RETURN(auto features,
                           Features::OpenOrExtract(dataset, manifest, trunk,
                                                   {plan.options.preprocessing, plan.options.interpolation,
                                                    plan.options.image_size, plan.options.threads},
                                                   progress));
    const Examples examples = MakeExamples(manifest, MakeFeatureInputs(std::move(features), nullptr, plan.options),
                                           torch::Device(plan.options.device));
    Predictions predictions;
    predictions.labels = manifest.labels;
    for (const int64_t row : examples.train) {
      const ManifestEntry& entry = manifest.entries[static_cast<size_t>(row)];
      predictions.files.push_back(entry.path);
      predictions.truth.push_back(entry.label);
    }
    GRAFT_ASSIGN_OR_RETURN(predictions.probabilities, PredictOutOfFold(examples, plan, folds, progress));
    return predictions;
  });
}

}  // namespace graft
