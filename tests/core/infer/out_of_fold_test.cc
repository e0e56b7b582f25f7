// Heads that judge images which they weren't fitted on, and the label errors that they find.
#include "core/infer/out_of_fold.h"

#include <torch/types.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/data/split.h"
#include "core/eval/label_errors.h"
#include "core/nn/runtime.h"
#include "core/train/inputs_torch.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using absl::StatusCode;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int64_t kNumbers = 24;

absl::Status Nothing(const ProgressUpdate&) { return absl::OkStatus(); }

class Rows : public Inputs {
 public:
  explicit Rows(torch::Tensor rows) : rows_(std::move(rows)) {}
  torch::Tensor Gather(absl::Span<const int64_t> rows, int /*epoch*/) const override {
    std::vector<torch::Tensor> picked;
    for (const int64_t row : rows) {
      picked.push_back(rows_[row]);
    }
    return torch::stack(picked);
  }

 private:
  torch::Tensor rows_;
};

HeadPlan PlanFor(int64_t classes, int64_t numbers = kNumbers) {
  HeadPlan plan;
  plan.kind = "linear_svm";
  plan.input = {numbers};
  plan.classes = classes;
  plan.options.device = "cpu";
  plan.options.threads = 2;
  return plan;
}

// Points around one of each class, `spread` away from it, some of which are labelled as the next class.
struct Mislabelled {
  Examples examples;
  std::set<size_t> flipped;
};
Mislabelled MakeMislabelled(int64_t classes, int64_t images, int64_t every, double spread) {
  at::manual_seed(3);
  const torch::Tensor truth = torch::arange(images).remainder(classes);
  const torch::Tensor centres = torch::randn({classes, kNumbers});
  Mislabelled made;
  made.examples.inputs =
      std::make_unique<Rows>(centres.index_select(0, truth) + spread * torch::randn({images, kNumbers}));
  for (int64_t i = 0; i < images; ++i) {
    const bool flip = every > 0 && i % every == 1;
    made.examples.labels.push_back((i + (flip ? 1 : 0)) % classes);
    made.examples.train.push_back(i);
    if (flip) {
      made.flipped.insert(static_cast<size_t>(i));
    }
  }
  return made;
}

LabelErrors Errors(const Examples& examples, int64_t classes, const std::vector<float>& probabilities) {
  const std::vector<int> labels(examples.labels.begin(), examples.labels.end());
  absl::StatusOr<LabelErrors> errors = FindLabelErrors(labels, probabilities, static_cast<size_t>(classes));
  EXPECT_THAT(errors, testing::IsOk());
  return *std::move(errors);
}

TEST(OutOfFoldTest, FlippedLabelsAreFoundAndFewOthers) {
  for (const int64_t classes : {2, 3, 6}) {
    SCOPED_TRACE(classes);
    const Mislabelled made = MakeMislabelled(classes, 600, 13, 0.8);
    ASSERT_EQ(made.flipped.size(), 47U);
    ASSERT_OK_AND_ASSIGN(const std::vector<float> probabilities,
                         PredictOutOfFold(made.examples, PlanFor(classes), 5, &Nothing));
    const LabelErrors found = Errors(made.examples, classes, probabilities);
    size_t right = 0;
    for (const LabelError& error : found.errors) {
      right += made.flipped.count(error.image);
    }
    EXPECT_GE(static_cast<double>(right) / 47, 0.7) << "recall";
    EXPECT_GE(static_cast<double>(right) / static_cast<double>(found.errors.size()), 0.95) << "precision";
    for (size_t i = 0; i < 20; ++i) {
      EXPECT_EQ(made.flipped.count(found.errors[i].image), 1U) << "the first are sure";
    }
  }
}

// Where numbers mean nothing, a machine on more of them than images knows each by heart; of images that it wasn't
// fitted on, it can only guess.
TEST(OutOfFoldTest, NoImageIsJudgedByWhatLearntItsLabel) {
  at::manual_seed(5);
  Examples examples;
  examples.inputs = std::make_unique<Rows>(torch::randn({200, 400}));
  for (int64_t i = 0; i < 200; ++i) {
    examples.labels.push_back(i % 2);
    examples.train.push_back(i);
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<float> probabilities,
                       PredictOutOfFold(examples, PlanFor(2, 400), 5, &Nothing));
  int right = 0;
  for (size_t i = 0; i < 200; ++i) {
    right += (probabilities[2 * i + 1] > 0.5F) == (examples.labels[i] == 1) ? 1 : 0;
  }
  EXPECT_GT(right, 60);
  EXPECT_LT(right, 140);
}

TEST(OutOfFoldTest, TheSameSeedSaysTheSameAndRowsOfOtherPartsDoNotCount) {
  Mislabelled made = MakeMislabelled(3, 90, 0, 0.8);
  ASSERT_OK_AND_ASSIGN(const std::vector<float> first, PredictOutOfFold(made.examples, PlanFor(3), 4, &Nothing));
  ASSERT_EQ(first.size(), 270U);
  for (size_t i = 0; i < 90; ++i) {
    EXPECT_NEAR(first[3 * i] + first[3 * i + 1] + first[3 * i + 2], 1, 1e-5);
  }
  EXPECT_EQ(PredictOutOfFold(made.examples, PlanFor(3), 4, &Nothing).value(), first);
  HeadPlan other = PlanFor(3);
  other.options.seed = 7;
  EXPECT_NE(PredictOutOfFold(made.examples, other, 4, &Nothing).value(), first);
  // A third of the rows belong to no training part: the others are judged without them, in their order.
  Examples& examples = made.examples;
  examples.train.erase(examples.train.begin(), examples.train.begin() + 30);
  ASSERT_OK_AND_ASSIGN(const std::vector<float> fewer, PredictOutOfFold(examples, PlanFor(3), 4, &Nothing));
  ASSERT_EQ(fewer.size(), 180U);
  int right = 0;
  for (size_t i = 0; i < 60; ++i) {
    const auto row = fewer.begin() + static_cast<std::ptrdiff_t>(3 * i);
    right += std::max_element(row, row + 3) - row == static_cast<int>(i % 3) ? 1 : 0;
  }
  EXPECT_GT(right, 55);
}

TEST(OutOfFoldTest, ClassesThatAreTooSmallAndOddFoldsAreRefused) {
  Mislabelled made = MakeMislabelled(3, 30, 0, 0.5);
  EXPECT_THAT(PredictOutOfFold(made.examples, PlanFor(3), 1, &Nothing),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("folds: 1")));
  EXPECT_THAT(PredictOutOfFold(made.examples, PlanFor(3), 11, &Nothing),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("class 0 has 10")));
  // As small as may be: each machine learns the class from a single image.
  EXPECT_THAT(PredictOutOfFold(MakeMislabelled(3, 6, 0, 0.5).examples, PlanFor(3), 2, &Nothing), testing::IsOk());
}

TEST(OutOfFoldTest, ProgressOnlyRisesAndItsErrorEndsIt) {
  const Mislabelled made = MakeMislabelled(3, 60, 0, 0.8);
  std::vector<std::string> phases;
  int64_t done = 0;
  int64_t total = 0;
  int64_t stop_at = -1;
  const ProgressFn progress = [&](const ProgressUpdate& update) {
    if (phases.empty() || phases.back() != update.phase) {
      phases.emplace_back(update.phase);
      done = 0;
    }
    EXPECT_GE(update.done, done);
    EXPECT_LE(update.done, update.total);
    done = update.done;
    total = update.total;
    return update.phase == "train" && done == stop_at ? absl::CancelledError("enough") : absl::OkStatus();
  };
  ASSERT_THAT(PredictOutOfFold(made.examples, PlanFor(3), 4, progress), testing::IsOk());
  EXPECT_THAT(phases, ::testing::ElementsAre("gather", "train"));
  EXPECT_EQ(total, 4 * 3 * 6);  // folds, classes, and of each five fifths and all
  EXPECT_EQ(done, total);
  stop_at = 30;
  phases.clear();
  EXPECT_THAT(PredictOutOfFold(made.examples, PlanFor(3), 4, progress), StatusIs(StatusCode::kCancelled, "enough"));
}

// The sample photographs, twelve of them as what they aren't.
TEST(OutOfFoldTest, SwappedLabelsOfPhotographsAreFound) {
  SetTorchThreads(2);
  const testing::TempDir dir;
  std::filesystem::create_directories(dir / "in");
  std::filesystem::create_directories(dir / "dataset");
  std::set<std::string> swapped;
  for (int i = 0; i < 100; ++i) {
    for (const auto& [label, other] : {std::pair{"cat", "dog"}, {"dog", "cat"}}) {
      const std::string name = absl::StrCat(label, ".", i, ".jpg");
      const bool swap = i % 16 == 3 && i < 96;
      const std::string to = swap ? absl::StrCat(other, ".was-", name) : name;
      std::filesystem::copy_file(testing::Sample(name), dir / ("in/" + to));
      if (swap) {
        swapped.insert(to);
      }
    }
  }
  ASSERT_EQ(swapped.size(), 12U);
  SplitOptions split;
  split.sizes = SplitCounts{99, 1, 0};
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, SplitFolder(dir / "in", dir / "dataset", split, &Nothing));
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_features"));
  TrainingOptions options = variant->recommended;
  options.svm_c = 1;  // as the job has it
  options.image_size = 96;
  options.device = "cpu";
  options.threads = 2;
  ASSERT_OK_AND_ASSIGN(
      const auto trunk,
      Trunk::Load("vgg16", std::filesystem::path(GRAFT_BINARY_DIR) / "share" / "graft" / "weights", "cpu"));
  ASSERT_OK_AND_ASSIGN(const Predictions predictions,
                       PredictTrainingPart(*variant, options, 5, *trunk, dir / "dataset", manifest, &Nothing));
  ASSERT_EQ(predictions.files.size(), 198U);
  EXPECT_THAT(predictions.labels, ::testing::ElementsAre("cat", "dog"));
  ASSERT_OK_AND_ASSIGN(const LabelErrors errors, FindLabelErrors(predictions.truth, predictions.probabilities, 2));
  size_t right = 0;
  for (const LabelError& error : errors.errors) {
    right += swapped.count(predictions.files[error.image]);
  }
  EXPECT_GE(right, 7U) << "of 12, from images of 96 pixels";
  EXPECT_LE(errors.errors.size() - right, 6U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(swapped.count(predictions.files[errors.errors.at(i).image]), 1U) << "the first are sure";
  }
}

}  // namespace
}  // namespace graft
