#include "client/completion.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/call.h"
#include "client/commands.h"
#include "core/base/text.h"

namespace graft {
namespace {

// Both ask `graft __complete WORDS...`, whose last word is the one at the cursor, for candidates, one a line.

// Bash splits words at '=' and '@' too (COMP_WORDBREAKS) and replaces only what comes after: the line is split again at
// spaces, and what bash keeps is cut off the candidates.
constexpr char kBash[] = R"sh(# bash completion for graft: source <(graft completion bash)
_graft() {
  local line="${COMP_LINE:0:COMP_POINT}" word kept candidate
  local -a words
  read -ra words <<< "$line"
  [[ $line == *' ' ]] && words+=('')
  word="${words[-1]}"
  kept="${word%"${word##*[=@:]}"}"
  COMPREPLY=()
  while IFS= read -r candidate; do
    COMPREPLY+=("${candidate#"$kept"}")
  done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -o default -F _graft graft
)sh";

constexpr char kZsh[] = R"sh(#compdef graft
# zsh completion for graft: source <(graft completion zsh)
_graft() {
  local -a candidates assignments
  candidates=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=(${candidates:#})
  if (( ${#candidates} == 0 )); then
    _files
    return
  fi
  assignments=(${(M)candidates:#*=})
  candidates=(${candidates:#*=})
  (( ${#assignments} )) && compadd -S '' -a assignments
  (( ${#candidates} )) && compadd -a candidates
}
compdef _graft graft
)sh";

absl::Time Soon() { return absl::Now() + absl::Seconds(1); }

// Of each element, what `name` says; nothing when the call failed.
template <typename Response, typename Elements, typename Name>
std::vector<std::string> NamesOf(const absl::StatusOr<Response>& response,
                                 const Elements& (Response::*elements)() const, const Name& name) {
  std::vector<std::string> names;
  if (response.ok()) {
    for (const auto& element : ((*response).*elements)()) {
      names.push_back(name(element));
    }
  }
  // Equal ones lie together: the server lists by name.
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

absl::StatusOr<v1::ListModelsResponse> ListModels(const Cli& cli, const std::string& name) {
  v1::ListModelsRequest request;
  request.set_name(name);
  return CallForAllPages(*cli.models, &v1::ModelService::Stub::ListModels, request, Soon());
}

// Where the words of a command line lead.
class Cursor {
 public:
  explicit Cursor(const CLI::App* app) : app_(app) {}

  void Pass(const std::string& word) {
    if (option_ != nullptr) {  // its value
      if (option_->check_lname("server")) {
        server_ = word;
      }
      option_ = nullptr;
    } else if (!options_ended_ && word == "--") {
      options_ended_ = true;
    } else if (!options_ended_ && absl::StartsWith(word, "-")) {
      PassOption(word);
    } else if (const CLI::App* sub = Subcommand(word); sub != nullptr) {
      app_ = sub;
      positionals_ = 0;
    } else {
      ++positionals_;
    }
  }

  // All that may stand for `word`, whatever it begins with.
  std::vector<std::string> Candidates(const CommandLine& line, const std::string& word) const {
    if (option_ != nullptr) {
      return Values(line, option_, word);
    }
    if (!options_ended_ && absl::StartsWith(word, "-")) {
      return OptionCandidates(line, word);
    }
    std::vector<std::string> candidates = Values(line, Positional(), word);
    for (const CLI::App* sub : app_->get_subcommands([](const CLI::App*) { return true; })) {
      candidates.push_back(sub->get_name());
    }
    return candidates;
  }

  // The last --server; empty when there is none.
  const std::string& server() const { return server_; }

 private:
  static std::vector<std::string> Values(const CommandLine& line, const CLI::Option* option, const std::string& word) {
    const Completer* completer = line.CompleterOf(option);
    return completer == nullptr ? std::vector<std::string>() : (*completer)(line.cli(), word);
  }

  // Options of the command and of those around it.
  const CLI::Option* FindOption(const std::string& name) const {
    for (const CLI::App* level = app_; level != nullptr; level = level->get_parent()) {
      if (const CLI::Option* option = level->get_option_no_throw(name); option != nullptr) {
        return option;
      }
    }
    return nullptr;
  }

  void PassOption(const std::string& word) {
    const size_t equals = word.find('=');
    const CLI::Option* option = FindOption(word.substr(0, equals));
    if (option == nullptr || option->get_items_expected_max() == 0) {
      return;
    }
    option_ = option;
    if (equals != std::string::npos) {
      Pass(word.substr(equals + 1));
    }
  }

  // Names of options, or from --split= on its values.
  std::vector<std::string> OptionCandidates(const CommandLine& line, const std::string& word) const {
    std::vector<std::string> candidates;
    if (const size_t equals = word.find('='); equals != std::string::npos) {
      for (const std::string& value : Values(line, FindOption(word.substr(0, equals)), word.substr(equals + 1))) {
        candidates.push_back(absl::StrCat(word.substr(0, equals + 1), value));
      }
      return candidates;
    }
    for (const CLI::App* level = app_; level != nullptr; level = level->get_parent()) {
      for (const CLI::Option* option : level->get_options()) {
        for (const std::string& name : option->get_lnames()) {
          candidates.push_back("--" + name);
        }
      }
    }
    return candidates;
  }

  const CLI::App* Subcommand(const std::string& name) const {
    const std::vector<const CLI::App*> named =
        app_->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == name; });
    return named.empty() ? nullptr : named[0];
  }

  // The positional argument that the cursor is in; null after the last.
  const CLI::Option* Positional() const {
    int passed = 0;
    for (const CLI::Option* option : app_->get_options()) {
      if (option->get_positional()) {
        passed += option->get_items_expected_max();
        if (passed > positionals_) {
          return option;
        }
      }
    }
    return nullptr;
  }

  const CLI::App* app_;
  const CLI::Option* option_ = nullptr;  // whose value comes next
  int positionals_ = 0;                  // passed since the command's name
  bool options_ended_ = false;
  std::string server_;
};

int PrintScript(const Cli& cli, const std::string& shell) {
  *cli.out << (shell == "zsh" ? kZsh : kBash);
  return kOk;
}

}  // namespace

std::vector<std::string> DatasetNames(const Cli& cli, const std::string& /*word*/) {
  return NamesOf(
      CallForAllPages(*cli.datasets, &v1::DatasetService::Stub::ListDatasets, v1::ListDatasetsRequest(), Soon()),
      &v1::ListDatasetsResponse::datasets, [](const v1::Dataset& dataset) { return dataset.name(); });
}

std::vector<std::string> ModelNames(const Cli& cli, const std::string& /*word*/) {
  return NamesOf(ListModels(cli, ""), &v1::ListModelsResponse::models,
                 [](const v1::Model& model) { return model.name(); });
}

std::vector<std::string> ModelRefs(const Cli& cli, const std::string& word) {
  const size_t at = word.find('@');
  if (at == std::string::npos) {
    return ModelNames(cli, word);
  }
  return NamesOf(ListModels(cli, word.substr(0, at)), &v1::ListModelsResponse::models,
                 [](const v1::Model& model) { return absl::StrCat(model.name(), "@", model.version()); });
}

std::vector<std::string> VariantNames(const Cli& cli, const std::string& /*word*/) {
  return NamesOf(Call(*cli.models, &v1::ModelService::Stub::ListVariants, v1::ListVariantsRequest(), Soon()),
                 &v1::ListVariantsResponse::variants, [](const v1::Variant& variant) { return variant.name(); });
}

std::vector<std::string> TrunkNames(const Cli& cli, const std::string& /*word*/) {
  return NamesOf(Call(*cli.models, &v1::ModelService::Stub::ListTrunks, v1::ListTrunksRequest(), Soon()),
                 &v1::ListTrunksResponse::trunks, [](const v1::Trunk& trunk) { return trunk.name(); });
}

std::vector<std::string> LabelNames(const Cli& cli, const std::string& /*word*/) {
  std::vector<std::string> labels;
  if (const absl::StatusOr<v1::ListModelsResponse> response = ListModels(cli, ""); response.ok()) {
    for (const v1::Model& model : response->models()) {
      labels.insert(labels.end(), model.labels().begin(), model.labels().end());
    }
  }
  std::sort(labels.begin(), labels.end());
  labels.erase(std::unique(labels.begin(), labels.end()), labels.end());
  return labels;
}

std::vector<std::string> MapLayerNames(const Cli& cli, const std::string& word) {
  std::vector<std::string> candidates = {"list"};
  const std::string before = word.substr(0, word.rfind(',') + 1);
  if (const absl::StatusOr<v1::ListVariantsResponse> response =
          Call(*cli.models, &v1::ModelService::Stub::ListVariants, v1::ListVariantsRequest(), Soon());
      response.ok()) {
    for (const v1::Variant& variant : response->variants()) {
      for (const v1::Layer& layer : variant.layers()) {
        const std::string candidate = before + layer.name();
        if (layer.output_shape_size() == 3 &&
            std::find(candidates.begin(), candidates.end(), candidate) == candidates.end()) {
          candidates.push_back(candidate);
        }
      }
    }
  }
  return candidates;
}

std::vector<std::string> JobIds(const Cli& cli, const std::string& /*word*/) {
  // The newest page: who looks for an older one knows its number.
  return NamesOf(Call(*cli.jobs, &v1::JobService::Stub::ListJobs, v1::ListJobsRequest(), Soon()),
                 &v1::ListJobsResponse::jobs, [](const v1::Job& job) { return job.id(); });
}

std::vector<std::string> TrainingOptionAssignments(const Cli& /*cli*/, const std::string& word) {
  std::vector<std::string> candidates;
  const size_t equals = word.find('=');
  const std::string key = word.substr(0, equals);
  if (equals == std::string::npos) {
    for (const std::string& name : TrainingOptionKeys()) {
      candidates.push_back(name + "=");
    }
  } else if (const auto* field = v1::TrainingOptions::descriptor()->FindFieldByName(key);
             field != nullptr && field->enum_type() != nullptr) {
    for (const std::string& value : ShortNames(*field->enum_type())) {
      candidates.push_back(absl::StrCat(key, "=", value));
    }
  }
  return candidates;
}

std::vector<std::string> AugmentationAssignments(const Cli& cli, const std::string& word) {
  constexpr absl::string_view kPrefix = "augment_";
  std::vector<std::string> candidates;
  for (const std::string& candidate : TrainingOptionAssignments(cli, absl::StrCat(kPrefix, word))) {
    if (absl::StartsWith(candidate, kPrefix)) {
      candidates.push_back(candidate.substr(kPrefix.size()));
    }
  }
  return candidates;
}

void PrintCandidates(const CommandLine& line, Cli* cli, const std::vector<std::string>& words) {
  Cursor cursor(line.app());
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    cursor.Pass(words[i]);
  }
  if (!cursor.server().empty()) {
    cli->server = cursor.server();
  } else if (const char* server = std::getenv("GRAFT_SERVER"); server != nullptr && *server != '\0') {
    cli->server = server;
  }
  cli->Connect();
  const std::string word = words.empty() ? "" : words.back();
  for (const std::string& candidate : cursor.Candidates(line, word)) {
    // A name with a line feed in it would be two candidates.
    if (absl::StartsWith(candidate, word) && IsCleanText(candidate)) {
      *cli->out << candidate << "\n";
    }
  }
}

void AddCompletionCommand(CommandLine& line) {
  const auto [completion, shell] =
      line.AddCommand(line.app(), "completion", "Print a completion script",
                      "  source <(graft completion bash)\n  source <(graft completion zsh)", PrintScript);
  line.OneOf(completion->add_option("SHELL", *shell, "bash or zsh")->required(), {"bash", "zsh"});
}

}  // namespace graft
