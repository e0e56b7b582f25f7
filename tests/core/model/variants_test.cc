// The table of variants, row by row.
#include "core/model/variants.h"

#include "absl/strings/str_cat.h"
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
    EXPECT_THAT(variant.reference.Validate(), IsOk());
    ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(variant, variant.reference, 2));
    EXPECT_EQ(Parameters(layers, false), variant.parameters);
    EXPECT_EQ(Parameters(layers, true), variant.trainable_parameters);
    ASSERT_OK_AND_ASSIGN(const auto five, DescribeVariant(variant, variant.reference, 5));
    if (variant.layers != nullptr) {
      EXPECT_EQ(layers.back().output_shape, Shape{1});
      EXPECT_EQ(five.back().output_shape, Shape{5});
    }
  }
}

// The summary that the reference write-up prints.
TEST(VariantsTest, BasicCnnIsTheReferencesNetwork) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, variant->reference, 2));
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
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, variant->reference, 2));
  std::vector<int64_t> parameters;
  for (const LayerInfo& layer : layers) {
    parameters.push_back(layer.parameters);
  }
  EXPECT_EQ(parameters, (std::vector<int64_t>{0, 4194816, 0, 262656, 0, 513}));
}

// The summary that the write-up prints for the fine-tuned network: the trunk's layers are in it, and which are trained.
TEST(VariantsTest, FinetunedTrainsTheLastTwoBlocks) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_finetuned"));
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, variant->reference, 2));
  ASSERT_EQ(layers.size(), 18U + 6U);
  EXPECT_EQ(FrozenBlocks(*variant, variant->reference), 3);
  for (const LayerInfo& layer : layers) {
    const bool frozen = layer.name < std::string("block4") && layer.name.substr(0, 5) == "block";
    EXPECT_EQ(layer.trainable, !frozen && layer.parameters > 0) << layer.name;
  }
  EXPECT_EQ(layers[0].output_shape, (Shape{150, 150, 64}));
  EXPECT_EQ(layers[17].output_shape, (Shape{4, 4, 512}));
  // What is trained, and kept with the model, begins behind the frozen blocks.
  ASSERT_OK_AND_ASSIGN(const HeadPlan plan, PlanHead(*variant, variant->reference, 2));
  EXPECT_EQ(plan.input, (Shape{18, 18, 256}));
  EXPECT_EQ(plan.layers.front().name, "block4_conv1");
}

TEST(VariantsTest, EachTrainedBlockHasItsShareOfTheRate) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_finetuned"));
  TrainingOptions options = variant->reference;
  options.block_rate_factor = 0.5;
  ASSERT_OK_AND_ASSIGN(const HeadPlan plan, PlanHead(*variant, options, 2));
  for (const LayerSpec& layer : plan.layers) {
    const std::string block = layer.name.substr(0, 6);
    EXPECT_EQ(layer.rate, block == "block4" ? 0.25 : block == "block5" ? 0.5 : 1) << layer.name;
  }
}

TEST(VariantsTest, PresetsAreWholeAndHaveNames) {
  EXPECT_THAT(FindPreset("fastest"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("recommended or reference")));
  for (const Variant& variant : Variants()) {
    for (const Preset preset : {Preset::kRecommended, Preset::kReference}) {
      SCOPED_TRACE(absl::StrCat(variant.name, ", ", PresetName(preset)));
      EXPECT_EQ(*FindPreset(PresetName(preset)), preset);
      EXPECT_THAT(ResolveOptions(variant, variant.preset(preset)), IsOk());
    }
    EXPECT_EQ(variant.reference.keep, Keep::kLast);
    EXPECT_NE(variant.recommended.keep, Keep::kLast);
  }
}

TEST(VariantsTest, OptionsThatChangeNothingAreTold) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  EXPECT_EQ(WhyUnused(*variant, variant->reference, "momentum"), "is only for optimizer=sgd");
  EXPECT_EQ(WhyUnused(*variant, variant->reference, "rho"), "");
  EXPECT_THAT(WhyUnused(*variant, variant->reference, "head_epochs"), HasSubstr("trunk"));
  EXPECT_THAT(WhyUnused(*variant, variant->reference, "norm_momentum"), HasSubstr("batch norms"));
  for (const auto& [name, used] : {std::pair{"vgg16_finetuned", false},
                                   {"efficientnet_lite0_frozen", false},
                                   {"efficientnet_lite0_finetuned", true},
                                   {"dinov2_vits14_finetuned", false},
                                   {"resnet50_finetuned", true}}) {
    ASSERT_OK_AND_ASSIGN(const Variant* other, FindVariant(name));
    EXPECT_EQ(WhyUnused(*other, other->recommended, "norm_momentum").empty(), used) << name;
  }
  TrainingOptions options = variant->reference;
  options.trainable_blocks = 1;
  EXPECT_THAT(ResolveOptions(*variant, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("options.trainable_blocks: 1 is above 0")));
  EXPECT_THAT(WhyUnused(*variant, options, "norm_momentum"), HasSubstr("batch norms")) << "asked before that is known";
  options = variant->reference;
  options.patience = 3;
  EXPECT_THAT(ResolveOptions(*variant, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("options.patience")));
}

TEST(VariantsTest, HeadsFollowTheOptionAndTheirInputThePooling) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_features"));
  for (const auto& [pooling, numbers] :
       {std::pair{Pooling::kNone, 4 * 4 * 512}, {Pooling::kAverage, 512}, {Pooling::kMax, 512}}) {
    for (const int64_t classes : {2, 5}) {
      SCOPED_TRACE(absl::StrCat(PoolingName(pooling), ", ", classes, " classes"));
      const int64_t outputs = OutputUnits(classes);
      TrainingOptions options = variant->reference;
      options.pooling = pooling;
      const auto parameters = [&](HeadKind head) {
        options.head = head;
        const auto layers = DescribeVariant(*variant, options, classes);
        EXPECT_THAT(layers, IsOk());
        const auto plan = PlanHead(*variant, options, classes);
        EXPECT_THAT(plan, IsOk());
        EXPECT_EQ(plan->kind, HeadKindName(head));
        EXPECT_EQ(ElementCount(plan->input), numbers);
        EXPECT_EQ(plan->layers.empty(), head != HeadKind::kDense);
        return Parameters(*layers, false);
      };
      EXPECT_EQ(parameters(HeadKind::kDense), (numbers + 1) * 512 + 513 * 512 + 513 * outputs);
      EXPECT_EQ(parameters(HeadKind::kLinearSvm), (numbers + 1) * outputs + 2 * outputs);
      EXPECT_EQ(parameters(HeadKind::kKnn), 0);
    }
  }
}

TEST(VariantsTest, TheTableShowsWhatFeaturesGoThrough) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_features"));
  TrainingOptions options = variant->reference;
  options.image_size = 224;
  options.pooling = Pooling::kAverage;
  options.feature_scaling = FeatureScaling::kL2;
  options.head = HeadKind::kLinearSvm;
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, options, 2));
  std::vector<std::string> types;
  for (const LayerInfo& layer : layers) {
    types.push_back(layer.type + " " + ShapeText(layer.output_shape) + " " + std::to_string(layer.parameters));
  }
  EXPECT_THAT(types, ::testing::ElementsAre("GlobalAveragePooling2D 512 0", "UnitNormalization 512 0",
                                            "LinearSVM 1 513", "Sigmoid 1 2"));
}

TEST(VariantsTest, EveryHeadOfTheOptionIsInTheTable) {
  for (const absl::string_view name : EnumNames(&HeadKindName)) {
    EXPECT_THAT(FindHead(name), IsOk());
  }
}

TEST(VariantsTest, OptionsOfFeaturesNeedFeatures) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  for (const auto& [name, value] :
       {std::pair{"head", "knn"}, {"head", "linear_svm"}, {"pooling", "average"}, {"feature_scaling", "l2"}}) {
    TrainingOptions options = variant->reference;
    for (const OptionField& field : TrainingOptionFields()) {
      if (field.name == name) {
        ASSERT_THAT(field.set(std::string(value), &options), IsOk());
      }
    }
    EXPECT_THAT(ResolveOptions(*variant, options),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(absl::StrCat("options.", name, ": ", value, " isn't possible with basic_cnn")),
                               HasSubstr("vgg16_features"))));
  }
}

TEST(VariantsTest, EveryTrunkHasItsThreeVariants) {
  for (const TrunkInfo& trunk : Trunks()) {
    for (const auto& [suffix, use] : {std::pair{"_features", TrunkUse::kFeatures},
                                      {"_frozen", TrunkUse::kNetwork},
                                      {"_finetuned", TrunkUse::kNetwork}}) {
      ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant(absl::StrCat(trunk.name, suffix)));
      EXPECT_EQ(variant->trunk, &trunk);
      EXPECT_EQ(variant->trunk_use, use);
    }
  }
}

// Of EfficientNet-Lite: the means of its channels and one dense layer behind them, nothing hidden.
TEST(VariantsTest, HeadsBehindAveragesAreLinear) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("efficientnet_lite0_finetuned"));
  ASSERT_OK_AND_ASSIGN(const HeadPlan plan, PlanHead(*variant, variant->recommended, 3));
  EXPECT_EQ(plan.input, (Shape{14, 14, 112}));
  EXPECT_EQ(plan.layers.front().name, "stage6_block1");
  std::vector<std::string> names;
  for (size_t i = plan.layers.size() - 4; i < plan.layers.size(); ++i) {
    names.push_back(plan.layers[i].name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"head", "global_average_pooling2d", "dropout", "output"}));
}

TEST(VariantsTest, ATrunkInTheNetworkIsAveragedWhenTheOptionSaysSo) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("vgg16_frozen"));
  TrainingOptions options = variant->reference;
  options.pooling = Pooling::kAverage;
  ASSERT_OK_AND_ASSIGN(const HeadPlan plan, PlanHead(*variant, options, 3));
  EXPECT_EQ(plan.input, (Shape{4, 4, 512}));
  EXPECT_EQ(plan.layers.front().name, "global_average_pooling2d");
  ASSERT_OK_AND_ASSIGN(const auto layers, DescribeVariant(*variant, options, 3));
  EXPECT_EQ(Parameters(layers, true), 513 * 512 + 513 * 512 + 513 * 3);
  options.dense_units = 0;
  ASSERT_OK_AND_ASSIGN(const auto linear, DescribeVariant(*variant, options, 3));
  EXPECT_EQ(Parameters(linear, true), 513 * 3);
  options.pooling = Pooling::kMax;
  EXPECT_THAT(ResolveOptions(*variant, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("options.pooling: max isn't possible")));
}

TEST(VariantsTest, TheBestOfThoseWhoseWeightsAreThereIsRecommended) {
  const testing::TempDir dir;
  EXPECT_EQ(RecommendedVariant(dir.path()).name, "augmented_cnn");
  for (const char* trunk : {"vgg16", "efficientnet_lite0", "efficientnet_lite2"}) {
    testing::WriteText(TrunkFile(dir.path(), trunk), "weights");
    EXPECT_EQ(RecommendedVariant(dir.path()).name, absl::StrCat(trunk, "_features"));
  }
}

TEST(VariantsTest, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT(FindVariant("vgg19"),
              StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("vgg19"), HasSubstr("basic_cnn"))));
  EXPECT_THAT(FindHead("perceptron"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("dense")));
}

TEST(VariantsTest, PlansOfUnfitOptionsAreRefused) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  TrainingOptions options = variant->reference;
  options.image_size = 18;
  EXPECT_THAT(PlanHead(*variant, options, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("image_size")));
  ASSERT_OK_AND_ASSIGN(const Variant* features, FindVariant("vgg16_features"));
  options = features->reference;
  options.augmentation.flip = true;
  EXPECT_THAT(ResolveOptions(*features, options), IsOk());
  options.augmentation.contrast = 0.1;
  EXPECT_THAT(ResolveOptions(*features, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("options.augment_*")));
}

TEST(VariantsTest, ResolvedOptionsAreThoseOfThePlanAndStayAsTheyAre) {
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(std::string(variant.name));
    ASSERT_OK_AND_ASSIGN(const TrainingOptions resolved, ResolveOptions(variant, variant.recommended));
    EXPECT_EQ(resolved.preprocessing, ResolvePreprocessing(Preprocessing::kAuto, variant.trunk));
    ASSERT_OK_AND_ASSIGN(const HeadPlan plan, PlanHead(variant, variant.recommended, 2));
    EXPECT_EQ(plan.options.preprocessing, resolved.preprocessing);
    ASSERT_OK_AND_ASSIGN(const TrainingOptions again, ResolveOptions(variant, resolved));
    EXPECT_EQ(again.preprocessing, resolved.preprocessing);
  }
}

}  // namespace
}  // namespace graft
