#include "core/infer/predictor.h"

#include <torch/types.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/eval/calibration.h"
#include "core/model/treatment.h"
#include "core/nn/input_torch.h"

namespace graft {

Predictor::Predictor(ModelDescription description, TrainingOptions treatment, std::string device,
                     std::shared_ptr<const Trunk> trunk, int frozen_blocks, std::unique_ptr<const Head> head)
    : description_(std::move(description)),
      treatment_(std::move(treatment)),
      device_(std::move(device)),
      trunk_(std::move(trunk)),
      frozen_blocks_(frozen_blocks),
      head_(std::move(head)) {}

absl::StatusOr<std::shared_ptr<const Predictor>> Predictor::Load(const std::filesystem::path& folder,
                                                                 const TrunkLoader& load_trunk,
                                                                 const std::string& device) {
  GRAFT_ASSIGN_OR_RETURN(ModelDescription description, LoadModel(folder));
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(description.variant));
  GRAFT_ASSIGN_OR_RETURN(HeadPlan plan,
                         PlanHead(*variant, description.options, static_cast<int64_t>(description.labels.size())));
  const int frozen_blocks = FrozenBlocks(*variant, plan.options);
  TrainingOptions treatment = TreatmentOf(*variant, description.options);
  std::shared_ptr<const Trunk> trunk;
  if (variant->trunk != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(trunk, load_trunk(variant->trunk->name));
    if (trunk->fingerprint() != description.trunk_fingerprint) {
      return absl::FailedPreconditionError(
          absl::StrCat("model ", description.name, "@", description.version, " was trained on other ",
                       variant->trunk->name, " weights than this server has; restore them or train it again"));
    }
  }
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<Head> head, MakeHead(std::move(plan), device));
  GRAFT_RETURN_IF_ERROR(CatchExceptions("loading the model", [&] { return head->Load(WeightsFile(folder)); }));
  return std::shared_ptr<const Predictor>(new Predictor(std::move(description), std::move(treatment), device,
                                                        std::move(trunk), frozen_blocks, std::move(head)));
}

bool Predictor::runs_on_features() const {
  return trunk_ != nullptr && frozen_blocks_ == static_cast<int>(trunk_->info().blocks.size());
}

int Predictor::image_size() const { return description_.options.image_size; }
Interpolation Predictor::interpolation() const { return description_.options.interpolation; }
std::vector<int64_t> Predictor::output_shape() const { return {static_cast<int64_t>(description_.labels.size())}; }

torch::Tensor Predictor::Treated(const torch::Tensor& features) const {
  const TrainingOptions& options = treatment_;
  if (!IsTreated(options)) {
    return features.to(torch::Device(device_));
  }
  const Shape grid = FeatureShape(trunk_->info(), options.image_size);
  const torch::Tensor raw = (features.dim() == 4 ? features.permute({0, 2, 3, 1}) : features).cpu().contiguous();
  const int64_t dimension = ElementCount(TreatedShape(grid, options.pooling));
  torch::Tensor treated = torch::empty({raw.size(0), dimension});
  for (int64_t i = 0; i < raw.size(0); ++i) {
    TreatFeatures(raw.const_data_ptr<float>() + i * ElementCount(grid), grid, options,
                  treated.data_ptr<float>() + i * dimension);
  }
  return treated.to(torch::Device(device_));
}

absl::Status Predictor::CopyProbabilities(const torch::Tensor& predicted, absl::Span<float> out) const {
  TORCH_CHECK(static_cast<size_t>(predicted.numel()) == out.size(), "probabilities don't fit where they are to go");
  std::memcpy(out.data(), predicted.const_data_ptr<float>(), out.size() * sizeof(float));
  ScaleByTemperature(description_.temperature, static_cast<size_t>(predicted.size(1)), out);
  return absl::OkStatus();
}

absl::Status Predictor::Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const {
  return CatchExceptions("classifying", [&]() -> absl::Status {
    const c10::InferenceMode inference;
    const torch::Tensor input =
        InputTensor(images, count, image_size(), description_.options.preprocessing, torch::Device(device_));
    return CopyProbabilities(WithMirrored(input, Predict(input)), out);
  });
}

torch::Tensor Predictor::WithMirrored(const torch::Tensor& input, const torch::Tensor& predicted) const {
  if (!description_.options.predict_mirrored) {
    return predicted;
  }
  return (predicted + Predict(input.flip({3}).contiguous(at::MemoryFormat::ChannelsLast))) / 2;
}

torch::Tensor Predictor::Predict(const torch::Tensor& input) const {
  if (trunk_ == nullptr) {
    return head_->Predict(input);
  }
  const torch::Tensor made = trunk_->Forward(input, frozen_blocks_);
  return head_->Predict(runs_on_features() ? Treated(made) : made);
}

absl::Status Predictor::RunOnFeatures(absl::Span<const float> features, int64_t count, absl::Span<float> out) const {
  return CatchExceptions("classifying", [&]() -> absl::Status {
    const c10::InferenceMode inference;
    const torch::Tensor input =
        torch::from_blob(const_cast<float*>(features.data()), {count, static_cast<int64_t>(features.size()) / count});
    return CopyProbabilities(head_->Predict(Treated(input)), out);
  });
}

}  // namespace graft
