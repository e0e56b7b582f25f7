#include "client/cli.h"

#include "client/commands.h"
#include "client/completion.h"

namespace graft {

int RunCli(const std::vector<std::string>& words, std::ostream* out, std::ostream* err, bool out_is_terminal,
           bool err_is_terminal, int out_fd) {
  Cli cli;
  cli.out = out;
  cli.err = err;
  cli.out_is_terminal = out_is_terminal;
  cli.err_is_terminal = err_is_terminal;
  cli.out_fd = out_fd;
  CommandLine line(&cli);
  // In the order that --help shows.
  for (const auto add : {AddServerCommands, AddDatasetCommands, AddVariantCommands, AddTrunkCommands,
                         AddRecommendCommand, AddTrainingCommands, AddCompareCommand, AddJobCommands, AddModelCommands,
                         AddPredictionCommands, AddExplainCommand, AddCompletionCommand}) {
    add(line);
  }
  int status = kOk;
  if (!words.empty() && words[0] == "__complete") {
    // Before parsing: the words to be completed are no command line yet.
    PrintCandidates(line, &cli, {words.begin() + (words.size() > 1 && words[1] == "--" ? 2 : 1), words.end()});
  } else {
    status = line.Run(words);
  }
  out->flush();
  return *out ? status : kOutputClosed;
}

}  // namespace graft
