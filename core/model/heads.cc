#include "core/model/heads.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace graft {

absl::Span<const HeadInfo> Heads() {
  static constexpr HeadInfo kHeads[] = {
      // Layers trained by gradient descent: dense ones on features, or a whole network on images.
      {"dense", [](const HeadPlan& plan) { return DescribeLayers(plan.layers, plan.input); }},
  };
  return kHeads;
}

absl::StatusOr<const HeadInfo*> FindHead(absl::string_view kind) {
  for (const HeadInfo& head : Heads()) {
    if (head.kind == kind) {
      return &head;
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "head: there is no '", kind, "'; use one of ",
      absl::StrJoin(Heads(), ", ", [](std::string* out, const HeadInfo& head) { absl::StrAppend(out, head.kind); })));
}

}  // namespace graft
