// How a look into a model is computed; see explanation.h.
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "core/base/status.h"
#include "core/eval/calibration.h"
#include "core/infer/explanation.h"
#include "core/infer/predictor.h"
#include "core/nn/input_torch.h"

namespace graft {
namespace {

// What TreatFeatures makes of an image's features, with gradients.
torch::Tensor TreatedWithGradients(const torch::Tensor& features, const TrainingOptions& options) {
  torch::Tensor x = features;
  if (options.pooling == Pooling::kAverage) {
    x = x.mean({2, 3});
  } else if (options.pooling == Pooling::kMax) {
    x = x.amax({2, 3});
  }
  if (options.feature_scaling == FeatureScaling::kL2) {
    const torch::Tensor length = x.square().sum().sqrt();
    // Features that are all zero stay so.
    return length.item<float>() > 0 ? x / length : x;
  }
  return x;
}

// A map of that shape: `x` itself, or, where that is tokens, those of the places. 1 x channels x height x width.
torch::Tensor AsMap(const torch::Tensor& x, const Shape& shape) {
  if (x.size(2) == shape[0] && x.size(3) == shape[1]) {
    return x;
  }
  return x.slice(3, 1).reshape({x.size(0), x.size(1), shape[0], shape[1]});
}

// Keeps what a plan wants of the layers that run by, and turns gradients on behind the last convolution: what that made
// is what they are taken of.
class Looker {
 public:
  Looker(const ExplainPlan& plan, absl::Span<float> row) : plan_(plan), row_(row) {}

  LayerTap tap() {
    return [this](const std::string& layer, const torch::Tensor& output) { return Take(layer, output); };
  }
  // What the last convolution made; undefined until it has run.
  const torch::Tensor& activation() const { return activation_; }

 private:
  torch::Tensor Take(const std::string& layer, const torch::Tensor& output) {
    for (const ExplainPlan::Layer& wanted : plan_.layers) {
      if (wanted.name == layer) {
        Copy(wanted, output.detach());
      }
    }
    if (layer != plan_.target.name) {
      return output;
    }
    activation_ = output.detach();
    activation_.requires_grad_(true);
    at::GradMode::set_enabled(true);
    return activation_;
  }

  void Copy(const ExplainPlan::Layer& wanted, const torch::Tensor& made) {
    const torch::Tensor output = AsMap(made, wanted.shape);
    TORCH_CHECK(output.size(0) == 1 && output.size(1) == wanted.shape[2] && output.size(2) == wanted.shape[0] &&
                    output.size(3) == wanted.shape[1],
                "layer ", wanted.name, " made something of another shape than planned");
    torch::from_blob(row_.data() + wanted.at, {wanted.channels, wanted.shape[0], wanted.shape[1]})
        .copy_(output[0].slice(0, 0, wanted.channels));
  }

  const ExplainPlan& plan_;
  const absl::Span<float> row_;
  torch::Tensor activation_;
};

}  // namespace

absl::Status Predictor::Explain(absl::Span<const uint8_t> image, const ExplainPlan& plan, absl::Span<float> row) const {
  return CatchExceptions("explaining", [&]() -> absl::Status {
    TORCH_CHECK(row.size() == plan.size && plan.labels == description_.labels.size(), "the plan isn't this model's");
    const torch::NoGradGuard until_the_last_convolution;  // brings back what was, too
    Looker looker(plan, row);
    const torch::Tensor input =
        InputTensor(image, 1, image_size(), description_.options.preprocessing, torch::Device(device_));
    torch::Tensor x = input;
    if (trunk_ != nullptr) {
      x = trunk_->Inspect(x, frozen_blocks_, looker.tap());
    }

    // As Run has them.
    const absl::Span<float> probabilities = row.first(plan.labels);
    {
      const torch::Tensor made = x.detach();
      const c10::InferenceMode inference;
      const torch::Tensor predicted = head_->Predict(runs_on_features() ? Treated(made) : made);
      GRAFT_RETURN_IF_ERROR(CopyProbabilities(WithMirrored(input, predicted), probabilities));
    }
    const int64_t label = plan.label >= 0
                              ? plan.label
                              : std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin();

    const torch::Tensor score =
        head_->Score(runs_on_features() ? TreatedWithGradients(x, treatment_) : x, label, looker.tap());
    const torch::Tensor& activation = looker.activation();
    TORCH_CHECK(activation.defined(), "layer ", plan.target.name, " didn't run");
    const torch::Tensor gradient = torch::autograd::grad({score.sum()}, {activation})[0];

    const torch::NoGradGuard no_grad;
    const torch::Tensor weights = AsMap(gradient, plan.target.shape).mean({2, 3}, /*keepdim=*/true);
    torch::Tensor heat = (weights * AsMap(activation.detach(), plan.target.shape)).sum(1).relu_().cpu().contiguous();
    TORCH_CHECK(heat.numel() == static_cast<int64_t>(plan.target.size()), "the map is of another shape than planned");
    const float peak = heat.max().item<float>();
    const bool warm = peak > 0 && std::isfinite(peak);
    heat = warm ? heat / peak : torch::zeros_like(heat);
    std::copy_n(heat.const_data_ptr<float>(), heat.numel(), row.data() + plan.target.at);
    row[plan.label_at()] = static_cast<float>(label);
    row[plan.peak_at()] = warm ? peak : 0;
    return absl::OkStatus();
  });
}

}  // namespace graft
