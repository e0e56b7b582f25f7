// The one table of heads: what is trained, on the features of a trunk or on images themselves. How a head is fitted and
// predicts is in core/heads.
#ifndef GRAFT_CORE_MODEL_HEADS_H_
#define GRAFT_CORE_MODEL_HEADS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/model/layers.h"
#include "core/model/options.h"

namespace graft {

// Everything that a model's head is made from.
struct HeadPlan {
  absl::string_view kind;  // a row of Heads()
  Shape input;             // of one image: of itself, or of its features once they are treated
  int64_t classes = 0;
  std::vector<LayerSpec> layers;  // of a head that is a network
  TrainingOptions options;
};

// Two classes: one output, the probability or score of the second. More: one each.
inline int64_t OutputUnits(int64_t classes) { return classes == 2 ? 1 : classes; }

struct HeadInfo {
  absl::string_view kind;
  // The table of its layers, or of what it has instead. INVALID_ARGUMENT when the plan can't be carried out.
  absl::StatusOr<std::vector<LayerInfo>> (*describe)(const HeadPlan& plan);
};

absl::Span<const HeadInfo> Heads();
// NOT_FOUND; the message lists the heads that there are.
absl::StatusOr<const HeadInfo*> FindHead(absl::string_view kind);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_HEADS_H_
