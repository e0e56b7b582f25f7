#include "core/model/artifact.h"

#include <cmath>
#include <limits>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;

ModelDescription Example() {
  ModelDescription model;
  model.name = "pets";
  model.version = 3;
  model.variant = "vgg16_features";
  model.labels = {"cat", "dog"};
  model.options.learning_rate = 1e-4;
  model.options.optimizer = OptimizerKind::kAdamW;
  model.options.preprocessing = Preprocessing::kCaffe;
  model.options.interpolation = Interpolation::kArea;
  model.options.seed = std::numeric_limits<uint64_t>::max();
  model.dataset = "animals";
  model.dataset_fingerprint = "abc";
  model.trunk_fingerprint = "def";
  model.job_id = "job-7";
  model.create_time_ms = 1'790'000'000'123;
  model.history = {{1, 0.5, 0.75, std::numeric_limits<double>::quiet_NaN(), 0.7, 1.5},
                   {2, 0.25, 0.875, 0.4, 0.8, 1.25}};
  model.training_seconds = 2.75;
  model.temperature = 1.5;
  model.made_with = {"1.2.3", "2.13.0", "avx512", "winograd", "AMD EPYC"};
  return model;
}

TEST(ArtifactTest, RoundTrip) {
  const testing::TempDir dir;
  const ModelDescription model = Example();
  ASSERT_THAT(SaveModel(model, dir.path()), IsOk());
  ASSERT_OK_AND_ASSIGN(const ModelDescription loaded, LoadModel(dir.path()));
  EXPECT_EQ(loaded.name, model.name);
  EXPECT_EQ(loaded.version, model.version);
  EXPECT_EQ(loaded.labels, model.labels);
  EXPECT_EQ(ToJson(loaded.options), ToJson(model.options));
  EXPECT_EQ(loaded.options.seed, model.options.seed);
  EXPECT_EQ(loaded.create_time_ms, model.create_time_ms);
  ASSERT_EQ(loaded.history.size(), 2U);
  EXPECT_TRUE(std::isnan(loaded.history[0].validation_loss));
  EXPECT_EQ(loaded.history[1].validation_accuracy, 0.8);
  EXPECT_EQ(loaded.training_seconds, 2.75);
  EXPECT_EQ(loaded.temperature, 1.5);
  EXPECT_EQ(loaded.made_with.graft, "1.2.3");
  EXPECT_EQ(loaded.made_with.libtorch, "2.13.0");
  EXPECT_EQ(loaded.made_with.instruction_set, "avx512");
  EXPECT_EQ(loaded.made_with.convolution, "winograd");
  EXPECT_EQ(loaded.made_with.processor, "AMD EPYC");
}

TEST(ArtifactTest, ATemperatureThatIsNoneIsDamage) {
  const testing::TempDir dir;
  ModelDescription model = Example();
  model.temperature = 0;
  ASSERT_THAT(SaveModel(model, dir.path()), IsOk());
  EXPECT_THAT(LoadModel(dir.path()), StatusIs(absl::StatusCode::kDataLoss, ::testing::HasSubstr("temperature")));
}

TEST(ArtifactTest, DamageIsFound) {
  const testing::TempDir dir;
  ASSERT_THAT(SaveModel(Example(), dir.path()), IsOk());
  testing::ForEachDamage(ModelFile(dir.path()), 500, 50, [&](const std::string& what) {
    EXPECT_THAT(LoadModel(dir.path()), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
}

TEST(ArtifactTest, MissingIsNotFound) {
  const testing::TempDir dir;
  EXPECT_THAT(LoadModel(dir / "none"), StatusIs(absl::StatusCode::kNotFound, _));
}

}  // namespace
}  // namespace graft
