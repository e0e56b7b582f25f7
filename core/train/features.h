// Features of a data set's images, extracted once per trunk, preprocessing and size, and memory-mapped ever after.
#ifndef GRAFT_CORE_TRAIN_FEATURES_H_
#define GRAFT_CORE_TRAIN_FEATURES_H_

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/progress.h"
#include "core/base/safetensors.h"
#include "core/data/image.h"
#include "core/data/manifest.h"
#include "core/trunks/trunk.h"

namespace graft {

struct FeatureOptions {
  Preprocessing preprocessing = Preprocessing::kAuto;  // must be resolved: see ResolvePreprocessing
  Interpolation interpolation = Interpolation::kNearest;
  int image_size = 150;
  int threads = 1;        // for decoding
  bool mirrored = false;  // of each image's mirror image, left and right
};

// Immutable; any thread may read. Rows stand in the manifest's order.
class Features {
 public:
  // Opens <dataset>/cache/features-TRUNK-PREPROCESSING-SIZE-INTERPOLATION[-mirrored].safetensors, or extracts when it
  // isn't there, is damaged, or belongs to another manifest, pixel rule or weights. INVALID_ARGUMENT: preprocessing is
  // kAuto.
  static absl::StatusOr<std::shared_ptr<const Features>> OpenOrExtract(const std::filesystem::path& dataset,
                                                                       const Manifest& manifest, const Trunk& trunk,
                                                                       const FeatureOptions& options,
                                                                       const ProgressFn& progress);

  int64_t size() const { return count_; }
  int64_t dimension() const { return ElementCount(shape_); }
  // Of one image's: height, width, channels.
  const Shape& shape() const { return shape_; }
  // size() x dimension() floats; each row height x width x channels.
  absl::Span<const float> values() const { return values_; }
  // They were there already.
  bool cached() const { return cached_; }

 private:
  Features(Safetensors file, int64_t count, Shape shape, bool cached);

  Safetensors file_;
  absl::Span<const float> values_;
  int64_t count_;
  Shape shape_;
  bool cached_;
};

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_FEATURES_H_
