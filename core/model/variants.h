// The one table of model variants. A variant is a row here: its trunk, its head, its layers, its defaults and its
// parameter counts. The server's list, the command line's help, the trainer and the tests all read it.
#ifndef GRAFT_CORE_MODEL_VARIANTS_H_
#define GRAFT_CORE_MODEL_VARIANTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/model/heads.h"
#include "core/model/layers.h"
#include "core/model/options.h"
#include "core/model/trunks.h"

namespace graft {

struct Variant {
  absl::string_view name;
  absl::string_view summary;
  // Runs once per image, frozen; its features are the head's input. Null: the image is.
  const TrunkInfo* trunk;
  absl::string_view head;  // a row of Heads(), when options.head is dense
  // Of such a head; else null.
  std::vector<LayerSpec> (*layers)(const TrainingOptions& options, int64_t outputs);
  TrainingOptions defaults;
  // For two classes and the defaults; what the tests hold the head to.
  int64_t parameters;
  int64_t trainable_parameters;
};

absl::Span<const Variant> Variants();
// NOT_FOUND; the message lists the variants that there are.
absl::StatusOr<const Variant*> FindVariant(absl::string_view name);

// The options with the preprocessing that `auto` stands for. INVALID_ARGUMENT when an option is out of its range or
// doesn't fit the variant.
absl::StatusOr<TrainingOptions> ResolveOptions(const Variant& variant, const TrainingOptions& options);

// The head of a variant, without its trunk. Errors as ResolveOptions, of which `options` come, and as HeadInfo's.
absl::StatusOr<HeadPlan> PlanHead(const Variant& variant, const TrainingOptions& options, int64_t classes);
// The table of what that head is made of, behind what its features go through.
absl::StatusOr<std::vector<LayerInfo>> DescribeVariant(const Variant& variant, const TrainingOptions& options,
                                                       int64_t classes);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_VARIANTS_H_
