// The one table of model variants. A variant is a row here: its trunk, its head, its layers, its presets and its
// parameter counts. The server's list, the command line's help, the trainer and the tests all read it.
#ifndef GRAFT_CORE_MODEL_VARIANTS_H_
#define GRAFT_CORE_MODEL_VARIANTS_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
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

// What the unset options of a training are.
enum class Preset {
  kRecommended,  // the best that was measured for its time
  kReference,    // those of the write-up that Graft starts from
};
absl::string_view PresetName(Preset preset);
// INVALID_ARGUMENT that lists them.
absl::StatusOr<Preset> FindPreset(absl::string_view name);

// What becomes of a variant's trunk.
enum class TrunkUse {
  kNone,      // it has none
  kFeatures,  // frozen; runs once per image, and the head is trained on what it made
  kNetwork,   // a part of the network: images may be augmented, and its last blocks trained
};

struct Variant {
  std::string name;
  std::string summary;
  const TrunkInfo* trunk;  // null: the network's input is the image
  TrunkUse trunk_use;
  absl::string_view head;  // a row of Heads(), when options.head is dense
  // What such a network has behind the trunk.
  std::vector<LayerSpec> (*layers)(const TrainingOptions& options, int64_t outputs);
  TrainingOptions reference;
  TrainingOptions recommended;
  // For two classes and the reference's options; what the tests hold the network to. Of kFeatures: without the trunk.
  int64_t parameters;
  int64_t trainable_parameters;

  const TrainingOptions& preset(Preset which) const { return which == Preset::kReference ? reference : recommended; }
};

// Those without a trunk, then the three of each of Trunks(), in their order. Thread-safe.
std::vector<std::reference_wrapper<const Variant>> Variants();
// NOT_FOUND; the message lists the variants that there are.
absl::StatusOr<const Variant*> FindVariant(absl::string_view name);

// The options by which features are treated (treatment.h) before they reach the head. Where the trunk is in the
// network, its layers do that.
TrainingOptions TreatmentOf(const Variant& variant, TrainingOptions options);

// What is trained when nobody says: the best of those whose trunk's weights are there.
const Variant& RecommendedVariant(const std::filesystem::path& weights_dir);

// The options with the preprocessing that `auto` stands for. INVALID_ARGUMENT when an option is out of its range or
// doesn't fit the variant.
absl::StatusOr<TrainingOptions> ResolveOptions(const Variant& variant, const TrainingOptions& options);

// How many of its trunk's blocks, from the image on, are as their weights' publisher made them; the rest belongs to the
// model. 0 without a trunk.
int FrozenBlocks(const Variant& variant, const TrainingOptions& options);

// Whether a training with these options looks at the option of this name at all; empty: it does. Else why not, as the
// end of a sentence: "is only for schedule=step".
std::string WhyUnused(const Variant& variant, const TrainingOptions& options, absl::string_view name);

// What of a variant is trained: all that is behind its trunk's frozen blocks. Errors as ResolveOptions, of which
// `options` come, and as HeadInfo's.
absl::StatusOr<HeadPlan> PlanHead(const Variant& variant, const TrainingOptions& options, int64_t classes);
// The table of what a variant is made of: where the trunk is a part of the network, its frozen layers too; of heads on
// features, what these go through first.
absl::StatusOr<std::vector<LayerInfo>> DescribeVariant(const Variant& variant, const TrainingOptions& options,
                                                       int64_t classes);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_VARIANTS_H_
