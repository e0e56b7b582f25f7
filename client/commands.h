// What each command does; cli.cc gives it its options.
#ifndef GRAFT_CLIENT_COMMANDS_H_
#define GRAFT_CLIENT_COMMANDS_H_

#include <string>
#include <vector>

#include "client/connection.h"

namespace graft {

// pets (the newest version), pets@3, pets@production (an alias). INVALID_ARGUMENT.
absl::StatusOr<v1::ModelRef> ParseModel(const std::string& text);

struct SplitArguments {
  std::string name;
  std::string folder;
  std::string label = "filename";
  std::string train = "0.6";
  std::string validation = "0.2";
  std::string test = "0.2";
  uint64_t seed = 42;
  bool hard_link = false;
  bool wait = false;
};
int DatasetCreate(const Cli& cli, const SplitArguments& arguments);
int DatasetUpload(const Cli& cli, const SplitArguments& arguments);
int DatasetList(const Cli& cli);
int DatasetShow(const Cli& cli, const std::string& name);
int DatasetDelete(const Cli& cli, const std::string& name);

struct FeatureArguments {
  std::string trunk;
  std::string model;
  std::string preprocessing;
  std::string interpolation;
  std::string pooling = "none";
  int size = 0;
  std::string out;
  std::vector<std::string> files;
};
int DatasetFeatures(const Cli& cli, const std::string& name, const FeatureArguments& arguments);

struct TrainArguments {
  std::string model;
  std::string dataset;
  std::string variant;
  std::vector<std::string> set;
  bool watch = false;
  bool validate = false;
};
int Train(const Cli& cli, const TrainArguments& arguments);

struct EvaluateArguments {
  std::string model;
  std::string dataset;
  std::string split = "test";
  bool no_wait = false;
};
int Evaluate(const Cli& cli, const EvaluateArguments& arguments);

int JobList(const Cli& cli, const std::string& state, const std::string& kind, int limit);
int JobShow(const Cli& cli, const std::string& id);
int JobCancel(const Cli& cli, const std::string& id);

int ServerStatus(const Cli& cli);
int VariantList(const Cli& cli);
int VariantShow(const Cli& cli, const std::string& name);
int ModelList(const Cli& cli, const std::string& name);
int ModelShow(const Cli& cli, const std::string& model);
int ModelDelete(const Cli& cli, const std::string& model, bool all);
int ModelDownload(const Cli& cli, const std::string& model, const std::string& out);

int Classify(const Cli& cli, const std::string& model, int top, const std::vector<std::string>& files);
int ExtractFeatures(const Cli& cli, const FeatureArguments& arguments);

// The script for "bash" or "zsh"; it calls `graft __complete WORDS...`.
int Completion(const Cli& cli, const std::string& shell);
// Names that may follow the words, one a line.
int Complete(const Cli& cli, const std::vector<std::string>& words, const std::vector<std::string>& from_options);

}  // namespace graft

#endif  // GRAFT_CLIENT_COMMANDS_H_
