// A pretrained trunk, loaded once and shared by everything that runs it.
#ifndef GRAFT_CORE_TRUNKS_TRUNK_H_
#define GRAFT_CORE_TRUNKS_TRUNK_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/model/variants.h"

namespace graft {

// The file that holds a trunk's weights.
std::filesystem::path TrunkFile(const std::filesystem::path& weights_dir, absl::string_view name);

// FAILED_PRECONDITION that says how to get the weights.
absl::Status MissingWeights(absl::string_view name, const std::filesystem::path& weights_dir);

// Immutable after Load; Extract may be called from any thread, but calls share the cores.
class Trunk {
 public:
  // FAILED_PRECONDITION when the weights aren't there, DATA_LOSS when they are damaged. VGG16: 59 MB of memory.
  static absl::StatusOr<std::shared_ptr<const Trunk>> Load(absl::string_view name,
                                                           const std::filesystem::path& weights_dir,
                                                           const std::string& device);
  ~Trunk();

  const TrunkInfo& info() const { return *info_; }
  // SHA-256 of the weights' file: what cached features belong to.
  const std::string& fingerprint() const { return fingerprint_; }
  // Numbers per image: the product of FeatureShape.
  int64_t dimension(int image_size) const;

  // images: count x size x size x 3 bytes, RGB. out: count x dimension floats, each image height x width x channels.
  absl::Status Extract(absl::Span<const uint8_t> images, int64_t count, int image_size, Preprocessing preprocessing,
                       absl::Span<float> out) const;

 private:
  struct Impl;
  Trunk(const TrunkInfo* info, std::string fingerprint, std::unique_ptr<Impl> impl);

  const TrunkInfo* info_;
  std::string fingerprint_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft

#endif  // GRAFT_CORE_TRUNKS_TRUNK_H_
