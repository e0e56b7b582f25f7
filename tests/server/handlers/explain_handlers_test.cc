// Explain without a channel.
#include <future>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
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
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ExplainHandlersTest : public ::testing::Test {
 protected:
  ExplainHandlersTest() {
    deps_.models = &models_;
    deps_.batcher = batcher_.get();
    deps_.drawing = &drawing_;
    deps_.explanations = &explanations_;
    request_.mutable_model()->set_name("pets");
    request_.set_image(testing::ReadText(testing::Sample("cat.0.jpg")));
    ModelDescription model;
    model.name = "pets";
    model.version = 7;
    model.variant = "basic_cnn";
    model.labels = {"cat", "dog"};
    model.options.image_size = 64;
    EXPECT_THAT(SaveModel(model, dir_.path()), IsOk());
  }

  absl::StatusOr<v1::ExplainResponse> Run() {
    std::promise<absl::StatusOr<v1::ExplainResponse>> answer;
    Explain(deps_, call_, request_, [&](auto response) { answer.set_value(std::move(response)); });
    return answer.get_future().get();
  }

  static cv::Mat Decode(const std::string& png) {
    return cv::imdecode(std::vector<uchar>(png.begin(), png.end()), cv::IMREAD_COLOR);
  }

  const testing::TempDir dir_;
  PuppetEngine engine_;
  ByteBudget explanations_{1 << 20};
  ThreadPool drawing_{1};
  const std::unique_ptr<Batcher> batcher_ = Batcher::Start({}).value();
  ModelCache models_{&engine_, [this](const ModelRef& ref) -> absl::StatusOr<ModelCache::Located> {
                       if (ref.name != "pets") {
                         return absl::NotFoundError(ref.name);
                       }
                       return ModelCache::Located{7, dir_.path()};
                     }};
  Deps deps_;
  Call call_;
  v1::ExplainRequest request_;
};

TEST_F(ExplainHandlersTest, SaysWhatTheModelSeesInNumbersAndPictures) {
  request_.set_label("dog");
  request_.add_layers("conv2d_2");
  request_.add_layers("max_pooling2d_3");
  request_.set_channels(9);
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->model(), "pets");
  EXPECT_EQ(response->version(), 7);
  ASSERT_EQ(response->predictions_size(), 2);
  EXPECT_GE(response->predictions(0).probability(), response->predictions(1).probability());

  const v1::HeatMap& map = response->heat_map();
  EXPECT_EQ(map.label(), "dog");
  EXPECT_EQ(map.probability(), response->predictions(response->predictions(0).label() == "dog" ? 0 : 1).probability());
  EXPECT_EQ(map.layer(), "conv2d_3");
  EXPECT_EQ(map.height(), 12);
  EXPECT_EQ(map.width(), 12);
  ASSERT_EQ(map.values_size(), 144);
  EXPECT_EQ(map.values(0), 1);
  EXPECT_EQ(map.values(1), 0);
  EXPECT_EQ(map.peak(), 2);
  // The puppet's only heat is in the corner above on the left.
  const cv::Mat picture = Decode(map.picture());
  ASSERT_GT(picture.cols, 1000);
  EXPECT_GT(picture.rows, 300);

  ASSERT_EQ(response->feature_maps_size(), 2);
  EXPECT_EQ(response->feature_maps(0).layer(), "conv2d_2");
  EXPECT_THAT(response->feature_maps(0).shape(), ElementsAre(29, 29, 64));
  EXPECT_EQ(response->feature_maps(0).channels(), 9);
  EXPECT_THAT(response->feature_maps(1).shape(), ElementsAre(6, 6, 128));
  for (const v1::FeatureMaps& maps : response->feature_maps()) {
    EXPECT_GT(Decode(maps.picture()).cols, 500);
  }
  EXPECT_EQ(response->layers_size(), 0);
  EXPECT_EQ(explanations_.used(), 0);
}

TEST_F(ExplainHandlersTest, LayersAreToldWithoutAnImage) {
  request_.clear_image();
  request_.set_layers_only(true);
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->layers_size(), 6);
  EXPECT_EQ(response->layers(0).name(), "conv2d_1");
  EXPECT_EQ(response->layers(5).type(), "MaxPooling2D");
  EXPECT_THAT(response->layers(5).output_shape(), ElementsAre(6, 6, 128));
  EXPECT_EQ(response->version(), 7);
  EXPECT_FALSE(response->has_heat_map());
}

TEST_F(ExplainHandlersTest, WhatIsWrongIsNamed) {
  request_.set_label("god");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("label: the model has no label 'god'")));
  request_.clear_label();
  request_.add_layers("conv2d_7");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument,
                              AllOf(HasSubstr("layers: "), HasSubstr("did you mean conv2d_1"))));
  request_.clear_layers();
  request_.set_channels(-1);
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("channels: -1")));
  request_.clear_channels();
  request_.set_image("GIF89a");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::StartsWith("image")));
  request_.mutable_model()->set_name("other");
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kNotFound, _));
  request_.mutable_model()->set_version(-1);
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_F(ExplainHandlersTest, MoreThanThereIsMemoryForIsRefused) {
  for (const char* layer : {"conv2d_1", "conv2d_2", "conv2d_3", "max_pooling2d_1"}) {
    request_.add_layers(layer);
  }
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("try again")));
  request_.clear_layers();
  EXPECT_THAT(Run(), IsOk());
}

// A slow client's pictures are in memory for as long as it takes them.
TEST_F(ExplainHandlersTest, AnAnswerCountsUntilItIsSent) {
  std::shared_ptr<const void> kept;
  call_.keep = [&](std::shared_ptr<const void> something) { kept = std::move(something); };
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(explanations_.used(), static_cast<int64_t>(response->ByteSizeLong()));
  EXPECT_GT(explanations_.used(), 10'000);
  kept.reset();
  EXPECT_EQ(explanations_.used(), 0);
}

TEST_F(ExplainHandlersTest, WorkWhoseCallerHasGoneIsNotBegun) {
  call_.cancelled = [] { return true; };
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_EQ(engine_.loads(), 0);
  // One who goes when the networks have run: asked before decoding, before resizing and before running.
  call_.cancelled = nullptr;
  ASSERT_THAT(Run(), IsOk());
  std::atomic<int> asked = 0;
  call_.cancelled = [&] { return ++asked > 0; };
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kCancelled, _));
  const int before_running = 3;
  asked = 0;
  call_.cancelled = [&] { return ++asked > before_running + 1; };
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kCancelled, HasSubstr("gone")));
  EXPECT_EQ(explanations_.used(), 0);
}

TEST_F(ExplainHandlersTest, PicturesAreDrawnOnAThreadOfTheirOwn) {
  std::promise<std::thread::id> drawing;
  drawing_.Post([&] { drawing.set_value(std::this_thread::get_id()); });
  std::promise<std::thread::id> answered;
  Explain(deps_, call_, request_, [&](const auto& response) {
    EXPECT_THAT(response, IsOk());
    answered.set_value(std::this_thread::get_id());
  });
  EXPECT_EQ(answered.get_future().get(), drawing.get_future().get());
}

}  // namespace
}  // namespace graft
