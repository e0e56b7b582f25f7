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

EvaluationReport GoldenReport(const std::string& name, std::vector<std::string> labels = {}) {
  const GoldenCase golden = ReadGolden(name);
  return *Evaluate(golden.truth, golden.probabilities, labels.empty() ? golden.labels : labels);
}

void ExpectMetrics(const ClassMetrics& row, const json& expected) {
  EXPECT_NEAR(row.precision, expected.at("precision").get<double>(), kTolerance);
  EXPECT_NEAR(row.recall, expected.at("recall").get<double>(), kTolerance);
  EXPECT_NEAR(row.f1, expected.at("f1-score").get<double>(), kTolerance);
  EXPECT_EQ(static_cast<double>(row.support), expected.at("support").get<double>());
}

void ExpectSame(const ClassMetrics& a, const ClassMetrics& b) {
  EXPECT_EQ(a.label, b.label);
  EXPECT_NEAR(a.precision, b.precision, kTolerance);
  EXPECT_NEAR(a.recall, b.recall, kTolerance);
  EXPECT_NEAR(a.f1, b.f1, kTolerance);
  EXPECT_EQ(a.support, b.support);
}

// All but the curves.
void ExpectSame(const EvaluationReport& a, const EvaluationReport& b) {
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.images, b.images);
  EXPECT_EQ(a.accuracy, b.accuracy);
  EXPECT_EQ(a.confusion, b.confusion);
  EXPECT_EQ(a.roc_auc, b.roc_auc);
  EXPECT_EQ(a.log_loss, b.log_loss);
  ExpectSame(a.macro_average, b.macro_average);
  ExpectSame(a.weighted_average, b.weighted_average);
  ASSERT_EQ(a.classes.size(), b.classes.size());
  for (size_t c = 0; c < a.classes.size(); ++c) {
    ExpectSame(a.classes[c], b.classes[c]);
  }
  EXPECT_EQ(a.roc.size(), b.roc.size());
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
  EXPECT_THAT(ToText(report), HasSubstr("undefined"));
}

TEST(EvaluateTest, ImagesOfOneClassOnly) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({1, 1}, {0.75f, 0.25f}));
  EXPECT_EQ(report.accuracy, 0.5);
  EXPECT_FALSE(report.roc_auc.has_value());
  EXPECT_THAT(report.roc, ElementsAre(IsEmpty(), IsEmpty()));
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

TEST(ReportJsonTest, RoundTrip) {
  for (const char* name : {"two", "four"}) {
    const EvaluationReport report = GoldenReport(name);
    ASSERT_OK_AND_ASSIGN(const EvaluationReport read, ReportFromJson(json::parse(ToJson(report).dump())));
    ExpectSame(read, report);
    for (size_t c = 0; c < report.roc.size(); ++c) {
      for (auto field : {&RocPoint::false_positive_rate, &RocPoint::true_positive_rate, &RocPoint::threshold}) {
        EXPECT_EQ(Column(read.roc[c], field), Column(report.roc[c], field));
      }
    }
  }
}

TEST(ReportJsonTest, RoundTripWithoutAuc) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo({1, 1}, {0.75f, 0.25f}));
  ASSERT_OK_AND_ASSIGN(const EvaluationReport read, ReportFromJson(json::parse(ToJson(report).dump())));
  ExpectSame(read, report);
}

TEST(ReportJsonTest, LongCurvesAreThinned) {
  std::mt19937 random(1);
  std::vector<int> truth;
  std::vector<float> scores;
  for (int i = 0; i < 20000; ++i) {
    truth.push_back(static_cast<int>(random() % 2));
    scores.push_back(static_cast<float>((random() % 1000000 + truth.back() * 400000) / 1.4e6));
  }
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, EvaluateTwo(truth, scores));
  ASSERT_GT(report.roc[1].size(), 2000u);
  ASSERT_OK_AND_ASSIGN(const EvaluationReport read, ReportFromJson(ToJson(report)));
  EXPECT_LE(read.roc[1].size(), kRocPointsInJson);
  EXPECT_GE(read.roc[1].size(), kRocPointsInJson * 3 / 4);
  EXPECT_EQ(read.roc_auc, report.roc_auc);
  EXPECT_NEAR(AreaUnder(read.roc[1]), *report.roc_auc, 1e-3);
}

TEST(ReportJsonTest, NotAReport) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {"null", "report"},
      {"[]", "report"},
      {"3", "report"},
      {"{}", "report.labels"},
      {R"({"labels": ["a", "b"]})", "report.confusion"},
      {R"({"labels": ["a", "b"], "confusion": [[1, 0], [0]]})", "report.confusion[1]"},
      {R"({"labels": ["a", "b"], "confusion": [[0, 0], [0, 0]]})", "no images"},
      {R"({"labels": ["a", "b"], "confusion": [[9223372036854775807, 9223372036854775807], [1, 1]]})", "too large"},
      {R"({"labels": ["a", "a"], "confusion": [[1, 0], [0, 1]]})", "twice"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_THAT(ReportFromJson(json::parse(text)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << text;
  }
}

// The paths of all values in `node`, containers too.
void CollectPaths(const json& node, const json::json_pointer& path, std::vector<json::json_pointer>& paths) {
  if (node.is_structured()) {
    for (const auto& [key, value] : node.items()) {
      const json::json_pointer child = node.is_array() ? path / static_cast<size_t>(std::stoul(key)) : path / key;
      paths.push_back(child);
      CollectPaths(value, child, paths);
    }
  }
}

TEST(ReportJsonTest, EveryFieldIsChecked) {
  const EvaluationReport report = GoldenReport("four");
  const json whole = ToJson(report);
  std::vector<json::json_pointer> paths;
  CollectPaths(whole, json::json_pointer(), paths);
  ASSERT_GT(paths.size(), 100u);
  const std::vector<json> wrong = {
      nullptr, true, -1, 7, 1e308, "x", json::array(), json::object(), std::numeric_limits<uint64_t>::max()};
  for (const json::json_pointer& path : paths) {
    json damaged = whole;
    json& parent = damaged.at(path.parent_pointer());
    if (parent.is_object()) {
      parent.erase(path.back());
    } else {
      parent.erase(std::stoul(path.back()));
    }
    EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report")))
        << path << " deleted";
    for (const json& value : wrong) {
      // A log loss may be any number from 0 to 16; what else fits is what was there.
      if (whole.at(path) == value || (path.to_string() == "/log_loss" && value == 7)) {
        continue;
      }
      damaged = whole;
      damaged.at(path) = value;
      const auto read = ReportFromJson(damaged);
      const bool first_threshold = path.back() == "0" && path.parent_pointer().back() == "threshold";
      if (!(first_threshold && value.is_null())) {
        EXPECT_THAT(read, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report"))) << path << " = " << value;
      }
    }
  }
}

TEST(ReportJsonTest, ScoresMustFollowFromTheCounts) {
  const json whole = ToJson(GoldenReport("four"));
  std::vector<json::json_pointer> scores = {"/accuracy"_json_pointer};
  for (const char* row : {"/macro_average", "/weighted_average", "/classes/0", "/classes/3"}) {
    for (const char* score : {"precision", "recall", "f1"}) {
      scores.push_back(json::json_pointer(row) / score);
    }
  }
  for (const json::json_pointer& path : scores) {
    for (const double change : {-0.01, 0.01, 1e-6}) {
      json damaged = whole;
      damaged.at(path) = whole.at(path).get<double>() + change;
      EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("confusion")))
          << path;
    }
  }
  json damaged = whole;
  damaged["confusion"][1][2] = damaged["confusion"][1][2].get<int>() + 1;
  EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("confusion")));
}

TEST(ReportJsonTest, AucAndCurvesMustFitTheCounts) {
  const json empty = {
      {"false_positive_rate", json::array()}, {"true_positive_rate", json::array()}, {"threshold", json::array()}};
  const json whole = ToJson(GoldenReport("two"));
  json damaged = whole;
  damaged["roc"][0] = empty;
  EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report.roc[0]")));
  damaged = whole;
  damaged["roc_auc"] = nullptr;
  EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report.roc_auc")));

  const json without = ToJson(*EvaluateTwo({1, 1}, {0.75f, 0.25f}));
  ASSERT_THAT(ReportFromJson(without), IsOk());
  damaged = without;
  damaged["roc"][1] = whole["roc"][1];
  EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report.roc[1]")));
  damaged = without;
  damaged["roc_auc"] = 0.5;
  EXPECT_THAT(ReportFromJson(damaged), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("report.roc_auc")));
}

TEST(ReportJsonTest, FlippedBytesNeverGiveOtherCounts) {
  const EvaluationReport report = GoldenReport("two");
  const std::string whole = ToJson(report).dump();
  int parsed = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const int bit : {0, 1, 2, 4, 7}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const json document = json::parse(damaged, nullptr, /*allow_exceptions=*/false);
      if (document.is_discarded()) {
        continue;
      }
      ++parsed;
      const auto read = ReportFromJson(document);
      if (read.ok()) {
        EXPECT_EQ(read->labels, report.labels) << i;
        EXPECT_EQ(read->confusion, report.confusion) << i;
        EXPECT_EQ(read->images, report.images) << i;
      } else {
        EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << i;
      }
    }
  }
  EXPECT_GT(parsed, 1000);
}

TEST(ReportTextTest, IsScikitLearnsTable) {
  // Written by classification_report(target_names=["chat", "chiené"]).
  const char* table =
      "              precision    recall  f1-score   support\n"
      "\n"
      "        chat       0.80      0.89      0.84        27\n"
      "      chiené       0.90      0.82      0.86        33\n"
      "\n"
      "    accuracy                           0.85        60\n"
      "   macro avg       0.85      0.85      0.85        60\n"
      "weighted avg       0.85      0.85      0.85        60\n";
  const char* rest =
      "\n"
      "confusion matrix (rows: true class, columns: predicted class)\n"
      "\n"
      "              chat chiené\n"
      "        chat    24      3\n"
      "      chiené     6     27\n"
      "\n"
      "ROC AUC   0.9585\n"
      "log loss  0.3671\n";
  EXPECT_EQ(ToText(GoldenReport("two", {"chat", "chiené"})), std::string(table) + rest);
}

TEST(ReportTextTest, WidensForLongNames) {
  const char* table =
      "                    precision    recall  f1-score   support\n"
      "\n"
      "               cat       0.80      0.89      0.84        27\n"
      "a rather long name       0.90      0.82      0.86        33\n"
      "\n"
      "          accuracy                           0.85        60\n"
      "         macro avg       0.85      0.85      0.85        60\n"
      "      weighted avg       0.85      0.85      0.85        60\n";
  EXPECT_THAT(ToText(GoldenReport("two", {"cat", "a rather long name"})), ::testing::StartsWith(table));
}

TEST(AreaUnderTest, Trapezoids) {
  EXPECT_EQ(AreaUnder({}), 0);
  EXPECT_DOUBLE_EQ(AreaUnder({{0, 0, kInfinity}, {0.5, 0.5, 0.7}, {0.5, 1, 0.4}, {1, 1, 0.1}}), 0.625);
}

}  // namespace
}  // namespace graft
