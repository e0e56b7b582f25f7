// What TensorBoard gets of a job, from scripted events.
#include "client/tensorboard.h"

#include <cmath>

#include "tensorboard/hparams.pb.h"
#include "tests/client/event_records.h"

namespace graft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Images;
using ::testing::Not;
using testing::Scalars;
using testing::StatusIs;
using testing::Texts;

v1::Job Training() {
  v1::Job job;
  job.set_id("job-3");
  job.mutable_create_time()->set_seconds(1'800'000'000);
  job.mutable_create_time()->set_nanos(250'000'000);
  v1::TrainSpec& spec = *job.mutable_spec()->mutable_train();
  spec.set_model("cats");
  spec.set_dataset("pets");
  spec.set_variant("basic_cnn");
  spec.mutable_options()->set_epochs(3);
  spec.mutable_options()->set_learning_rate(0.001);
  spec.mutable_options()->set_augment_flip(false);
  spec.mutable_options()->set_optimizer(v1::OPTIMIZER_ADAM);
  return job;
}

v1::JobEvent Next(int64_t* sequence) {
  v1::JobEvent event;
  event.set_job_id("job-3");
  event.set_sequence(++*sequence);
  event.set_attempt(1);
  event.mutable_time()->set_seconds(1'800'000'100 + *sequence);
  event.mutable_time()->set_nanos(500'000'000);
  return event;
}

class TensorBoardTest : public ::testing::Test {
 protected:
  void Take(const v1::JobEvent& event) {
    for (tensorboard::Event& made : of_.Take(event)) {
      events_.push_back(std::move(made));
    }
  }
  void TakeEpoch(double loss, const char* stage = "") {
    v1::JobEvent event = Next(&sequence_);
    v1::EpochMetrics& epoch = *event.mutable_epoch();
    epoch.set_epoch(++epoch_);
    epoch.set_loss(loss);
    epoch.set_accuracy(0.5);
    epoch.set_validation_loss(0.25);
    epoch.set_validation_accuracy(0.75);
    epoch.set_learning_rate(0.001);
    epoch.set_seconds(2);
    epoch.set_input_wait_seconds(0.125);
    epoch.set_stage(stage);
    Take(event);
  }
  void TakeProgress(const std::string& phase, int64_t done, int epoch = 0) {
    v1::JobEvent event = Next(&sequence_);
    event.mutable_progress()->set_phase(phase);
    event.mutable_progress()->set_done(done);
    event.mutable_progress()->set_total(4000);
    event.mutable_progress()->set_unit("images");
    if (epoch > 0) {
      event.mutable_progress()->set_epoch(epoch);
      event.mutable_progress()->set_epochs(3);
    }
    Take(event);
  }
  v1::JobEvent State(v1::JobState state) {
    v1::JobEvent event = Next(&sequence_);
    event.mutable_state()->set_state(state);
    return event;
  }

  TensorBoardEvents of_{Training()};
  std::vector<tensorboard::Event> events_;
  int64_t sequence_ = 0;
  int epoch_ = 0;
};

TEST_F(TensorBoardTest, AFileBeginsWithItsVersionTheSpecAndTheOptions) {
  const std::vector<tensorboard::Event> begin = of_.Begin();
  ASSERT_EQ(begin.size(), 3U);
  EXPECT_EQ(begin[0].file_version(), "brain.Event:2");
  for (const tensorboard::Event& event : begin) {
    EXPECT_EQ(event.wall_time(), 1'800'000'000.25);
    EXPECT_EQ(event.step(), 0);
  }
  EXPECT_THAT(Texts(begin).at("spec"),
              ElementsAre(AllOf(HasSubstr("train cats on pets, job-3\n\n    {\n"),
                                HasSubstr("\"variant\": \"basic_cnn\""), HasSubstr("\"learning_rate\": 0.001"))));
  const tensorboard::Summary::Value& value = begin[2].summary().value(0);
  EXPECT_EQ(value.tag(), "_hparams_/session_start_info");
  EXPECT_EQ(value.metadata().plugin_data().plugin_name(), "hparams");
  EXPECT_TRUE(value.has_tensor());
  tensorboard::hparams::HParamsPluginData data;
  ASSERT_TRUE(data.ParseFromString(value.metadata().plugin_data().content()));
  const auto& hparams = data.session_start_info().hparams();
  EXPECT_EQ(hparams.at("epochs").number_value(), 3);
  EXPECT_EQ(hparams.at("learning_rate").number_value(), 0.001);
  EXPECT_EQ(hparams.at("optimizer").string_value(), "adam");
  EXPECT_EQ(hparams.at("augment_flip").kind_case(), google::protobuf::Value::kBoolValue);
  EXPECT_EQ(hparams.at("variant").string_value(), "basic_cnn");
}

TEST_F(TensorBoardTest, AnEpochIsScalarsAtItsNumberAndTime) {
  TakeEpoch(0.5);
  TakeEpoch(std::nan(""));
  TakeEpoch(1e300);
  const auto scalars = Scalars(events_);
  std::vector<std::string> tags;
  for (const auto& [tag, points] : scalars) {
    tags.push_back(tag);
    ASSERT_EQ(points.size(), 3U) << tag;
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_EQ(points[i].step, static_cast<int64_t>(i) + 1);
      EXPECT_EQ(points[i].wall_time, 1'800'000'101.5 + static_cast<double>(i));
    }
  }
  EXPECT_THAT(tags, ElementsAre("accuracy/training", "accuracy/validation", "learning_rate", "loss/training",
                                "loss/validation", "seconds/epoch", "seconds/input_wait"));
  EXPECT_EQ(scalars.at("accuracy/training")[0].value, 0.5F);
  EXPECT_EQ(scalars.at("accuracy/validation")[0].value, 0.75F);
  EXPECT_EQ(scalars.at("learning_rate")[0].value, 0.001F);
  EXPECT_EQ(scalars.at("loss/training")[0].value, 0.5F);
  EXPECT_EQ(scalars.at("loss/validation")[0].value, 0.25F);
  EXPECT_EQ(scalars.at("seconds/epoch")[0].value, 2.0F);
  EXPECT_EQ(scalars.at("seconds/input_wait")[0].value, 0.125F);
  EXPECT_TRUE(std::isnan(scalars.at("loss/training")[1].value));
  EXPECT_EQ(scalars.at("loss/training")[2].value, INFINITY);  // no float holds it
  EXPECT_EQ(of_.epoch(), 3);
}

TEST_F(TensorBoardTest, StagesAreMarkedWhereTheyBegin) {
  v1::Job job = Training();
  job.mutable_spec()->mutable_train()->mutable_options()->set_head_epochs(2);
  of_ = TensorBoardEvents(job);
  TakeEpoch(0.5, "head");
  TakeEpoch(0.4, "head");
  TakeEpoch(0.3);
  const auto scalars = Scalars(events_);
  std::vector<float> head;
  for (const testing::Scalar& scalar : scalars.at("stage/head_alone")) {
    head.push_back(scalar.value);
  }
  EXPECT_THAT(head, ElementsAre(1, 1, 0));
  EXPECT_THAT(Texts(events_).at("stage"), ElementsAre(HasSubstr("Only the head"), HasSubstr("All")));
  EXPECT_EQ(events_[2].summary().value().rbegin()->tag(), "stage");
}

TEST_F(TensorBoardTest, TheLogTheStatesAndTheEndAreTexts) {
  v1::JobEvent line = Next(&sequence_);
  line.mutable_log()->set_text("skipped <b>\x1b[2J\nREADME.md");
  line.mutable_log()->set_warning(true);
  Take(line);
  TakeProgress("decode", 10);
  TakeProgress("decode", 4000);
  TakeProgress("train", 7, 2);
  v1::JobEvent again = State(v1::JOB_STATE_RUNNING);
  again.set_attempt(2);
  Take(again);
  v1::JobEvent end = State(v1::JOB_STATE_FAILED);
  end.mutable_state()->mutable_error()->set_message("the loss isn't finite");
  Take(end);
  const auto texts = Texts(events_);
  EXPECT_THAT(texts.at("log"), ElementsAre("    warning: skipped <b>\\x1b[2J\\nREADME.md"));
  EXPECT_THAT(texts.at("state"), ElementsAre("running, attempt 2",
                                             AllOf(HasSubstr("failed\n\n    the loss isn't finite\n\n"),
                                                   HasSubstr("phase | done\n--- | ---\ndecode | 4,000 of 4,000 images\n"
                                                             "train | 2 of 3 epochs\n"))));
  tensorboard::hparams::HParamsPluginData data;
  ASSERT_TRUE(data.ParseFromString(events_.back().summary().value(0).metadata().plugin_data().content()));
  EXPECT_EQ(data.session_end_info().status(), tensorboard::hparams::STATUS_FAILURE);
}

TEST_F(TensorBoardTest, OtherKindsOfJobsHaveTextsOnly) {
  v1::Job job;
  job.set_id("job-4");
  job.mutable_spec()->mutable_evaluate()->mutable_model()->set_name("cats");
  of_ = TensorBoardEvents(job);
  events_ = of_.Begin();
  EXPECT_EQ(events_.size(), 2U);
  v1::JobEvent end = State(v1::JOB_STATE_SUCCEEDED);
  v1::EvaluateResult& result = *end.mutable_state()->mutable_result()->mutable_evaluate();
  result.set_model("cats");
  result.mutable_report()->set_accuracy(0.875);
  Take(end);
  EXPECT_EQ(events_.size(), 3U);
  EXPECT_THAT(Texts(events_).at("state"), ElementsAre(AllOf(HasSubstr("accuracy 0.8750"), Not(HasSubstr("phase")))));
  v1::Job unreadable;
  EXPECT_THAT(Texts(TensorBoardEvents(unreadable).Begin()).at("spec"), ElementsAre(HasSubstr("can't be read")));
}

TEST_F(TensorBoardTest, PicturesComeWithTheirSize) {
  TakeEpoch(0.5);
  ASSERT_OK_AND_ASSIGN(const tensorboard::Event event, of_.Picture("roc", testing::PngHeader(7, 9)));
  EXPECT_EQ(event.step(), 1);
  EXPECT_EQ(event.wall_time(), 1'800'000'101.5);
  const tensorboard::Summary::Image image = Images({event}).at("roc");
  EXPECT_EQ(image.width(), 7);
  EXPECT_EQ(image.height(), 9);
  EXPECT_EQ(image.colorspace(), 3);
  EXPECT_EQ(image.encoded_image_string(), testing::PngHeader(7, 9));
  for (const std::string& bad :
       {std::string(), std::string("\x89PNG"), std::string(40, 'x'), testing::PngHeader(7, 9).substr(0, 20)}) {
    EXPECT_THAT(of_.Picture("roc", bad), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("roc")));
  }
}

TEST_F(TensorBoardTest, TheSameJobGivesTheSameBytes) {
  const auto bytes = [](const std::vector<tensorboard::Event>& events) {
    std::string all;
    for (const tensorboard::Event& event : events) {
      all += event.SerializeAsString();
    }
    return all;
  };
  // The order of a map's entries differs from one to the next.
  const std::string first = bytes(TensorBoardEvents(Training()).Begin());
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(bytes(TensorBoardEvents(Training()).Begin()), first);
  }
}

TEST_F(TensorBoardTest, WhatAServerSendsWithoutEndEndsHere) {
  for (int i = 0; i < 3000; ++i) {
    v1::JobEvent line = Next(&sequence_);
    line.mutable_log()->set_text("again");
    Take(line);
    TakeProgress(std::to_string(i), 1);
  }
  EXPECT_EQ(events_.size(), 1000U);
  v1::JobEvent end = State(v1::JOB_STATE_FAILED);
  end.mutable_state()->mutable_error()->set_message(std::string(1 << 20, 'x'));
  Take(end);
  EXPECT_LT(events_[1000].ByteSizeLong(), 66'000U);
}

}  // namespace
}  // namespace graft
