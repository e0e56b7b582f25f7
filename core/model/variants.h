// The one table of model variants. A variant is a row here: its layers, what its input is, its defaults and its
// parameter counts. The server's list, the command line's help, the trainer and the tests all read it.
#ifndef GRAFT_CORE_MODEL_VARIANTS_H_
#define GRAFT_CORE_MODEL_VARIANTS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/model/options.h"

namespace graft {

// One layer of a network, as data. Convolutions and dense layers but the output are followed by ReLU.
struct LayerSpec {
  enum class Type { kConv2D, kMaxPooling2D, kFlatten, kDense, kDropout };
  Type type;
  std::string name;
  int64_t size = 0;     // filters or units
  int64_t padding = 0;  // of a 3x3 convolution with stride 1
  double rate = 0;      // dropout
};
absl::string_view LayerTypeName(LayerSpec::Type type);

// A row of the table that Keras prints for a model.
struct LayerInfo {
  std::string name;
  std::string type;
  std::vector<int64_t> output_shape;  // of one image, channels last
  int64_t parameters = 0;
  bool trainable = false;
};

// A pretrained convolutional part.
struct TrunkInfo {
  absl::string_view name;       // also its weights' file: NAME.safetensors
  Preprocessing preprocessing;  // what its weights were trained with
  std::vector<LayerSpec> layers;
  int64_t parameters;
  int64_t stride;  // pixels of input per pixel of output
};

struct Variant {
  absl::string_view name;
  absl::string_view summary;
  // Runs once per image, frozen; its features are the network's input. Null: the image is.
  const TrunkInfo* trunk;
  std::vector<LayerSpec> (*layers)(const TrainingOptions& options, int64_t outputs);
  TrainingOptions defaults;
  // For two classes and the defaults; what the tests hold the network to.
  int64_t parameters;
  int64_t trainable_parameters;
};

absl::Span<const Variant> Variants();
// NOT_FOUND; the message lists the variants that there are.
absl::StatusOr<const Variant*> FindVariant(absl::string_view name);
absl::StatusOr<const TrunkInfo*> FindTrunk(absl::string_view name);

// Two classes: one sigmoid unit, the probability of the second. More: one softmax unit each.
inline int64_t OutputUnits(int64_t classes) { return classes == 2 ? 1 : classes; }

// What `auto` stands for.
Preprocessing ResolvePreprocessing(Preprocessing preprocessing, const TrunkInfo* trunk);

// Height, width, channels of what `layers` make of an input; INVALID_ARGUMENT when nothing is left of it (image_size
// too small).
absl::StatusOr<std::vector<LayerInfo>> DescribeLayers(absl::Span<const LayerSpec> layers, std::array<int64_t, 3> input,
                                                      bool trainable);

// Of one image.
std::array<int64_t, 3> FeatureShape(const TrunkInfo& trunk, int image_size);

// The trained network of a variant, without its trunk. INVALID_ARGUMENT when the options don't fit the variant.
absl::StatusOr<std::vector<LayerInfo>> DescribeVariant(const Variant& variant, const TrainingOptions& options,
                                                       int64_t classes);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_VARIANTS_H_
