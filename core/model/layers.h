// The layers that networks are made of, as data: what each makes of an input's shape and which parameters it has, each
// said once. Layer tables are printed from these functions, and core/nn, where each layer has a file that says how it
// computes, makes its tensors by the same ones.
//
// A new layer is a struct here, its two functions in layers.cc, its place in LayerSpec's variant, and MakeLayer for it
// in a file of core/nn; the compiler finds what is missing.
#ifndef GRAFT_CORE_MODEL_LAYERS_H_
#define GRAFT_CORE_MODEL_LAYERS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

// Of one image, channels last: height, width, channels. Of a row of numbers: their count.
using Shape = std::vector<int64_t>;
int64_t ElementCount(const Shape& shape);
// "4x4x512".
std::string ShapeText(const Shape& shape);

// What follows a layer's sum.
enum class Activation { kNone, kRelu, kRelu6 };

// A square window that slides over height and width in the same way.
struct Window {
  int64_t size = 1;
  int64_t stride = 1;
  int64_t pad_before = 0;  // above and on the left
  int64_t pad_after = 0;   // below and on the right
  // TensorFlow's SAME: a side of n gives ceil(n / stride) outputs; what that takes of padding depends on n, and an odd
  // one goes behind. The two above are 0 then.
  bool same = false;

  static Window Same(int64_t size, int64_t stride) { return {size, stride, 0, 0, true}; }
  // How often it fits into a side of `inputs`; 0 when it doesn't.
  int64_t Outputs(int64_t inputs) const;
  int64_t PadBefore(int64_t inputs) const;
  int64_t PadAfter(int64_t inputs) const;
  bool operator==(const Window& other) const = default;
};

// A tensor that training changes.
struct ParameterSpec {
  std::string name;  // "weight", "bias"
  Shape shape;       // as LibTorch has it
  // Keras's default, Glorot-uniform: evenly in +-sqrt(6 / (fan_in + fan_out)). Both 0: all of it starts as `start`.
  int64_t fan_in = 0;
  int64_t fan_out = 0;
  float start = 0;
  // By its gradient; else by what goes through the layer, as the running mean and variance of a batch norm are.
  bool learned = true;
  // Of shape {1, 1 + side^2, channels}: a file may have it for another side, and the layer makes it fit.
  bool any_side = false;

  // What it must be in a file that has it in shape `found`: `shape`, but for another side.
  Shape ShapeIn(const Shape& found) const;
};

struct Conv2D {
  static constexpr absl::string_view kType = "Conv2D";
  int64_t filters = 0;
  Window window = {3, 1, 0, 0};
  Activation activation = Activation::kRelu;

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

struct MaxPool2D {
  static constexpr absl::string_view kType = "MaxPooling2D";
  Window window = {2, 2, 0, 0};

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// In the order height, width, channels, as Keras flattens. What is flat already stays as it is.
struct Flatten {
  static constexpr absl::string_view kType = "Flatten";

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// Each channel's mean over height and width. What is flat already stays as it is.
struct GlobalAveragePool2D {
  static constexpr absl::string_view kType = "GlobalAveragePooling2D";

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// Takes a row of numbers.
struct Dense {
  static constexpr absl::string_view kType = "Dense";
  int64_t units = 0;
  Activation activation = Activation::kRelu;

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// While a network trains, each number becomes 0 with probability `rate`, and the others grow by 1 / (1 - rate).
struct Dropout {
  static constexpr absl::string_view kType = "Dropout";
  double rate = 0;

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// A convolution without bias and the batch norm behind it (Ioffe and Szegedy, 2015), whose statistics move while the
// layer trains and stand still else; then they are folded into the convolution.
struct ConvNorm2D {
  static constexpr absl::string_view kType = "Conv2D+BatchNorm";
  int64_t filters = 0;
  Window window;
  Activation activation = Activation::kNone;
  // What files call the two.
  std::string convolution = "conv";
  std::string norm = "bn";
  double epsilon = 1e-5;

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// MobileNetV2's block (Sandler et al., 2018) as EfficientNet-Lite has it, without squeeze-and-excite: a 1x1 convolution
// to `expansion` times the channels (1: none), one of each channel by itself, and a 1x1 convolution to `filters`; each
// with its batch norm, and ReLU6 behind the first two. Where shapes allow, the input is added to the output.
struct InvertedResidual {
  static constexpr absl::string_view kType = "InvertedResidual";
  int64_t expansion = 1;
  int64_t filters = 0;
  Window window;  // of the convolution in the middle
  double epsilon = 1e-3;

  bool AddsInput(const Shape& input) const { return window.stride == 1 && input[2] == filters; }
  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
  int64_t MultiplyAdds(const Shape& input) const;
};

// ResNet's block (He et al., 2015) for deep networks: a 1x1 convolution to `width` channels, a 3x3 one that slides by
// `stride`, and a 1x1 one to four times the width; each with its batch norm, and ReLU behind the first two and behind
// the sum with the input, which goes through a 1x1 convolution of its own where its shape is another.
struct Bottleneck {
  static constexpr absl::string_view kType = "Bottleneck";
  static constexpr int64_t kGrowth = 4;
  int64_t width = 0;
  int64_t stride = 1;
  double epsilon = 1e-5;

  bool Projects(const Shape& input) const { return stride > 1 || input[2] != width * kGrowth; }
  Window Middle() const { return {3, stride, 1, 1}; }
  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
  int64_t MultiplyAdds(const Shape& input) const;
};

// A transformer sees an image as a row of tokens, of shape 1 x tokens x channels: the class token, which belongs to no
// place, and then those of the places, row by row.

// The start of a vision transformer (Dosovitskiy et al., 2020): each square patch becomes a token, the class token goes
// in front, and each token has what stands for its place added. What is missing to a whole patch on the right and below
// is zeros. The places' numbers are learned for a grid of some side; for another one they are resized, bicubic and
// antialiased.
struct PatchEmbedding {
  static constexpr absl::string_view kType = "PatchEmbedding";
  int64_t channels = 0;
  int64_t patch = 0;  // pixels of a side
  int64_t side = 0;   // of the grid whose places were learned

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
  int64_t MultiplyAdds(const Shape& input) const;
};

// Attention (Vaswani et al., 2017) and then two dense layers with GELU between; a layer norm before each of the two,
// and behind it a factor for each channel (LayerScale, Touvron et al., 2021) and the sum with the input.
struct TransformerBlock {
  static constexpr absl::string_view kType = "TransformerBlock";
  static constexpr int64_t kGrowth = 4;  // of the channels between the dense layers
  int64_t heads = 1;
  double epsilon = 1e-6;

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
  int64_t MultiplyAdds(const Shape& input) const;
};

// Over the channels of each token.
struct LayerNorm {
  static constexpr absl::string_view kType = "LayerNormalization";
  double epsilon = 1e-6;

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// The class token and the mean of the places', behind each other: 1 x 1 x twice the channels. What DINOv2's authors
// judge it by.
struct ClassAndMean {
  static constexpr absl::string_view kType = "ClassAndMean";

  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
};

// A layer of a network.
struct LayerSpec {
  std::string name;
  std::variant<Conv2D, MaxPool2D, Flatten, GlobalAveragePool2D, Dense, Dropout, ConvNorm2D, InvertedResidual,
               Bottleneck, PatchEmbedding, TransformerBlock, LayerNorm, ClassAndMean>
      layer;
  // What its tensors are called in files, before ".weight" and ".bias"; none: as the layer. Empty: nothing stands
  // before.
  std::optional<std::string> file_name = {};
  bool trainable = true;
  double rate = 1;  // learning rate of its parameters, as a share of the training's

  absl::string_view type() const;
  // "conv2d_1.weight": what a file calls this parameter.
  std::string FileName(const ParameterSpec& parameter) const;
  Shape Output(const Shape& input) const;
  std::vector<ParameterSpec> Parameters(const Shape& input) const;
  // Multiplications, each with its addition, for one image: those of convolutions, dense layers and attention. A layer
  // whose weights aren't all used at each place of its output has a function of its own for it.
  int64_t MultiplyAdds(const Shape& input) const;
};

// A row of the table that Keras prints for a model.
struct LayerInfo {
  std::string name;
  std::string type;
  Shape output_shape;      // of one image
  int64_t parameters = 0;  // learned ones
  bool trainable = false;
};

// INVALID_ARGUMENT when nothing is left of the input (image_size too small).
absl::StatusOr<std::vector<LayerInfo>> DescribeLayers(absl::Span<const LayerSpec> layers, const Shape& input);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_LAYERS_H_
