#include "client/command_line.h"

#include <cstdint>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/text.h"
#include "core/base/version.h"

namespace graft {

CommandLine::CommandLine(Cli* cli)
    : cli_(cli), app_("Graft: transfer learning as a service. Labelled images in, a served model out.", "graft") {
  app_.fallthrough();
  app_.require_subcommand(0, 1);
  app_.set_version_flag("--version", absl::StrCat("graft ", kVersion));
  app_.add_option("--server", cli_->server, "graftd's HOST:PORT")->envname("GRAFT_SERVER")->capture_default_str();
  OneOf(app_.add_option_function<std::string>(
                "--format", [this](const std::string& format) { cli_->json = format == "json"; },
                "text, or json: one document, or one a line for streams")
            ->default_str("text"),
        {"text", "json"});
  app_.footer(
      "Examples:\n"
      "  graft dataset create pets --from ~/pets --train 120 --validation 40 --test 40 --wait\n"
      "  graft train pets --dataset pets --variant vgg16_features --watch\n"
      "  graft evaluate pets\n"
      "  graft classify pets photo.jpg\n"
      "Exit status: 0; 1 something failed; 2 the command line is wrong; 130 Ctrl-C; 141 nobody reads the output.");
  app_.failure_message([](const CLI::App*, const CLI::Error& error) {
    return absl::StrCat("graft: ", Printable(error.what()), "; --help shows how\n");
  });
}

CLI::App* CommandLine::AddSubcommand(CLI::App* parent, const std::string& name, const std::string& help,
                                     const std::string& footer) {
  CLI::App* sub = parent->add_subcommand(name, help);
  sub->fallthrough();
  sub->footer(footer);
  return sub;
}

CLI::App* CommandLine::AddGroup(const std::string& name, const std::string& help, const std::string& examples) {
  CLI::App* group = AddSubcommand(&app_, name, help, "Examples:\n" + examples);
  group->require_subcommand(0, 1);
  return group;
}

CLI::App* CommandLine::AddRunnable(CLI::App* parent, const std::string& name, const std::string& help,
                                   const std::string& examples, Runnable run) {
  CLI::App* command = AddSubcommand(
      parent, name, help,
      absl::StrCat("Examples:\n", examples, "\nEvery command takes --server HOST:PORT and --format json."));
  command->callback([this, run = std::move(run)] { run_ = run; });
  return command;
}

CLI::Option* CommandLine::Complete(CLI::Option* option, Completer completer) {
  completers_[option] = std::move(completer);
  return option;
}

CLI::Option* CommandLine::OneOf(CLI::Option* option, const std::vector<std::string>& words) {
  option->check(CLI::IsMember(words));
  return Complete(option, [words](const Cli&, const std::string&) { return words; });
}

const Completer* CommandLine::CompleterOf(const CLI::Option* option) const {
  const auto found = completers_.find(option);
  return found == completers_.end() ? nullptr : &found->second;
}

int CommandLine::Run(const std::vector<std::string>& words) {
  try {
    app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError& error) {
    return app_.exit(error, *cli_->out, *cli_->err) == 0 ? kOk : kUsage;
  }
  if (!run_) {
    // A group alone, or nothing: what may follow.
    const CLI::App* level = &app_;
    while (!level->get_subcommands().empty()) {
      level = level->get_subcommands()[0];
    }
    *cli_->err << level->help(level == &app_ ? "" : "graft");
    return kUsage;
  }
  cli_->Connect();
  return run_(*cli_);
}

const CLI::Validator& NotNegative() {
  static const auto* const kValidator = new CLI::Validator(
      [](const std::string& text) {
        uint64_t number = 0;
        return absl::SimpleAtoi(text, &number) ? ""
                                               : absl::StrCat("'", text, "' is not a whole number from 0 to 2^64 - 1");
      },
      "");
  return *kValidator;
}

}  // namespace graft
