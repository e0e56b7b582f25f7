// Following a job over a connection that may break.
#include "client/watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "client/output.h"
#include "tests/client/fake_server.h"

namespace graft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using WatchTest = testing::CliTest;

// Takes so many bytes, then none.
class NarrowBuffer : public std::streambuf {
 public:
  explicit NarrowBuffer(size_t room) : room_(room) {}
  const std::string& text() const { return text_; }

 protected:
  int_type overflow(int_type character) override {
    if (text_.size() == room_) {
      return traits_type::eof();
    }
    text_ += traits_type::to_char_type(character);
    return character;
  }

 private:
  const size_t room_;
  std::string text_;
};

TEST_F(WatchTest, AWatchThatBreaksGoesOnWithoutAGapOrARepeat) {
  EXPECT_EQ(Run({"job", "watch", "job-1", "--format", "json"}), 0);
  std::vector<std::string> sequences;
  for (const nlohmann::json& line : JsonLines()) {
    sequences.push_back(line["sequence"]);
  }
  EXPECT_THAT(sequences, ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_THAT(server_.watches, ElementsAre(0, 3));
  EXPECT_THAT(err_.str(), HasSubstr("lost the server"));
}

TEST_F(WatchTest, EventsThatComeAgainAreShownOnce) {
  server_.repeated = 2;
  EXPECT_EQ(Run({"job", "watch", "job-1", "--format", "json"}), 0);
  EXPECT_EQ(JsonLines().size(), 5U);
}

TEST_F(WatchTest, AWatchOfWhatHasEndedTellsHowItEnded) {
  server_.breaks = false;
  EXPECT_EQ(Run({"job", "watch", "job-1", "--after", "5"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("job-1 has succeeded"));
  server_.end_state = v1::JOB_STATE_CANCELLED;
  EXPECT_EQ(Run({"job", "watch", "job-1", "--after", "5"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("graft: job-1 was cancelled"));
}

TEST_F(WatchTest, CtrlCLeavesTheJobRunning) {
  server_.hang = true;
  EXPECT_EQ(Run({"job", "watch", "job-1"}), 130);
  server_.client_left.Notify();
  EXPECT_THAT(err_.str(), HasSubstr("come back with: graft job watch job-1"));
}

TEST_F(WatchTest, AWaitingCommandPrintsOneDocument) {
  EXPECT_EQ(Run({"evaluate", "m", "--format", "json"}), 0);
  const std::vector<nlohmann::json> lines = JsonLines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["report"]["accuracy"], 0.875);
  server_.end_state = v1::JOB_STATE_FAILED;
  EXPECT_EQ(Run({"evaluate", "m", "--format", "json"}), 1);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), HasSubstr("graft: job-1 has failed: disk full"));
}

TEST_F(WatchTest, AStreamThatEndsBeforeItsJobIsTakenUpAgain) {
  server_.breaks = false;
  server_.premature_ends = 1;
  EXPECT_EQ(Run({"job", "watch", "job-1", "--format", "json"}), 0);
  EXPECT_THAT(server_.watches, ElementsAre(0, 4));
  EXPECT_EQ(JsonLines().size(), 5U);
}

TEST_F(WatchTest, NobodyReadingEndsItQuietlyAndTheJobGoesOn) {
  server_.hang = true;  // after the first event; without the signal, for only a watch that reads would end by it
  server_.interrupts = false;
  for (const char* format : {"text", "json"}) {
    NarrowBuffer buffer(3);
    std::ostream out(&buffer);
    err_.str("");
    EXPECT_EQ(
        RunCli({"--server", server_.address(), "job", "watch", "job-1", "--format", format}, &out, &err_, false, false),
        141);
    EXPECT_EQ(err_.str(), "");
    EXPECT_EQ(buffer.text().size(), 3U);
  }
  server_.client_left.Notify();
}

TEST_F(WatchTest, AReaderThatLeavesWhileNothingHappensEndsIt) {
  signal(SIGPIPE, SIG_IGN);
  server_.hang = true;
  server_.interrupts = false;
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  FdBuffer buffer(ends[1]);
  std::ostream out(&buffer);
  int status = 0;
  std::thread watch([&] {
    status = RunCli({"--server", server_.address(), "job", "watch", "job-1"}, &out, &err_, false, false, ends[1]);
  });
  char byte = 0;
  while (byte != '\n') {  // the only line that there is
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
  }
  close(ends[0]);
  watch.join();
  server_.client_left.Notify();
  close(ends[1]);
  EXPECT_EQ(status, 141);
  EXPECT_EQ(err_.str(), "");
}

}  // namespace
}  // namespace graft
