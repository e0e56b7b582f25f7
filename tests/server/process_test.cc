#include "server/process.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "gtest/gtest.h"

namespace graft {
namespace {

// Ends the process, with 0 when all is as it should be.
void Check() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max / 2;
  setrlimit(RLIMIT_NOFILE, &files);
  PrepareProcess();
  getrlimit(RLIMIT_NOFILE, &files);
  int ends[2];
  const bool piped = pipe(ends) == 0 && close(ends[0]) == 0;
  const bool survived = piped && write(ends[1], "x", 1) == -1 && errno == EPIPE;
  std::_Exit(survived && files.rlim_cur == files.rlim_max && umask(0) == 0077 ? 0 : 1);
}

// In a process of its own: what it changes is the whole process's.
TEST(ProcessDeathTest, AGoneReaderEndsNobodyAndFilesAreOursOnly) {
  EXPECT_EXIT(Check(), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace graft
