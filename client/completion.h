// What may follow at the cursor of a command line that isn't finished.
#ifndef GRAFT_CLIENT_COMPLETION_H_
#define GRAFT_CLIENT_COMPLETION_H_

#include <string>
#include <vector>

#include "client/command_line.h"

namespace graft {

// Completers (CommandLine::Complete) for names that the server holds: none when it doesn't answer within a second.
std::vector<std::string> DatasetNames(const Cli& cli, const std::string& word);
std::vector<std::string> ModelNames(const Cli& cli, const std::string& word);
// Names, or from pets@ on pets's versions.
std::vector<std::string> ModelRefs(const Cli& cli, const std::string& word);
std::vector<std::string> VariantNames(const Cli& cli, const std::string& word);
std::vector<std::string> TrunkNames(const Cli& cli, const std::string& word);
// Labels of any model.
std::vector<std::string> LabelNames(const Cli& cli, const std::string& word);
// After the last comma: layers of any variant that make maps. And `list`.
std::vector<std::string> MapLayerNames(const Cli& cli, const std::string& word);
std::vector<std::string> JobIds(const Cli& cli, const std::string& word);
// KEY=, or KEY=VALUE once the key of an enum is there.
std::vector<std::string> TrainingOptionAssignments(const Cli& cli, const std::string& word);
// The same for options that change images, without their augment_.
std::vector<std::string> AugmentationAssignments(const Cli& cli, const std::string& word);

// Prints what may stand for the last of `words`, one a line. Connects `cli` to the server that the words name.
void PrintCandidates(const CommandLine& line, Cli* cli, const std::vector<std::string>& words);

}  // namespace graft

#endif  // GRAFT_CLIENT_COMPLETION_H_
