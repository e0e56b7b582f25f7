// Looks into models, against the same networks in LibTorch's own operators with its own gradients, and on pictures of
// which one half has what decides.
#include <torch/autograd.h>
#include <torch/types.h>

#include <map>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/data/packed_images.h"
#include "core/data/split.h"
#include "core/heads/trainer.h"
#include "core/infer/explanation.h"
#include "core/infer/predictor.h"
#include "core/nn/input_torch.h"
#include "core/nn/runtime.h"
#include "core/nn/tensors_torch.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;

const std::filesystem::path& WeightsDir() {
  static const auto* const dir =
      new std::filesystem::path(std::filesystem::path(GRAFT_BINARY_DIR) / "share" / "graft" / "weights");
  return *dir;
}

// Of DINOv2, whose weights nobody fetches, drawn ones.
std::filesystem::path WeightsDirOf(absl::string_view trunk) {
  if (trunk != "dinov2_vits14") {
    return WeightsDir();
  }
  static const auto* const dir = new testing::TempDir();
  const std::filesystem::path file = TrunkFile(dir->path(), trunk);
  if (!std::filesystem::exists(file)) {
    at::manual_seed(4);
    std::vector<NamedTensor> tensors;
    Shape shape = {14, 14, 3};
    for (const LayerSpec& layer : (*FindTrunk(trunk))->layers()) {
      for (const ParameterSpec& parameter : layer.Parameters(shape)) {
        const double scale = std::sqrt(2.0 / static_cast<double>(std::max<int64_t>(parameter.fan_in, 8)));
        tensors.push_back({layer.FileName(parameter), torch::randn(parameter.shape).mul_(scale).add_(parameter.start)});
      }
      shape = layer.Output(shape);
    }
    EXPECT_THAT(WriteSafetensors(file, ViewsOf(tensors), {}), IsOk());
  }
  return dir->path();
}

absl::StatusOr<std::shared_ptr<const Trunk>> LoadTrunk(absl::string_view name) {
  static auto* const trunks = new std::map<std::string, absl::StatusOr<std::shared_ptr<const Trunk>>, std::less<>>();
  auto found = trunks->find(name);
  if (found == trunks->end()) {
    found = trunks->emplace(std::string(name), Trunk::Load(name, WeightsDirOf(name), "cpu")).first;
  }
  return found->second;
}

absl::StatusOr<std::shared_ptr<const Predictor>> LoadModelIn(const std::filesystem::path& folder) {
  return Predictor::Load(folder, &LoadTrunk, "cpu");
}

// A model whose weights are drawn, not learnt: what each says of an image is different from what others say.
class DrawnModel {
 public:
  DrawnModel(const Variant& variant, const TrainingOptions& options, int classes, const std::filesystem::path& folder)
      : variant_(variant), folder_(folder) {
    std::filesystem::create_directories(folder);
    description_.name = "drawn";
    description_.version = 1;
    description_.variant = std::string(variant.name);
    for (int i = 0; i < classes; ++i) {
      description_.labels.push_back(absl::StrCat("class", i));
    }
    description_.options = *ResolveOptions(variant, options);
    plan_ = *PlanHead(variant, description_.options, classes);
    if (variant.trunk != nullptr) {
      description_.trunk_fingerprint = (*LoadTrunk(variant.trunk->name))->fingerprint();
      const Safetensors file = *Safetensors::Open(TrunkFile(WeightsDirOf(variant.trunk->name), variant.trunk->name));
      for (const TensorView& view : file.tensors()) {
        tensors_[view.name] = TensorOf(view).clone();
      }
    }
    at::manual_seed(classes);
    std::vector<NamedTensor> own;
    if (plan_.kind == "dense") {
      Shape shape = plan_.input;
      for (const LayerSpec& layer : plan_.layers) {
        for (const ParameterSpec& parameter : layer.Parameters(shape)) {
          const double scale = std::sqrt(2.0 / static_cast<double>(std::max<int64_t>(parameter.fan_in, 1)));
          own.push_back({layer.FileName(parameter), parameter.fan_in == 0
                                                        ? parameter.start + 0.01 * torch::randn(parameter.shape)
                                                        : scale * torch::randn(parameter.shape)});
        }
        shape = layer.Output(shape);
      }
    } else if (plan_.kind == "linear_svm") {
      const int64_t outputs = OutputUnits(classes);
      own.push_back({"weights", torch::randn({outputs, ElementCount(plan_.input)})});
      own.push_back({"bias", torch::randn({outputs})});
      own.push_back({"calibration", torch::stack({-torch::rand({outputs}) - 0.5, torch::randn({outputs})}, 1)});
    } else {
      own.push_back({"features", 10 * torch::rand({40, ElementCount(plan_.input)})});
      own.push_back({"labels", torch::arange(40).remainder(classes)});
    }
    EXPECT_THAT(WriteSafetensors(WeightsFile(folder), ViewsOf(own), {}), IsOk());
    EXPECT_THAT(SaveModel(description_, folder), IsOk());
    for (const NamedTensor& tensor : own) {
      tensors_[tensor.name] = tensor.tensor;
    }
  }

  const ModelDescription& description() const { return description_; }
  const std::filesystem::path& folder() const { return folder_; }

  // Runs an image in plain LibTorch, with gradients from the image on.
  void Run(absl::Span<const uint8_t> image) {
    made_.clear();
    torch::Tensor x =
        InputTensor(image, 1, description_.options.image_size, description_.options.preprocessing, torch::kCPU)
            .contiguous();
    x.requires_grad_(true);
    std::vector<LayerSpec> layers;
    for (int i = 0; i < FrozenBlocks(variant_, description_.options); ++i) {
      const std::vector<LayerSpec>& block = variant_.trunk->blocks[static_cast<size_t>(i)].layers;
      layers.insert(layers.end(), block.begin(), block.end());
    }
    size_t before_head = layers.size();
    layers.insert(layers.end(), plan_.layers.begin(), plan_.layers.end());
    for (size_t i = 0; i < layers.size(); ++i) {
      x = i == before_head && variant_.trunk_use == TrunkUse::kFeatures ? Treated(x) : x;
      x = Layer(layers[i], x);
      made_[layers[i].name] = AsMap(x);
      const absl::string_view type = layers[i].type();
      const bool behind_attention =
          type == "LayerNormalization" || type == "ClassAndMean" || layers[i].name == "block12";
      if (x.dim() == 4 && type != "MaxPooling2D" && !behind_attention) {
        last_ = x;
      }
    }
    end_ = before_head == layers.size() ? Treated(x) : x;
  }

  const torch::Tensor& made(const std::string& layer) const { return made_.at(layer); }

  // Of the last image.
  torch::Tensor Heat(int64_t label) const {
    const torch::Tensor gradient = AsMap(torch::autograd::grad({Score(label)}, {last_}, {}, true)[0]);
    const torch::Tensor map = AsMap(last_.detach());
    torch::Tensor heat = torch::zeros({map.size(2), map.size(3)});
    for (int64_t c = 0; c < map.size(1); ++c) {
      heat += gradient[0][c].mean() * map[0][c];
    }
    return heat.clamp_min(0);
  }

 private:
  // Of tokens, those of the places.
  static torch::Tensor AsMap(const torch::Tensor& x) {
    if (x.dim() != 4 || x.size(2) != 1 || x.size(3) < 3) {
      return x;
    }
    const auto side = static_cast<int64_t>(std::sqrt(x.size(3) - 1));
    return x.slice(3, 1).reshape({1, x.size(1), side, side});
  }
  // One head after the other.
  torch::Tensor Attention(const LayerSpec& spec, const torch::Tensor& tokens, int64_t heads) const {
    const torch::Tensor qkv = Linear(spec, "attn.qkv", tokens);
    const int64_t width = tokens.size(1) / heads;
    std::vector<torch::Tensor> of_heads;
    for (int64_t head = 0; head < heads; ++head) {
      const auto part = [&](int64_t which) {
        return qkv.slice(1, which * tokens.size(1) + head * width, which * tokens.size(1) + (head + 1) * width);
      };
      const torch::Tensor weights =
          torch::softmax(torch::matmul(part(0), part(1).t()) / std::sqrt(static_cast<double>(width)), 1);
      of_heads.push_back(torch::matmul(weights, part(2)));
    }
    return Linear(spec, "attn.proj", torch::cat(of_heads, 1));
  }
  torch::Tensor Linear(const LayerSpec& spec, const std::string& name, const torch::Tensor& x) const {
    return torch::matmul(x, Weight(spec, name + ".weight").t()) + Weight(spec, name + ".bias");
  }
  torch::Tensor Norm(const LayerSpec& spec, const std::string& name, const torch::Tensor& x) const {
    const torch::Tensor centred = x - x.mean(1, true);
    return centred / (centred.square().mean(1, true) + 1e-6).sqrt() * Weight(spec, name + "weight") +
           Weight(spec, name + "bias");
  }
  // Tokens x channels, and back.
  static torch::Tensor Rows(const torch::Tensor& x) { return x[0].select(1, 0).t(); }
  static torch::Tensor FromRows(const torch::Tensor& rows) { return rows.t().unsqueeze(0).unsqueeze(2); }

  torch::Tensor Weight(const LayerSpec& layer, absl::string_view name) const {
    return tensors_.at(layer.FileName({std::string(name), {}}));
  }
  // A convolution and the norm behind it; of each channel by itself where its weight has one input channel.
  torch::Tensor Normed(const LayerSpec& spec, const std::string& convolution, const std::string& norm,
                       const Window& window, double epsilon, const torch::Tensor& x) const {
    const torch::Tensor weight = Weight(spec, convolution + ".weight");
    const int64_t groups = weight.size(1) == 1 ? weight.size(0) : 1;
    const int64_t none = 0;
    const torch::Tensor padded = torch::constant_pad_nd(x, {window.PadBefore(x.size(3)), window.PadAfter(x.size(3)),
                                                            window.PadBefore(x.size(2)), window.PadAfter(x.size(2))});
    return torch::batch_norm(torch::conv2d(padded, weight, {}, window.stride, none, 1, groups),
                             Weight(spec, norm + ".weight"), Weight(spec, norm + ".bias"),
                             Weight(spec, norm + ".running_mean"), Weight(spec, norm + ".running_var"), false, 0,
                             epsilon, false);
  }
  torch::Tensor Layer(const LayerSpec& spec, const torch::Tensor& x) const {
    if (const auto* conv = std::get_if<Conv2D>(&spec.layer)) {
      return torch::conv2d(x, Weight(spec, "weight"), Weight(spec, "bias"), 1, conv->window.pad_before).relu();
    }
    if (const auto* conv = std::get_if<ConvNorm2D>(&spec.layer)) {
      return Normed(spec, conv->convolution, conv->norm, conv->window, conv->epsilon, x).clamp(0, 6);
    }
    if (const auto* block = std::get_if<InvertedResidual>(&spec.layer)) {
      torch::Tensor y = x;
      if (block->expansion > 1) {
        y = Normed(spec, "conv_pw", "bn1", Window(), block->epsilon, y).clamp(0, 6);
      }
      const bool expands = block->expansion > 1;
      y = Normed(spec, "conv_dw", expands ? "bn2" : "bn1", block->window, block->epsilon, y).clamp(0, 6);
      y = Normed(spec, expands ? "conv_pwl" : "conv_pw", expands ? "bn3" : "bn2", Window(), block->epsilon, y);
      return y.sizes() == x.sizes() ? y + x : y;
    }
    if (const auto* embedding = std::get_if<PatchEmbedding>(&spec.layer)) {
      const int64_t side = (x.size(2) + embedding->patch - 1) / embedding->patch;
      const int64_t missing = side * embedding->patch - x.size(2);
      const torch::Tensor patches =
          torch::conv2d(torch::constant_pad_nd(x, {0, missing, 0, missing}), Weight(spec, "patch_embed.proj.weight"),
                        Weight(spec, "patch_embed.proj.bias"), embedding->patch);
      const torch::Tensor places = Weight(spec, "pos_embed")[0];
      const torch::Tensor grid = places.slice(0, 1).t().reshape({1, places.size(1), embedding->side, embedding->side});
      const torch::Tensor resized = at::_upsample_bicubic2d_aa(grid.contiguous(), {side, side}, false);
      return FromRows(
          torch::cat({Weight(spec, "cls_token")[0] + places.slice(0, 0, 1), (patches + resized)[0].flatten(1).t()}));
    }
    if (const auto* block = std::get_if<TransformerBlock>(&spec.layer)) {
      torch::Tensor tokens = Rows(x);
      tokens = tokens + Weight(spec, "ls1.gamma") * Attention(spec, Norm(spec, "norm1.", tokens), block->heads);
      const torch::Tensor hidden = Linear(spec, "mlp.fc1", Norm(spec, "norm2.", tokens));
      const torch::Tensor gelu = hidden * 0.5 * (1 + torch::erf(hidden / std::sqrt(2.0)));
      return FromRows(tokens + Weight(spec, "ls2.gamma") * Linear(spec, "mlp.fc2", gelu));
    }
    if (std::holds_alternative<LayerNorm>(spec.layer)) {
      return FromRows(Norm(spec, "", Rows(x)));
    }
    if (std::holds_alternative<ClassAndMean>(spec.layer)) {
      const torch::Tensor tokens = Rows(x);
      return FromRows(torch::cat({tokens.slice(0, 0, 1), tokens.slice(0, 1).mean(0, true)}, 1));
    }
    if (std::holds_alternative<GlobalAveragePool2D>(spec.layer)) {
      return x.dim() == 4 ? x.mean({2, 3}) : x;
    }
    if (std::holds_alternative<MaxPool2D>(spec.layer)) {
      return torch::max_pool2d(x, 2);
    }
    if (std::holds_alternative<Flatten>(spec.layer)) {
      return Flat(x);
    }
    if (const auto* dense = std::get_if<Dense>(&spec.layer)) {
      const torch::Tensor y = torch::matmul(x, Weight(spec, "weight").t()) + Weight(spec, "bias");
      return dense->activation == Activation::kRelu ? y.relu() : y;
    }
    return x;  // dropout
  }
  static torch::Tensor Flat(const torch::Tensor& x) {
    return x.dim() == 4 ? x.permute({0, 2, 3, 1}).reshape({1, -1}) : x;
  }
  torch::Tensor Treated(const torch::Tensor& features) const {
    const TrainingOptions& options = description_.options;
    torch::Tensor x = features;
    if (options.pooling == Pooling::kAverage) {
      x = x.flatten(2).mean(2);
    } else if (options.pooling == Pooling::kMax) {
      x = std::get<0>(x.flatten(2).max(2));
    }
    return options.feature_scaling == FeatureScaling::kL2 ? x / x.norm() : x;
  }
  torch::Tensor Score(int64_t label) const {
    const auto of_outputs = [&](const torch::Tensor& outputs) {
      return outputs.size(0) > 1 ? outputs[label] : label == 1 ? outputs[0] : -outputs[0];
    };
    if (plan_.kind == "dense") {
      return of_outputs(end_[0]);
    }
    const torch::Tensor row = Flat(end_)[0];
    if (plan_.kind == "linear_svm") {
      const torch::Tensor& curve = tensors_.at("calibration");
      const torch::Tensor scores = torch::mv(tensors_.at("weights"), row) + tensors_.at("bias");
      return of_outputs(-(curve.select(1, 0) * scores + curve.select(1, 1)));
    }
    std::vector<torch::Tensor> near;
    std::vector<torch::Tensor> other;
    for (int64_t i = 0; i < 40; ++i) {
      const torch::Tensor distance = (row - tensors_.at("features")[i]).square().sum();
      (i % static_cast<int64_t>(description_.labels.size()) == label ? near : other).push_back(distance);
    }
    const auto mean_of_least = [&](const std::vector<torch::Tensor>& distances) {
      const torch::Tensor sorted = std::get<0>(torch::stack(distances).sort());
      return sorted.slice(0, 0, std::min<int64_t>(description_.options.neighbors, sorted.size(0))).mean();
    };
    return mean_of_least(other) - mean_of_least(near);
  }

  const Variant& variant_;
  const std::filesystem::path folder_;
  ModelDescription description_;
  HeadPlan plan_;
  std::map<std::string, torch::Tensor> tensors_;
  std::map<std::string, torch::Tensor> made_;
  torch::Tensor last_;
  torch::Tensor end_;
};

std::vector<uint8_t> Noise(int side, uint64_t seed) {
  cv::Mat image(side, side, CV_8UC3);
  cv::RNG(seed).fill(image, cv::RNG::UNIFORM, 0, 256);
  return {image.datastart, image.dataend};
}

absl::StatusOr<Explanation> Look(const Predictor& model, absl::Span<const uint8_t> image,
                                 const ExplainOptions& options = {}) {
  GRAFT_ASSIGN_OR_RETURN(const ExplainPlan plan, PlanExplanation(model.description(), options));
  std::vector<float> row(plan.size, -1);
  GRAFT_RETURN_IF_ERROR(model.Explain(image, plan, absl::MakeSpan(row)));
  return Explanation(plan, std::move(row));
}

torch::Tensor AsTensor(absl::Span<const float> values, const std::vector<int64_t>& shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape).clone();
}

struct Case {
  const Variant* variant;
  TrainingOptions options;
};

// Each variant of VGG16, EfficientNet-Lite0 and DINOv2; each head on features, and what features go through.
std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const Variant& variant : Variants()) {
    if (variant.trunk != nullptr && variant.trunk->name != "vgg16" && variant.trunk->name != "efficientnet_lite0" &&
        variant.trunk->name != "dinov2_vits14") {
      continue;
    }
    TrainingOptions options = variant.recommended;
    options.image_size = variant.trunk != nullptr ? 64 : 70;
    options.interpolation = Interpolation::kNearest;
    options.head = HeadKind::kDense;
    options.pooling = Pooling::kNone;
    options.feature_scaling = FeatureScaling::kNone;
    options.dense_units = 32;
    options.neighbors = 3;
    cases.push_back({&variant, options});
    if (variant.trunk_use == TrunkUse::kNetwork) {
      options.trainable_blocks = options.trainable_blocks == 0 ? 5 : 1;
      cases.push_back({&variant, options});
    }
    if (variant.trunk_use != TrunkUse::kFeatures) {
      continue;
    }
    for (const HeadKind head : {HeadKind::kDense, HeadKind::kLinearSvm, HeadKind::kKnn}) {
      for (const Pooling pooling : {Pooling::kNone, Pooling::kAverage, Pooling::kMax}) {
        options.head = head;
        options.pooling = pooling;
        options.feature_scaling = pooling == Pooling::kMax ? FeatureScaling::kNone : FeatureScaling::kL2;
        cases.push_back({&variant, options});
      }
    }
  }
  return cases;
}

// Our own kernels, without timing them first: network_test.cc tries the others.
class ExplainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SetTorchThreads(2);
    SetConvolutionAlgorithm(ConvolutionAlgorithm::kWinograd);
  }
  void TearDown() override { SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest); }
};

TEST_F(ExplainTest, MapsAreThoseOfLibTorchsOwnGradientsForEveryVariantAndHead) {
  const testing::TempDir dir;
  int warm = 0;
  int models = 0;
  for (const Case& tried : AllCases()) {
    for (const int classes : {2, 3}) {
      SCOPED_TRACE(absl::StrCat(tried.variant->name, ", ", HeadKindName(tried.options.head), ", ",
                                PoolingName(tried.options.pooling), ", ", tried.options.trainable_blocks, ", ",
                                classes));
      DrawnModel drawn(*tried.variant, tried.options, classes, dir / absl::StrCat(++models));
      ASSERT_OK_AND_ASSIGN(const auto model, LoadModelIn(drawn.folder()));
      const std::vector<uint8_t> image = Noise(tried.options.image_size, 5);
      drawn.Run(image);
      std::vector<float> classified(static_cast<size_t>(classes));
      ASSERT_THAT(model->Run(image, 1, absl::MakeSpan(classified)), IsOk());

      ASSERT_OK_AND_ASSIGN(const Explanation predicted, Look(*model, image));
      EXPECT_EQ(predicted.label(),
                static_cast<size_t>(std::max_element(classified.begin(), classified.end()) - classified.begin()));
      for (int label = 0; label < classes; ++label) {
        ExplainOptions options;
        options.label = absl::StrCat("class", label);
        ASSERT_OK_AND_ASSIGN(const Explanation found, Look(*model, image, options));
        EXPECT_EQ(found.label(), static_cast<size_t>(label));
        EXPECT_EQ(found.probabilities(), absl::MakeConstSpan(classified)) << "what Run says, bit by bit";
        const torch::Tensor expected = drawn.Heat(label);
        const float peak = expected.max().item<float>();
        EXPECT_NEAR(found.peak(), peak, 2e-3 * std::max(peak, 1e-3F));
        const torch::Tensor heat = AsTensor(found.heat(), expected.sizes().vec());
        if (peak > 0) {
          ++warm;
          EXPECT_LT((heat - expected / peak).abs().max().item<float>(), 2e-3);
        } else {
          EXPECT_EQ(heat.abs().max().item<float>(), 0);
        }
        if (static_cast<size_t>(label) == predicted.label()) {
          EXPECT_EQ(predicted.heat(), found.heat());
        }
      }
      // Nothing of the model has changed.
      std::vector<float> again(classified.size());
      ASSERT_THAT(model->Run(image, 1, absl::MakeSpan(again)), IsOk());
      EXPECT_EQ(again, classified);
      std::filesystem::remove_all(drawn.folder());
    }
  }
  EXPECT_GT(warm, models) << "of what there is to compare";
}

TEST_F(ExplainTest, ChannelsAreWhatLayersMakeBeforeTheirPool) {
  const testing::TempDir dir;
  for (const absl::string_view name :
       {"basic_cnn", "vgg16_features", "vgg16_finetuned", "efficientnet_lite0_finetuned", "dinov2_vits14_finetuned"}) {
    SCOPED_TRACE(std::string(name));
    const Variant& variant = **FindVariant(name);
    TrainingOptions options = variant.recommended;
    options.image_size = 64;
    options.dense_units = 16;
    DrawnModel drawn(variant, options, 2, dir / std::string(name));
    ASSERT_OK_AND_ASSIGN(const auto model, LoadModelIn(drawn.folder()));
    const std::vector<uint8_t> image = Noise(64, 9);
    drawn.Run(image);
    ASSERT_OK_AND_ASSIGN(const std::vector<LayerInfo> layers, MapLayers(drawn.description()));
    for (const LayerInfo& layer : layers) {
      ExplainOptions wanted;
      wanted.layers = {layer.name, layers.front().name};
      wanted.layers.resize(layer.name == layers.front().name ? 1 : 2);
      wanted.channels = 7;
      ASSERT_OK_AND_ASSIGN(const Explanation found, Look(*model, image, wanted));
      for (size_t i = 0; i < wanted.layers.size(); ++i) {
        const torch::Tensor expected = drawn.made(wanted.layers[i]).detach()[0].slice(0, 0, 7);
        const torch::Tensor maps = AsTensor(found.maps(i), expected.sizes().vec());
        EXPECT_LT((maps - expected).abs().max().item<float>(), 1e-3 * expected.abs().max().item<float>())
            << wanted.layers[i];
      }
    }
  }
}

TEST_F(ExplainTest, ABatchersRowsAreEachItsOwnImages) {
  const testing::TempDir dir;
  const Variant& variant = **FindVariant("basic_cnn");
  TrainingOptions options = variant.recommended;
  options.image_size = 40;
  options.dense_units = 16;
  const DrawnModel drawn(variant, options, 2, dir / "model");
  ASSERT_OK_AND_ASSIGN(const auto model, LoadModelIn(drawn.folder()));
  ASSERT_OK_AND_ASSIGN(const ExplainPlan plan, PlanExplanation(drawn.description(), {}));
  const auto runner =
      MakeExplainRunner(std::make_shared<const LoadedModel>(LoadedModel{drawn.description(), model, model}), plan);
  EXPECT_EQ(runner->image_size(), 40);
  std::vector<uint8_t> images = Noise(40, 1);
  const std::vector<uint8_t> second = Noise(40, 2);
  images.insert(images.end(), second.begin(), second.end());
  std::vector<float> rows(2 * plan.size);
  ASSERT_THAT(runner->Run(images, 2, absl::MakeSpan(rows)), IsOk());
  ASSERT_OK_AND_ASSIGN(const Explanation of_second, Look(*model, second));
  EXPECT_EQ(of_second.heat(), absl::MakeConstSpan(rows).subspan(plan.size + plan.target.at, plan.target.size()));
}

// Grey pictures with a striped patch in one half; the class is the patch's colour, and says nothing of where it is.
class PatchTest : public ExplainTest {
 protected:
  static constexpr int kSide = 96;

  void SetUp() override {
    ExplainTest::SetUp();
    cv::RNG rng(3);
    for (int i = 0; i < 120; ++i) {
      cv::Mat image(kSide, kSide, CV_8UC3);
      rng.fill(image, cv::RNG::NORMAL, 120, 12);
      const bool red = i % 2 == 0;
      const bool right = i / 2 % 2 == 0;
      const int x = rng.uniform(2, 12) + (right ? kSide / 2 : 0);
      const int y = rng.uniform(4, kSide - 36);
      for (int stripe = 0; stripe < 32; stripe += 8) {
        image(cv::Rect(x, y + stripe, 32, 4)).setTo(red ? cv::Scalar(30, 30, 230) : cv::Scalar(230, 60, 30));
      }
      std::vector<uint8_t> png;
      cv::imencode(".png", image, png);
      testing::WriteText(dir_ / absl::StrCat("in/", red ? "red" : "blue", ".", i, right ? "-right" : "-left", ".png"),
                         std::string(png.begin(), png.end()));
    }
    SplitOptions split;
    split.sizes = SplitFractions{0.6, 0.2, 0.2};
    std::filesystem::create_directories(dir_ / "dataset");
    ASSERT_OK_AND_ASSIGN(manifest_, SplitFolder(dir_ / "in", dir_ / "dataset", split, &Nothing));
  }
  static absl::Status Nothing(const ProgressUpdate&) { return absl::OkStatus(); }

  absl::StatusOr<std::shared_ptr<const Predictor>> Trained(const std::string& variant, const TrainingOptions& options) {
    TrainRequest request;
    request.variant = *FindVariant(variant);
    request.options = options;
    request.options.device = "cpu";
    request.options.threads = 2;
    request.dataset = dir_ / "dataset";
    request.manifest = &manifest_;
    request.weights_dir = WeightsDir();
    request.out = dir_ / "model";
    std::filesystem::remove_all(request.out);
    std::filesystem::create_directories(request.out);
    GRAFT_ASSIGN_OR_RETURN(const TrainOutcome outcome,
                           Train(request, {&Nothing, [](const StepUpdate&) { return absl::OkStatus(); },
                                           [](const EpochMetrics&) { return absl::OkStatus(); }}));
    ModelDescription model;
    model.name = "model";
    model.version = 1;
    model.variant = variant;
    model.labels = manifest_.labels;
    model.options = outcome.options;
    model.trunk_fingerprint = outcome.trunk_fingerprint;
    GRAFT_RETURN_IF_ERROR(SaveModel(model, request.out));
    return LoadModelIn(request.out);
  }

  // Of the test part's maps for what is predicted, the mean share that lies in the patch's half.
  double ShareInItsHalf(const Predictor& model) {
    const auto images =
        *PackedImages::OpenOrBuild(dir_ / "dataset", manifest_, model.image_size(), model.interpolation(), 1, &Nothing);
    double sum = 0;
    int count = 0;
    for (size_t i = 0; i < manifest_.entries.size(); ++i) {
      const ManifestEntry& entry = manifest_.entries[i];
      if (entry.part != Part::kTest) {
        continue;
      }
      const absl::StatusOr<Explanation> found = Look(model, images->image(static_cast<int64_t>(i)));
      EXPECT_THAT(found, IsOk());
      EXPECT_EQ(found->label(), static_cast<size_t>(entry.label)) << entry.path;
      EXPECT_GT(found->peak(), 0) << entry.path;
      const Shape& shape = found->plan().target.shape;
      const torch::Tensor heat = AsTensor(found->heat(), {shape[0], shape[1]});
      const int64_t half = shape[1] / 2;
      const bool right = entry.path.find("right") != std::string::npos;
      const torch::Tensor in = right ? heat.slice(1, shape[1] - half) : heat.slice(1, 0, half);
      sum += (in.sum() / heat.sum()).item<double>();
      ++count;
    }
    EXPECT_EQ(count, 24);
    return sum / count;
  }

  const testing::TempDir dir_;
  Manifest manifest_;
};

TEST_F(PatchTest, ANetworksMapLiesWhereWhatDecidesIs) {
  TrainingOptions options = (*FindVariant("basic_cnn"))->recommended;
  options.image_size = kSide;
  options.epochs = 6;
  options.dense_units = 32;
  options.batch_size = 12;
  ASSERT_OK_AND_ASSIGN(const auto model, Trained("basic_cnn", options));
  EXPECT_GT(ShareInItsHalf(*model), 0.7);
}

TEST_F(PatchTest, TheMapsOfHeadsOnFeaturesLieWhereWhatDecidesIs) {
  for (const HeadKind head : {HeadKind::kDense, HeadKind::kLinearSvm, HeadKind::kKnn}) {
    SCOPED_TRACE(std::string(HeadKindName(head)));
    TrainingOptions options = (*FindVariant("vgg16_features"))->recommended;
    options.image_size = kSide;
    options.head = head;
    options.epochs = 30;
    options.dense_units = 32;
    options.learning_rate = 3e-3;
    ASSERT_OK_AND_ASSIGN(const auto model, Trained("vgg16_features", options));
    EXPECT_GT(ShareInItsHalf(*model), 0.7);
  }
}

}  // namespace
}  // namespace graft
