// Output that takes no more: of the buffer, and of the program itself.
#include "client/output.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <ostream>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::testing::HasSubstr;

TEST(FdBufferTest, WritesAllInOrder) {
  const testing::TempDir dir;
  const int fd = open((dir / "out").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  FdBuffer buffer(fd);
  std::ostream out(&buffer);
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    out << i << '\n';
    expected += std::to_string(i) + "\n";
  }
  out << std::flush;
  EXPECT_EQ(testing::ReadText(dir / "out"), expected);
  EXPECT_TRUE(out.good());
  EXPECT_EQ(buffer.error(), 0);
  close(fd);
}

TEST(FdBufferTest, KeepsTheFirstError) {
  const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  FdBuffer buffer(fd);
  std::ostream out(&buffer);
  out << "text";
  EXPECT_TRUE(out.good());  // not tried yet
  out << std::flush;
  EXPECT_TRUE(out.fail());
  EXPECT_EQ(buffer.error(), ENOSPC);
  close(fd);
  out.clear();
  out << std::string(100'000, 'x') << std::flush;
  EXPECT_TRUE(out.fail());
  EXPECT_EQ(buffer.error(), ENOSPC);
}

class ProgramTest : public ::testing::Test {
 protected:
  // Runs graft with its standard output on `fd`; the exit status, or minus the signal that ended it.
  int Run(std::vector<std::string> words, int fd) {
    words.insert(words.begin(), std::string(GRAFT_BINARY_DIR) + "/bin/graft");
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (dir_ / "err").c_str(), O_CREAT | O_WRONLY | O_TRUNC,
                                     0600);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // As a shell starts it, whatever this process ignores.
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string Errors() const { return testing::ReadText(dir_ / "err"); }

  const testing::TempDir dir_;
};

TEST_F(ProgramTest, NobodyReadingIsQuietAndHasAStatusOfItsOwn) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  EXPECT_EQ(Run({"--help"}, ends[1]), 141);
  EXPECT_EQ(Errors(), "");
  EXPECT_EQ(Run({"completion", "bash"}, ends[1]), 141);
  EXPECT_EQ(Errors(), "");
  close(ends[1]);
}

TEST_F(ProgramTest, AFullDiskIsAnErrorWithItsReason) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  EXPECT_EQ(Run({"completion", "bash"}, full), 1);
  EXPECT_THAT(Errors(), HasSubstr("graft: cannot write the output: No space left on device"));
  close(full);
}

}  // namespace
}  // namespace graft
