// A look into a model, without LibTorch in sight: what may be asked, checked before anything runs, and what comes of
// it. How it is computed is in explain.cc.
//
// A heat map is Grad-CAM (Selvaraju et al., 2017, https://arxiv.org/abs/1610.02391): the gradient of a class's score
// (Head::Score) with respect to what the last convolution makes, after its ReLU and before its pool; its mean over all
// places weighs each channel, and of their weighted sum what is above zero is left. Of a transformer it is what its
// last block looks at: behind that one's attention nothing goes from place to place. A row of tokens is shown as the
// map that it is of, without the class token.
#ifndef GRAFT_CORE_INFER_EXPLANATION_H_
#define GRAFT_CORE_INFER_EXPLANATION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/infer/engine.h"
#include "core/model/artifact.h"
#include "core/model/layers.h"

namespace graft {

// The most that one look is taken for.
inline constexpr size_t kMostShownLayers = 16;
inline constexpr int64_t kMostShownChannels = 256;  // of a layer
inline constexpr int64_t kMostExplanationBytes = int64_t{64} << 20;

struct ExplainOptions {
  std::string label;                // empty: the most probable one
  std::vector<std::string> layers;  // whose channels are wanted
  int64_t channels = 64;            // of each of these, from the first on
};

// What is asked of a model, with all shapes known. What comes of an image is a row of numbers: a probability for each
// label; the index of the label that the heat map is for; the map's peak; the map, height x width; the wanted layers'
// channels, each height x width.
struct ExplainPlan {
  struct Layer {
    std::string name;
    Shape shape;           // height, width, channels
    int64_t channels = 0;  // that are wanted
    size_t at = 0;         // of its numbers in the row
    size_t size() const { return static_cast<size_t>(channels * shape[0] * shape[1]); }
  };

  size_t labels = 0;
  int label = -1;  // -1: the most probable one
  Layer target;    // whose map it is: the last convolution, or the last transformer block but one
  std::vector<Layer> layers;
  size_t size = 0;  // of a row

  size_t label_at() const { return labels; }
  size_t peak_at() const { return labels + 1; }
};

// The layers of a model that make maps, height x width x channels, in the order in which they run: those of its trunk,
// as the trunk's weights have them or the model, and its own.
absl::StatusOr<std::vector<LayerInfo>> MapLayers(const ModelDescription& model);

// INVALID_ARGUMENT: a label or a layer that the model hasn't, which names those that it has; a layer twice, too many
// layers or channels, or more than kMostExplanationBytes.
absl::StatusOr<ExplainPlan> PlanExplanation(const ModelDescription& model, const ExplainOptions& options);

// What came of an image.
class Explanation {
 public:
  // `row` has plan.size numbers.
  Explanation(ExplainPlan plan, std::vector<float> row) : plan_(std::move(plan)), row_(std::move(row)) {}

  const ExplainPlan& plan() const { return plan_; }
  absl::Span<const float> probabilities() const { return absl::MakeConstSpan(row_).first(plan_.labels); }
  // The one that the heat map is for.
  size_t label() const { return static_cast<size_t>(row_[plan_.label_at()]); }
  // What the map was divided by; 0: nothing speaks for the label, and the map is 0.
  float peak() const { return row_[plan_.peak_at()]; }
  // Height x width, from 0 to 1.
  absl::Span<const float> heat() const { return Of(plan_.target); }
  // Channels x height x width.
  absl::Span<const float> maps(size_t layer) const { return Of(plan_.layers[layer]); }

 private:
  absl::Span<const float> Of(const ExplainPlan::Layer& layer) const {
    return absl::MakeConstSpan(row_).subspan(layer.at, layer.size());
  }

  ExplainPlan plan_;
  std::vector<float> row_;
};

// Looks into a model that is in memory. Immutable; may be called from any thread. Nothing of the model changes.
class Explainer {
 public:
  virtual ~Explainer() = default;

  // image: image_size x image_size x 3 bytes, RGB. `plan` is one of this model's. row: plan.size numbers.
  virtual absl::Status Explain(absl::Span<const uint8_t> image, const ExplainPlan& plan,
                               absl::Span<float> row) const = 0;
};

// Runs a plan on images, one after the other, as a batcher does. The model has an explainer.
std::shared_ptr<const BatchRunner> MakeExplainRunner(std::shared_ptr<const LoadedModel> model, ExplainPlan plan);

}  // namespace graft

#endif  // GRAFT_CORE_INFER_EXPLANATION_H_
