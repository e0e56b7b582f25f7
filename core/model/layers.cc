#include "core/model/layers.h"

#include <algorithm>
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

}  // namespace

int64_t ElementCount(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string ShapeText(const Shape& shape) { return absl::StrJoin(shape, "x"); }

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
  const Shape output = Output(input);
  const auto positions = [](const Shape& shape) { return shape.size() == 3 ? shape[0] * shape[1] : 1; };
  int64_t sum = 0;
  for (const ParameterSpec& parameter : Parameters(input)) {
    if (parameter.shape.size() < 2) {
      continue;
    }
    // Of a block of several convolutions, those before the one that slides run on the input's positions.
    const bool before = (std::holds_alternative<InvertedResidual>(layer) && parameter.shape[1] == input.back() &&
                         std::get<InvertedResidual>(layer).expansion > 1) ||
                        (std::holds_alternative<Bottleneck>(layer) && parameter.name == "conv1.weight");
    sum += ElementCount(parameter.shape) * positions(before ? input : output);
  }
  return sum;
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
