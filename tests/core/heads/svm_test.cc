// Against scikit-learn's machines, and at the borders.
#include "core/heads/svm.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/safetensors.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;

absl::Status Go() { return absl::OkStatus(); }

std::vector<int64_t> UpTo(int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

class GoldenSvmTest : public ::testing::Test {
 protected:
  static constexpr int64_t kRows = 120;
  static constexpr int64_t kNumbers = 24;
  static constexpr int64_t kClasses = 3;

  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(auto file, Safetensors::Open(testing::Golden("svm.safetensors")));
    file_ = std::make_unique<Safetensors>(std::move(file));
    ASSERT_OK_AND_ASSIGN(const TensorView rows, file_->Get("rows", DType::kF32, {kRows, kNumbers}));
    matrix_ = {reinterpret_cast<const float*>(rows.data.data()), kNumbers};
    ASSERT_OK_AND_ASSIGN(const TensorView labels, file_->Get("labels", DType::kI64, {kRows}));
    const auto* const values = reinterpret_cast<const int64_t*>(labels.data.data());
    labels_.assign(values, values + kRows);
  }

  absl::Span<const double> Doubles(const std::string& name) const {
    const TensorView* const tensor = file_->Find(name);
    EXPECT_TRUE(tensor != nullptr && tensor->dtype == DType::kF64) << name;
    return {reinterpret_cast<const double*>(tensor->data.data()), tensor->data.size() / sizeof(double)};
  }

  std::vector<bool> Positive(int64_t label) const {
    std::vector<bool> positive;
    for (const int64_t l : labels_) {
      positive.push_back(l == label);
    }
    return positive;
  }

  std::unique_ptr<Safetensors> file_;
  RowMatrix matrix_;
  std::vector<int64_t> labels_;
};

TEST_F(GoldenSvmTest, WeightsAreThoseOfLinearSvc) {
  for (const auto& [text, c] : {std::pair{"0.05", 0.05}, {"2", 2.0}}) {
    const auto weights = Doubles(std::string("weights.") + text);
    const auto bias = Doubles(std::string("bias.") + text);
    ASSERT_EQ(weights.size(), static_cast<size_t>(kClasses * kNumbers));
    double largest = 0;
    for (const double weight : weights) {
      largest = std::max(largest, std::abs(weight));
    }
    for (int64_t label = 0; label < kClasses; ++label) {
      ASSERT_OK_AND_ASSIGN(const LinearScore found, FitLinearSvm(matrix_, Positive(label), UpTo(kRows), c, 3, &Go));
      EXPECT_NEAR(found.bias, bias[static_cast<size_t>(label)], 1e-3 * largest);
      for (size_t d = 0; d < found.weights.size(); ++d) {
        EXPECT_NEAR(found.weights[d], weights[static_cast<size_t>(label * kNumbers) + d], 1e-3 * largest) << c;
      }
    }
  }
}

TEST_F(GoldenSvmTest, CalibratedProbabilitiesAreScikitLearns) {
  const auto scores = Doubles("scores");
  const auto probabilities = Doubles("probabilities");
  ASSERT_EQ(scores.size(), static_cast<size_t>(kRows * kClasses));
  for (int64_t label = 0; label < kClasses; ++label) {
    std::vector<double> own;
    for (int64_t row = 0; row < kRows; ++row) {
      own.push_back(scores[static_cast<size_t>(row * kClasses + label)]);
    }
    const PlattCurve curve = FitCalibration(own, Positive(label));
    EXPECT_LT(curve.slope, 0);
    for (int64_t row = 0; row < kRows; ++row) {
      EXPECT_NEAR(curve.Of(own[static_cast<size_t>(row)]), probabilities[static_cast<size_t>(row * kClasses + label)],
                  1e-4);
    }
  }
}

TEST_F(GoldenSvmTest, TheSameSeedGivesTheSameBitsAndAnyTheSameMachine) {
  const auto fit = [&](uint64_t seed) {
    auto found = FitLinearSvm(matrix_, Positive(0), UpTo(kRows), 1, seed, &Go);
    EXPECT_THAT(found, testing::IsOk());
    return *std::move(found);
  };
  const LinearScore first = fit(1);
  EXPECT_EQ(fit(1).weights, first.weights);
  EXPECT_EQ(fit(1).bias, first.bias);
  const LinearScore other = fit(2);
  for (size_t d = 0; d < first.weights.size(); ++d) {
    EXPECT_NEAR(other.weights[d], first.weights[d], 2e-3);
  }
}

TEST_F(GoldenSvmTest, LearnsFromTheChosenRowsOnly) {
  const std::vector<int64_t> which = {0, 3, 60, 95, 110};
  std::vector<float> few;
  std::vector<bool> positive;
  for (const int64_t row : which) {
    few.insert(few.end(), matrix_.row(row), matrix_.row(row) + kNumbers);
    positive.push_back(labels_[static_cast<size_t>(row)] == 0);
  }
  ASSERT_OK_AND_ASSIGN(const LinearScore chosen, FitLinearSvm(matrix_, Positive(0), which, 1, 3, &Go));
  ASSERT_OK_AND_ASSIGN(const LinearScore alone, FitLinearSvm({few.data(), kNumbers}, positive, UpTo(5), 1, 3, &Go));
  EXPECT_EQ(chosen.weights, alone.weights);
}

TEST_F(GoldenSvmTest, StopsWhenItIsTold) {
  int asked = 0;
  const auto check = [&] { return ++asked == 3 ? absl::CancelledError("enough") : absl::OkStatus(); };
  EXPECT_THAT(FitLinearSvm(matrix_, Positive(0), UpTo(kRows), 100, 3, check),
              StatusIs(absl::StatusCode::kCancelled, "enough"));
  EXPECT_EQ(asked, 3);
}

// One number a row: the optimum can be written down. With rows 1 (of the class) and -1 (not), bias 0 and both within
// the margin, w minimises w^2 / 2 + 2 c (1 - w)^2.
TEST(SvmTest, AnOptimumByHand) {
  const std::vector<float> rows = {1, -1};
  ASSERT_OK_AND_ASSIGN(const LinearScore found, FitLinearSvm({rows.data(), 1}, {true, false}, UpTo(2), 0.5, 1, &Go));
  EXPECT_NEAR(found.weights[0], 2.0 / 3, 1e-3);
  EXPECT_NEAR(found.bias, 0, 1e-3);
  EXPECT_NEAR(found.Of(rows.data()), 2.0 / 3, 1e-3);
}

TEST(SvmTest, WithoutTheClassAllIsAgainstIt) {
  const std::vector<float> rows = {1, 2, 3, 4};
  ASSERT_OK_AND_ASSIGN(const LinearScore found,
                       FitLinearSvm({rows.data(), 1}, std::vector<bool>(4), UpTo(4), 10, 1, &Go));
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_LT(found.Of(&rows[i]), -0.5);
  }
  const PlattCurve curve = FitCalibration({-1, -1.1, -0.9, -1}, std::vector<bool>(4));
  EXPECT_NEAR(curve.Of(-1), 1.0 / 6, 0.01);
  ASSERT_OK_AND_ASSIGN(const LinearScore none, FitLinearSvm({rows.data(), 1}, std::vector<bool>(4), {}, 10, 1, &Go));
  EXPECT_EQ(none.Of(rows.data()), 0);
}

TEST(CalibrationTest, ProbabilitiesAreFiniteAtAnyScore) {
  const PlattCurve curve = {-3, 0.5};
  EXPECT_EQ(curve.Of(1e9), 1);
  EXPECT_EQ(curve.Of(-1e9), 0);
  // Scores of a machine on features that aren't scaled, all on the right side.
  std::vector<double> scores;
  std::vector<bool> positive;
  for (int i = 0; i < 40; ++i) {
    positive.push_back(i % 2 == 0);
    scores.push_back((positive.back() ? 1e4 : -1e4) + i);
  }
  const PlattCurve far = FitCalibration(scores, positive);
  EXPECT_TRUE(std::isfinite(far.slope) && std::isfinite(far.offset));
  EXPECT_GT(far.Of(1e4), 0.9);
  EXPECT_LT(far.Of(-1e4), 0.1);
}

TEST(FoldsTest, EachClassIsDealtEvenly) {
  std::vector<int64_t> labels;
  for (int i = 0; i < 103; ++i) {
    labels.push_back(i % 10 < 7 ? 0 : 1);
  }
  labels.push_back(2);
  const std::vector<int> folds = StratifiedFolds(labels, 5, 9);
  ASSERT_EQ(folds.size(), labels.size());
  for (int64_t label = 0; label < 3; ++label) {
    std::vector<int> counts(5);
    for (size_t i = 0; i < labels.size(); ++i) {
      ASSERT_TRUE(folds[i] >= 0 && folds[i] < 5);
      counts[static_cast<size_t>(folds[i])] += labels[i] == label ? 1 : 0;
    }
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    EXPECT_LE(*most - *least, 1) << label;
  }
  EXPECT_EQ(StratifiedFolds(labels, 5, 9), folds);
  EXPECT_NE(StratifiedFolds(labels, 5, 10), folds);
}

}  // namespace
}  // namespace graft
