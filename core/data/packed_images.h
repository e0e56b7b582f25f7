// A data set's images at the network's size, decoded once and memory-mapped ever after: an epoch decodes no JPEG.
#ifndef GRAFT_CORE_DATA_PACKED_IMAGES_H_
#define GRAFT_CORE_DATA_PACKED_IMAGES_H_

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/progress.h"
#include "core/base/safetensors.h"
#include "core/data/image.h"
#include "core/data/manifest.h"

namespace graft {

// Immutable; any thread may read. The images stand in the manifest's order.
class PackedImages {
 public:
  // Opens <dataset>/cache/images-SIZE-INTERPOLATION.safetensors, or makes it when it isn't there, is damaged or belongs
  // to another manifest or pixel rule. DATA_LOSS when an image is gone or no longer the one that was split.
  static absl::StatusOr<std::shared_ptr<const PackedImages>> OpenOrBuild(const std::filesystem::path& dataset,
                                                                         const Manifest& manifest, int image_size,
                                                                         Interpolation interpolation, int threads,
                                                                         const ProgressFn& progress);

  int64_t size() const { return count_; }
  int image_size() const { return image_size_; }
  // image_size x image_size x 3 bytes, RGB.
  absl::Span<const uint8_t> image(int64_t i) const;

 private:
  PackedImages(Safetensors file, int64_t count, int image_size);

  Safetensors file_;
  absl::Span<const uint8_t> pixels_;
  int64_t count_;
  int image_size_;
};

}  // namespace graft

#endif  // GRAFT_CORE_DATA_PACKED_IMAGES_H_
