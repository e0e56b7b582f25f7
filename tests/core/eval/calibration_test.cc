#include "core/eval/calibration.h"

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
