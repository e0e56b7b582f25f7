// graft job curves and graft job tensorboard against a small server that answers by script.
#include <thread>

#include "tests/client/event_records.h"
#include "tests/client/fake_server.h"

namespace graft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Images;
using ::testing::Not;
using testing::ReadEventFile;
using testing::Scalars;
using testing::Texts;

class JobPicturesTest : public testing::CliTest {
 protected:
  JobPicturesTest() { server_.trains = true; }

  int Curves(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"job", "curves", "job-1", "--out", curves_};
    words.insert(words.end(), more.begin(), more.end());
    return Run(words);
  }
  int TensorBoard(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"job", "tensorboard", "job-1", "--out", (dir_ / "runs").string()};
    words.insert(words.end(), more.begin(), more.end());
    return Run(words);
  }
  // What a person who reads tags finds.
  std::vector<std::string> Tags() const {
    std::vector<std::string> tags;
    for (const tensorboard::Event& event : ReadEventFile(events_)) {
      for (const auto& value : event.summary().value()) {
        if (std::find(tags.begin(), tags.end(), value.tag()) == tags.end()) {
          tags.push_back(value.tag());
        }
      }
    }
    return tags;
  }

  const std::string curves_ = (dir_ / "curves.png").string();
  const std::filesystem::path events_ = dir_ / "runs/job-1/events.out.tfevents.graft";
};

TEST_F(JobPicturesTest, CurvesAreWrittenAsTheyAreNow) {
  EXPECT_EQ(Curves(), 0);
  EXPECT_EQ(out_.str(), curves_ + "\n");
  EXPECT_EQ(testing::ReadText(curves_), "curves to 2");
  EXPECT_EQ(Curves({"--format", "json"}), 0);
  EXPECT_EQ(JsonLines().at(0).at("files").at(0), curves_);
  EXPECT_EQ(Run({"job", "curves", "job-1"}), 2);
  EXPECT_EQ(Run({"job", "curves", "job-1", "--out", (dir_ / "no/p.png").string()}), 1);
  server_.curve_epochs = {0};
  EXPECT_EQ(Curves(), 1);
  EXPECT_EQ(err_.str(), "graft: no epoch of job-1 has ended\n");
  EXPECT_EQ(testing::ReadText(curves_), "curves to 2");
  EXPECT_TRUE(server_.watches.empty());
}

TEST_F(JobPicturesTest, CurvesThatAreFollowedAreDrawnAfterEachEpoch) {
  server_.curve_epochs = {0, 1, 2};
  server_.premature_ends = 1;  // when it is asked whether it may be drawn later
  EXPECT_EQ(Curves({"--follow"}), 0);
  EXPECT_EQ(server_.curves, 3U);
  EXPECT_EQ(testing::ReadText(curves_), "curves to 2");
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("epoch 1"), HasSubstr("job-1 has succeeded\n" + curves_ + "\n")));
}

TEST_F(JobPicturesTest, AnEpochThatIsDrawnAlreadyIsNotDrawnAgain) {
  EXPECT_EQ(Curves({"--follow", "--format", "json"}), 0);
  EXPECT_EQ(server_.curves, 1U);
  ASSERT_EQ(JsonLines().size(), 1U);
  EXPECT_EQ(JsonLines()[0]["files"][0], curves_);
}

TEST_F(JobPicturesTest, WhatCannotBeDrawnEverIsNotFollowed) {
  server_.curve_epochs = {0};
  EXPECT_EQ(Curves({"--follow"}), 1);  // it has ended
  server_.trains = false;
  server_.premature_ends = 1;
  EXPECT_EQ(Curves({"--follow"}), 1);  // it runs and is no training
  EXPECT_EQ(err_.str(), "graft: no epoch of job-1 has ended\n");
  EXPECT_TRUE(server_.watches.empty());
}

TEST_F(JobPicturesTest, CurvesThatCannotBeWrittenEndTheWatch) {
  server_.curve_epochs = {0, 1, 2};
  server_.premature_ends = 1;
  EXPECT_EQ(Run({"job", "curves", "job-1", "--follow", "--out", (dir_ / "no/p.png").string()}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("no/p.png"));
  EXPECT_EQ(server_.watches.size(), 1U);
}

TEST_F(JobPicturesTest, TensorBoardGetsAllThatThereIs) {
  server_.report = {{"report.html", "<!doctype html>"},
                    {"evaluations/pets-test/roc.png", testing::PngHeader(3, 4)},
                    {"model.json", "{}"},
                    {"learning_curves.png", testing::PngHeader(5, 6)}};
  server_.breaks = false;
  EXPECT_EQ(TensorBoard(), 0);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr(events_.string() + "\n"), HasSubstr("tensorboard --logdir"), Not(HasSubstr("--follow"))));
  const std::vector<tensorboard::Event> events = ReadEventFile(events_);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(Scalars(events).at("accuracy/validation").size(), 2U);
  EXPECT_THAT(Texts(events).at("spec"), ElementsAre(HasSubstr("train m on pets, job-1")));
  // The model's own before those of its evaluations.
  const std::vector<std::string> tags = Tags();
  EXPECT_THAT(std::vector<std::string>(tags.end() - 2, tags.end()),
              ElementsAre("learning_curves", "evaluations/pets-test/roc"));
  EXPECT_EQ(Images(events).at("learning_curves").width(), 5);
  const std::string bytes = testing::ReadText(events_);
  EXPECT_EQ(TensorBoard({"--follow", "--format", "json"}), 0);
  ASSERT_EQ(JsonLines().size(), 1U);
  EXPECT_EQ(JsonLines()[0]["files"][0], events_.string());
  EXPECT_EQ(testing::ReadText(events_), bytes);
}

TEST_F(JobPicturesTest, OfAJobThatRunsTensorBoardGetsWhatThereIsSoFar) {
  server_.breaks = false;
  server_.premature_ends = 1;
  server_.last_sequence = 3;
  EXPECT_EQ(TensorBoard(), 0);
  EXPECT_THAT(out_.str(), HasSubstr("job-1 is running; with --follow, what comes is added\n"));
  EXPECT_EQ(Scalars(ReadEventFile(events_)).at("loss/training").size(), 1U);
  const std::string bytes = testing::ReadText(events_);
  server_.last_sequence = 5;
  EXPECT_EQ(TensorBoard(), 0);
  EXPECT_EQ(Scalars(ReadEventFile(events_)).at("loss/training").size(), 2U);
  EXPECT_EQ(testing::ReadText(events_).substr(0, bytes.size()), bytes);
}

TEST_F(JobPicturesTest, AFileThatIsFollowedIsWholeAfterAWatchThatBreaks) {
  EXPECT_EQ(TensorBoard({"--follow"}), 0);
  EXPECT_THAT(server_.watches, ElementsAre(0, 3));
  EXPECT_EQ(Scalars(ReadEventFile(events_)).at("loss/training").size(), 2U);
  EXPECT_THAT(Texts(ReadEventFile(events_)).at("state").back(), HasSubstr("succeeded"));
  EXPECT_THAT(out_.str(), HasSubstr("epoch 2"));
}

TEST_F(JobPicturesTest, CtrlCLeavesTheFileAsFarAsItIs) {
  server_.hang = true;  // after the first event
  server_.interrupts = false;
  server_.last_sequence = 1;
  std::thread keyboard([this] {
    while (!std::filesystem::exists(events_)) {
      std::this_thread::yield();
    }
    kill(getpid(), SIGINT);
  });
  EXPECT_EQ(TensorBoard({"--follow"}), 130);
  keyboard.join();
  server_.client_left.Notify();
  EXPECT_THAT(Texts(ReadEventFile(events_)).at("state"), ElementsAre("running"));
  EXPECT_THAT(out_.str(), Not(HasSubstr(events_.string())));
}

TEST_F(JobPicturesTest, AFailedJobIsWrittenWholeAndFails) {
  server_.end_state = v1::JOB_STATE_FAILED;
  EXPECT_EQ(TensorBoard({"--follow"}), 1);
  EXPECT_THAT(Texts(ReadEventFile(events_)).at("state").back(), HasSubstr("disk full"));
  EXPECT_THAT(out_.str(), HasSubstr(events_.string()));
  server_.breaks = false;
  EXPECT_EQ(TensorBoard(), 0);  // it was written, which is all that was asked
}

TEST_F(JobPicturesTest, PicturesThatAreGoneLeaveTheRest) {
  server_.breaks = false;
  server_.report = {{"broken.png", "no picture"}, {"learning_curves.png", testing::PngHeader(5, 6)}};
  EXPECT_EQ(TensorBoard(), 0);
  EXPECT_THAT(err_.str(), HasSubstr("warning: pictures are missing: the picture broken is no PNG"));
  EXPECT_EQ(Images(ReadEventFile(events_)).size(), 1U);
  server_.report_end = {grpc::StatusCode::NOT_FOUND, "there is no m@3"};
  EXPECT_EQ(TensorBoard(), 0);
  EXPECT_THAT(err_.str(), HasSubstr("warning: pictures are missing: there is no m@3"));
  EXPECT_EQ(Images(ReadEventFile(events_)).size(), 0U);
  EXPECT_EQ(Scalars(ReadEventFile(events_)).at("loss/training").size(), 2U);
}

TEST_F(JobPicturesTest, AJobsIdThatLeadsElsewhereIsRefused) {
  for (const char* id : {"../job-1", ".", "a/b", ""}) {
    EXPECT_EQ(Run({"job", "tensorboard", id, "--out", (dir_ / "runs").string()}), 1) << id;
    EXPECT_THAT(err_.str(), HasSubstr("a job's id that is none"));
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "runs"));
}

TEST_F(JobPicturesTest, AServerThatSendsTooFewEventsIsAnError) {
  server_.breaks = false;
  server_.last_sequence = 9;
  EXPECT_EQ(TensorBoard(), 1);
  EXPECT_THAT(err_.str(), HasSubstr("up to 5 of 9"));
  EXPECT_FALSE(std::filesystem::exists(events_));
}

}  // namespace
}  // namespace graft
