// The command line: its commands, options and help.
#ifndef GRAFT_CLIENT_CLI_H_
#define GRAFT_CLIENT_CLI_H_

#include <ostream>
#include <string>
#include <vector>

namespace graft {

// Runs `words` (without the program's name). Returns the exit status: 0, 1 failed, 2 usage, 130 interrupted, 141 `out`
// takes no more, about which nothing is said: what still had to be printed is left out, what was begun is not undone.
// `out_fd`: what `out` writes to, so that a command that waits notices when nobody reads; -1: it doesn't.
int RunCli(const std::vector<std::string>& words, std::ostream* out, std::ostream* err, bool out_is_terminal,
           bool err_is_terminal, int out_fd = -1);

}  // namespace graft

#endif  // GRAFT_CLIENT_CLI_H_
