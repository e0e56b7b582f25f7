// What a person sees of a job, from scripted events.
#include "client/watch_view.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace graft {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

v1::JobEvent Event(int64_t seconds) {
  v1::JobEvent event;
  event.set_job_id("job-1");
  event.set_attempt(1);
  event.mutable_time()->set_seconds(1'800'000'000 + seconds);
  return event;
}

v1::JobEvent State(int64_t seconds, v1::JobState state, int attempt = 1) {
  v1::JobEvent event = Event(seconds);
  event.set_attempt(attempt);
  event.mutable_state()->set_state(state);
  return event;
}

v1::JobEvent Copy(int64_t seconds, int64_t done) {
  v1::JobEvent event = Event(seconds);
  event.mutable_progress()->set_phase("copy");
  event.mutable_progress()->set_unit("files");
  event.mutable_progress()->set_done(done);
  event.mutable_progress()->set_total(2000);
  return event;
}

v1::JobEvent Training(int64_t seconds, int epoch, int64_t done, double loss) {
  v1::JobEvent event = Event(seconds);
  v1::Progress* progress = event.mutable_progress();
  progress->set_phase("train");
  progress->set_unit("steps");
  progress->set_epoch(epoch);
  progress->set_epochs(30);
  progress->set_done(done);
  progress->set_total(100);
  progress->set_images_per_second(123.4);
  progress->set_eta_seconds(61);
  progress->add_steps()->set_loss(9);
  progress->add_steps()->set_loss(loss);
  progress->mutable_steps(1)->set_accuracy(0.5);
  return event;
}

v1::JobEvent Epoch(int64_t seconds, int number) {
  v1::JobEvent event = Event(seconds);
  v1::EpochMetrics* epoch = event.mutable_epoch();
  epoch->set_epoch(number);
  epoch->set_loss(0.1234);
  epoch->set_accuracy(0.9512);
  epoch->set_validation_loss(0.25);
  epoch->set_validation_accuracy(0.75);
  epoch->set_seconds(1.2);
  return event;
}

class WatchViewTest : public ::testing::Test {
 protected:
  std::string Take() {
    const std::string text = out_.str();
    out_.str("");
    return text;
  }
  std::ostringstream out_;
};

TEST_F(WatchViewTest, APipeGetsEachPhasesStartAndEndAndProgressEveryFiveSeconds) {
  WatchView view(&out_, false);
  view.Show(State(0, v1::JOB_STATE_QUEUED));
  view.ShowQueuePosition("job-1", 2);
  view.ShowQueuePosition("job-1", 2);
  view.ShowQueuePosition("job-1", 1);
  view.Show(State(1, v1::JOB_STATE_RUNNING));
  EXPECT_EQ(Take(), "job-1 is queued\njob-1 is number 2 in line\njob-1 is number 1 in line\njob-1 is running\n");
  for (int64_t i = 0; i <= 12; ++i) {
    view.Show(Copy(2 + i, i * 100));
  }
  view.Show(Copy(15, 2000));
  EXPECT_EQ(Take(),
            "copy: started, 2,000 files\n"
            "copy  25%  500/2,000 files\n"
            "copy  50%  1,000/2,000 files\n"
            "copy: done, 2,000 files, 13s\n");
  view.Show(Training(20, 1, 1, 0.5));
  view.Show(Training(21, 1, 100, 0.4));
  view.Show(Epoch(22, 1));
  view.Show(Training(26, 2, 50, 0.3));
  view.Show(Training(27, 2, 60, 0.25));
  view.Show(Epoch(28, 2));
  view.Show(State(30, v1::JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Take(),
            "train: started, 30 epochs of 100 steps\n"
            "epoch  1/30  loss 0.1234  accuracy 0.9512  val_loss 0.2500  val_accuracy 0.7500  1.2s\n"
            "train  epoch 2/30  60%  60/100 steps  loss 0.2500  accuracy 0.5000  123 images/s  ETA 1m 01s\n"
            "epoch  2/30  loss 0.1234  accuracy 0.9512  val_loss 0.2500  val_accuracy 0.7500  1.2s\n"
            "train: done, 10s\n"
            "job-1 has succeeded\n");
}

TEST_F(WatchViewTest, ATerminalHasOneLiveLineThatNeverWraps) {
  WatchView view(&out_, true, 100);
  view.Show(Training(1, 3, 45, 0.1234));
  EXPECT_EQ(Take(),
            "\r\x1b[Ktrain  epoch 3/30  [########.........]  45%  loss 0.1234  accuracy 0.5000  123 images/s"
            "  ETA 1m 01s");
  view.Show(Epoch(2, 3));
  EXPECT_EQ(Take(), "\r\x1b[Kepoch  3/30  loss 0.1234  accuracy 0.9512  val_loss 0.2500  val_accuracy 0.7500  1.2s\n");
  view.Clear();
  EXPECT_EQ(Take(), "");  // nothing live
  view.ShowQueuePosition("job-1", 3);
  view.Clear();
  EXPECT_EQ(Take(), "\r\x1b[Kjob-1 is queued, number 3 in line\r\x1b[K");

  WatchView narrow(&out_, true, 40);
  narrow.Show(Training(1, 3, 45, 0.1234));
  EXPECT_EQ(Take(), "\r\x1b[Ktrain  epoch 3/30  45%  loss 0.1234  ac");
}

TEST_F(WatchViewTest, AJobThatStartsAgainSaysSoAndNothingIsCalledDone) {
  WatchView view(&out_, false);
  view.Show(Copy(1, 100));
  view.Show(State(2, v1::JOB_STATE_QUEUED, 2));
  view.Show(State(3, v1::JOB_STATE_RUNNING, 2));
  view.Show(Copy(4, 100));
  view.Show(State(5, v1::JOB_STATE_FAILED, 2));
  EXPECT_EQ(Take(),
            "copy: started, 2,000 files\njob-1 is queued\njob-1 is running again, attempt 2\n"
            "copy: started, 2,000 files\njob-1 has failed\n");
}

TEST_F(WatchViewTest, APausedJobSaysHowItGoesOn) {
  WatchView view(&out_, false, 100);
  view.Show(State(1, v1::JOB_STATE_PAUSED));
  EXPECT_EQ(Take(), "job-1 is paused until: graft job resume job-1\n");
}

TEST_F(WatchViewTest, TextFromTheServerCannotSteerTheTerminal) {
  WatchView view(&out_, true);
  v1::JobEvent warning = Event(1);
  warning.mutable_log()->set_text("skipped \x1b[2J.jpg");
  warning.mutable_log()->set_warning(true);
  view.Show(warning);
  EXPECT_EQ(Take(), "warning: skipped \\x1b[2J.jpg\n");
  v1::JobEvent progress = Copy(1, 5);
  progress.mutable_progress()->set_phase("\x1b]0;x\x07");
  view.Show(progress);
  EXPECT_THAT(Take(), AllOf(HasSubstr("\\x1b]0;x\\x07"), Not(HasSubstr("\x07"))));
}

TEST_F(WatchViewTest, AWatchThatStartsLateDoesNotKnowHowManyEpochs) {
  WatchView view(&out_, false);
  view.Show(Epoch(1, 7));
  EXPECT_THAT(Take(), HasSubstr("epoch 7  loss"));
}

TEST_F(WatchViewTest, AStateThatIsNewToItIsShown) {
  WatchView view(&out_, false);
  view.Show(State(1, static_cast<v1::JobState>(77)));
  EXPECT_EQ(Take(), "job-1 is 77\n");
}

}  // namespace
}  // namespace graft
