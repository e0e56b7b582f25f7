#include "core/eval/label_errors.h"

#include <limits>

#include "nlohmann/json.hpp"
#include "tests/testing/files.h"

namespace graft {
namespace {

using absl::StatusCode;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(LabelErrorsTest, AreThoseOfTheDefinitionAsMatrices) {
  const nlohmann::json cases = nlohmann::json::parse(testing::ReadText(testing::Golden("label_errors.json")));
  ASSERT_EQ(cases.size(), 3U);
  for (const nlohmann::json& one : cases) {
    const auto classes = one["classes"].get<size_t>();
    SCOPED_TRACE(classes);
    const auto labels = one["labels"].get<std::vector<int>>();
    const auto probabilities = one["probabilities"].get<std::vector<float>>();
    ASSERT_OK_AND_ASSIGN(const LabelErrors found, FindLabelErrors(labels, probabilities, classes));
    ASSERT_EQ(found.thresholds.size(), classes);
    for (size_t c = 0; c < classes; ++c) {
      EXPECT_NEAR(found.thresholds[c], one["thresholds"][c].get<double>(), 1e-12);
    }
    const auto images = one["images"].get<std::vector<size_t>>();
    ASSERT_GE(images.size(), 3U);
    ASSERT_EQ(found.errors.size(), images.size());
    for (size_t i = 0; i < images.size(); ++i) {
      const LabelError& error = found.errors[i];
      EXPECT_EQ(error.image, images[i]) << i;
      EXPECT_EQ(error.suggested, one["suggested"][i].get<int>()) << i;
      EXPECT_EQ(error.label, labels[error.image]);
      EXPECT_EQ(error.probability, probabilities[error.image * classes + static_cast<size_t>(error.label)]);
      EXPECT_EQ(error.suggested_probability,
                probabilities[error.image * classes + static_cast<size_t>(error.suggested)]);
      EXPECT_GT(error.margin(), 0);
    }
  }
}

// Thresholds: class 0 (0.75 + 0.75 + 0.25 + 0.25) / 4 = 0.5, class 1 (0.875 + 0.625) / 2 = 0.75, class 2 is 0.5.
TEST(LabelErrorsTest, ByHand) {
  const std::vector<int> labels = {0, 0, 0, 0, 1, 1, 2};
  const std::vector<float> probabilities = {
      0.75F,  0.25F,  0,       // right
      0.75F,  0.125F, 0.125F,  // right
      0.25F,  0.75F,  0,       // reaches class 1's threshold, no more
      0.25F,  0.625F, 0.125F,  // is below it, though above its own
      0.125F, 0.875F, 0,       // right
      0.375F, 0.625F, 0,       // right
      0.5F,   0,      0.5F,    // another class as probable as its own
  };
  ASSERT_OK_AND_ASSIGN(const LabelErrors found, FindLabelErrors(labels, probabilities, 3));
  EXPECT_THAT(found.thresholds, ::testing::ElementsAre(0.5, 0.75, 0.5));
  ASSERT_EQ(found.errors.size(), 1U);
  EXPECT_EQ(found.errors[0].image, 2U);
  EXPECT_EQ(found.errors[0].label, 0);
  EXPECT_EQ(found.errors[0].suggested, 1);
  EXPECT_EQ(found.errors[0].margin(), 0.5);
}

TEST(LabelErrorsTest, NothingIsTakenForAClassWithoutImages) {
  ASSERT_OK_AND_ASSIGN(const LabelErrors found, FindLabelErrors({0, 0}, {0.1F, 0.9F, 0.2F, 0.8F}, 2));
  EXPECT_EQ(found.thresholds[1], 1);
  EXPECT_THAT(found.errors, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const LabelErrors none, FindLabelErrors({}, {}, 2));
  EXPECT_THAT(none.errors, IsEmpty());
}

TEST(LabelErrorsTest, NonsenseIsRefusedByName) {
  EXPECT_THAT(FindLabelErrors({0}, {1.0F}, 1),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("classes: there are 1")));
  EXPECT_THAT(FindLabelErrors({0, 1}, {1.0F, 0.0F}, 2),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("probabilities: there are 2 for 2 images")));
  for (const int label : {-1, 2}) {
    EXPECT_THAT(FindLabelErrors({label}, {1.0F, 0.0F}, 2),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("labels: ")));
  }
  for (const float probability : {-0.1F, 1.1F, std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_THAT(FindLabelErrors({0}, {probability, 0.0F}, 2),
                StatusIs(StatusCode::kInvalidArgument, HasSubstr("isn't in [0, 1]")));
  }
}

}  // namespace
}  // namespace graft
