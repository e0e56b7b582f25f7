#include "core/model/layers.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"

namespace graft {

int64_t ElementCount(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string ShapeText(const Shape& shape) { return absl::StrJoin(shape, "x"); }

int64_t Window::Outputs(int64_t inputs) const {
  const int64_t room = inputs + pad_before + pad_after - size;
  return room < 0 ? 0 : room / stride + 1;
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

Shape Dense::Output(const Shape& /*input*/) const { return {units}; }
std::vector<ParameterSpec> Dense::Parameters(const Shape& input) const {
  return {{"weight", {units, input[0]}, input[0], units}, {"bias", {units}}};
}

Shape Dropout::Output(const Shape& input) const { return input; }
std::vector<ParameterSpec> Dropout::Parameters(const Shape& /*input*/) const { return {}; }

absl::string_view LayerSpec::type() const {
  return std::visit([](const auto& l) { return l.kType; }, layer);
}

std::string LayerSpec::FileName(const ParameterSpec& parameter) const {
  return absl::StrCat(file_name.empty() ? name : file_name, ".", parameter.name);
}

Shape LayerSpec::Output(const Shape& input) const {
  return std::visit([&](const auto& l) { return l.Output(input); }, layer);
}

std::vector<ParameterSpec> LayerSpec::Parameters(const Shape& input) const {
  return std::visit([&](const auto& l) { return l.Parameters(input); }, layer);
}

absl::StatusOr<std::vector<LayerInfo>> DescribeLayers(absl::Span<const LayerSpec> layers, const Shape& input) {
  std::vector<LayerInfo> infos;
  Shape shape = input;
  for (const LayerSpec& layer : layers) {
    LayerInfo info;
    info.name = layer.name;
    info.type = std::string(layer.type());
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      info.parameters += ElementCount(parameter.shape);
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
