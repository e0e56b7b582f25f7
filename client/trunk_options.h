// --trunk, --preprocessing, --interpolation and --size: how features are extracted.
#ifndef GRAFT_CLIENT_TRUNK_OPTIONS_H_
#define GRAFT_CLIENT_TRUNK_OPTIONS_H_

#include <string>

#include "client/command_line.h"
#include "graft/v1/common.pb.h"

namespace graft {

struct TrunkOptions {
  std::string trunk;
  v1::Preprocessing preprocessing = v1::PREPROCESSING_UNSPECIFIED;
  v1::Interpolation interpolation = v1::INTERPOLATION_UNSPECIFIED;
  int size = 0;
};

// Adds the four to a command. `instead`, when not null, is an option that excludes them.
void AddTrunkOptions(CommandLine& line, CLI::App* command, TrunkOptions* options, CLI::Option* instead = nullptr);

// Into a message that has these fields.
template <typename Message>
void SetTrunk(const TrunkOptions& options, Message* message) {
  message->set_trunk(options.trunk);
  message->set_preprocessing(options.preprocessing);
  message->set_interpolation(options.interpolation);
  message->set_image_size(options.size);
}

}  // namespace graft

#endif  // GRAFT_CLIENT_TRUNK_OPTIONS_H_
