#include "client/trunk_options.h"

#include "client/completion.h"

namespace graft {

void AddTrunkOptions(CommandLine& line, CLI::App* command, TrunkOptions* options, CLI::Option* instead) {
  for (CLI::Option* option :
       {line.Complete(command->add_option("--trunk", options->trunk, "The trunk (graft trunk list)"), TrunkNames),
        line.AddEnumOption(command, "--preprocessing", &options->preprocessing, "How pixels become the trunk's input"),
        line.AddEnumOption(command, "--interpolation", &options->interpolation,
                           "How images are resized; unset: bilinear"),
        command->add_option("--size", options->size,
                            "Pixels a side, 32 to 512; 0: the size that suits the trunk's weights")}) {
    if (instead != nullptr) {
      option->excludes(instead);
    }
  }
}

}  // namespace graft
