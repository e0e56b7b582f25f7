// The table of variants, row by row.
#include "core/model/variants.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

int64_t Parameters(const std::vector<LayerInfo>& layers, bool trainable_only) {
  int64_t sum = 0;
  for (const LayerInfo& layer : layers) {
    sum += layer.trainable || !trainable_only ? layer.parameters : 0;
  }
  return sum;
}

TEST(VariantsTest, EveryRowHasTheCountsThatItClaims) {
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(std::string(variant.name));
    EXPECT_THAT(variant.defaults.Validate(), IsOk());
    ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(variant, variant.defaults, 2));
    EXPECT_EQ(Parameters(layers, false), variant.parameters);
    EXPECT_EQ(Parameters(layers, true), variant.trainable_parameters);
    EXPECT_EQ(layers.back().output_shape, std::vector<int64_t>{1});
    ASSERT_OK_AND_ASSIGN(const auto five, DescribeVariant(variant, variant.defaults, 5));
    EXPECT_EQ(five.back().output_shape, std::vector<int64_t>{5});
  }
}

// The summary that the reference write-up prints.
TEST(VariantsTest, BasicCnnIsTheReferencesNetwork) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, variant->defaults, 2));
  const std::vector<std::pair<std::vector<int64_t>, int64_t>> expected = {
      {{148, 148, 16}, 448}, {{74, 74, 16}, 0}, {{72, 72, 64}, 9280}, {{36, 36, 64}, 0}, {{34, 34, 128}, 73856},
      {{17, 17, 128}, 0},    {{36992}, 0},      {{512}, 18940416},    {{1}, 513},
  };
  ASSERT_EQ(layers.size(), expected.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    EXPECT_EQ(layers[i].output_shape, expected[i].first) << layers[i].name;
    EXPECT_EQ(layers[i].parameters, expected[i].second) << layers[i].name;
  }
}

TEST(VariantsTest, Vgg16HeadIsTheReferencesNetwork) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_features"));
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, variant->defaults, 2));
  std::vector<int64_t> parameters;
  for (const LayerInfo& layer : layers) {
    parameters.push_back(layer.parameters);
  }
  EXPECT_EQ(parameters, (std::vector<int64_t>{0, 4194816, 0, 262656, 0, 513}));
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* trunk, FindTrunk("vgg16"));
  EXPECT_EQ(FeatureShape(*trunk, 150), (std::array<int64_t, 3>{4, 4, 512}));
  EXPECT_EQ(FeatureShape(*trunk, 224), (std::array<int64_t, 3>{7, 7, 512}));
  ASSERT_OK_AND_ASSIGN(const auto trunk_layers, DescribeLayers(trunk->layers, {150, 150, 3}, false));
  EXPECT_EQ(Parameters(trunk_layers, false), trunk->parameters);
  EXPECT_EQ(trunk_layers.back().output_shape, (std::vector<int64_t>{4, 4, 512}));
}

TEST(VariantsTest, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT(FindVariant("vgg19"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("vgg19"), HasSubstr("basic_cnn"))));
  EXPECT_THAT(FindTrunk("resnet"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("vgg16")));
}

TEST(VariantsTest, ImageThatIsTooSmallForTheNetworkIsRefused) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  TrainingOptions options = variant->defaults;
  options.image_size = 18;
  EXPECT_THAT(DescribeVariant(*variant, options, 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("image_size")));
}

TEST(VariantsTest, AutoIsWhatTheTrunkWasTrainedWith) {
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* trunk, FindTrunk("vgg16"));
  EXPECT_EQ(ResolvePreprocessing(Preprocessing::kAuto, trunk), Preprocessing::kCaffe);
  EXPECT_EQ(ResolvePreprocessing(Preprocessing::kAuto, nullptr), Preprocessing::kRescale);
  EXPECT_EQ(ResolvePreprocessing(Preprocessing::kTorchvision, trunk), Preprocessing::kTorchvision);
}

}  // namespace
}  // namespace graft
