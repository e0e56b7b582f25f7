#include "core/eval/calibration.h"

#include <cmath>
#include <numeric>
#include <random>

#include "absl/strings/str_cat.h"
#include "core/eval/predictions.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CalibrationTest, EqualsTheFormulasInNumpy) {
  for (const char* name : {"two", "four"}) {
    const nlohmann::json scores = nlohmann::json::parse(testing::ReadText(testing::Golden("reports.json"))).at(name);
    const nlohmann::json expected = nlohmann::json::parse(testing::ReadText(testing::Golden("judging.json"))).at(name);
    std::vector<float> probabilities;
    for (const nlohmann::json& row : scores.at("scores")) {
      for (const nlohmann::json& score : row) {
        probabilities.push_back(score.get<float>());
      }
    }
    const auto truth = scores.at("truth").get<std::vector<int>>();
    const Calibration calibration = Calibrate(truth, probabilities, probabilities.size() / truth.size());
    EXPECT_NEAR(calibration.expected_error, expected.at("expected_error").get<double>(), 1e-9);
    EXPECT_NEAR(calibration.brier, expected.at("brier").get<double>(), 1e-9);
    ASSERT_EQ(calibration.bins.size(), expected.at("bins").size());
    int64_t images = 0;
    for (size_t b = 0; b < calibration.bins.size(); ++b) {
      const nlohmann::json& bin = expected.at("bins")[b];
      EXPECT_EQ(calibration.bins[b].images, bin[0].get<int64_t>()) << name << b;
      EXPECT_NEAR(calibration.bins[b].confidence, bin[1].get<double>(), 1e-9) << name << b;
      EXPECT_NEAR(calibration.bins[b].accuracy, bin[2].get<double>(), 1e-9) << name << b;
      images += calibration.bins[b].images;
    }
    EXPECT_EQ(images, static_cast<int64_t>(truth.size()));
    const Calibration read = CalibrationFromJson(nlohmann::json::parse(ToJson(calibration).dump()));
    EXPECT_EQ(ToJson(read), ToJson(calibration));
  }
}

// Logits drawn with a true temperature of their own: labels follow softmax(logits), the classifier says
// softmax(sharpness logits).
struct Drawn {
  std::vector<int> truth;
  std::vector<float> probabilities;
};
Drawn Draw(double sharpness, size_t classes, int count) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal(0, 1.5);
  Drawn drawn;
  for (int i = 0; i < count; ++i) {
    std::vector<double> said;
    std::vector<double> honest;
    for (size_t c = 0; c < classes; ++c) {
      const double logit = normal(random);
      honest.push_back(std::exp(logit));
      said.push_back(std::exp(sharpness * logit));
    }
    drawn.truth.push_back(std::discrete_distribution<int>(honest.begin(), honest.end())(random));
    const double sum = std::accumulate(said.begin(), said.end(), 0.0);
    for (const double value : said) {
      drawn.probabilities.push_back(static_cast<float>(value / sum));
    }
  }
  return drawn;
}

TEST(TemperatureTest, TheTrueOneIsFoundAndScalingByItMakesProbabilitiesHonest) {
  for (const auto& [sharpness, classes] : {std::pair{3.0, size_t{2}}, {0.5, 2}, {2.0, 5}, {1.0, 3}}) {
    SCOPED_TRACE(absl::StrCat(sharpness, ", ", classes, " classes"));
    const Drawn drawn = Draw(sharpness, classes, 20'000);
    const double temperature = FitTemperature(drawn.truth, drawn.probabilities, classes);
    EXPECT_NEAR(temperature, sharpness, 0.06 * sharpness);
    std::vector<float> scaled = drawn.probabilities;
    ScaleByTemperature(temperature, classes, absl::MakeSpan(scaled));
    EXPECT_LT(Calibrate(drawn.truth, scaled, classes).expected_error, 0.015);
    for (size_t i = 0; i < drawn.truth.size(); ++i) {
      const auto row = absl::MakeConstSpan(scaled).subspan(i * classes, classes);
      ASSERT_NEAR(std::accumulate(row.begin(), row.end(), 0.0), 1, 1e-5);
      ASSERT_EQ(PredictedClass(row),
                PredictedClass(absl::MakeConstSpan(drawn.probabilities).subspan(i * classes, classes)));
    }
  }
}

TEST(TemperatureTest, ItHasBoundsAndOneChangesNothing) {
  // Always right: sharper is better without end; always wrong: softer is.
  EXPECT_NEAR(FitTemperature({0, 1}, {0.9F, 0.1F, 0.1F, 0.9F}, 2), 0.25, 1e-6);
  EXPECT_NEAR(FitTemperature({1, 0}, {0.9F, 0.1F, 0.1F, 0.9F}, 2), 20, 1e-3);
  std::vector<float> certain = {1, 0, 0.3F, 0.7F};
  ScaleByTemperature(1, 2, absl::MakeSpan(certain));
  EXPECT_THAT(certain, ElementsAre(1, 0, 0.3F, 0.7F));
  ScaleByTemperature(2, 2, absl::MakeSpan(certain));  // what is impossible has 1e-7 before
  EXPECT_NEAR(certain[1], std::sqrt(1e-7) / (1 + std::sqrt(1e-7)), 1e-8);
  EXPECT_TRUE(std::isfinite(FitTemperature({1}, {1, 0}, 2)));
}

TEST(CalibrationTest, CertainAndRightIsPerfectCertainAndWrongIsAllError) {
  const Calibration good = Calibrate({0, 1}, {1, 0, 0, 1}, 2);
  EXPECT_EQ(good.expected_error, 0);
  EXPECT_EQ(good.brier, 0);
  EXPECT_EQ(good.bins.back().images, 2);
  const Calibration bad = Calibrate({1, 0}, {1, 0, 0, 1}, 2);
  EXPECT_EQ(bad.expected_error, 1);
  EXPECT_EQ(bad.brier, 1);
  EXPECT_EQ(Calibrate({2}, {1, 0, 0}, 3).brier, 2);
}

TEST(PredictionsTest, MistakesComeMostConfidentFirst) {
  Predictions predictions;
  predictions.labels = {"cat", "dog"};
  predictions.files = {"a", "b", "c", "d"};
  predictions.truth = {0, 0, 1, 1};
  predictions.probabilities = {0.4f, 0.6f, 0.9f, 0.1f, 0.95f, 0.05f, 0.5f, 0.5f};
  EXPECT_EQ(predictions.predicted(3), 0);  // 0.5 isn't above 0.5
  EXPECT_EQ(predictions.confidence(2), 0.95f);
  EXPECT_THAT(predictions.Mistakes(), ElementsAre(2, 0, 3));
  predictions.truth = {1, 0, 0, 0};
  EXPECT_THAT(predictions.Mistakes(), IsEmpty());
}

}  // namespace
}  // namespace graft
