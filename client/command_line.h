// The command line as a whole: commands, options and help. Each group of commands adds itself (commands.h).
#ifndef GRAFT_CLIENT_COMMAND_LINE_H_
#define GRAFT_CLIENT_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/connection.h"
#include "client/training_options.h"

namespace graft {

// What may stand at the cursor; `word` is what stands there already. May ask the server; never complains.
using Completer = std::function<std::vector<std::string>(const Cli& cli, const std::string& word)>;

// A command and what its options are read into.
template <typename Arguments>
struct Command {
  CLI::App* app;
  Arguments* arguments;  // the CommandLine owns it
};

// Not thread-safe.
class CommandLine {
 public:
  // --server and --format are read into `cli`, which outlives this.
  explicit CommandLine(Cli* cli);
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  const Cli& cli() const { return *cli_; }
  // What commands that are in no group are added to.
  CLI::App* app() { return &app_; }
  const CLI::App* app() const { return &app_; }

  // A command that only holds others.
  CLI::App* AddGroup(const std::string& name, const std::string& help, const std::string& examples);

  // A command of `parent`. `run` gets the arguments once the command line has been read, and returns the exit status.
  template <typename Arguments>
  Command<Arguments> AddCommand(CLI::App* parent, const std::string& name, const std::string& help,
                                const std::string& examples, int (*run)(const Cli&, const Arguments&)) {
    auto arguments = std::make_shared<Arguments>();
    Arguments* const read_into = arguments.get();
    return {AddRunnable(parent, name, help, examples,
                        [run, arguments = std::move(arguments)](const Cli& cli) { return run(cli, *arguments); }),
            read_into};
  }
  // The same for a command without arguments.
  CLI::App* AddCommand(CLI::App* parent, const std::string& name, const std::string& help, const std::string& examples,
                       int (*run)(const Cli&)) {
    return AddRunnable(parent, name, help, examples, run);
  }

  // Says what completes an option's value; without that, the shell offers files. Returns the option.
  CLI::Option* Complete(CLI::Option* option, Completer completer);
  // The option takes one of these words only.
  CLI::Option* OneOf(CLI::Option* option, const std::vector<std::string>& words);

  // An option that takes a value of a proto enum by its short name: test for PART_TEST.
  template <typename Enum>
  CLI::Option* AddEnumOption(CLI::App* app, const std::string& name, Enum* value, const std::string& help) {
    const google::protobuf::EnumDescriptor& type = *google::protobuf::GetEnumDescriptor<Enum>();
    CLI::Option* option = app->add_option_function<std::string>(
        name,
        [value, &type](const std::string& word) { *value = static_cast<Enum>(EnumByShortName(type, word).value()); },
        help);
    if (*value != Enum()) {
      option->default_str(ShortName(type, *value));
    }
    return OneOf(option, ShortNames(type));
  }

  // Null when nothing but files may follow.
  const Completer* CompleterOf(const CLI::Option* option) const;

  // Reads the words and runs the command that they name. Returns the exit status.
  int Run(const std::vector<std::string>& words);

 private:
  using Runnable = std::function<int(const Cli&)>;
  CLI::App* AddSubcommand(CLI::App* parent, const std::string& name, const std::string& help,
                          const std::string& footer);
  CLI::App* AddRunnable(CLI::App* parent, const std::string& name, const std::string& help, const std::string& examples,
                        Runnable run);

  Cli* const cli_;
  CLI::App app_;
  std::map<const CLI::Option*, Completer> completers_;
  Runnable run_;  // the command that was named
};

// For options of an unsigned type, for which CLI11 takes -1 as the largest number.
const CLI::Validator& NotNegative();

}  // namespace graft

#endif  // GRAFT_CLIENT_COMMAND_LINE_H_
