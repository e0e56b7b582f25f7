#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands.h"
#include "client/training_options.h"

namespace graft {
namespace {

constexpr char kBash[] = R"sh(# bash completion for graft: source <(graft completion bash)
_graft() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _graft graft
)sh";

constexpr char kZsh[] = R"sh(#compdef graft
# zsh completion for graft: source <(graft completion zsh)
_graft() {
  local -a candidates
  candidates=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=(${candidates:#})
  (( ${#candidates} )) && compadd -a candidates
  _files
}
compdef _graft graft
)sh";

// Names of what the server holds; nothing when it doesn't answer: completion never complains.
std::vector<std::string> Names(const Cli& cli, const std::string& kind) {
  std::vector<std::string> names;
  const auto context = UnaryContext();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  if (kind == "dataset") {
    v1::ListDatasetsResponse response;
    v1::ListDatasetsRequest request;
    request.set_page_size(1000);
    if (cli.datasets->ListDatasets(context.get(), request, &response).ok()) {
      for (const v1::Dataset& dataset : response.datasets()) {
        names.push_back(dataset.name());
      }
    }
  } else if (kind == "variant") {
    v1::ListVariantsResponse response;
    if (cli.models->ListVariants(context.get(), {}, &response).ok()) {
      for (const v1::Variant& variant : response.variants()) {
        names.push_back(variant.name());
      }
    }
  } else if (kind == "model") {
    v1::ListModelsResponse response;
    v1::ListModelsRequest request;
    request.set_page_size(1000);
    if (cli.models->ListModels(context.get(), request, &response).ok()) {
      for (const v1::Model& model : response.models()) {
        names.push_back(model.name());
        names.push_back(absl::StrCat(model.name(), "@", model.version()));
      }
    }
  } else if (kind == "job") {
    v1::ListJobsResponse response;
    if (cli.jobs->ListJobs(context.get(), {}, &response).ok()) {
      for (const v1::Job& job : response.jobs()) {
        names.push_back(job.id());
      }
    }
  }
  return names;
}

}  // namespace

int Completion(const Cli& cli, const std::string& shell) {
  *cli.out << (shell == "zsh" ? kZsh : kBash);
  return kOk;
}

int Complete(const Cli& cli, const std::vector<std::string>& words, const std::vector<std::string>& from_options) {
  std::vector<std::string> candidates = from_options;
  const auto word = [&](size_t back) { return words.size() > back ? words[words.size() - 1 - back] : std::string(); };
  const auto add = [&](const std::vector<std::string>& more) {
    candidates.insert(candidates.end(), more.begin(), more.end());
  };
  const std::string& previous = word(1);
  if (previous == "--dataset") {
    candidates = Names(cli, "dataset");
  } else if (previous == "--variant") {
    candidates = Names(cli, "variant");
  } else if (previous == "--model") {
    candidates = Names(cli, "model");
  } else if (previous == "--set") {
    candidates.clear();
    for (const std::string& key : TrainingOptionKeys()) {
      candidates.push_back(key + "=");
    }
  } else if ((previous == "show" || previous == "delete" || previous == "features") && word(2) == "dataset") {
    add(Names(cli, "dataset"));
  } else if ((previous == "show" || previous == "delete" || previous == "download") && word(2) == "model") {
    add(Names(cli, "model"));
  } else if (previous == "show" && word(2) == "variant") {
    add(Names(cli, "variant"));
  } else if ((previous == "show" || previous == "watch" || previous == "cancel") && word(2) == "job") {
    add(Names(cli, "job"));
  } else if (previous == "classify" || previous == "evaluate" || previous == "train") {
    add(Names(cli, "model"));
  }
  for (const std::string& candidate : candidates) {
    if (absl::StartsWith(candidate, word(0))) {
      *cli.out << candidate << "\n";
    }
  }
  return kOk;
}

}  // namespace graft
