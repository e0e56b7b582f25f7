#include "core/infer/explanation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/model/variants.h"

namespace graft {
namespace {

constexpr size_t kMaxNameBytes = 255;

// "there is no layer 'x'; did you mean y? use one of ...", the first ones where there are many.
absl::Status NoSuch(absl::string_view field, absl::string_view kind, const std::string& name,
                    const std::vector<std::string>& names) {
  constexpr size_t kListed = 30;
  const std::vector<std::string> near = NearNames(name, names);
  const std::vector<std::string> listed(names.begin(),
                                        names.begin() + static_cast<std::ptrdiff_t>(std::min(kListed, names.size())));
  return InvalidField(
      field, absl::StrCat("the model has no ", kind, " '", name, "'; ",
                          near.empty() ? "" : absl::StrCat("did you mean ", absl::StrJoin(near, " or "), "? "),
                          "use one of ", absl::StrJoin(listed, ", "), listed.size() < names.size() ? ", ..." : ""));
}

bool MakesTokens(const LayerInfo& layer) {
  return layer.type == PatchEmbedding::kType || layer.type == TransformerBlock::kType || layer.type == LayerNorm::kType;
}

class ExplainRunner : public BatchRunner {
 public:
  ExplainRunner(std::shared_ptr<const LoadedModel> model, ExplainPlan plan)
      : model_(std::move(model)), plan_(std::move(plan)) {}

  int image_size() const override { return model_->classifier->image_size(); }
  Interpolation interpolation() const override { return model_->classifier->interpolation(); }
  std::vector<int64_t> output_shape() const override { return {static_cast<int64_t>(plan_.size)}; }
  absl::Status Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const override {
    const size_t bytes = images.size() / static_cast<size_t>(count);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      GRAFT_RETURN_IF_ERROR(
          model_->explainer->Explain(images.subspan(i * bytes, bytes), plan_, out.subspan(i * plan_.size, plan_.size)));
    }
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<const LoadedModel> model_;
  const ExplainPlan plan_;
};

}  // namespace

absl::StatusOr<std::vector<LayerInfo>> MapLayers(const ModelDescription& model) {
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(model.variant));
  GRAFT_ASSIGN_OR_RETURN(const HeadPlan plan,
                         PlanHead(*variant, model.options, static_cast<int64_t>(model.labels.size())));
  // Whose a trunk's blocks are makes no difference to what they are.
  std::vector<LayerSpec> specs;
  for (int i = 0; i < FrozenBlocks(*variant, plan.options); ++i) {
    const std::vector<LayerSpec>& block = variant->trunk->blocks[static_cast<size_t>(i)].layers;
    specs.insert(specs.end(), block.begin(), block.end());
  }
  specs.insert(specs.end(), plan.layers.begin(), plan.layers.end());
  specs.erase(std::find_if(specs.begin(), specs.end(),
                           [](const LayerSpec& spec) {
                             return std::holds_alternative<Flatten>(spec.layer) ||
                                    std::holds_alternative<GlobalAveragePool2D>(spec.layer) ||
                                    std::holds_alternative<ClassAndMean>(spec.layer);
                           }),
              specs.end());
  GRAFT_ASSIGN_OR_RETURN(std::vector<LayerInfo> layers,
                         DescribeLayers(specs, {plan.options.image_size, plan.options.image_size, 3}));
  for (LayerInfo& layer : layers) {
    if (MakesTokens(layer)) {
      const int64_t places = layer.output_shape[1] - 1;
      const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(places))));
      layer.output_shape = {side, side, layer.output_shape[2]};
    }
  }
  return layers;
}

absl::StatusOr<ExplainPlan> PlanExplanation(const ModelDescription& model, const ExplainOptions& options) {
  ExplainPlan plan;
  plan.labels = model.labels.size();
  if (!options.label.empty()) {
    GRAFT_RETURN_IF_ERROR(CheckText("label", options.label, kMaxNameBytes));
    const auto found = std::find(model.labels.begin(), model.labels.end(), options.label);
    if (found == model.labels.end()) {
      return NoSuch("label", "label", options.label, model.labels);
    }
    plan.label = static_cast<int>(found - model.labels.begin());
  }
  if (options.layers.size() > kMostShownLayers) {
    return InvalidField("layers", absl::StrCat(options.layers.size(), " are asked for; ", kMostShownLayers,
                                               " are shown at most in one call"));
  }
  if (options.channels < 1 || options.channels > kMostShownChannels) {
    return InvalidField("channels", absl::StrCat(options.channels, " is out of range; use 1 to ", kMostShownChannels));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerInfo> known, MapLayers(model));
  const auto place = [](const LayerInfo& layer) {
    return layer.type != MaxPool2D::kType && layer.type != LayerNorm::kType;
  };
  auto last = std::find_if(known.rbegin(), known.rend(), place);
  if (last != known.rend() && last->type == TransformerBlock::kType) {
    last = std::find_if(last + 1, known.rend(), place);
  }
  if (last == known.rend()) {
    return absl::InternalError(absl::StrCat(model.variant, " has no convolution to look at"));
  }
  plan.size = plan.peak_at() + 1;
  const auto add = [&](const LayerInfo& layer, int64_t channels) {
    ExplainPlan::Layer added{layer.name, layer.output_shape, std::min(channels, layer.output_shape[2]), plan.size};
    plan.size += added.size();
    return added;
  };
  plan.target = add(*last, 1);
  for (size_t i = 0; i < options.layers.size(); ++i) {
    const std::string& name = options.layers[i];
    GRAFT_RETURN_IF_ERROR(CheckText("layers", name, kMaxNameBytes));
    const auto found =
        std::find_if(known.begin(), known.end(), [&](const LayerInfo& layer) { return layer.name == name; });
    if (found == known.end()) {
      std::vector<std::string> names;
      names.reserve(known.size());
      for (const LayerInfo& layer : known) {
        names.push_back(layer.name);
      }
      return NoSuch("layers", "layer that makes maps called", name, names);
    }
    if (std::count(options.layers.begin(), options.layers.begin() + static_cast<std::ptrdiff_t>(i), name) > 0) {
      return InvalidField("layers", absl::StrCat("'", name, "' is there twice; name it once"));
    }
    plan.layers.push_back(add(*found, options.channels));
  }
  const auto bytes = static_cast<int64_t>(plan.size * sizeof(float));
  if (bytes > kMostExplanationBytes) {
    return InvalidField("layers", absl::StrCat("these have ", bytes >> 20, " MiB of channels together; one call shows ",
                                               kMostExplanationBytes >> 20,
                                               " MiB at most: name fewer or later layers, or set fewer channels"));
  }
  return plan;
}

std::shared_ptr<const BatchRunner> MakeExplainRunner(std::shared_ptr<const LoadedModel> model, ExplainPlan plan) {
  return std::make_shared<ExplainRunner>(std::move(model), std::move(plan));
}

}  // namespace graft
