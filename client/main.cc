// graft: Graft's command line.
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "client/cli.h"

int main(int argc, char** argv) {
  return graft::RunCli(std::vector<std::string>(argv + 1, argv + argc), &std::cout, &std::cerr,
                       isatty(STDOUT_FILENO) != 0, isatty(STDERR_FILENO) != 0);
}
