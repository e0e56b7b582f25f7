// Label smoothing and class weights, against the formulas; how class weights are read.
#include "core/train/inputs_torch.h"
#include "core/train/loss_torch.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// -sum over classes of target * log softmax, by hand.
double CrossEntropy(const torch::Tensor& logits, const torch::Tensor& labels, double smoothing,
                    const std::vector<double>& weights) {
  const int64_t classes = std::max<int64_t>(logits.size(1), 2);
  // One output is the logit of the second of two classes.
  const torch::Tensor both = logits.size(1) == 1 ? torch::cat({torch::zeros_like(logits), logits}, 1) : logits;
  const torch::Tensor log = both.to(torch::kDouble).log_softmax(1);
  double sum = 0;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const auto label = labels[i].item<int64_t>();
    double loss = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const double target = (c == label ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
      loss -= target * log[i][c].item<double>();
    }
    sum += loss * (weights.empty() ? 1 : weights[static_cast<size_t>(label)]);
  }
  return sum / static_cast<double>(logits.size(0));
}

TEST(LossTest, IsTheFormulaForTwoClassesAndForMany) {
  at::manual_seed(3);
  for (const int64_t outputs : {1, 4}) {
    const torch::Tensor logits = torch::randn({12, outputs}) * 3;
    const torch::Tensor labels = torch::arange(12).remainder(std::max<int64_t>(outputs, 2));
    const std::vector<double> weights = outputs == 1 ? std::vector<double>{0.5, 3} : std::vector<double>{1, 0, 2, 0.25};
    for (const double smoothing : {0.0, 0.1}) {
      EXPECT_NEAR(Score(logits, labels, {smoothing, {}}).loss.item<double>(),
                  CrossEntropy(logits, labels, smoothing, {}), 1e-5)
          << outputs << " outputs, smoothing " << smoothing;
      EXPECT_NEAR(Score(logits, labels, {smoothing, torch::tensor(weights, torch::kFloat)}).loss.item<double>(),
                  CrossEntropy(logits, labels, smoothing, weights), 1e-5)
          << outputs << " outputs, weighted, smoothing " << smoothing;
    }
    // Right answers don't depend on either.
    EXPECT_EQ(Score(logits, labels).correct,
              Score(logits, labels, {0.3, torch::tensor(weights, torch::kFloat)}).correct);
  }
}

TEST(ClassWeightsTest, BalancedMakesUpForFewImages) {
  Manifest manifest;
  manifest.labels = {"cat", "dog", "owl"};
  const auto add = [&](int label, Part part, int count) {
    for (int i = 0; i < count; ++i) {
      ManifestEntry entry;
      entry.label = label;
      entry.part = part;
      manifest.entries.push_back(entry);
    }
  };
  add(0, Part::kTrain, 6);
  add(1, Part::kTrain, 2);
  add(1, Part::kTest, 50);  // only the training part counts
  add(2, Part::kTrain, 1);
  EXPECT_THAT(*ClassWeights("none", manifest), IsEmpty());
  EXPECT_THAT(*ClassWeights("balanced", manifest), ElementsAre(0.5, 1.5, 3));
  EXPECT_THAT(*ClassWeights("dog=4,owl=0", manifest), ElementsAre(1, 4, 0));
  EXPECT_THAT(ClassWeights("fox=1", manifest),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no class 'fox'; it has cat, dog, owl")));
}

}  // namespace
}  // namespace graft
