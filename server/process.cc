#include "server/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace graft {

void PrepareProcess() {
  signal(SIGPIPE, SIG_IGN);
  umask(S_IRWXG | S_IRWXO);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

}  // namespace graft
