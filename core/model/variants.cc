#include "core/model/variants.h"

#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/model/cost.h"

namespace graft {
namespace {

using Type = LayerSpec::Type;

// Conv2D(filters, 3x3, valid) + ReLU, then 2x2 max-pooling, each; the write-up's stack.
std::vector<LayerSpec> SmallCnn(std::initializer_list<int64_t> filters) {
  std::vector<LayerSpec> layers;
  int i = 0;
  for (int64_t n : filters) {
    ++i;
    layers.push_back({Type::kConv2D, absl::StrCat("conv2d_", i), n});
    layers.push_back({Type::kMaxPooling2D, absl::StrCat("max_pooling2d_", i)});
  }
  return layers;
}

// Flatten, `hidden` dense layers with dropout behind each where its rate isn't zero, and the output.
void AddDenseHead(int hidden, const TrainingOptions& options, int64_t outputs, std::vector<LayerSpec>* layers) {
  layers->push_back({Type::kFlatten, "flatten"});
  for (int i = 1; i <= hidden; ++i) {
    layers->push_back({Type::kDense, absl::StrCat("dense_", i), options.dense_units});
    if (options.dropout > 0) {
      layers->push_back({Type::kDropout, absl::StrCat("dropout_", i), 0, 0, options.dropout});
    }
  }
  layers->push_back({Type::kDense, "output", outputs});
}

std::vector<LayerSpec> BasicCnn(const TrainingOptions& options, int64_t outputs) {
  std::vector<LayerSpec> layers = SmallCnn({16, 64, 128});
  AddDenseHead(1, options, outputs, &layers);
  return layers;
}

std::vector<LayerSpec> DenseHead(const TrainingOptions& options, int64_t outputs) {
  std::vector<LayerSpec> layers;
  AddDenseHead(2, options, outputs, &layers);
  return layers;
}

// VGG16's five blocks (Simonyan and Zisserman, 2014, configuration D).
std::vector<LayerSpec> Vgg16Blocks() {
  struct Block {
    int convolutions;
    int64_t filters;
  };
  std::vector<LayerSpec> layers;
  int b = 0;
  for (const Block& block : {Block{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}) {
    ++b;
    for (int c = 1; c <= block.convolutions; ++c) {
      layers.push_back({Type::kConv2D, absl::StrCat("block", b, "_conv", c), block.filters, 1});
    }
    layers.push_back({Type::kMaxPooling2D, absl::StrCat("block", b, "_pool")});
  }
  return layers;
}

absl::Span<const TrunkInfo> Trunks() {
  static const auto* const kTrunks =
      new std::vector<TrunkInfo>{{"vgg16", Preprocessing::kCaffe, Vgg16Blocks(), 14'714'688, 32}};
  return *kTrunks;
}

TrainingOptions Defaults(double learning_rate, double dropout) {
  TrainingOptions options;
  options.learning_rate = learning_rate;
  options.dropout = dropout;
  return options;
}

template <typename Row>
std::string Names(absl::Span<const Row> rows) {
  return absl::StrJoin(rows, ", ", [](std::string* out, const Row& row) { absl::StrAppend(out, row.name); });
}

}  // namespace

absl::Span<const Variant> Variants() {
  static const auto* const kVariants = new std::vector<Variant>{
      {"basic_cnn", "A small convolutional network trained from scratch: the baseline to beat.", nullptr, &BasicCnn,
       Defaults(1e-3, 0), 19'024'513, 19'024'513},
      {"vgg16_features",
       "A dense head on features of VGG16, which run once per image and are cached: quick and accurate.", &Trunks()[0],
       &DenseHead, Defaults(1e-4, 0.3), 4'457'985, 4'457'985},
  };
  return *kVariants;
}

absl::StatusOr<const Variant*> FindVariant(absl::string_view name) {
  for (const Variant& variant : Variants()) {
    if (variant.name == name) {
      return &variant;
    }
  }
  return absl::NotFoundError(absl::StrCat("variant: there is no '", name, "'; use one of ", Names(Variants())));
}

absl::StatusOr<const TrunkInfo*> FindTrunk(absl::string_view name) {
  for (const TrunkInfo& trunk : Trunks()) {
    if (trunk.name == name) {
      return &trunk;
    }
  }
  return absl::NotFoundError(absl::StrCat("trunk: there is no '", name, "'; use one of ", Names(Trunks())));
}

absl::string_view LayerTypeName(LayerSpec::Type type) {
  switch (type) {
    case Type::kConv2D:
      return "Conv2D";
    case Type::kMaxPooling2D:
      return "MaxPooling2D";
    case Type::kFlatten:
      return "Flatten";
    case Type::kDense:
      return "Dense";
    case Type::kDropout:
      return "Dropout";
  }
  return "";
}

Preprocessing ResolvePreprocessing(Preprocessing preprocessing, const TrunkInfo* trunk) {
  if (preprocessing != Preprocessing::kAuto) {
    return preprocessing;
  }
  return trunk == nullptr ? Preprocessing::kRescale : trunk->preprocessing;
}

absl::StatusOr<std::vector<LayerInfo>> DescribeLayers(absl::Span<const LayerSpec> layers, std::array<int64_t, 3> input,
                                                      bool trainable) {
  std::vector<LayerInfo> infos;
  std::vector<int64_t> shape(input.begin(), input.end());
  for (const LayerSpec& layer : layers) {
    LayerInfo info;
    info.name = layer.name;
    info.type = std::string(LayerTypeName(layer.type));
    switch (layer.type) {
      case Type::kConv2D:
        info.parameters = (9 * shape[2] + 1) * layer.size;
        shape = {shape[0] - 2 + 2 * layer.padding, shape[1] - 2 + 2 * layer.padding, layer.size};
        break;
      case Type::kMaxPooling2D:
        shape = {shape[0] / 2, shape[1] / 2, shape[2]};
        break;
      case Type::kFlatten:
        shape = {std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>())};
        break;
      case Type::kDense:
        info.parameters = (shape[0] + 1) * layer.size;
        shape = {layer.size};
        break;
      case Type::kDropout:
        break;
    }
    for (int64_t n : shape) {
      if (n < 1) {
        return InvalidField("options.image_size", absl::StrCat(input[0], " is too small: nothing is left after ",
                                                               layer.name, "; use a larger one"));
      }
    }
    info.trainable = trainable && info.parameters > 0;
    info.output_shape = shape;
    infos.push_back(std::move(info));
  }
  return infos;
}

std::array<int64_t, 3> FeatureShape(const TrunkInfo& trunk, int image_size) {
  const int64_t side = image_size / trunk.stride;
  int64_t channels = 0;
  for (const LayerSpec& layer : trunk.layers) {
    channels = layer.type == Type::kConv2D ? layer.size : channels;
  }
  return {side, side, channels};
}

absl::StatusOr<std::vector<LayerInfo>> DescribeVariant(const Variant& variant, const TrainingOptions& options,
                                                       int64_t classes) {
  if (variant.trunk != nullptr && options.augmentation.any()) {
    return InvalidField("options.augment_*", absl::StrCat("not possible with ", variant.name,
                                                          ", which computes the features of each image once; use a "
                                                          "variant that trains on images, such as basic_cnn"));
  }
  const std::array<int64_t, 3> input = variant.trunk == nullptr
                                           ? std::array<int64_t, 3>{options.image_size, options.image_size, 3}
                                           : FeatureShape(*variant.trunk, options.image_size);
  GRAFT_ASSIGN_OR_RETURN(std::vector<LayerInfo> layers,
                         DescribeLayers(variant.layers(options, OutputUnits(classes)), input, true));
  GRAFT_RETURN_IF_ERROR(CheckCost(layers, options));
  return layers;
}

}  // namespace graft
