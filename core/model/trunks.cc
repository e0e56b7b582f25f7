#include "core/model/trunks.h"

#include <algorithm>
#include <deque>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/mutex.h"
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

// DINOv2's small vision transformer (Oquab et al., 2023), whose places were learned on images of 518 pixels. Files name
// tensors as its authors and timm do.
std::vector<TrunkBlock> DinoV2SmallBlocks() {
  constexpr int kBlocks = 12;
  std::vector<TrunkBlock> blocks = {{"embedding", {{"embedding", PatchEmbedding{384, 14, 37}, "", false}}}};
  for (int i = 0; i < kBlocks; ++i) {
    const std::string name = absl::StrCat("block", i + 1);
    blocks.push_back({name, {{name, TransformerBlock{6}, absl::StrCat("blocks.", i), false}}});
  }
  blocks.back().layers.push_back({"norm", LayerNorm{}, "norm", false});
  blocks.back().layers.push_back({"class_and_mean", ClassAndMean{}, "", false});
  return blocks;
}

const std::vector<TrunkInfo>& OwnTrunks() {
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
      {"dinov2_vits14", "sequence", Preprocessing::kTorchvision, DinoV2SmallBlocks(), 22'056'192, 14, 224,
       "DINOv2 ViT-S/14", "Oquab et al., 2023, arXiv:2304.07193", "that of the file you bring: the authors' Apache 2.0",
       "Meta, or timm"},
  };
  return *kTrunks;
}

// Of an imported trunk's row: what its views look at.
struct Row {
  ImportedTrunk imported;
  std::string title;
  TrunkInfo info;
};

// Never gets smaller, so that rows stay where they are.
struct Registry {
  Mutex mutex;
  std::deque<Row> rows ABSL_GUARDED_BY(mutex);
};

Registry& Imported() {
  static auto* const registry = new Registry;
  return *registry;
}

}  // namespace

std::vector<std::reference_wrapper<const TrunkInfo>> Trunks() {
  std::vector<std::reference_wrapper<const TrunkInfo>> trunks(OwnTrunks().begin(), OwnTrunks().end());
  Registry& registry = Imported();
  const MutexLock lock(&registry.mutex);
  for (const Row& row : registry.rows) {
    trunks.emplace_back(row.info);
  }
  return trunks;
}

absl::StatusOr<const TrunkInfo*> AddTrunk(const ImportedTrunk& imported) {
  const auto like = std::find_if(OwnTrunks().begin(), OwnTrunks().end(),
                                 [&](const TrunkInfo& trunk) { return trunk.name == imported.like; });
  if (like == OwnTrunks().end()) {
    return absl::NotFoundError(absl::StrCat(
        "like: there is no '", imported.like, "'; use one of ",
        absl::StrJoin(OwnTrunks(), ", ",
                      [](std::string* out, const TrunkInfo& trunk) { absl::StrAppend(out, trunk.name); })));
  }
  Registry& registry = Imported();
  const MutexLock lock(&registry.mutex);
  const auto is_called = [&](const TrunkInfo& trunk) { return trunk.name == imported.name; };
  if (std::any_of(OwnTrunks().begin(), OwnTrunks().end(), is_called) ||
      std::any_of(registry.rows.begin(), registry.rows.end(), [&](const Row& row) { return is_called(row.info); })) {
    return absl::AlreadyExistsError(absl::StrCat("name: there is a trunk '", imported.name, "' already"));
  }
  Row& row = registry.rows.emplace_back(Row{imported, absl::StrCat(imported.name, " (", like->title, ")"), *like});
  TrunkInfo& info = row.info;
  info.name = row.imported.name;
  info.title = row.title;
  info.licence = "that of the file that was imported";
  info.source = row.imported.source;
  info.preprocessing = ResolvePreprocessing(imported.preprocessing, &*like);
  info.like = &*like;
  info.file = imported.file;
  return &info;
}

const TrunkInfo& DefaultTrunk() { return OwnTrunks().front(); }

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
  const absl::StatusOr<const TrunkInfo*> trunk = FindTrunk(name);
  if (trunk.ok() && !(*trunk)->file.empty()) {
    return (*trunk)->file;
  }
  return weights_dir / absl::StrCat(name, ".safetensors");
}

absl::Status CheckTrunkWeights(const std::filesystem::path& weights_dir, absl::string_view name) {
  std::error_code error;
  if (std::filesystem::exists(TrunkFile(weights_dir, name), error)) {
    return absl::OkStatus();
  }
  const absl::StatusOr<const TrunkInfo*> trunk = FindTrunk(name);
  if (trunk.ok() && (*trunk)->like != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the weights of ", name, ", which were imported, are gone from the server's data folder"));
  }
  return absl::FailedPreconditionError(absl::StrCat("the weights of ", name,
                                                    " are missing: ", TrunkFile(weights_dir, name).string(),
                                                    " isn't there. Run deploy/fetch-weights ", name, " --out ",
                                                    weights_dir.string(), ", or start graftd with --weights-dir"));
}

}  // namespace graft
