// Every head of the table: learns, saves, loads, predicts the same after loading.
#include "core/heads/head.h"

#include <torch/types.h>

#include "core/model/variants.h"
#include "core/nn/runtime.h"
#include "core/train/inputs_torch.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

constexpr int64_t kRows = 90;
const Shape kFeatures = {2, 2, 6};

// Noise around a point for each class.
class MadeFeatures : public Inputs {
 public:
  explicit MadeFeatures(int64_t classes) {
    at::manual_seed(1);
    const torch::Tensor centres = torch::randn({classes, ElementCount(kFeatures)});
    const torch::Tensor labels = torch::arange(kRows).remainder(classes);
    rows_ = centres.index_select(0, labels) + 0.3 * torch::randn({kRows, ElementCount(kFeatures)});
  }
  torch::Tensor Gather(absl::Span<const int64_t> rows, int /*epoch*/) const override {
    std::vector<torch::Tensor> picked;
    for (const int64_t row : rows) {
      picked.push_back(rows_[row]);
    }
    return torch::stack(picked);
  }
  const torch::Tensor& rows() const { return rows_; }

 private:
  torch::Tensor rows_;
};

// Of a variant's row for this head, on features of our own.
HeadPlan PlanFor(absl::string_view kind, int64_t classes) {
  HeadPlan plan;
  plan.kind = kind;
  plan.input = kFeatures;
  plan.classes = classes;
  plan.options.epochs = 20;
  plan.options.learning_rate = 1e-2;
  plan.options.dense_units = 16;
  plan.options.batch_size = 10;
  plan.options.device = "cpu";
  plan.options.threads = 2;
  plan.layers = (*FindVariant("vgg16_features"))->layers(plan.options, OutputUnits(classes));
  return plan;
}

TrainHooks QuietHooks() {
  return {[](const ProgressUpdate&) { return absl::OkStatus(); }, [](const StepUpdate&) { return absl::OkStatus(); },
          [](const EpochMetrics&) { return absl::OkStatus(); }};
}

absl::StatusOr<FitResult> FitOn(Head* head, const Examples& examples, const TrainHooks& hooks) {
  return head->Fit({examples, hooks, {}});
}

TEST(HeadTest, EveryHeadLearnsSavesLoadsAndPredictsTheSame) {
  SetTorchThreads(2);
  for (const HeadInfo& info : Heads()) {
    for (const int64_t classes : {2, 5}) {
      SCOPED_TRACE(absl::StrCat(info.kind, ", ", classes, " classes"));
      const HeadPlan plan = PlanFor(info.kind, classes);
      ASSERT_OK_AND_ASSIGN(const auto layers, info.describe(plan));
      EXPECT_FALSE(layers.empty());

      auto inputs = std::make_unique<MadeFeatures>(classes);
      const torch::Tensor rows = inputs->rows();
      Examples examples;
      examples.inputs = std::move(inputs);
      for (int64_t i = 0; i < kRows; ++i) {
        examples.labels.push_back(i % classes);
        (i < 60 ? examples.train : examples.validation).push_back(i);
      }
      ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(plan, "cpu"));
      const TrainHooks hooks = QuietHooks();
      ASSERT_THAT(head->Fit({examples, hooks, {}}), IsOk());
      const torch::Tensor found = head->Predict(rows);
      ASSERT_EQ(found.sizes(), (torch::IntArrayRef{kRows, classes}));
      EXPECT_LT((found.sum(1) - 1).abs().max().item<float>(), 1e-5);
      const torch::Tensor right = found.argmax(1).eq(torch::arange(kRows).remainder(classes));
      EXPECT_GT(right.slice(0, 60).to(torch::kFloat).mean().item<float>(), 0.9);

      const testing::TempDir dir;
      ASSERT_THAT(head->Save(dir / "head"), IsOk());
      ASSERT_OK_AND_ASSIGN(const auto loaded, MakeHead(plan, "cpu"));
      ASSERT_THAT(loaded->Load(dir / "head"), IsOk());
      EXPECT_TRUE(loaded->Predict(rows).equal(found));
      // As a trunk makes them, and not only as rows.
      const torch::Tensor images = rows.view({kRows, kFeatures[0], kFeatures[1], kFeatures[2]}).permute({0, 3, 1, 2});
      EXPECT_TRUE(loaded->Predict(images).equal(found));

      ASSERT_OK_AND_ASSIGN(const auto again, MakeHead(plan, "cpu"));
      ASSERT_THAT(again->Fit({examples, hooks, {}}), IsOk());
      EXPECT_TRUE(again->Predict(rows).equal(found));

      testing::ForEachDamage(dir / "head", 40, 10, [&](const std::string& what) {
        EXPECT_THAT(loaded->Load(dir / "head"), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
      });
      EXPECT_THAT(loaded->Load(dir / "none"), StatusIs(absl::StatusCode::kNotFound, _));
    }
  }
}

// Rows of chosen labels, all in the training part.
Examples Labelled(const std::vector<int64_t>& labels, int64_t classes) {
  Examples examples;
  examples.inputs = std::make_unique<MadeFeatures>(classes);
  examples.labels = labels;
  for (size_t i = 0; i < labels.size(); ++i) {
    examples.train.push_back(static_cast<int64_t>(i));
  }
  return examples;
}

constexpr absl::string_view kWithoutEpochs[] = {"linear_svm", "knn"};

TEST(HeadTest, AClassThatIsAbsentOrAloneIsNoReasonToFail) {
  for (const absl::string_view kind : kWithoutEpochs) {
    for (const int64_t classes : {2, 4}) {
      // Classes 0 and 1 (of two: 0 alone), one image of class 2 where there is one, none of class 3.
      std::vector<int64_t> labels;
      for (int64_t i = 0; i < 40; ++i) {
        labels.push_back(classes == 2 ? 0 : i % classes % 2);
      }
      if (classes == 4) {
        labels[2] = 2;
      }
      SCOPED_TRACE(absl::StrCat(kind, ", ", classes, " classes"));
      ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(PlanFor(kind, classes), "cpu"));
      ASSERT_THAT(FitOn(head.get(), Labelled(labels, classes), QuietHooks()), IsOk());
      const torch::Tensor found = head->Predict(MadeFeatures(classes).rows());
      EXPECT_TRUE(torch::isfinite(found).all().item<bool>());
      EXPECT_LT((found.sum(1) - 1).abs().max().item<float>(), 1e-5);
      EXPECT_LT(found.select(1, classes - 1).max().item<float>(), 0.25) << "of the class that isn't there";
      EXPECT_GT(found.min().item<float>(), 0);
    }
  }
}

// Rows whose class is in one number, small and exact, among large ones that say nothing: only a strong machine finds
// it. And rows of which every fifth has a wrong label, which a weak one overlooks.
TEST(HeadTest, ASupportVectorMachinesStrengthIsChosenByCrossValidation) {
  SetTorchThreads(2);
  for (const bool clean : {true, false}) {
    SCOPED_TRACE(clean);
    HeadPlan plan = PlanFor("linear_svm", 2);
    plan.options.svm_c = 0;
    auto inputs = std::make_unique<MadeFeatures>(2);
    torch::Tensor rows = inputs->rows();
    if (clean) {
      rows.normal_();
      rows.select(1, 0).copy_(torch::arange(kRows).remainder(2) * 0.4 - 0.2);
    }
    Examples examples;
    examples.inputs = std::move(inputs);
    for (int64_t i = 0; i < kRows; ++i) {
      examples.labels.push_back(!clean && i % 5 == 4 ? 1 - i % 2 : i % 2);
      examples.train.push_back(i);
    }
    ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(plan, "cpu"));
    ASSERT_OK_AND_ASSIGN(const FitResult fitted, FitOn(head.get(), examples, QuietHooks()));
    ASSERT_TRUE(fitted.svm_c.has_value());
    EXPECT_TRUE(clean ? *fitted.svm_c >= 10 : *fitted.svm_c == 0.1) << *fitted.svm_c;
    // It is the machine that this strength gives.
    plan.options.svm_c = *fitted.svm_c;
    ASSERT_OK_AND_ASSIGN(const auto same, MakeHead(plan, "cpu"));
    ASSERT_OK_AND_ASSIGN(const FitResult again, FitOn(same.get(), examples, QuietHooks()));
    EXPECT_FALSE(again.svm_c.has_value());
    EXPECT_TRUE(same->Predict(rows).equal(head->Predict(rows)));
  }
}

TEST(HeadTest, WithoutTrainingImagesThereIsNothingToLearnFrom) {
  for (const absl::string_view kind : kWithoutEpochs) {
    ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(PlanFor(kind, 2), "cpu"));
    EXPECT_THAT(FitOn(head.get(), Labelled({}, 2), QuietHooks()),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("training part is empty")));
  }
}

TEST(HeadTest, HeadsWithoutEpochsSayWhatTheyDoAndStopWhenTold) {
  for (const absl::string_view kind : kWithoutEpochs) {
    SCOPED_TRACE(std::string(kind));
    std::vector<std::string> seen;
    std::string stop_at;
    TrainHooks hooks = QuietHooks();
    hooks.on_progress = [&](const ProgressUpdate& update) {
      EXPECT_LE(update.done, update.total);
      if (seen.empty() || seen.back() != update.phase) {
        seen.emplace_back(update.phase);
      }
      return update.phase == stop_at ? absl::CancelledError("enough") : absl::OkStatus();
    };
    std::vector<int64_t> labels;
    for (int64_t i = 0; i < 60; ++i) {
      labels.push_back(i % 2);
    }
    ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(PlanFor(kind, 2), "cpu"));
    ASSERT_OK_AND_ASSIGN(const FitResult fitted, FitOn(head.get(), Labelled(labels, 2), hooks));
    EXPECT_TRUE(fitted.history.empty());
    const std::vector<std::string> phases = seen;
    EXPECT_EQ(phases.front(), "gather");
    EXPECT_EQ(phases.back(), kind == "knn" ? "gather" : "train");
    for (const std::string& phase : phases) {
      stop_at = phase;
      EXPECT_THAT(FitOn(head.get(), Labelled(labels, 2), hooks), StatusIs(absl::StatusCode::kCancelled, "enough"));
    }
  }
}

TEST(HeadTest, NeighborsVoteAndNoClassIsCertainOrImpossible) {
  HeadPlan plan = PlanFor("knn", 3);
  plan.options.neighbors = 4;
  ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(plan, "cpu"));
  const std::vector<int64_t> labels = {0, 1, 2, 0, 1, 2, 0, 1, 2, 1};  // the last lies among class 0
  ASSERT_THAT(FitOn(head.get(), Labelled(labels, 3), QuietHooks()), IsOk());
  const torch::Tensor found = head->Predict(MadeFeatures(3).rows().slice(0, 0, 1));
  EXPECT_NEAR(found[0][0].item<float>(), (3 + 1.0 / 3) / 5, 1e-6);
  EXPECT_NEAR(found[0][1].item<float>(), (1 + 1.0 / 3) / 5, 1e-6);
  EXPECT_NEAR(found[0][2].item<float>(), (0 + 1.0 / 3) / 5, 1e-6);
}

TEST(HeadTest, MoreNeighborsThanImagesAreAllOfThem) {
  HeadPlan plan = PlanFor("knn", 2);
  plan.options.neighbors = 1000;
  ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(plan, "cpu"));
  ASSERT_THAT(FitOn(head.get(), Labelled({0, 1, 0}, 2), QuietHooks()), IsOk());
  const torch::Tensor found = head->Predict(MadeFeatures(2).rows());
  EXPECT_LT((found.select(1, 0) - 2.5 / 4).abs().max().item<float>(), 1e-6);
}

TEST(HeadTest, AFileOfAnotherHeadOrShapeIsRefused) {
  const testing::TempDir dir;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 40; ++i) {
    labels.push_back(i % 3);
  }
  for (const absl::string_view kind : kWithoutEpochs) {
    ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(PlanFor(kind, 3), "cpu"));
    ASSERT_THAT(FitOn(head.get(), Labelled(labels, 3), QuietHooks()), IsOk());
    ASSERT_THAT(head->Save(dir / std::string(kind)), IsOk());
  }
  HeadPlan other = PlanFor("linear_svm", 3);
  other.input = {7};
  HeadPlan fewer = PlanFor("knn", 2);
  for (const auto& [plan, file] : {std::pair{PlanFor("linear_svm", 3), "knn"},
                                   {PlanFor("knn", 3), "linear_svm"},
                                   {PlanFor("dense", 3), "knn"},
                                   {other, "linear_svm"},
                                   {fewer, "knn"}}) {
    ASSERT_OK_AND_ASSIGN(const auto head, MakeHead(plan, "cpu"));
    EXPECT_THAT(head->Load(dir / file), StatusIs(absl::StatusCode::kDataLoss, _)) << plan.kind << " from " << file;
  }
}

TEST(HeadTest, AKindThatNobodyComputesIsSaidSo) {
  HeadPlan plan = PlanFor("dense", 2);
  plan.kind = "perceptron";
  EXPECT_THAT(MakeHead(plan, "cpu"), StatusIs(absl::StatusCode::kInternal, HasSubstr("perceptron")));
}

}  // namespace
}  // namespace graft
