// Pretrained trunks, loaded once and shared by everything that runs them. One implementation an architecture, in a file
// of its own and a row of the table in trunk.cc.
#ifndef GRAFT_CORE_TRUNKS_TRUNK_H_
#define GRAFT_CORE_TRUNKS_TRUNK_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/model/trunks.h"
#include "core/nn/layer_tap.h"

namespace graft {

// Immutable after Load; its functions may be called from any thread, but calls share the cores.
class Trunk {
 public:
  // `device` is resolved: "cpu" or "cuda:N". FAILED_PRECONDITION when the weights aren't there, DATA_LOSS when they are
  // damaged. VGG16: 59 MB of memory.
  static absl::StatusOr<std::shared_ptr<const Trunk>> Load(absl::string_view name,
                                                           const std::filesystem::path& weights_dir,
                                                           const std::string& device);
  virtual ~Trunk() = default;
  Trunk(const Trunk&) = delete;
  Trunk& operator=(const Trunk&) = delete;

  // Name, preprocessing, stride, number of parameters, and the layers of each block with their names in files.
  const TrunkInfo& info() const { return info_; }
  // SHA-256 over names and data of the tensors in the weights' file: what cached features belong to.
  const std::string& fingerprint() const { return fingerprint_; }
  const std::string& device() const { return device_; }
  // Numbers per image: the product of FeatureShape.
  int64_t dimension(int image_size) const;

  // images: count x size x size x 3 bytes, RGB. `preprocessing` isn't kAuto. out: count x dimension floats, each image
  // height x width x channels.
  absl::Status Extract(absl::Span<const uint8_t> images, int64_t count, int image_size, Preprocessing preprocessing,
                       absl::Span<float> out) const;

  // For core itself: its first `blocks` blocks, or all of them. Input: what InputTensor makes, on the trunk's device.
  // Output: N x C x H x W floats in channels_last memory, there too. Throws what LibTorch throws.
  virtual at::Tensor Forward(const at::Tensor& input, int blocks) const = 0;
  at::Tensor Forward(const at::Tensor& input) const;
  // What each block makes of it, in their order; the last one's is Forward's.
  virtual std::vector<at::Tensor> Taps(const at::Tensor& input) const = 0;
  // As Forward, with a look at what each layer makes: under the names of info(), in its order.
  virtual at::Tensor Inspect(const at::Tensor& input, int blocks, const LayerTap& tap) const = 0;

 protected:
  Trunk(const TrunkInfo& info, std::string fingerprint, std::string device);

 private:
  const TrunkInfo& info_;
  const std::string fingerprint_;
  const std::string device_;
};

}  // namespace graft

#endif  // GRAFT_CORE_TRUNKS_TRUNK_H_
