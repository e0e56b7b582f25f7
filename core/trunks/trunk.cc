#include "core/trunks/trunk.h"

#include <torch/types.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/safetensors.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/nn/input_torch.h"
#include "core/trunks/sequence.h"

namespace graft {
namespace {

using MakeTrunk = absl::StatusOr<std::shared_ptr<const Trunk>> (*)(const TrunkInfo& info, const Safetensors& file,
                                                                   std::string fingerprint, const std::string& device);

struct Architecture {
  absl::string_view name;
  MakeTrunk make;
};
constexpr Architecture kArchitectures[] = {
    {"sequence", &MakeSequenceTrunk},
};

absl::StatusOr<MakeTrunk> FindArchitecture(absl::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) {
      return architecture.make;
    }
  }
  return absl::InternalError(absl::StrCat("nobody computes trunks of the architecture '", name, "'"));
}

}  // namespace

Trunk::Trunk(const TrunkInfo& info, std::string fingerprint, std::string device)
    : info_(info), fingerprint_(std::move(fingerprint)), device_(std::move(device)) {}

absl::StatusOr<std::shared_ptr<const Trunk>> Trunk::Load(absl::string_view name,
                                                         const std::filesystem::path& weights_dir,
                                                         const std::string& device) {
  GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* info, FindTrunk(name));
  GRAFT_ASSIGN_OR_RETURN(const MakeTrunk make, FindArchitecture(info->architecture));
  GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(weights_dir, name));
  const std::filesystem::path path = TrunkFile(weights_dir, name);
  GRAFT_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::Open(path));
  Sha256 hash;
  for (const TensorView& tensor : file.tensors()) {
    hash.Update(absl::StrCat(tensor.name, "\n"));
    hash.Update(tensor.data);
  }
  return CatchExceptions("loading the trunk", [&]() -> absl::StatusOr<std::shared_ptr<const Trunk>> {
    auto trunk = make(*info, file, hash.Hex(), device);
    if (!trunk.ok()) {
      return Annotate(trunk.status(), path.string());
    }
    return trunk;
  });
}

at::Tensor Trunk::Forward(const at::Tensor& input) const {
  return Forward(input, static_cast<int>(info_.blocks.size()));
}

int64_t Trunk::dimension(int image_size) const { return ElementCount(FeatureShape(info_, image_size)); }

absl::Status Trunk::Extract(absl::Span<const uint8_t> images, int64_t count, int image_size,
                            Preprocessing preprocessing, absl::Span<float> out) const {
  return CatchExceptions("extracting features", [&]() -> absl::Status {
    const c10::InferenceMode inference;
    const torch::Tensor input = InputTensor(images, count, image_size, preprocessing, torch::Device(device_));
    const torch::Tensor features = Forward(input).permute({0, 2, 3, 1}).cpu().contiguous();
    TORCH_CHECK(static_cast<size_t>(features.numel()) == out.size(), "features don't fit where they are to go");
    std::memcpy(out.data(), features.const_data_ptr<float>(), out.size() * sizeof(float));
    return absl::OkStatus();
  });
}

}  // namespace graft
