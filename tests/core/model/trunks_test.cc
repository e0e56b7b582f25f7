// The table of trunks, row by row, and their weights' files.
#include "core/model/trunks.h"

#include <set>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(TrunksTest, EveryRowIsWhatItClaims) {
  for (const TrunkInfo& trunk : Trunks()) {
    SCOPED_TRACE(std::string(trunk.name));
    EXPECT_NE(trunk.preprocessing, Preprocessing::kAuto);
    constexpr int kSide = 224;
    ASSERT_OK_AND_ASSIGN(const auto layers, DescribeLayers(trunk.layers(), {kSide, kSide, 3}));
    int64_t parameters = 0;
    std::set<std::string> names;
    for (const LayerInfo& layer : layers) {
      parameters += layer.parameters;
      EXPECT_FALSE(layer.trainable) << layer.name;
      EXPECT_TRUE(names.insert(layer.name).second) << layer.name << " comes twice";
    }
    EXPECT_EQ(parameters, trunk.parameters);
    EXPECT_EQ(layers.back().output_shape, FeatureShape(trunk, kSide));
    // DINOv2's class token and means have no place.
    EXPECT_EQ(FeatureShape(trunk, kSide)[0], trunk.name == "dinov2_vits14" ? 1 : kSide / trunk.stride);
    ASSERT_OK_AND_ASSIGN(const TrunkInfo* found, FindTrunk(trunk.name));
    EXPECT_EQ(found, &trunk);
    EXPECT_THAT(TrunkNames(), HasSubstr(std::string(trunk.name)));
  }
}

TEST(TrunksTest, Vgg16sFeaturesAreTheReferences) {
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* trunk, FindTrunk("vgg16"));
  EXPECT_EQ(FeatureShape(*trunk, 150), (Shape{4, 4, 512}));
  EXPECT_EQ(FeatureShape(*trunk, 224), (Shape{7, 7, 512}));
  // torchvision's names, of the first layer of each block.
  std::vector<std::string> names;
  for (const TrunkBlock& block : trunk->blocks) {
    names.push_back(block.layers.front().file_name.value_or(""));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"features.0", "features.5", "features.10", "features.17", "features.24"}));
}

TEST(TrunksTest, EveryRowHasTheParametersThatItClaims) {
  for (const TrunkInfo& trunk : Trunks()) {
    SCOPED_TRACE(std::string(trunk.name));
    ASSERT_OK_AND_ASSIGN(const auto layers, DescribeLayers(trunk.layers(), {trunk.image_size, trunk.image_size, 3}));
    int64_t parameters = 0;
    for (const LayerInfo& layer : layers) {
      parameters += layer.parameters;
    }
    EXPECT_EQ(parameters, trunk.parameters);
    EXPECT_FALSE(trunk.title.empty() || trunk.paper.empty() || trunk.licence.empty() || trunk.source.empty());
  }
}

// What papers and fvcore's counts say, in billions: VGG16's convolutions 15.3, EfficientNet-Lite0 0.38, -Lite2 0.86,
// ResNet-50 4.1, and DINOv2 at the size that it was trained at 46.8.
TEST(TrunksTest, MultiplyAddsAreThePublishedOnes) {
  for (const auto& [name, billions] :
       {std::pair{"vgg16", 15.35}, {"efficientnet_lite0", 0.38}, {"efficientnet_lite2", 0.86}, {"resnet50", 4.09}}) {
    ASSERT_OK_AND_ASSIGN(const TrunkInfo* trunk, FindTrunk(name));
    EXPECT_NEAR(static_cast<double>(MultiplyAdds(*trunk, trunk->image_size)) / 1e9, billions, 0.01) << name;
  }
  EXPECT_NEAR(static_cast<double>(MultiplyAdds(**FindTrunk("dinov2_vits14"), 518)) / 1e9, 46.76, 0.1);  // timm's
  // Of single layers: each convolution at the positions where it runs.
  const LayerSpec inverted{"", InvertedResidual{6, 24, Window::Same(3, 2)}};
  EXPECT_EQ(inverted.MultiplyAdds({8, 8, 16}), 64 * 16 * 96 + 16 * 9 * 96 + 16 * 96 * 24);
  const LayerSpec bottleneck{"", Bottleneck{8, 2}};
  EXPECT_EQ(bottleneck.MultiplyAdds({8, 8, 16}), 64 * 16 * 8 + 16 * 9 * 8 * 8 + 16 * 8 * 32 + 16 * 16 * 32);
  EXPECT_EQ((LayerSpec{"", Dense{10}}.MultiplyAdds({7})), 70);
  EXPECT_EQ((LayerSpec{"", MaxPool2D{}}.MultiplyAdds({8, 8, 16})), 0);
}

TEST(TrunksTest, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT(FindTrunk("resnet"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("resnet"), HasSubstr("vgg16"))));
}

TEST(TrunksTest, AutoIsWhatTheTrunkWasTrainedWith) {
  EXPECT_EQ(ResolvePreprocessing(Preprocessing::kAuto, *FindTrunk("vgg16")), Preprocessing::kCaffe);
  EXPECT_EQ(ResolvePreprocessing(Preprocessing::kAuto, nullptr), Preprocessing::kRescale);
  EXPECT_EQ(ResolvePreprocessing(Preprocessing::kTorchvision, *FindTrunk("vgg16")), Preprocessing::kTorchvision);
}

TEST(TrunksTest, MissingWeightsSayWhereTheyAreExpectedAndHowToGetThem) {
  const testing::TempDir dir;
  const std::string name(DefaultTrunk().name);
  EXPECT_THAT(CheckTrunkWeights(dir.path(), name),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr(TrunkFile(dir.path(), name).string()),
                             HasSubstr("deploy/fetch-weights vgg16 --out " + dir.path().string()))));
  testing::WriteText(TrunkFile(dir.path(), name), "weights");
  EXPECT_THAT(CheckTrunkWeights(dir.path(), name), IsOk());
}

}  // namespace
}  // namespace graft
