#include "core/model/trunks.h"

#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"

namespace graft {
namespace {

// VGG16's five blocks (Simonyan and Zisserman, 2014, configuration D). Files name layers as torchvision does:
// features.N, where N counts convolutions, their ReLUs and the pools.
std::vector<TrunkBlock> Vgg16Blocks() {
  struct Size {
    int convolutions;
    int64_t filters;
  };
  std::vector<TrunkBlock> blocks;
  int n = 0;
  for (const Size& size : {Size{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}) {
    TrunkBlock block;
    block.name = absl::StrCat("block", blocks.size() + 1);
    for (int c = 1; c <= size.convolutions; ++c) {
      block.layers.push_back({absl::StrCat(block.name, "_conv", c), Conv2D{size.filters, {3, 1, 1, 1}},
                              absl::StrCat("features.", n), false});
      n += 2;  // its ReLU
    }
    block.layers.push_back({absl::StrCat(block.name, "_pool"), MaxPool2D{}, "", false});
    ++n;
    blocks.push_back(std::move(block));
  }
  return blocks;
}

// EfficientNet-Lite (Tan and Le, 2019, in the form that Google released for small devices): seven stages of inverted
// residuals between a stem and a head of constant width. Files name tensors as timm does.
struct LiteStage {
  int64_t expansion;
  int64_t filters;
  int64_t window;
  int64_t stride;
  int repeats;
};

std::vector<TrunkBlock> EfficientNetLiteBlocks(std::initializer_list<LiteStage> stages) {
  constexpr double kEpsilon = 1e-3;
  std::vector<TrunkBlock> blocks;
  for (const LiteStage& stage : stages) {
    const size_t i = blocks.size();
    TrunkBlock block;
    block.name = absl::StrCat("stage", i + 1);
    if (i == 0) {
      block.layers.push_back(
          {"stem", ConvNorm2D{32, Window::Same(3, 2), Activation::kRelu6, "conv_stem", "bn1", kEpsilon}, "", false});
    }
    for (int j = 0; j < stage.repeats; ++j) {
      block.layers.push_back({absl::StrCat(block.name, "_block", j + 1),
                              InvertedResidual{stage.expansion, stage.filters,
                                               Window::Same(stage.window, j == 0 ? stage.stride : 1), kEpsilon},
                              absl::StrCat("blocks.", i, ".", j), false});
    }
    blocks.push_back(std::move(block));
  }
  blocks.back().layers.push_back(
      {"head", ConvNorm2D{1280, Window(), Activation::kRelu6, "conv_head", "bn2", kEpsilon}, "", false});
  return blocks;
}

// ResNet-50 (He et al., 2015), as torchvision has it: the stride is in the 3x3 convolutions.
std::vector<TrunkBlock> ResNet50Blocks() {
  struct Stage {
    int64_t width;
    int64_t stride;
    int repeats;
  };
  std::vector<TrunkBlock> blocks = {
      {"stem",
       {{"stem", ConvNorm2D{64, {7, 2, 3, 3}, Activation::kRelu, "conv1", "bn1"}, "", false},
        {"stem_pool", MaxPool2D{{3, 2, 1, 1}}, "", false}}}};
  for (const Stage& stage : {Stage{64, 1, 3}, {128, 2, 4}, {256, 2, 6}, {512, 2, 3}}) {
    const size_t i = blocks.size();
    TrunkBlock block;
    block.name = absl::StrCat("stage", i);
    for (int j = 0; j < stage.repeats; ++j) {
      block.layers.push_back({absl::StrCat(block.name, "_block", j + 1),
                              Bottleneck{stage.width, j == 0 ? stage.stride : 1}, absl::StrCat("layer", i, ".", j),
                              false});
    }
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace

absl::Span<const TrunkInfo> Trunks() {
  static const auto* const kTrunks = new std::vector<TrunkInfo>{
      {"vgg16", "sequence", Preprocessing::kCaffe, Vgg16Blocks(), 14'714'688, 32, 224, "VGG16",
       "Simonyan and Zisserman, 2014, arXiv:1409.1556", "CC BY 4.0", "Visual Geometry Group, University of Oxford"},
      {"efficientnet_lite0", "sequence", Preprocessing::kCenter,
       EfficientNetLiteBlocks({{1, 16, 3, 1, 1},
                               {6, 24, 3, 2, 2},
                               {6, 40, 5, 2, 2},
                               {6, 80, 3, 2, 3},
                               {6, 112, 5, 1, 3},
                               {6, 192, 5, 2, 4},
                               {6, 320, 3, 1, 1}}),
       3'371'008, 32, 224, "EfficientNet-Lite0", "Tan and Le, 2019, arXiv:1905.11946, in its form for small devices",
       "Apache 2.0", "Google, the TPU models' release of EfficientNet-Lite"},
      {"efficientnet_lite2", "sequence", Preprocessing::kCenter,
       EfficientNetLiteBlocks({{1, 16, 3, 1, 1},
                               {6, 24, 3, 2, 3},
                               {6, 48, 5, 2, 3},
                               {6, 88, 3, 2, 4},
                               {6, 120, 5, 1, 4},
                               {6, 208, 5, 2, 5},
                               {6, 352, 3, 1, 1}}),
       4'811'072, 32, 260, "EfficientNet-Lite2", "Tan and Le, 2019, arXiv:1905.11946, in its form for small devices",
       "Apache 2.0", "Google, the TPU models' release of EfficientNet-Lite"},
      {"resnet50", "sequence", Preprocessing::kTorchvision, ResNet50Blocks(), 23'508'032, 32, 224, "ResNet-50",
       "He et al., 2015, arXiv:1512.03385", "that of the file you bring: timm's Apache 2.0, torchvision's BSD 3-Clause",
       "timm or torchvision"},
  };
  return *kTrunks;
}

const TrunkInfo& DefaultTrunk() { return Trunks().front(); }

absl::StatusOr<const TrunkInfo*> FindTrunk(absl::string_view name) {
  for (const TrunkInfo& trunk : Trunks()) {
    if (trunk.name == name) {
      return &trunk;
    }
  }
  return absl::NotFoundError(absl::StrCat("trunk: there is no '", name, "'; use one of ", TrunkNames()));
}

std::string TrunkNames() {
  return absl::StrJoin(Trunks(), ", ",
                       [](std::string* out, const TrunkInfo& trunk) { absl::StrAppend(out, trunk.name); });
}

std::vector<LayerSpec> TrunkInfo::layers() const {
  std::vector<LayerSpec> all;
  for (const TrunkBlock& block : blocks) {
    all.insert(all.end(), block.layers.begin(), block.layers.end());
  }
  return all;
}

Shape FeatureShape(const TrunkInfo& trunk, int image_size) {
  return FeatureShape(trunk, image_size, static_cast<int>(trunk.blocks.size()));
}

Shape FeatureShape(const TrunkInfo& trunk, int image_size, int blocks) {
  Shape shape = {image_size, image_size, 3};
  for (int i = 0; i < blocks; ++i) {
    for (const LayerSpec& layer : trunk.blocks[static_cast<size_t>(i)].layers) {
      shape = layer.Output(shape);
    }
  }
  return shape;
}

int64_t MultiplyAdds(const TrunkInfo& trunk, int image_size) {
  int64_t sum = 0;
  Shape shape = {image_size, image_size, 3};
  for (const LayerSpec& layer : trunk.layers()) {
    sum += layer.MultiplyAdds(shape);
    shape = layer.Output(shape);
  }
  return sum;
}

Preprocessing ResolvePreprocessing(Preprocessing preprocessing, const TrunkInfo* trunk) {
  if (preprocessing != Preprocessing::kAuto) {
    return preprocessing;
  }
  return trunk == nullptr ? Preprocessing::kRescale : trunk->preprocessing;
}

std::filesystem::path TrunkFile(const std::filesystem::path& weights_dir, absl::string_view name) {
  return weights_dir / absl::StrCat(name, ".safetensors");
}

absl::Status CheckTrunkWeights(const std::filesystem::path& weights_dir, absl::string_view name) {
  std::error_code error;
  if (std::filesystem::exists(TrunkFile(weights_dir, name), error)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat("the weights of ", name,
                                                    " are missing: ", TrunkFile(weights_dir, name).string(),
                                                    " isn't there. Run deploy/fetch-weights ", name, " --out ",
                                                    weights_dir.string(), ", or start graftd with --weights-dir"));
}

}  // namespace graft
