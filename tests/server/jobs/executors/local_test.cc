#include "server/jobs/executors/local.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/testing/files.h"

extern char** environ;

namespace graft {
namespace {

namespace fs = std::filesystem;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Workers are shell scripts.
class LocalExecutorTest : public ::testing::Test {
 protected:
  struct Exit {
    absl::Notification told;
    absl::Status status;
  };

  LocalExecutorTest() {
    launch_.job_id = "job-1";
    launch_.attempt = 2;
    launch_.incarnation = "0f0f";
    launch_.folder = dir_ / "attempt-2";
    fs::create_directories(launch_.folder);
  }

  LocalExecutorOptions Options(absl::string_view script) {
    LocalExecutorOptions options;
    options.program = dir_ / "worker";
    testing::WriteText(options.program, absl::StrCat("#!/bin/sh\n", script, "\n"));
    EXPECT_EQ(chmod(options.program.c_str(), 0700), 0);
    options.server = "unix:/somewhere/worker.sock";
    options.data_dir = "/the/data";
    options.weights_dir = "/the/weights";
    return options;
  }
  Executor::OnExit Tell() {
    return [this](const absl::Status& status) {
      exit_.status = status;
      exit_.told.Notify();
    };
  }
  absl::Status AwaitExit() {
    exit_.told.WaitForNotification();
    return exit_.status;
  }
  std::string Log() const { return testing::ReadText(launch_.folder / "worker.log"); }
  // Until the worker has written a line with this in it.
  void AwaitLine(absl::string_view text) {
    while (!fs::exists(launch_.folder / "worker.log") || !absl::StrContains(Log(), text)) {
      std::this_thread::yield();
    }
  }

  const testing::TempDir dir_;
  WorkerLaunch launch_;
  Exit exit_;
};

TEST_F(LocalExecutorTest, AWorkerGetsItsArgumentsAndItsExitIsTold) {
  LocalExecutor executor(Options("echo \"$@\""));
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  EXPECT_THAT(AwaitExit(), IsOk());
  EXPECT_EQ(Log(),
            "--server unix:/somewhere/worker.sock --job job-1 --attempt 2 --incarnation 0f0f --data-dir /the/data "
            "--weights-dir /the/weights --give-up-seconds 600\n");
}

TEST_F(LocalExecutorTest, AFailureIsToldWithTheLastWords) {
  LocalExecutor executor(Options("echo first; echo the last words; exit 3"));
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  EXPECT_THAT(AwaitExit(),
              StatusIs(absl::StatusCode::kAborted,
                       AllOf(HasSubstr("status 3"), HasSubstr("the last words"), Not(HasSubstr("first")))));
}

TEST_F(LocalExecutorTest, AWorkersProcessorTimeGrowsWhileItComputes) {
  LocalExecutor executor(Options("while true; do :; done"));
  EXPECT_EQ(executor.ProcessorTime("job-1", 2), std::nullopt);
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  const std::optional<absl::Duration> first = executor.ProcessorTime("job-1", 2);
  ASSERT_TRUE(first.has_value());
  while (executor.ProcessorTime("job-1", 2) < *first + absl::Milliseconds(20)) {
    std::this_thread::yield();
  }
  executor.Stop("job-1", 2);
  EXPECT_THAT(AwaitExit(), StatusIs(absl::StatusCode::kAborted, HasSubstr("signal 15")));
  EXPECT_EQ(executor.ProcessorTime("job-1", 2), std::nullopt);
}

TEST_F(LocalExecutorTest, AWorkerThatIsKilledIsToldByItsSignal) {
  LocalExecutor executor(Options("kill -9 $$"));
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  EXPECT_THAT(AwaitExit(), StatusIs(absl::StatusCode::kAborted, AllOf(HasSubstr("signal 9"), HasSubstr("memory"))));
}

// Finding 6: last words were cut inside of a character, which poisoned the store.
TEST_F(LocalExecutorTest, LastWordsAreTextWhateverTheWorkerWrote) {
  // 499 bytes, then a character of two, then bytes that are no text.
  LocalExecutor executor(Options("printf 'x%.0s' $(seq 1 499); printf '\\303\\251 \\377\\033[31m\\n'; exit 1"));
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  const absl::Status cut = AwaitExit();
  EXPECT_TRUE(IsCleanText(cut.message())) << cut;
  EXPECT_THAT(cut, StatusIs(absl::StatusCode::kAborted, HasSubstr("x...")));
}

TEST_F(LocalExecutorTest, HarmfulLastWordsAreEscaped) {
  LocalExecutor executor(Options("printf '\\377\\033[31mred\\n'; exit 1"));
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  EXPECT_THAT(AwaitExit(), StatusIs(absl::StatusCode::kAborted, HasSubstr("\\xff\\x1b[31mred")));
}

TEST_F(LocalExecutorTest, AMissingProgramIsAnError) {
  LocalExecutorOptions options = Options("");
  options.program = dir_ / "nothing";
  LocalExecutor executor(options);
  EXPECT_THAT(executor.Start(launch_, Tell()), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nothing")));
}

TEST_F(LocalExecutorTest, AWorkerThatDoesNotStopIsKilled) {
  LocalExecutorOptions options = Options("trap '' TERM; echo ready; while :; do read x < /dev/zero; done");
  options.grace = absl::ZeroDuration();
  LocalExecutor executor(options);
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  AwaitLine("ready");
  executor.Stop("job-1", 1);  // another attempt
  EXPECT_FALSE(exit_.told.HasBeenNotified());
  executor.Stop("job-1", 2);
  EXPECT_THAT(AwaitExit(), StatusIs(absl::StatusCode::kAborted, HasSubstr("signal 9")));
}

TEST_F(LocalExecutorTest, AnExecutorThatGoesStopsItsWorkers) {
  auto executor = std::make_unique<LocalExecutor>(Options("echo ready; exec sleep 1000"));
  ASSERT_THAT(executor->Start(launch_, Tell()), IsOk());
  AwaitLine("ready");
  executor.reset();
  ASSERT_TRUE(exit_.told.HasBeenNotified());
  EXPECT_THAT(exit_.status, StatusIs(absl::StatusCode::kAborted, HasSubstr("signal 15")));
}

TEST_F(LocalExecutorTest, ALogIsBounded) {
  LocalExecutorOptions options = Options(
      "i=0; while [ $i -lt 400 ]; do printf '%01000d\\n' $i; i=$((i+1)); done; echo ready; read x < "
      "\"$(dirname \"$0\")/go\"; echo end");
  options.max_log_bytes = 100'000;
  ASSERT_EQ(mkfifo((dir_ / "go").c_str(), 0600), 0);
  LocalExecutor executor(options);
  ASSERT_THAT(executor.Start(launch_, Tell()), IsOk());
  AwaitLine("older lines were dropped");
  const int go = open((dir_ / "go").c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(go, 0);
  close(go);
  EXPECT_THAT(AwaitExit(), IsOk());
  EXPECT_LT(fs::file_size(launch_.folder / "worker.log"), 200'000U);
  EXPECT_TRUE(absl::EndsWith(Log(), "end\n"));
}

// A server that was killed leaves its worker to the next one: here, a child that no executor has started.
class AdoptTest : public LocalExecutorTest {
 protected:
  // Starts a worker by an executor that is then forgotten, as after a crash.
  void StartAndCrash(const LocalExecutorOptions& options) {
    crashed_ = std::make_unique<LocalExecutor>(options);
    ASSERT_THAT(crashed_->Start(launch_, [](const absl::Status&) {}), IsOk());
    AwaitLine("ready");
  }
  nlohmann::json Identity() const { return ReadSealedJson(launch_.folder / "worker.json").value(); }

  std::unique_ptr<LocalExecutor> crashed_;  // reaps the child in the end, as init would
};

TEST_F(AdoptTest, ALivingWorkerIsTakenOverAndItsEndIsTold) {
  const LocalExecutorOptions options = Options("echo ready; while :; do sleep 0.01; done");
  StartAndCrash(options);
  LocalExecutor next(options);
  ASSERT_THAT(next.Adopt(launch_, Tell()), IsOk());
  EXPECT_FALSE(exit_.told.HasBeenNotified());
  kill(Identity().at("pid").get<pid_t>(), SIGKILL);
  EXPECT_THAT(AwaitExit(),
              StatusIs(absl::StatusCode::kAborted, AllOf(HasSubstr("ready"), HasSubstr("another server"))));
}

TEST_F(AdoptTest, AnAdoptedWorkerIsStoppedAsAnyOther) {
  const LocalExecutorOptions options = Options("trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done");
  StartAndCrash(options);
  LocalExecutor next(options);
  ASSERT_THAT(next.Adopt(launch_, Tell()), IsOk());
  next.Stop("job-1", 2);
  EXPECT_THAT(AwaitExit(), StatusIs(absl::StatusCode::kAborted, HasSubstr("bye")));
}

TEST_F(AdoptTest, AWorkerThatHasEndedIsNotFound) {
  const LocalExecutorOptions options = Options("echo ready; while :; do sleep 0.01; done");
  StartAndCrash(options);
  LocalExecutor next(options);
  ASSERT_THAT(next.Adopt(launch_, Tell()), IsOk());
  kill(Identity().at("pid").get<pid_t>(), SIGKILL);
  EXPECT_THAT(AwaitExit(), StatusIs(absl::StatusCode::kAborted, _));
  EXPECT_THAT(next.Adopt(launch_, [](const absl::Status&) {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ended")));
  launch_.folder = dir_ / "attempt-3";
  EXPECT_THAT(next.Adopt(launch_, [](const absl::Status&) {}), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(AdoptTest, ANumberThatWasGivenOutAgainIsNotTheWorker) {
  const LocalExecutorOptions options = Options("echo ready; while :; do sleep 0.01; done");
  StartAndCrash(options);
  const nlohmann::json identity = Identity();
  LocalExecutor next(options);
  for (const char* member : {"start_time", "boot", "name"}) {
    nlohmann::json other = identity;
    other[member] = "another";
    ASSERT_THAT(WriteSealedJson(launch_.folder / "worker.json", other), IsOk());
    EXPECT_THAT(next.Adopt(launch_, [](const absl::Status&) {}), StatusIs(absl::StatusCode::kNotFound, _)) << member;
  }
  testing::WriteText(launch_.folder / "worker.json", "{}");
  EXPECT_THAT(next.Adopt(launch_, [](const absl::Status&) {}), StatusIs(absl::StatusCode::kDataLoss, _));
  kill(identity.at("pid").get<pid_t>(), SIGKILL);
}

}  // namespace
}  // namespace graft
