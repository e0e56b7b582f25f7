#include "core/nn/network_torch.h"

#include <ATen/autocast_mode.h>

#include <cmath>
#include <utility>

#include "core/base/status.h"
#include "core/nn/tensors_torch.h"

namespace graft {
namespace {

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

}  // namespace

Network::Network(const std::vector<LayerSpec>& layers, const Shape& input, const torch::Device& device)
    : input_(input) {
  Shape shape = input;
  Layer* before = nullptr;
  for (const LayerSpec& spec : layers) {
    std::vector<torch::Tensor> tensors;
    for (const ParameterSpec& parameter : spec.Parameters(shape)) {
      const bool filter = parameter.shape.size() == 4;
      torch::Tensor tensor =
          torch::empty(parameter.shape, torch::TensorOptions().device(device).memory_format(
                                            filter ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous));
      tensor.set_requires_grad(spec.trainable && parameter.learned);
      tensors.push_back(tensor);
      parameters_.push_back({spec.FileName(parameter), std::move(tensor), parameter, spec.trainable, spec.rate});
    }
    shape = spec.Output(shape);
    const bool fused = before != nullptr && before->Fuse(spec);
    steps_.push_back(
        {spec.name, std::visit([&](const auto& layer) { return MakeLayer(layer, tensors); }, spec.layer), fused});
    before = fused ? before : steps_.back().layer.get();
  }
}

void Network::Initialize(at::Generator generator) {
  const torch::NoGradGuard no_grad;
  for (Parameter& parameter : parameters_) {
    const int64_t fans = parameter.spec.fan_in + parameter.spec.fan_out;
    if (fans == 0) {
      parameter.tensor.fill_(parameter.spec.start);
    } else {
      // On the CPU and in LibTorch's order, whatever the device and the memory's order are.
      const double limit = std::sqrt(6.0 / static_cast<double>(fans));
      parameter.tensor.copy_(torch::empty(parameter.tensor.sizes()).uniform_(-limit, limit, generator));
    }
  }
}

// Free of copies, for such rows are images in channels_last memory.
torch::Tensor Network::AsImages(const torch::Tensor& x) const {
  return x.dim() == 2 && input_.size() == 3 ? x.view({x.size(0), input_[0], input_[1], input_[2]}).permute({0, 3, 1, 2})
                                            : x;
}

torch::Tensor Network::Forward(torch::Tensor x, const Pass& pass, Precision precision) const {
  x = AsImages(x);
  const Autocast autocast(precision == Precision::kBfloat16, x.device());
  for (const Step& step : steps_) {
    x = step.fused ? x : step.layer->Forward(x, pass);
  }
  return x.to(torch::kFloat);
}

torch::Tensor Network::Inspect(torch::Tensor x, const LayerTap& tap) const {
  Pass pass;
  pass.inspecting = true;
  x = AsImages(x);
  for (const Step& step : steps_) {
    x = tap(step.name, step.layer->Forward(x, pass));
  }
  return x;
}

absl::StatusOr<TensorView> Network::Find(const Safetensors& file, const Parameter& parameter) {
  const TensorView* const found = file.Find(parameter.name);
  return file.Get(parameter.name, DType::kF32, parameter.spec.ShapeIn(found == nullptr ? Shape() : found->shape));
}

absl::Status Network::Load(const Safetensors& file) {
  for (Parameter& parameter : parameters_) {
    GRAFT_ASSIGN_OR_RETURN(const TensorView view, Find(file, parameter));
    GRAFT_RETURN_IF_ERROR(Load(view, &parameter));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Network::LoadMatching(const Safetensors& file) {
  int loaded = 0;
  for (Parameter& parameter : parameters_) {
    const auto view = Find(file, parameter);
    if (view.ok()) {
      GRAFT_RETURN_IF_ERROR(Load(*view, &parameter));
      loaded += parameter.tensor.dim() > 1 ? 1 : 0;
    }
  }
  return loaded;
}

absl::Status Network::Load(const TensorView& view, Parameter* parameter) {
  const torch::Tensor values = TensorOf(view);
  if (!torch::isfinite(values).all().item<bool>()) {
    return absl::FailedPreconditionError(absl::StrCat("tensor ", parameter->name, " holds NaN or infinite weights"));
  }
  const torch::NoGradGuard no_grad;
  if (parameter->spec.any_side) {
    parameter->tensor.set_data(torch::empty(values.sizes(), parameter->tensor.options()));  // its layer's, too
  }
  parameter->tensor.copy_(values);
  return absl::OkStatus();
}

absl::Status Network::Save(const std::filesystem::path& path) const {
  std::vector<NamedTensor> tensors;
  tensors.reserve(parameters_.size());
  for (const Parameter& parameter : parameters_) {
    tensors.push_back({parameter.name, parameter.tensor.detach().cpu().contiguous()});
  }
  return WriteSafetensors(path, ViewsOf(tensors), {{"format", "pt"}});
}

std::vector<NamedTensor> Network::parameters() const {
  std::vector<NamedTensor> named;
  named.reserve(parameters_.size());
  for (const Parameter& parameter : parameters_) {
    named.push_back({parameter.name, parameter.tensor});
  }
  return named;
}

std::vector<NamedTensor> Network::changing() const {
  std::vector<NamedTensor> named;
  for (const Parameter& parameter : parameters_) {
    if (parameter.trainable) {
      named.push_back({parameter.name, parameter.tensor});
    }
  }
  return named;
}

std::vector<double> Network::rates() const {
  std::vector<double> rates;
  rates.reserve(parameters_.size());
  for (const Parameter& parameter : parameters_) {
    rates.push_back(parameter.rate);
  }
  return rates;
}

void Network::ZeroGradients() {
  for (Parameter& parameter : parameters_) {
    parameter.tensor.mutable_grad().reset();
  }
}

}  // namespace graft
