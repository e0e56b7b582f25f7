#include <algorithm>
#include <chrono>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/training_options.h"

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
      std::string name;
      for (const v1::Model& model : response.models()) {
        if (model.name() != name) {  // they come by name
          name = model.name();
          names.push_back(name);
        }
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

// KEY=, or KEY=VALUE once the key of an enum is there.
std::vector<std::string> TrainingOptionCandidates(const std::string& current) {
  std::vector<std::string> candidates;
  const size_t equals = current.find('=');
  const std::string key = current.substr(0, equals);
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

// What an option takes, where that is one of a few words.
std::vector<std::string> OptionValues(const std::string& option) {
  if (option == "--format") {
    return {"text", "json"};
  }
  if (option == "--label") {
    return ShortNames(*v1::LabelRule_descriptor());
  }
  if (option == "--split") {
    return ShortNames(*v1::Part_descriptor());
  }
  if (option == "--preprocessing") {
    return ShortNames(*v1::Preprocessing_descriptor());
  }
  if (option == "--interpolation") {
    return ShortNames(*v1::Interpolation_descriptor());
  }
  if (option == "--pooling") {
    return ShortNames(*v1::Pooling_descriptor());
  }
  if (option == "--state") {
    return ShortNames(*v1::JobState_descriptor());
  }
  if (option == "--kind") {
    return {"split", "train", "extract_features", "evaluate"};
  }
  if (option == "--trunk") {
    return {"vgg16"};
  }
  return {};
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
  const auto one_of = [](const std::string& text, std::initializer_list<const char*> choices) {
    return std::find(choices.begin(), choices.end(), text) != choices.end();
  };
  const std::string current = word(0);
  const std::string previous = word(1);
  const std::string before = word(2);
  if (previous == "--dataset") {
    candidates = Names(cli, "dataset");
  } else if (previous == "--variant") {
    candidates = Names(cli, "variant");
  } else if (previous == "--model") {
    candidates = Names(cli, "model");
  } else if (previous == "--set") {
    candidates = TrainingOptionCandidates(current);
  } else if (const std::vector<std::string> values = OptionValues(previous); !values.empty()) {
    candidates = values;
  } else if (before == "dataset" && one_of(previous, {"show", "delete", "features"})) {
    add(Names(cli, "dataset"));
  } else if (before == "model" && one_of(previous, {"list", "show", "delete", "download"})) {
    add(Names(cli, "model"));
  } else if (before == "variant" && previous == "show") {
    add(Names(cli, "variant"));
  } else if (before == "job" && one_of(previous, {"show", "watch", "cancel"})) {
    add(Names(cli, "job"));
  } else if (one_of(previous, {"classify", "evaluate", "train"})) {
    add(Names(cli, "model"));
  } else if (previous == "completion") {
    add({"bash", "zsh"});
  }
  for (const std::string& candidate : candidates) {
    // A name with a line feed in it would be two candidates.
    if (absl::StartsWith(candidate, current) && Printable(candidate) == candidate) {
      *cli.out << candidate << "\n";
    }
  }
  return kOk;
}

}  // namespace graft
