// Classify and ExtractFeatures without a channel.
#include <future>
#include <thread>

#include "server/handlers/handlers.h"
#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::PuppetEngine;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PredictionHandlersTest : public ::testing::Test {
 protected:
  PredictionHandlersTest() {
    deps_.models = &models_;
    deps_.batcher = batcher_.get();
    classify_.mutable_model()->set_name("pets");
    classify_.set_image(testing::ReadText(testing::Sample("cat.0.jpg")));
    extract_.set_trunk("vgg16");
    extract_.set_image(classify_.image());
    AddModel("pets", "basic_cnn");
    AddModel("deep", "vgg16_features");
  }

  void AddModel(const std::string& name, const std::string& variant) {
    ModelDescription model;
    model.name = name;
    model.version = 7;
    model.variant = variant;
    model.labels = {"cat", "dog"};
    model.options.image_size = 64;
    model.options.interpolation = Interpolation::kBilinear;
    std::filesystem::create_directories(dir_ / name);
    ASSERT_THAT(SaveModel(model, dir_ / name), IsOk());
  }

  absl::StatusOr<v1::ClassifyResponse> RunClassify() {
    std::promise<absl::StatusOr<v1::ClassifyResponse>> answer;
    Classify(deps_, call_, classify_, [&](auto response) { answer.set_value(std::move(response)); });
    return answer.get_future().get();
  }
  absl::StatusOr<v1::ExtractFeaturesResponse> RunExtract() {
    std::promise<absl::StatusOr<v1::ExtractFeaturesResponse>> answer;
    ExtractFeatures(deps_, call_, extract_, [&](auto response) { answer.set_value(std::move(response)); });
    return answer.get_future().get();
  }

  const testing::TempDir dir_;
  PuppetEngine engine_;
  const std::unique_ptr<Batcher> batcher_ = Batcher::Start({}).value();
  ModelCache models_{
      &engine_, [this](const ModelRef& ref) -> absl::StatusOr<ModelCache::Located> {
        if (!std::filesystem::exists(dir_ / ref.name) || (ref.version != 0 && ref.version != 7) || !ref.alias.empty()) {
          return absl::NotFoundError(ref.name + "@" + ref.alias);
        }
        return ModelCache::Located{7, dir_ / ref.name};
      }};
  Deps deps_;
  Call call_;
  v1::ClassifyRequest classify_;
  v1::ExtractFeaturesRequest extract_;
};

TEST_F(PredictionHandlersTest, AnAliasThatIsNotThereIsNotTheNewestVersion) {
  classify_.mutable_model()->set_alias("production");
  EXPECT_THAT(RunClassify(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("production")));
  extract_.mutable_model()->set_name("pets");
  extract_.mutable_model()->set_alias("production");
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("production")));
}

TEST_F(PredictionHandlersTest, ClassifySortsAndCuts) {
  const auto response = RunClassify();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->model(), "pets");
  EXPECT_EQ(response->version(), 7);
  ASSERT_EQ(response->predictions_size(), 2);
  EXPECT_GE(response->predictions(0).probability(), response->predictions(1).probability());
  classify_.set_top_k(1);
  EXPECT_EQ(RunClassify()->predictions_size(), 1);
  classify_.set_top_k(9);
  EXPECT_EQ(RunClassify()->predictions_size(), 2);
}

TEST_F(PredictionHandlersTest, ClassifyNamesWhatIsWrong) {
  classify_.set_top_k(-1);
  EXPECT_THAT(RunClassify(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("top_k: -1")));
  classify_.set_top_k(0);
  classify_.mutable_model()->set_version(8);
  EXPECT_THAT(RunClassify(), StatusIs(absl::StatusCode::kNotFound, _));
  classify_.mutable_model()->set_version(7);
  classify_.set_image("GIF89a");
  EXPECT_THAT(RunClassify(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("image")));
}

TEST_F(PredictionHandlersTest, WorkWhoseCallerHasGoneIsNotBegun) {
  call_.cancelled = [] { return true; };
  EXPECT_THAT(RunClassify(), StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_EQ(engine_.loads(), 0);
}

TEST_F(PredictionHandlersTest, TheCallersThreadNeverWaitsForAModel) {
  engine_.CloseGate();
  std::promise<absl::StatusOr<v1::ClassifyResponse>> answer;
  std::thread::id answered_on;
  Classify(deps_, call_, classify_, [&](auto response) {
    answered_on = std::this_thread::get_id();
    answer.set_value(std::move(response));
  });
  engine_.AwaitLoads(1);
  engine_.OpenGate();
  EXPECT_THAT(answer.get_future().get(), IsOk());
  EXPECT_NE(answered_on, std::this_thread::get_id());
}

TEST_F(PredictionHandlersTest, ExtractTakesATrunkWithSettings) {
  extract_.set_image_size(128);
  extract_.set_preprocessing(v1::PREPROCESSING_RESCALE);
  const auto whole = RunExtract();
  ASSERT_THAT(whole, IsOk());
  EXPECT_THAT(whole->shape(), ElementsAre(2, 2, 3));
  EXPECT_EQ(whole->values_size(), 12);
  EXPECT_EQ(whole->preprocessing(), v1::PREPROCESSING_RESCALE);
  for (const auto pooling : {v1::POOLING_AVERAGE, v1::POOLING_MAX}) {
    extract_.set_pooling(pooling);
    const auto pooled = RunExtract();
    ASSERT_THAT(pooled, IsOk());
    EXPECT_THAT(pooled->shape(), ElementsAre(3));
    for (int c = 0; c < 3; ++c) {
      float sum = 0;
      float most = whole->values(c);
      for (int p = 0; p < 4; ++p) {
        sum += whole->values(p * 3 + c);
        most = std::max(most, whole->values(p * 3 + c));
      }
      EXPECT_FLOAT_EQ(pooled->values(c), pooling == v1::POOLING_MAX ? most : sum / 4);
    }
  }
}

TEST_F(PredictionHandlersTest, ExtractTakesAModelsTrunkWithTheModelsSettings) {
  extract_.mutable_model()->set_name("deep");
  const auto response = RunExtract();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->preprocessing(), v1::PREPROCESSING_CAFFE);
  extract_.set_image_size(64);
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("leave them unset")));
  extract_.clear_image_size();
  extract_.mutable_model()->set_name("pets");
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no trunk")));
}

TEST_F(PredictionHandlersTest, ExtractNamesWhatIsWrong) {
  extract_.set_trunk("resnet");
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("resnet")));
  extract_.clear_trunk();
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("source")));
  extract_.set_trunk("vgg16");
  extract_.set_image_size(20);
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("image_size")));
  extract_.clear_image_size();
  extract_.set_pooling(static_cast<v1::Pooling>(99));
  EXPECT_THAT(RunExtract(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pooling: '99' is unknown")));
}

}  // namespace
}  // namespace graft
