// Every head of the table: learns, saves, loads, predicts the same after loading.
#include "core/heads/head.h"

#include <torch/torch.h>

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
    torch::manual_seed(1);
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

TEST(HeadTest, AKindThatNobodyComputesIsSaidSo) {
  HeadPlan plan = PlanFor("dense", 2);
  plan.kind = "perceptron";
  EXPECT_THAT(MakeHead(plan, "cpu"), StatusIs(absl::StatusCode::kInternal, HasSubstr("perceptron")));
}

}  // namespace
}  // namespace graft
