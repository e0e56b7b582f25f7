#include "core/infer/explanation.h"

#include "absl/strings/str_cat.h"
#include "core/model/variants.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ModelDescription Model(absl::string_view variant) {
  ModelDescription model;
  model.name = "pets";
  model.version = 1;
  model.variant = std::string(variant);
  model.labels = {"cat", "dog", "hamster"};
  model.options = (*FindVariant(variant))->recommended;
  model.options.image_size = 150;
  return model;
}

std::vector<std::string> Names(const std::vector<LayerInfo>& layers) {
  std::vector<std::string> names;
  for (const LayerInfo& layer : layers) {
    names.push_back(layer.name);
  }
  return names;
}

TEST(ExplanationTest, EveryVariantHasLayersThatMakeMapsAndALastConvolution) {
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(std::string(variant.name));
    ASSERT_OK_AND_ASSIGN(const std::vector<LayerInfo> layers, MapLayers(Model(variant.name)));
    for (const LayerInfo& layer : layers) {
      EXPECT_EQ(layer.output_shape.size(), 3U) << layer.name;
    }
    ASSERT_OK_AND_ASSIGN(const ExplainPlan plan, PlanExplanation(Model(variant.name), {}));
    if (variant.trunk != nullptr) {
      const bool dinov2 = variant.trunk->name == "dinov2_vits14";  // whose last layer makes no map
      EXPECT_EQ(layers.size(), variant.trunk->layers().size() - (dinov2 ? 1 : 0));
      if (variant.trunk->name == "vgg16") {
        EXPECT_EQ(plan.target.name, "block5_conv3");
        EXPECT_EQ(plan.target.shape, (Shape{9, 9, 512}));
      } else if (variant.trunk->name == "dinov2_vits14") {
        EXPECT_EQ(plan.target.name, "block11");  // behind the attention of block12 each place stands for itself
        EXPECT_EQ(plan.target.shape, (Shape{11, 11, 384}));
      } else {
        EXPECT_EQ(plan.target.name, variant.trunk->blocks.back().layers.back().name);
        EXPECT_EQ(plan.target.shape, FeatureShape(*variant.trunk, 150));
      }
    } else {
      EXPECT_EQ(plan.target.name, variant.name == "basic_cnn" ? "conv2d_3" : "conv2d_4");
    }
    EXPECT_EQ(plan.size, 3 + 2 + plan.target.size());
  }
  // Those that model show prints, as far as they make maps.
  EXPECT_THAT(Names(*MapLayers(Model("basic_cnn"))),
              ElementsAre("conv2d_1", "max_pooling2d_1", "conv2d_2", "max_pooling2d_2", "conv2d_3", "max_pooling2d_3"));
}

TEST(ExplanationTest, ARowHasAPlaceForEachNumber) {
  ExplainOptions options;
  options.label = "dog";
  options.layers = {"block5_pool", "block1_conv2"};
  options.channels = 2;
  ASSERT_OK_AND_ASSIGN(const ExplainPlan plan, PlanExplanation(Model("vgg16_features"), options));
  EXPECT_EQ(plan.label, 1);
  ASSERT_EQ(plan.layers.size(), 2U);
  EXPECT_EQ(plan.layers[0].shape, (Shape{4, 4, 512}));
  EXPECT_EQ(plan.layers[1].shape, (Shape{150, 150, 64}));
  EXPECT_EQ(plan.size, 3U + 2 + 9 * 9 + 2 * 4 * 4 + 2 * 150 * 150);

  std::vector<float> row(plan.size);
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = static_cast<float>(i);
  }
  row[3] = 1;
  const Explanation explanation(plan, row);
  EXPECT_THAT(explanation.probabilities(), ElementsAre(0, 1, 2));
  EXPECT_EQ(explanation.label(), 1U);
  EXPECT_EQ(explanation.peak(), 4);
  EXPECT_EQ(explanation.heat().size(), 81U);
  EXPECT_EQ(explanation.heat().front(), 5);
  EXPECT_EQ(explanation.maps(0).size(), 32U);
  EXPECT_EQ(explanation.maps(0).front(), explanation.heat().back() + 1);
  EXPECT_EQ(explanation.maps(1).front(), explanation.maps(0).back() + 1);
  EXPECT_EQ(explanation.maps(1).back(), static_cast<float>(plan.size - 1));
}

TEST(ExplanationTest, ALayerWithFewerChannelsShowsAllOfThem) {
  ExplainOptions options;
  options.layers = {"conv2d_1"};
  ASSERT_OK_AND_ASSIGN(const ExplainPlan plan, PlanExplanation(Model("basic_cnn"), options));
  EXPECT_EQ(plan.layers[0].channels, 16);
}

TEST(ExplanationTest, NamesThatTheModelHasNotAreSaidWithThoseThatItHas) {
  const auto planned = [](const ExplainOptions& options) { return PlanExplanation(Model("basic_cnn"), options); };
  ExplainOptions options;
  options.label = "cta";
  EXPECT_THAT(planned(options),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("label: the model has no label 'cta'"),
                                                                 HasSubstr("use one of cat, dog, hamster"))));
  options.label = "hamser";
  EXPECT_THAT(planned(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("did you mean hamster? use one of")));
  options.label = "";
  options.layers = {"conv2d_1", "conv2d_9"};
  EXPECT_THAT(planned(options), StatusIs(absl::StatusCode::kInvalidArgument,
                                         AllOf(HasSubstr("layers: "), HasSubstr("'conv2d_9'"),
                                               HasSubstr("did you mean conv2d_1 or conv2d_2 or conv2d_3?"),
                                               HasSubstr("max_pooling2d_3"))));
  // Layers that make no maps aren't there to be shown.
  options.layers = {"dense_1"};
  EXPECT_THAT(planned(options), StatusIs(absl::StatusCode::kInvalidArgument, Not(HasSubstr("did you mean"))));
  options.layers = {"\x1b[2J"};
  EXPECT_THAT(planned(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("control")));
  options.layers = {std::string(5000, 'a')};
  EXPECT_THAT(planned(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("5000 bytes")));
}

TEST(ExplanationTest, WhatIsTooMuchIsRefused) {
  ExplainOptions options;
  options.layers = {"conv2d_1", "conv2d_1"};
  EXPECT_THAT(PlanExplanation(Model("basic_cnn"), options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'conv2d_1' is there twice")));
  options.layers.assign(17, "conv2d_1");
  EXPECT_THAT(PlanExplanation(Model("basic_cnn"), options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("layers: 17 are asked for; 16")));
  options.layers.clear();
  for (const int64_t channels : {-1, 0, 257}) {
    options.channels = channels;
    EXPECT_THAT(PlanExplanation(Model("basic_cnn"), options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(absl::StrCat("channels: ", channels))));
  }
  options.channels = 64;
  options.layers = {"block1_conv1", "block1_conv2"};
  ModelDescription large = Model("vgg16_frozen");
  large.options.image_size = 512;
  EXPECT_THAT(PlanExplanation(large, options),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("128 MiB"), HasSubstr("64 MiB at most"))));
  options.channels = 16;
  EXPECT_THAT(PlanExplanation(large, options), IsOk());
}

}  // namespace
}  // namespace graft
