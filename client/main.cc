// graft: Graft's command line.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "client/cli.h"
#include "client/output.h"

int main(int argc, char** argv) {
  // When nobody reads any more, a write fails and the command ends in order.
  signal(SIGPIPE, SIG_IGN);
  graft::FdBuffer buffer(STDOUT_FILENO);
  std::ostream out(&buffer);
  const int status = graft::RunCli(std::vector<std::string>(argv + 1, argv + argc), &out, &std::cerr,
                                   isatty(STDOUT_FILENO) != 0, isatty(STDERR_FILENO) != 0, STDOUT_FILENO);
  if (buffer.error() != 0 && buffer.error() != EPIPE) {
    std::cerr << "graft: cannot write the output: " << std::generic_category().message(buffer.error()) << "\n";
    return 1;
  }
  return status;
}
