#include "core/nn/internal/network_torch.h"

#include <ATen/autocast_mode.h>
#include <malloc.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/nn/runtime.h"

namespace graft {

void KeepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 1);
}

void SetTorchThreads(int threads) { at::set_num_threads(threads); }

absl::StatusOr<std::string> ResolveDevice(const std::string& device) {
  return CatchExceptions("device", [&]() -> absl::StatusOr<std::string> {
    const int count = torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0;
    if (device == "auto") {
      return count > 0 ? "cuda:0" : "cpu";
    }
    const torch::Device parsed(device);
    if (parsed.is_cpu()) {
      return "cpu";
    }
    const int index = parsed.has_index() ? parsed.index() : 0;
    if (!parsed.is_cuda() || index >= count) {
      return absl::FailedPreconditionError(
          absl::StrCat("device: '", device, "' isn't there; LibTorch sees ", count, " CUDA devices; use auto or cpu"));
    }
    return absl::StrCat("cuda:", index);
  });
}

std::string TorchVersion() { return TORCH_VERSION; }

}  // namespace graft

namespace graft::internal {
namespace {

using Type = LayerSpec::Type;

constexpr auto kChannelsLast = at::MemoryFormat::ChannelsLast;

// Of blue, green, red; of red, green, blue.
constexpr std::array<float, 3> kCaffeMean = {103.939F, 116.779F, 123.68F};
constexpr std::array<float, 3> kTorchvisionMean = {0.485F, 0.456F, 0.406F};
constexpr std::array<float, 3> kTorchvisionDeviation = {0.229F, 0.224F, 0.225F};

// `channel` counts in the order of the network's input.
float Prepared(float value, Preprocessing preprocessing, size_t channel) {
  switch (preprocessing) {
    case Preprocessing::kAuto:  // resolved before it comes here; rescaling is what it means without a trunk
    case Preprocessing::kRescale:
      return value / 255;
    case Preprocessing::kCaffe:
      return value - kCaffeMean[channel];
    case Preprocessing::kTorchvision:
      return (value / 255 - kTorchvisionMean[channel]) / kTorchvisionDeviation[channel];
  }
  return value;
}

// LibTorch's autocast, on while this lives.
class Autocast {
 public:
  Autocast(bool on, const torch::Device& device) : on_(on), type_(device.type()) {
    if (on_) {
      at::autocast::increment_nesting();
      was_enabled_ = at::autocast::is_autocast_enabled(type_);
      was_type_ = at::autocast::get_autocast_dtype(type_);
      at::autocast::set_autocast_enabled(type_, true);
      at::autocast::set_autocast_dtype(type_, torch::kBFloat16);
    }
  }
  ~Autocast() {
    if (on_) {
      at::autocast::set_autocast_dtype(type_, was_type_);
      at::autocast::set_autocast_enabled(type_, was_enabled_);
      if (at::autocast::decrement_nesting() == 0) {
        at::autocast::clear_cache();
      }
    }
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  const bool on_;
  const at::DeviceType type_;
  bool was_enabled_ = false;
  at::ScalarType was_type_ = torch::kBFloat16;
};

// Keras's default: uniform in +-sqrt(6 / (inputs + outputs)).
torch::Tensor GlorotUniform(at::IntArrayRef shape, int64_t fan_in, int64_t fan_out) {
  const double limit = std::sqrt(6.0 / static_cast<double>(fan_in + fan_out));
  return torch::empty(shape).uniform_(-limit, limit);
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

Network::Network(std::vector<LayerSpec> layers, std::array<int64_t, 3> input) : layers_(std::move(layers)) {
  std::vector<int64_t> shape(input.begin(), input.end());  // of one image, channels last
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerSpec& layer = layers_[i];
    Parameters p;
    if (layer.type == Type::kConv2D) {
      p.weight = GlorotUniform({layer.size, shape[2], 3, 3}, 9 * shape[2], 9 * layer.size).contiguous(kChannelsLast);
      shape = {shape[0] - 2 + 2 * layer.padding, shape[1] - 2 + 2 * layer.padding, layer.size};
    } else if (layer.type == Type::kMaxPooling2D) {
      shape = {shape[0] / 2, shape[1] / 2, shape[2]};
    } else if (layer.type == Type::kFlatten) {
      shape = {shape[0] * shape[1] * shape[2]};
    } else if (layer.type == Type::kDense) {
      p.weight = GlorotUniform({layer.size, shape[0]}, shape[0], layer.size);
      shape = {layer.size};
    }
    if (p.weight.defined()) {
      p.weight = register_parameter(absl::StrCat(layer.name, "_weight"), p.weight);
      p.bias = register_parameter(absl::StrCat(layer.name, "_bias"), torch::zeros({layer.size}));
    }
    if (layer.type == Type::kConv2D) {
      const bool pool = i + 1 < layers_.size() && layers_[i + 1].type == Type::kMaxPooling2D;
      p.convolution = std::make_unique<Convolution>(p.weight, p.bias, layer.padding, pool);
    } else if (layer.type == Type::kDense) {
      p.dense = std::make_unique<Dense>(p.weight, p.bias, i + 1 < layers_.size());
    }
    parameters_.push_back(std::move(p));
  }
}

torch::Tensor Network::Forward(torch::Tensor x, Precision precision) {
  const Autocast autocast(precision == Precision::kBfloat16, x.device());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerSpec& layer = layers_[i];
    const Parameters& p = parameters_[i];
    switch (layer.type) {
      case Type::kConv2D:
        x = p.convolution->Forward(x);
        break;
      case Type::kMaxPooling2D:
        if (i == 0 || layers_[i - 1].type != Type::kConv2D) {  // a convolution does the one behind it itself
          x = torch::max_pool2d(x, 2);
        }
        break;
      case Type::kFlatten:
        // In the order height, width, channels, as Keras flattens: free of copies in channels_last memory.
        x = x.dim() == 4 ? x.permute({0, 2, 3, 1}).flatten(1) : x;
        break;
      case Type::kDense:
        x = p.dense->Forward(x);
        break;
      case Type::kDropout:
        x = torch::dropout(x, layer.rate, is_training());
        break;
    }
  }
  return x.to(torch::kFloat);
}

absl::Status Network::Load(const Safetensors& file, const std::map<std::string, std::string>& file_names) {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (!parameters_[i].weight.defined()) {
      continue;
    }
    const auto renamed = file_names.find(layers_[i].name);
    const std::string& base = renamed == file_names.end() ? layers_[i].name : renamed->second;
    for (auto& [suffix, tensor] : {std::pair<const char*, torch::Tensor>{".weight", parameters_[i].weight},
                                   std::pair<const char*, torch::Tensor>{".bias", parameters_[i].bias}}) {
      GRAFT_ASSIGN_OR_RETURN(
          const TensorView view,
          file.Get(base + suffix, DType::kF32, absl::MakeConstSpan(tensor.sizes().data(), tensor.sizes().size())));
      const torch::Tensor stored =
          torch::from_blob(const_cast<uint8_t*>(view.data.data()), tensor.sizes(), torch::kFloat);
      if (!torch::isfinite(stored).all().item<bool>()) {
        return absl::FailedPreconditionError(absl::StrCat("tensor ", base, suffix, " holds NaN or infinite weights"));
      }
      tensor.copy_(stored);
    }
  }
  return absl::OkStatus();
}

std::vector<std::pair<std::string, torch::Tensor>> Network::Weights() const {
  std::vector<std::pair<std::string, torch::Tensor>> weights;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (parameters_[i].weight.defined()) {
      weights.emplace_back(layers_[i].name + ".weight", parameters_[i].weight.detach().cpu().contiguous());
      weights.emplace_back(layers_[i].name + ".bias", parameters_[i].bias.detach().cpu().contiguous());
    }
  }
  return weights;
}

torch::Tensor Probabilities(const torch::Tensor& logits) {
  if (logits.size(1) == 1) {
    const torch::Tensor second = logits.sigmoid();
    return torch::cat({1 - second, second}, 1).cpu().contiguous();
  }
  return logits.softmax(1).cpu().contiguous();
}

}  // namespace graft::internal
