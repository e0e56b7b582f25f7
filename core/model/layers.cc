#include "core/model/layers.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"

namespace graft {
namespace {

void AddConvolution(const std::string& name, int64_t outputs, int64_t inputs, int64_t size,
                    std::vector<ParameterSpec>* parameters) {
  parameters->push_back(
      {absl::StrCat(name, ".weight"), {outputs, inputs, size, size}, size * size * inputs, size * size * outputs});
}

void AddBatchNorm(const std::string& name, int64_t channels, std::vector<ParameterSpec>* parameters) {
  parameters->push_back({absl::StrCat(name, ".weight"), {channels}, 0, 0, 1});
  parameters->push_back({absl::StrCat(name, ".bias"), {channels}});
  parameters->push_back({absl::StrCat(name, ".running_mean"), {channels}, 0, 0, 0, false});
  parameters->push_back({absl::StrCat(name, ".running_var"), {channels}, 0, 0, 1, false});
}

void AddDense(const std::string& name, int64_t outputs, int64_t inputs, std::vector<ParameterSpec>* parameters) {
  parameters->push_back({absl::StrCat(name, ".weight"), {outputs, inputs}, inputs, outputs});
  parameters->push_back({absl::StrCat(name, ".bias"), {outputs}});
}

void AddLayerNorm(const std::string& name, int64_t channels, std::vector<ParameterSpec>* parameters) {
  parameters->push_back({absl::StrCat(name, ".weight"), {channels}, 0, 0, 1});
  parameters->push_back({absl::StrCat(name, ".bias"), {channels}});
}

int64_t Places(const Shape& shape) { return shape.size() == 3 ? shape[0] * shape[1] : 1; }

// Weights that something is multiplied by at each place: those of convolutions and dense layers.
int64_t Filters(const std::vector<ParameterSpec>& parameters) {
  int64_t sum = 0;
  for (const ParameterSpec& parameter : parameters) {
    sum += parameter.shape.size() < 2 ? 0 : ElementCount(parameter.shape);
  }
  return sum;
}

}  // namespace

int64_t ElementCount(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string ShapeText(const Shape& shape) { return absl::StrJoin(shape, "x"); }

Shape ParameterSpec::ShapeIn(const Shape& found) const {
  Shape wanted = shape;
  if (any_side && found.size() == shape.size() && found[1] > 1) {
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(found[1] - 1))));
    wanted[1] = side * side == found[1] - 1 ? found[1] : shape[1];
  }
  return wanted;
}

int64_t Window::Outputs(int64_t inputs) const {
  if (same) {
    return (inputs + stride - 1) / stride;
  }
  const int64_t room = inputs + pad_before + pad_after - size;
  return room < 0 ? 0 : room / stride + 1;
}

int64_t Window::PadBefore(int64_t inputs) const {
  return same ? std::max<int64_t>(0, (Outputs(inputs) - 1) * stride + size - inputs) / 2 : pad_before;
}

int64_t Window::PadAfter(int64_t inputs) const {
  return same ? std::max<int64_t>(0, (Outputs(inputs) - 1) * stride + size - inputs) - PadBefore(inputs) : pad_after;
}

Shape Conv2D::Output(const Shape& input) const { return {window.Outputs(input[0]), window.Outputs(input[1]), filters}; }

std::vector<ParameterSpec> Conv2D::Parameters(const Shape& input) const {
  const int64_t positions = window.size * window.size;
  return {{"weight", {filters, input[2], window.size, window.size}, positions * input[2], positions * filters},
          {"bias", {filters}}};
}

Shape MaxPool2D::Output(const Shape& input) const {
  return {window.Outputs(input[0]), window.Outputs(input[1]), input[2]};
}
std::vector<ParameterSpec> MaxPool2D::Parameters(const Shape& /*input*/) const { return {}; }

Shape Flatten::Output(const Shape& input) const { return {ElementCount(input)}; }
std::vector<ParameterSpec> Flatten::Parameters(const Shape& /*input*/) const { return {}; }

Shape GlobalAveragePool2D::Output(const Shape& input) const { return {input.back()}; }
std::vector<ParameterSpec> GlobalAveragePool2D::Parameters(const Shape& /*input*/) const { return {}; }

Shape Dense::Output(const Shape& /*input*/) const { return {units}; }
std::vector<ParameterSpec> Dense::Parameters(const Shape& input) const {
  return {{"weight", {units, input[0]}, input[0], units}, {"bias", {units}}};
}

Shape Dropout::Output(const Shape& input) const { return input; }
std::vector<ParameterSpec> Dropout::Parameters(const Shape& /*input*/) const { return {}; }

Shape ConvNorm2D::Output(const Shape& input) const {
  return {window.Outputs(input[0]), window.Outputs(input[1]), filters};
}
std::vector<ParameterSpec> ConvNorm2D::Parameters(const Shape& input) const {
  std::vector<ParameterSpec> parameters;
  AddConvolution(convolution, filters, input[2], window.size, &parameters);
  AddBatchNorm(norm, filters, &parameters);
  return parameters;
}

Shape InvertedResidual::Output(const Shape& input) const {
  return {window.Outputs(input[0]), window.Outputs(input[1]), filters};
}
std::vector<ParameterSpec> InvertedResidual::Parameters(const Shape& input) const {
  // As timm names them.
  const bool expands = expansion > 1;
  const int64_t channels = input[2] * expansion;
  std::vector<ParameterSpec> parameters;
  if (expands) {
    AddConvolution("conv_pw", channels, input[2], 1, &parameters);
    AddBatchNorm("bn1", channels, &parameters);
  }
  AddConvolution("conv_dw", channels, 1, window.size, &parameters);
  AddBatchNorm(expands ? "bn2" : "bn1", channels, &parameters);
  AddConvolution(expands ? "conv_pwl" : "conv_pw", filters, channels, 1, &parameters);
  AddBatchNorm(expands ? "bn3" : "bn2", filters, &parameters);
  return parameters;
}

int64_t InvertedResidual::MultiplyAdds(const Shape& input) const {
  const int64_t expanding = expansion > 1 ? input[2] * input[2] * expansion : 0;  // runs before what slides
  return Places(input) * expanding + Places(Output(input)) * (Filters(Parameters(input)) - expanding);
}

Shape Bottleneck::Output(const Shape& input) const {
  return {Middle().Outputs(input[0]), Middle().Outputs(input[1]), width * kGrowth};
}
std::vector<ParameterSpec> Bottleneck::Parameters(const Shape& input) const {
  // As torchvision and timm name them.
  const int64_t outputs = width * kGrowth;
  std::vector<ParameterSpec> parameters;
  const auto add = [&](const std::string& convolution, const std::string& norm, int64_t out, int64_t in, int64_t size) {
    AddConvolution(convolution, out, in, size, &parameters);
    AddBatchNorm(norm, out, &parameters);
  };
  add("conv1", "bn1", width, input[2], 1);
  add("conv2", "bn2", width, width, 3);
  add("conv3", "bn3", outputs, width, 1);
  if (Projects(input)) {
    add("downsample.0", "downsample.1", outputs, input[2], 1);
  }
  return parameters;
}

int64_t Bottleneck::MultiplyAdds(const Shape& input) const {
  const int64_t narrowing = input[2] * width;  // runs before what slides
  return Places(input) * narrowing + Places(Output(input)) * (Filters(Parameters(input)) - narrowing);
}

Shape PatchEmbedding::Output(const Shape& input) const {
  const Window window = Window::Same(patch, patch);
  return {1, 1 + window.Outputs(input[0]) * window.Outputs(input[1]), channels};
}
std::vector<ParameterSpec> PatchEmbedding::Parameters(const Shape& input) const {
  // As timm and the authors name them.
  return {{"cls_token", {1, 1, channels}},
          {.name = "pos_embed", .shape = {1, 1 + side * side, channels}, .any_side = true},
          {"patch_embed.proj.weight",
           {channels, input[2], patch, patch},
           patch * patch * input[2],
           patch * patch * channels},
          {"patch_embed.proj.bias", {channels}}};
}
int64_t PatchEmbedding::MultiplyAdds(const Shape& input) const {
  return (Places(Output(input)) - 1) * channels * input[2] * patch * patch;
}

Shape TransformerBlock::Output(const Shape& input) const { return input; }
std::vector<ParameterSpec> TransformerBlock::Parameters(const Shape& input) const {
  const int64_t channels = input[2];
  std::vector<ParameterSpec> parameters;
  AddLayerNorm("norm1", channels, &parameters);
  AddDense("attn.qkv", 3 * channels, channels, &parameters);
  AddDense("attn.proj", channels, channels, &parameters);
  parameters.push_back({"ls1.gamma", {channels}, 0, 0, 1});
  AddLayerNorm("norm2", channels, &parameters);
  AddDense("mlp.fc1", kGrowth * channels, channels, &parameters);
  AddDense("mlp.fc2", channels, kGrowth * channels, &parameters);
  parameters.push_back({"ls2.gamma", {channels}, 0, 0, 1});
  return parameters;
}
int64_t TransformerBlock::MultiplyAdds(const Shape& input) const {
  const int64_t tokens = Places(input);
  // Each token is held against all, and takes of all: by as many numbers as it has channels, whatever the heads are.
  return tokens * Filters(Parameters(input)) + 2 * tokens * tokens * input[2];
}

Shape LayerNorm::Output(const Shape& input) const { return input; }
std::vector<ParameterSpec> LayerNorm::Parameters(const Shape& input) const {
  return {{"weight", {input[2]}, 0, 0, 1}, {"bias", {input[2]}}};
}

Shape ClassAndMean::Output(const Shape& input) const { return {1, 1, 2 * input[2]}; }
std::vector<ParameterSpec> ClassAndMean::Parameters(const Shape& /*input*/) const { return {}; }

absl::string_view LayerSpec::type() const {
  return std::visit([](const auto& l) { return l.kType; }, layer);
}

std::string LayerSpec::FileName(const ParameterSpec& parameter) const {
  const std::string& before = file_name.has_value() ? *file_name : name;
  return before.empty() ? parameter.name : absl::StrCat(before, ".", parameter.name);
}

Shape LayerSpec::Output(const Shape& input) const {
  return std::visit([&](const auto& l) { return l.Output(input); }, layer);
}

std::vector<ParameterSpec> LayerSpec::Parameters(const Shape& input) const {
  return std::visit([&](const auto& l) { return l.Parameters(input); }, layer);
}

int64_t LayerSpec::MultiplyAdds(const Shape& input) const {
  return std::visit(
      [&](const auto& l) -> int64_t {
        if constexpr (requires { l.MultiplyAdds(input); }) {
          return l.MultiplyAdds(input);
        } else {
          return Places(Output(input)) * Filters(l.Parameters(input));
        }
      },
      layer);
}

absl::StatusOr<std::vector<LayerInfo>> DescribeLayers(absl::Span<const LayerSpec> layers, const Shape& input) {
  std::vector<LayerInfo> infos;
  Shape shape = input;
  for (const LayerSpec& layer : layers) {
    LayerInfo info;
    info.name = layer.name;
    info.type = std::string(layer.type());
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      info.parameters += parameter.learned ? ElementCount(parameter.shape) : 0;
    }
    shape = layer.Output(shape);
    if (std::any_of(shape.begin(), shape.end(), [](int64_t n) { return n < 1; })) {
      return InvalidField("options.image_size", absl::StrCat(input[0], " is too small: nothing is left after ",
                                                             layer.name, "; use a larger one"));
    }
    info.trainable = layer.trainable && info.parameters > 0;
    info.output_shape = shape;
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace graft
