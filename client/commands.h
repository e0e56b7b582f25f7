// graft's commands. Each of these adds a group, or a few commands, to the command line; what they do is in
// commands_*.cc.
#ifndef GRAFT_CLIENT_COMMANDS_H_
#define GRAFT_CLIENT_COMMANDS_H_

#include "client/command_line.h"

namespace graft {

void AddServerCommands(CommandLine& line);      // status
void AddDatasetCommands(CommandLine& line);     // dataset ...
void AddVariantCommands(CommandLine& line);     // variant ...
void AddTrunkCommands(CommandLine& line);       // trunk ...
void AddRecommendCommand(CommandLine& line);    // recommend
void AddTrainingCommands(CommandLine& line);    // train, evaluate
void AddCompareCommand(CommandLine& line);      // compare
void AddJobCommands(CommandLine& line);         // job ...
void AddModelCommands(CommandLine& line);       // model ...
void AddPredictionCommands(CommandLine& line);  // classify, features
void AddExplainCommand(CommandLine& line);      // explain
void AddCompletionCommand(CommandLine& line);   // completion

// job curves, job tensorboard; called by AddJobCommands.
void AddJobPictureCommands(CommandLine& line, CLI::App* group);

}  // namespace graft

#endif  // GRAFT_CLIENT_COMMANDS_H_
