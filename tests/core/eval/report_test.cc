#include "core/eval/report.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/files.h"

namespace graft {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::Golden;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::ReadText;
using testing::StatusIs;

constexpr double kTolerance = 1e-9;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct GoldenCase {
  json expected;  // what scikit-learn gave
  std::vector<int> truth;
  std::vector<float> probabilities;
  std::vector<std::string> labels;
};

GoldenCase ReadGolden(const std::string& name) {
  GoldenCase golden;
  golden.expected = json::parse(ReadText(Golden("reports.json"))).at(name);
  golden.truth = golden.expected.at("truth").get<std::vector<int>>();
  for (const json& row : golden.expected.at("scores")) {
    for (const json& score : row) {
      golden.probabilities.push_back(score.get<float>());
    }
  }
  for (size_t c = 0; c < golden.expected.at("confusion").size(); ++c) {
    golden.labels.push_back("class " + std::to_string(c));
  }
  return golden;
}

EvaluationReport GoldenReport(const std::string& name) {
  const GoldenCase golden = ReadGolden(name);
  return *Evaluate(golden.truth, golden.probabilities, golden.labels);
}

void ExpectMetrics(const ClassMetrics& row, const json& expected) {
  EXPECT_NEAR(row.precision, expected.at("precision").get<double>(), kTolerance);
  EXPECT_NEAR(row.recall, expected.at("recall").get<double>(), kTolerance);
  EXPECT_NEAR(row.f1, expected.at("f1-score").get<double>(), kTolerance);
  EXPECT_EQ(static_cast<double>(row.support), expected.at("support").get<double>());
}

std::vector<double> Column(const std::vector<RocPoint>& curve, double RocPoint::*field) {
  std::vector<double> values;
  for (const RocPoint& point : curve) {
    values.push_back(point.*field);
  }
  return values;
}

// Two classes from the second one's probabilities, which must be exact in float32 where the test says so.
absl::StatusOr<EvaluationReport> EvaluateTwo(const std::vector<int>& truth, const std::vector<float>& second) {
  std::vector<float> probabilities;
  for (const float p : second) {
    probabilities.push_back(1 - p);
    probabilities.push_back(p);
  }
  return Evaluate(truth, probabilities, {"no", "yes"});
}

class GoldenTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTest, EqualsScikitLearn) {
  const GoldenCase golden = ReadGolden(GetParam());
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, Evaluate(golden.truth, golden.probabilities, golden.labels));
  const json& expected = golden.expected.at("report");
  EXPECT_EQ(report.labels, golden.labels);
  EXPECT_EQ(report.images, static_cast<int64_t>(golden.truth.size()));
  EXPECT_NEAR(report.accuracy, expected.at("accuracy").get<double>(), kTolerance);
  EXPECT_NEAR(report.log_loss, golden.expected.at("log_loss").get<double>(), kTolerance);
  ASSERT_TRUE(report.roc_auc.has_value());
  EXPECT_NEAR(*report.roc_auc, golden.expected.at("roc_auc").get<double>(), kTolerance);
  ASSERT_EQ(report.classes.size(), golden.labels.size());
  for (size_t c = 0; c < golden.labels.size(); ++c) {
    EXPECT_EQ(report.classes[c].label, golden.labels[c]);
    ExpectMetrics(report.classes[c], expected.at(std::to_string(c)));
  }
  ExpectMetrics(report.macro_average, expected.at("macro avg"));
  ExpectMetrics(report.weighted_average, expected.at("weighted avg"));
  std::vector<int64_t> confusion;
  for (const json& row : golden.expected.at("confusion")) {
    for (const json& count : row) {
      confusion.push_back(count.get<int64_t>());
    }
  }
  EXPECT_EQ(report.confusion, confusion);
}

TEST_P(GoldenTest, CurvesRunFromOriginToOne) {
  const EvaluationReport report = GoldenReport(GetParam());
  ASSERT_EQ(report.roc.size(), report.labels.size());
  for (const std::vector<RocPoint>& curve : report.roc) {
    ASSERT_GE(curve.size(), 2u);
    EXPECT_EQ(curve.front().false_positive_rate, 0);
    EXPECT_EQ(curve.front().true_positive_rate, 0);
    EXPECT_EQ(curve.front().threshold, kInfinity);
    EXPECT_EQ(curve.back().false_positive_rate, 1);
    EXPECT_EQ(curve.back().true_positive_rate, 1);
    for (size_t i = 1; i < curve.size(); ++i) {
      EXPECT_GE(curve[i].false_positive_rate, curve[i - 1].false_positive_rate);
      EXPECT_GE(curve[i].true_positive_rate, curve[i - 1].true_positive_rate);
      EXPECT_LT(curve[i].threshold, curve[i - 1].threshold);
    }
  }
}

TEST_P(GoldenTest, PrecisionAndRecallEqualScikitLearn) {
  const EvaluationReport report = GoldenReport(GetParam());
  const json expected = json::parse(ReadText(Golden("judging.json"))).at(GetParam());
  const size_t k = report.labels.size();
  ASSERT_EQ(report.precision_recall.size(), k);
  double sum = 0;
  for (size_t c = 0; c < k; ++c) {
    const double score = expected.at("average_precision")[c];
    EXPECT_NEAR(AveragePrecision(report.precision_recall[c]), score, kTolerance);
    sum += score;
  }
  EXPECT_NEAR(*report.average_precision,
              k == 2 ? expected.at("average_precision")[1].get<double>() : sum / static_cast<double>(k), kTolerance);
  // scikit-learn's run from all images to none.
  const std::vector<PrecisionRecallPoint>& curve = report.precision_recall[1];
  ASSERT_EQ(curve.size(), expected.at("recall").size());
  for (size_t i = 0; i < curve.size(); ++i) {
    EXPECT_NEAR(curve[i].recall, expected.at("recall")[curve.size() - 1 - i].get<double>(), kTolerance);
    EXPECT_NEAR(curve[i].precision, expected.at("precision")[curve.size() - 1 - i].get<double>(), kTolerance);
  }
  EXPECT_EQ(curve.front().threshold, kInfinity);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, ::testing::Values("two", "four"));

TEST(EvaluateTest, CurveOfDistinctScores) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({0, 0, 1, 1}, {0.125f, 0.5f, 0.375f, 0.75f}));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::false_positive_rate), ElementsAre(0, 0, 0.5, 0.5, 1));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::true_positive_rate), ElementsAre(0, 0.5, 0.5, 1, 1));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::threshold), ElementsAre(kInfinity, 0.75, 0.5, 0.375, 0.125));
  EXPECT_DOUBLE_EQ(*report.roc_auc, 0.75);
}

TEST(EvaluateTest, TiedScoresAreOneStep) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report,
                       EvaluateTwo({0, 1, 0, 1, 1, 0}, {0.5f, 0.5f, 0.25f, 0.75f, 0.5f, 0.25f}));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::false_positive_rate), ElementsAre(0, 0, 1.0 / 3, 1));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::true_positive_rate), ElementsAre(0, 1.0 / 3, 1, 1));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::threshold), ElementsAre(kInfinity, 0.75, 0.5, 0.25));
  EXPECT_NEAR(*report.roc_auc, 8.0 / 9, kTolerance);
}

TEST(EvaluateTest, PointsOnAStraightStretchAreDropped) {
  const std::vector<float> scores = {0.1f, 0.2f, 0.3f, 0.4f, 0.6f, 0.7f, 0.8f, 0.9f};
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({0, 0, 0, 0, 1, 1, 1, 1}, scores));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::false_positive_rate), ElementsAre(0, 0, 0, 1));
  EXPECT_THAT(Column(report.roc[1], &RocPoint::true_positive_rate), ElementsAre(0, 0.25, 1, 1));
  EXPECT_EQ(*report.roc_auc, 1);
}

TEST(EvaluateTest, AllScoresEqualIsChance) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({0, 1, 0, 1}, {0.5f, 0.5f, 0.5f, 0.5f}));
  EXPECT_EQ(*report.roc_auc, 0.5);
  // 0.5 isn't above 0.5.
  EXPECT_THAT(report.confusion, ElementsAre(2, 0, 2, 0));
}

TEST(EvaluateTest, FirstOfEqualProbabilitiesIsPredicted) {
  const std::vector<float> probabilities = {0.25f, 0.375f, 0.375f};
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, Evaluate({2}, probabilities, {"a", "b", "c"}));
  EXPECT_THAT(report.confusion, ElementsAre(0, 0, 0, 0, 0, 0, 0, 1, 0));
}

TEST(EvaluateTest, LogLossIsClipped) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({0, 1, 1}, {0, 1, 0}));
  EXPECT_NEAR(report.log_loss, 5.314128398895264, kTolerance);
}

TEST(EvaluateTest, LogLossOfManyImagesKeepsItsDigits) {
  // Summed one after the other in float32, a million images would be off by 1e-3 or so.
  const std::vector<int> truth(1000000, 1);
  const std::vector<float> second(truth.size(), 0.9f);
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo(truth, second));
  EXPECT_NEAR(report.log_loss, -std::log(0.9), 1e-6);
}

TEST(EvaluateTest, ClassWithoutImages) {
  const std::vector<float> probabilities = {0.8f, 0.1f, 0.1f, 0.1f, 0.1f, 0.8f, 0.1f, 0.1f, 0.8f, 0.1f, 0.1f, 0.8f};
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, Evaluate({0, 0, 2, 2}, probabilities, {"a", "b", "c"}));
  ExpectMetrics(report.classes[1], {{"precision", 0}, {"recall", 0}, {"f1-score", 0}, {"support", 0}});
  ExpectMetrics(report.macro_average,
                {{"precision", 5.0 / 9}, {"recall", 0.5}, {"f1-score", 22.0 / 45}, {"support", 4}});
  ExpectMetrics(report.weighted_average,
                {{"precision", 5.0 / 6}, {"recall", 0.75}, {"f1-score", 11.0 / 15}, {"support", 4}});
  EXPECT_FALSE(report.roc_auc.has_value());
  EXPECT_THAT(report.roc[1], IsEmpty());
  EXPECT_EQ(report.roc[0].size(), 3u);
  EXPECT_FALSE(report.average_precision.has_value());
  EXPECT_THAT(report.precision_recall[1], IsEmpty());
}

TEST(EvaluateTest, ImagesOfOneClassOnly) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({1, 1}, {0.75f, 0.25f}));
  EXPECT_EQ(report.accuracy, 0.5);
  EXPECT_FALSE(report.roc_auc.has_value());
  EXPECT_THAT(report.roc, ElementsAre(IsEmpty(), IsEmpty()));
  EXPECT_EQ(AveragePrecision(report.precision_recall[1]), 1);  // whatever is called positive is
  EXPECT_NEAR(report.accuracy_interval.low, WilsonInterval(1, 2).low, kTolerance);
  EXPECT_NEAR(report.accuracy_interval.high, WilsonInterval(1, 2).high, kTolerance);
}

TEST(EvaluateTest, RejectsBadInput) {
  const auto invalid = [](auto message) { return StatusIs(absl::StatusCode::kInvalidArgument, message); };
  const std::vector<std::string> labels = {"cat", "dog"};
  const std::vector<float> good = {0.5f, 0.5f, 0.25f, 0.75f};
  ASSERT_THAT(Evaluate({0, 1}, good, labels), IsOk());

  EXPECT_THAT(Evaluate({}, {}, labels), invalid(HasSubstr("truth")));
  EXPECT_THAT(Evaluate({0, 1}, good, {}), invalid(HasSubstr("labels")));
  EXPECT_THAT(Evaluate({0, 0}, {1, 1}, {"cat"}), invalid(HasSubstr("labels")));
  EXPECT_THAT(Evaluate({0, 1}, good, {"cat", "cat"}), invalid(AllOf(HasSubstr("labels"), HasSubstr("cat"))));
  EXPECT_THAT(Evaluate({0, 1}, good, {"cat", "\xff"}), invalid(AllOf(HasSubstr("labels"), HasSubstr("UTF-8"))));
  EXPECT_THAT(Evaluate({0, 1, 1}, good, labels), invalid(HasSubstr("probabilities")));
  EXPECT_THAT(Evaluate({0}, good, labels), invalid(HasSubstr("probabilities")));
  EXPECT_THAT(Evaluate({0, 1}, {0.5f, 0.5f, 1}, labels), invalid(HasSubstr("probabilities")));
  EXPECT_THAT(Evaluate({0, 1}, {}, labels), invalid(HasSubstr("probabilities")));
  EXPECT_THAT(Evaluate({0, 2}, good, labels), invalid(AllOf(HasSubstr("truth"), HasSubstr("image 1"))));
  EXPECT_THAT(Evaluate({-1, 1}, good, labels), invalid(AllOf(HasSubstr("truth"), HasSubstr("image 0"))));
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), -0.5f, 1.5f}) {
    EXPECT_THAT(Evaluate({0, 1}, {0.5f, 0.5f, 1 - bad, bad}, labels),
                invalid(AllOf(HasSubstr("probabilities"), HasSubstr("image 1"))));
  }
  EXPECT_THAT(Evaluate({0, 1}, {0.5f, 0.5f, 0.5f, 0.502f}, labels), invalid(HasSubstr("sum")));
  EXPECT_THAT(Evaluate({0, 1}, {0.5f, 0.5f, 0, 0}, labels), invalid(HasSubstr("sum")));
  EXPECT_THAT(Evaluate({0, 1}, {0.5f, 0.5f, 0.5f, 0.5005f}, labels), IsOk());
}

// A curve of report.json.
std::vector<RocPoint> CurveOf(const json& curve) {
  std::vector<RocPoint> points;
  for (size_t i = 0; i < curve.at("threshold").size(); ++i) {
    const json& threshold = curve.at("threshold")[i];
    points.push_back({curve.at("false_positive_rate")[i], curve.at("true_positive_rate")[i],
                      threshold.is_null() ? kInfinity : threshold.get<double>()});
  }
  return points;
}

void ExpectRow(const json& row, const ClassMetrics& metrics) {
  EXPECT_EQ(row.at("label"), metrics.label);
  EXPECT_EQ(row.at("precision"), metrics.precision);
  EXPECT_EQ(row.at("recall"), metrics.recall);
  EXPECT_EQ(row.at("f1"), metrics.f1);
  EXPECT_EQ(row.at("support"), metrics.support);
}

TEST(ReportJsonTest, HoldsEveryNumberOfTheReport) {
  for (const char* name : {"two", "four"}) {
    const EvaluationReport report = GoldenReport(name);
    const json read = json::parse(ToJson(report).dump());  // as text, so that digits count
    const size_t k = report.labels.size();
    EXPECT_EQ(read.at("labels"), json(report.labels));
    EXPECT_EQ(read.at("images"), report.images);
    EXPECT_EQ(read.at("accuracy"), report.accuracy);
    EXPECT_EQ(read.at("roc_auc"), *report.roc_auc);
    EXPECT_EQ(read.at("log_loss"), report.log_loss);
    EXPECT_EQ(read.at("accuracy_interval"), json({report.accuracy_interval.low, report.accuracy_interval.high}));
    EXPECT_EQ(read.at("average_precision"), *report.average_precision);
    EXPECT_EQ(read.at("calibration"), ToJson(*report.calibration));
    ASSERT_EQ(read.at("precision_recall").size(), k);
    EXPECT_EQ(read.at("precision_recall")[1].at("recall").size(), report.precision_recall[1].size());
    EXPECT_EQ(read.at("precision_recall")[1].at("precision").back(), report.precision_recall[1].back().precision);
    ExpectRow(read.at("macro_average"), report.macro_average);
    ExpectRow(read.at("weighted_average"), report.weighted_average);
    ASSERT_EQ(read.at("classes").size(), k);
    ASSERT_EQ(read.at("confusion").size(), k);
    ASSERT_EQ(read.at("roc").size(), k);
    for (size_t c = 0; c < k; ++c) {
      ExpectRow(read.at("classes")[c], report.classes[c]);
      for (size_t predicted = 0; predicted < k; ++predicted) {
        EXPECT_EQ(read.at("confusion")[c][predicted], report.confusion[c * k + predicted]);
      }
      for (auto field : {&RocPoint::false_positive_rate, &RocPoint::true_positive_rate, &RocPoint::threshold}) {
        EXPECT_EQ(Column(CurveOf(read.at("roc")[c]), field), Column(report.roc[c], field));
      }
    }
  }
}

TEST(ReportJsonTest, WhatIsUndefinedIsNullOrEmpty) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({1, 1}, {0.75f, 0.25f}));
  const json read = json::parse(ToJson(report).dump());
  EXPECT_TRUE(read.at("roc_auc").is_null());
  EXPECT_THAT(CurveOf(read.at("roc")[0]), IsEmpty());
}

TEST(ReportJsonTest, LongCurvesAreThinned) {
  std::mt19937 random(1);
  std::vector<int> truth;
  std::vector<float> scores;
  for (int i = 0; i < 20000; ++i) {
    truth.push_back(static_cast<int>(random() % 2));
    scores.push_back(static_cast<float>((random() % 1000000 + truth.back() * 400000L) / 1.4e6));
  }
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo(truth, scores));
  ASSERT_GT(report.roc[1].size(), 2000u);
  const json read = ToJson(report);
  const std::vector<RocPoint> curve = CurveOf(read.at("roc")[1]);
  EXPECT_LE(curve.size(), kRocPointsInJson);
  EXPECT_GE(curve.size(), kRocPointsInJson * 3 / 4);
  EXPECT_EQ(read.at("roc_auc"), *report.roc_auc);
  EXPECT_NEAR(AreaUnder(curve), *report.roc_auc, 1e-3);
  const json& recall = read.at("precision_recall")[1].at("recall");
  EXPECT_LE(recall.size(), kRocPointsInJson);
  EXPECT_GE(recall.size(), kRocPointsInJson / 2);
  EXPECT_EQ(recall.back(), 1);
}

TEST(AreaUnderTest, Trapezoids) {
  EXPECT_EQ(AreaUnder({}), 0);
  EXPECT_DOUBLE_EQ(AreaUnder({{0, 0, kInfinity}, {0.5, 0.5, 0.7}, {0.5, 1, 0.4}, {1, 1, 0.1}}), 0.625);
}

}  // namespace
}  // namespace graft
