// The server's registry of kinds.
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "jobs/evaluate.h"
#include "jobs/extract_features.h"
#include "jobs/find_mistakes.h"
#include "jobs/kind.h"
#include "jobs/recommend.h"
#include "jobs/split.h"
#include "jobs/train.h"

namespace graft {
namespace {

std::string KindNames() {
  return absl::StrJoin(JobKinds(), ", ",
                       [](std::string* out, const JobKind* kind) { absl::StrAppend(out, kind->name()); });
}

}  // namespace

absl::Span<const JobKind* const> JobKinds() {
  static const auto* const kinds = new std::array<const JobKind*, 6>{
      &SplitKind(), &TrainKind(), &ExtractFeaturesKind(), &EvaluateKind(), &FindMistakesKind(), &RecommendKind()};
  return *kinds;
}

absl::StatusOr<const JobKind*> FindJobKind(absl::string_view name) {
  for (const JobKind* kind : JobKinds()) {
    if (kind->name() == name) {
      return kind;
    }
  }
  return absl::NotFoundError(absl::StrCat("kind: '", Printable(name, 100), "' is unknown; use ", KindNames()));
}

absl::StatusOr<const JobKind*> KindOf(const v1::JobSpec& spec) {
  const auto* const oneof = v1::JobSpec::descriptor()->FindOneofByName("kind");
  const auto* const field = spec.GetReflection()->GetOneofFieldDescriptor(spec, oneof);
  if (field == nullptr) {
    return InvalidField("spec", absl::StrCat("not set; give one of ", KindNames()));
  }
  return FindJobKind(field->name());
}

}  // namespace graft
