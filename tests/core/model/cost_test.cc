#include "core/model/cost.h"

#include <string>

#include "absl/strings/numbers.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(CostTest, CountsWhatTrainingKeeps) {
  const std::vector<LayerInfo> layers = {{"frozen", "Dense", {10, 10}, 1000, false},
                                         {"trained", "Dense", {5}, 200, true}};
  TrainingOptions options;
  const TrainingCost rmsprop = EstimateCost(layers, options);
  EXPECT_EQ(rmsprop.parameters, 4 * (1000 + 200 * 3));  // weights; of the trained, gradients and squares
  EXPECT_EQ(rmsprop.per_image, 4 * (105 + 2 * 100));
  options.optimizer = OptimizerKind::kAdam;
  EXPECT_EQ(EstimateCost(layers, options).parameters, 4 * (1000 + 200 * 4));
}

// Each of these lies in its range, together they ask for hundreds of gigabytes.
TEST(CostTest, OptionsThatAreTooLargeTogetherAreRefused) {
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(std::string(variant.name));
    TrainingOptions options = variant.reference;
    if (options.pooling == Pooling::kAverage) {
      continue;  // few numbers reach the first dense layer
    }
    options.image_size = 512;
    options.dense_units = 16'384;
    options.batch_size = 4096;
    ASSERT_THAT(options.Validate(), IsOk());
    EXPECT_THAT(DescribeVariant(variant, options, 2),
                StatusIs(kInvalid, AllOf(HasSubstr("options.dense_units, options.image_size: with 16384 and 512"),
                                         HasSubstr("limit of 16 GiB"), HasSubstr("use smaller ones"))));
    EXPECT_THAT(DescribeVariant(variant, variant.reference, 1000), IsOk());
  }
}

TEST(CostTest, ABatchThatIsTooLargeIsToldWhatFits) {
  ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant("basic_cnn"));
  TrainingOptions options = variant->reference;
  options.image_size = 512;
  options.dense_units = 64;
  options.batch_size = 4096;
  const absl::Status status = DescribeVariant(*variant, options, 2).status();
  ASSERT_THAT(status, StatusIs(kInvalid, AllOf(HasSubstr("options.batch_size: 4096 images of 512 pixels a side need"),
                                               HasSubstr("or a smaller options.image_size"))));
  const std::string message(status.message());
  const size_t at = message.find("at most ") + std::string("at most ").size();
  ASSERT_TRUE(absl::SimpleAtoi(message.substr(at, message.find(',', at) - at), &options.batch_size)) << message;
  EXPECT_GE(options.batch_size, 32);
  EXPECT_THAT(DescribeVariant(*variant, options, 2), IsOk());
  ++options.batch_size;
  EXPECT_THAT(DescribeVariant(*variant, options, 2), StatusIs(kInvalid, HasSubstr("options.batch_size")));
}

// All of VGG16 trained, with a dense head, on the largest images.
TEST(CostTest, Vgg16FitsAt512Pixels) {
  std::vector<LayerInfo> layers;
  int64_t side = 512;
  int64_t channels = 3;
  for (const auto& [convolutions, filters] : {std::pair{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}) {
    for (int i = 0; i < convolutions; ++i) {
      layers.push_back({"conv", "Conv2D", {side, side, filters}, (9 * channels + 1) * filters, true});
      channels = filters;
    }
    side /= 2;
    layers.push_back({"pool", "MaxPooling2D", {side, side, filters}, 0, false});
  }
  layers.push_back({"dense", "Dense", {512}, (side * side * channels + 1) * 512, true});
  TrainingOptions options;
  options.image_size = 512;
  options.batch_size = 32;
  options.optimizer = OptimizerKind::kAdam;
  EXPECT_THAT(CheckCost(layers, options), IsOk());
}

}  // namespace
}  // namespace graft
