// A trained model in memory: its trunk, if it has one, and its head.
#ifndef GRAFT_CORE_INFER_PREDICTOR_H_
#define GRAFT_CORE_INFER_PREDICTOR_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "core/heads/head.h"
#include "core/infer/engine.h"
#include "core/infer/explanation.h"
#include "core/trunks/trunk.h"

namespace graft {

// How a predictor gets its trunk: shared with others in a server, loaded for itself in a job.
using TrunkLoader = std::function<absl::StatusOr<std::shared_ptr<const Trunk>>(absl::string_view name)>;

class Predictor : public BatchRunner, public Explainer {
 public:
  // Errors as Engine::Load. `device` is resolved: "cpu" or "cuda:N".
  static absl::StatusOr<std::shared_ptr<const Predictor>> Load(const std::filesystem::path& folder,
                                                               const TrunkLoader& load_trunk,
                                                               const std::string& device);
  const ModelDescription& description() const { return description_; }
  // Null when the variant has none.
  const Trunk* trunk() const { return trunk_.get(); }

  int image_size() const override;
  Interpolation interpolation() const override;
  std::vector<int64_t> output_shape() const override;
  // Probabilities: count x labels, each row sums to 1.
  absl::Status Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const override;
  // How many of its trunk's blocks are the trunk's own; the others are the model's.
  int frozen_blocks() const { return frozen_blocks_; }
  // Whether RunOnFeatures is possible: it has all of its trunk as it is.
  bool runs_on_features() const;
  // The same from features of its trunk: count x dimension floats. Says nothing of mirror images, also where the
  // model's options want them looked at.
  absl::Status RunOnFeatures(absl::Span<const float> features, int64_t count, absl::Span<float> out) const;

  // Runs what is in front of the last convolution without gradients, and from there on as training does.
  absl::Status Explain(absl::Span<const uint8_t> image, const ExplainPlan& plan, absl::Span<float> row) const override;

 private:
  Predictor(ModelDescription description, TrainingOptions treatment, std::string device,
            std::shared_ptr<const Trunk> trunk, int frozen_blocks, std::unique_ptr<const Head> head);

  // Of prepared images, by trunk and head: count x labels, before the model's temperature.
  at::Tensor Predict(const at::Tensor& input) const;
  // The mean of what was predicted for `input` and of what its mirror images say, where the model's options want that.
  at::Tensor WithMirrored(const at::Tensor& input, const at::Tensor& predicted) const;
  // Features as the trunk makes them or as rows, pooled and scaled as the model's options say, on the device.
  at::Tensor Treated(const at::Tensor& features) const;
  // What a head predicts, count x labels, sharpened or softened by the model's temperature.
  absl::Status CopyProbabilities(const at::Tensor& predicted, absl::Span<float> out) const;

  const ModelDescription description_;
  const TrainingOptions treatment_;  // of features
  const std::string device_;
  const std::shared_ptr<const Trunk> trunk_;
  const int frozen_blocks_;
  const std::unique_ptr<const Head> head_;
};

}  // namespace graft

#endif  // GRAFT_CORE_INFER_PREDICTOR_H_
