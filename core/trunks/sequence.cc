#include "core/trunks/sequence.h"

#include <torch/types.h>

#include <utility>
#include <vector>

#include "core/base/status.h"
#include "core/nn/network_torch.h"

namespace graft {
namespace {

class SequenceTrunk : public Trunk {
 public:
  SequenceTrunk(const TrunkInfo& info, std::string fingerprint, const std::string& device,
                std::vector<std::unique_ptr<const Network>> blocks)
      : Trunk(info, std::move(fingerprint), device), blocks_(std::move(blocks)) {}

  using Trunk::Forward;
  at::Tensor Forward(const at::Tensor& input, int blocks) const override {
    at::Tensor x = input;
    for (int i = 0; i < blocks; ++i) {
      x = blocks_[static_cast<size_t>(i)]->Forward(x);
    }
    return x;
  }

  std::vector<at::Tensor> Taps(const at::Tensor& input) const override {
    std::vector<at::Tensor> taps;
    taps.reserve(blocks_.size());
    for (const auto& block : blocks_) {
      taps.push_back(block->Forward(taps.empty() ? input : taps.back()));
    }
    return taps;
  }

  at::Tensor Inspect(const at::Tensor& input, int blocks, const LayerTap& tap) const override {
    at::Tensor x = input;
    for (int i = 0; i < blocks; ++i) {
      x = blocks_[static_cast<size_t>(i)]->Inspect(x, tap);
    }
    return x;
  }

 private:
  const std::vector<std::unique_ptr<const Network>> blocks_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Trunk>> MakeSequenceTrunk(const TrunkInfo& info, const Safetensors& file,
                                                               std::string fingerprint, const std::string& device) {
  std::vector<std::unique_ptr<const Network>> blocks;
  Shape shape = {info.stride, info.stride, 3};  // weights don't depend on the image's size
  for (const TrunkBlock& block : info.blocks) {
    auto network = std::make_unique<Network>(block.layers, shape, torch::Device(device));
    GRAFT_RETURN_IF_ERROR(network->Load(file));
    for (const LayerSpec& layer : block.layers) {
      shape = layer.Output(shape);
    }
    blocks.push_back(std::move(network));
  }
  return std::make_shared<const SequenceTrunk>(info, std::move(fingerprint), device, std::move(blocks));
}

}  // namespace graft
