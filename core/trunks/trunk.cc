#include "core/trunks/trunk.h"

#include <torch/torch.h>

#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/safetensors.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/nn/internal/network_torch.h"

namespace graft {
namespace {

// torchvision's names: features.N, where N counts convolutions, their ReLUs and the pools.
std::map<std::string, std::string> TorchvisionNames(const std::vector<LayerSpec>& layers) {
  std::map<std::string, std::string> names;
  int n = 0;
  for (const LayerSpec& layer : layers) {
    if (layer.type == LayerSpec::Type::kConv2D) {
      names[layer.name] = absl::StrCat("features.", n);
      ++n;  // its ReLU
    }
    ++n;
  }
  return names;
}

}  // namespace

struct Trunk::Impl {
  internal::Network network;
  torch::Device device;
};

std::filesystem::path TrunkFile(const std::filesystem::path& weights_dir, absl::string_view name) {
  return weights_dir / absl::StrCat(name, ".safetensors");
}

absl::Status MissingWeights(absl::string_view name, const std::filesystem::path& weights_dir) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the weights of ", name, " are missing: ", TrunkFile(weights_dir, name).string(),
      " isn't there. Run deploy/fetch-weights --out ", weights_dir.string(), ", or start graftd with --weights-dir"));
}

Trunk::Trunk(const TrunkInfo* info, std::string fingerprint, std::unique_ptr<Impl> impl)
    : info_(info), fingerprint_(std::move(fingerprint)), impl_(std::move(impl)) {}
Trunk::~Trunk() = default;

absl::StatusOr<std::shared_ptr<const Trunk>> Trunk::Load(absl::string_view name,
                                                         const std::filesystem::path& weights_dir,
                                                         const std::string& device) {
  GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* info, FindTrunk(name));
  absl::StatusOr<Safetensors> file = Safetensors::Open(TrunkFile(weights_dir, name));
  if (absl::IsNotFound(file.status())) {
    return MissingWeights(name, weights_dir);
  }
  GRAFT_RETURN_IF_ERROR(file.status());
  return CatchExceptions("loading the trunk", [&]() -> absl::StatusOr<std::shared_ptr<const Trunk>> {
    auto impl = std::make_unique<Impl>(Impl{internal::Network(info->layers, {info->stride, info->stride, 3}), device});
    GRAFT_RETURN_IF_ERROR(
        Annotate(impl->network.Load(*file, TorchvisionNames(info->layers)), TrunkFile(weights_dir, name).string()));
    impl->network.to(impl->device);
    impl->network.eval();
    for (torch::Tensor& parameter : impl->network.parameters()) {
      parameter.set_requires_grad(false);
    }
    Sha256 hash;
    for (const TensorView& tensor : file->tensors()) {
      hash.Update(absl::StrCat(tensor.name, "\n"));
      hash.Update(tensor.data);
    }
    return std::shared_ptr<const Trunk>(new Trunk(info, hash.Hex(), std::move(impl)));
  });
}

int64_t Trunk::dimension(int image_size) const {
  const std::array<int64_t, 3> shape = FeatureShape(*info_, image_size);
  return shape[0] * shape[1] * shape[2];
}

absl::Status Trunk::Extract(absl::Span<const uint8_t> images, int64_t count, int image_size,
                            Preprocessing preprocessing, absl::Span<float> out) const {
  return CatchExceptions("extracting features", [&]() -> absl::Status {
    c10::InferenceMode inference;
    const torch::Tensor input =
        internal::InputTensor(images, count, image_size, ResolvePreprocessing(preprocessing, info_), impl_->device);
    const torch::Tensor features = impl_->network.Forward(input).permute({0, 2, 3, 1}).cpu().contiguous();
    std::memcpy(out.data(), features.data_ptr<float>(), out.size() * sizeof(float));
    return absl::OkStatus();
  });
}

}  // namespace graft
