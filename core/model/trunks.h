// The one table of pretrained trunks, and where their weights lie. How a trunk computes is in core/trunks.
#ifndef GRAFT_CORE_MODEL_TRUNKS_H_
#define GRAFT_CORE_MODEL_TRUNKS_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model/layers.h"
#include "core/model/options.h"

namespace graft {

// A stage of a trunk: what is unfrozen, and tapped, as a whole.
struct TrunkBlock {
  std::string name;
  std::vector<LayerSpec> layers;  // frozen; named in files as the weights' publisher does
};

struct TrunkInfo {
  absl::string_view name;          // also its weights' file: NAME.safetensors
  absl::string_view architecture;  // who computes it: a row of the table in core/trunks/trunk.cc
  Preprocessing preprocessing;     // what its weights were trained with
  std::vector<TrunkBlock> blocks;  // in the order in which they run
  int64_t parameters;
  int64_t stride;  // pixels of input per place of its last map; the least side of an input
  int image_size;  // pixels of a side that suit its weights
  // For people.
  absl::string_view title;
  absl::string_view paper;
  absl::string_view licence;  // of the weights
  absl::string_view source;   // who trained them
  // Of one that was imported: the trunk whose architecture it has, and the file of its weights.
  const TrunkInfo* like = nullptr;
  std::filesystem::path file = {};

  // Those of all blocks.
  std::vector<LayerSpec> layers() const;
};

// Graft's own, and then those that were imported, in the order in which they came.
std::vector<std::reference_wrapper<const TrunkInfo>> Trunks();
// The one that is meant when nobody names any.
const TrunkInfo& DefaultTrunk();
// NOT_FOUND; the message lists the trunks that there are.
absl::StatusOr<const TrunkInfo*> FindTrunk(absl::string_view name);
// "vgg16, resnet50", for messages.
std::string TrunkNames();

// Weights of the user's own, of an architecture that Graft computes.
struct ImportedTrunk {
  std::string name;
  std::string like;                                    // one of Graft's own trunks
  Preprocessing preprocessing = Preprocessing::kAuto;  // kAuto: that one's
  std::string source;                                  // what people call the file that they came in
  std::filesystem::path file;
};

// Makes it one of Trunks(), and its three variants some of Variants(), for as long as the process runs. ALREADY_EXISTS;
// NOT_FOUND: what it is like. Thread-safe, as all here is.
absl::StatusOr<const TrunkInfo*> AddTrunk(const ImportedTrunk& imported);

// What a trunk makes of an image, or its first `blocks` do: height, width, channels.
Shape FeatureShape(const TrunkInfo& trunk, int image_size);
Shape FeatureShape(const TrunkInfo& trunk, int image_size, int blocks);

// Multiplications, each with its addition, for one image.
int64_t MultiplyAdds(const TrunkInfo& trunk, int image_size);

// What `auto` stands for; `trunk` may be null.
Preprocessing ResolvePreprocessing(Preprocessing preprocessing, const TrunkInfo* trunk);

// The file that holds a trunk's weights.
std::filesystem::path TrunkFile(const std::filesystem::path& weights_dir, absl::string_view name);
// Whether that file is there; FAILED_PRECONDITION that says how to get it. Who loads it finds out whether it is whole.
absl::Status CheckTrunkWeights(const std::filesystem::path& weights_dir, absl::string_view name);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_TRUNKS_H_
