#include "core/nn/input_torch.h"

#include <array>

namespace graft {
namespace {

// Of blue, green, red; of red, green, blue.
constexpr std::array<float, 3> kCaffeMean = {103.939F, 116.779F, 123.68F};
constexpr std::array<float, 3> kTorchvisionMean = {0.485F, 0.456F, 0.406F};
constexpr std::array<float, 3> kTorchvisionDeviation = {0.229F, 0.224F, 0.225F};

// `channel` counts in the order of the network's input.
float Prepared(float value, Preprocessing preprocessing, size_t channel) {
  switch (preprocessing) {
    case Preprocessing::kAuto:
      TORCH_CHECK(false, "preprocessing `auto` wasn't resolved");
    case Preprocessing::kRescale:
      return value / 255;
    case Preprocessing::kCaffe:
      return value - kCaffeMean[channel];
    case Preprocessing::kTorchvision:
      return (value / 255 - kTorchvisionMean[channel]) / kTorchvisionDeviation[channel];
    case Preprocessing::kCenter:
      return (value - 127) / 128;
  }
  return value;
}

}  // namespace

void PreparePixels(absl::Span<const float> rgb, Preprocessing preprocessing, float* out) {
  // Caffe's channels are in the order blue, green, red.
  const size_t first = preprocessing == Preprocessing::kCaffe ? 2 : 0;
  for (size_t i = 0; i < rgb.size(); i += 3) {
    const float channels[3] = {rgb[i + first], rgb[i + 1], rgb[i + 2 - first]};
    for (size_t c = 0; c < 3; ++c) {
      out[i + c] = Prepared(channels[c], preprocessing, c);
    }
  }
}

void PreparePixels(absl::Span<const uint8_t> rgb, Preprocessing preprocessing, float* out) {
  // Each channel's 256 possible values.
  std::array<std::array<float, 256>, 3> values{};
  for (size_t c = 0; c < 3; ++c) {
    for (size_t byte = 0; byte < 256; ++byte) {
      values[c][byte] = Prepared(static_cast<float>(byte), preprocessing, c);
    }
  }
  const size_t first = preprocessing == Preprocessing::kCaffe ? 2 : 0;
  for (size_t i = 0; i < rgb.size(); i += 3) {
    out[i] = values[0][rgb[i + first]];
    out[i + 1] = values[1][rgb[i + 1]];
    out[i + 2] = values[2][rgb[i + 2 - first]];
  }
}

torch::Tensor InputTensor(absl::Span<const uint8_t> images, int64_t count, int64_t size, Preprocessing preprocessing,
                          const torch::Device& device) {
  torch::Tensor x = torch::empty({count, size, size, 3});
  PreparePixels(images, preprocessing, x.data_ptr<float>());
  return x.permute({0, 3, 1, 2}).to(device);
}

}  // namespace graft
