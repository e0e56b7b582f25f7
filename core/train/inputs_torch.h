// What a head learns from: the images of a data set or their features, with their labels, in batches. Only core's own
// .cc files include this.
#ifndef GRAFT_CORE_TRAIN_INPUTS_TORCH_H_
#define GRAFT_CORE_TRAIN_INPUTS_TORCH_H_

#include <torch/types.h>

#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/data/manifest.h"
#include "core/data/packed_images.h"
#include "core/model/options.h"
#include "core/train/features.h"

namespace graft {

// Rows by their index in the manifest.
class Inputs {
 public:
  virtual ~Inputs() = default;
  // Images: N x 3 x side x side, prepared, in channels_last memory; features, pooled and scaled: N x numbers. The same
  // arguments give the same tensor. Called from one thread at a time, not always the same one. epoch: 0 where nothing
  // is to be augmented.
  virtual torch::Tensor Gather(absl::Span<const int64_t> rows, int epoch) const = 0;
};

// Of the options: augmentation and its seed, preprocessing (resolved), device (resolved) and threads; of features,
// device, pooling, feature_scaling, and the seed where mirror images are drawn.
std::unique_ptr<Inputs> MakeImageInputs(std::shared_ptr<const PackedImages> images, const TrainingOptions& options);
// `mirrored`: of the mirror images, or null. Where an augmentation draws a mirror image, its features are what is
// given.
std::unique_ptr<Inputs> MakeFeatureInputs(std::shared_ptr<const Features> features,
                                          std::shared_ptr<const Features> mirrored, const TrainingOptions& options);

struct Examples {
  std::unique_ptr<const Inputs> inputs;
  // The mirror images' features, for a head that learns all at once, from both. Null: from the images alone.
  std::unique_ptr<const Inputs> mirrored;
  torch::Device device = torch::kCPU;  // where inputs and labels are wanted
  std::vector<int64_t> labels;         // of every row
  std::vector<int64_t> train;          // rows of the training part
  std::vector<int64_t> validation;
  std::string fingerprint;            // of the data set
  std::vector<double> class_weights;  // empty: all are 1

  // What the network is trained on is what the first blocks of this trunk make of the inputs, without gradients. Null:
  // the inputs themselves.
  std::shared_ptr<const Trunk> trunk;
  int frozen_blocks = 0;
  // What that makes of the validation part is kept for the next epochs where all of it is no larger than this.
  size_t most_kept_bytes = size_t{512} << 20;

  torch::Tensor Prepare(const torch::Tensor& inputs) const;
  torch::Tensor Labels(absl::Span<const int64_t> rows) const;
};

// What an image of each class counts, by the option class_weights; empty: all the same. A class of `balanced` that no
// image trains counts 0. INVALID_ARGUMENT: a class is named that there isn't.
absl::StatusOr<std::vector<double>> ClassWeights(absl::string_view wanted, const Manifest& manifest);

Examples MakeExamples(const Manifest& manifest, std::unique_ptr<const Inputs> inputs, const torch::Device& device);

// The batches of one pass over `rows`, each gathered on another thread while the network works on the one before.
class Batches {
 public:
  // All but batch_size and epoch outlive it. Seconds that Next() has waited are added to `waited`.
  Batches(const Inputs& inputs, absl::Span<const int64_t> rows, size_t batch_size, int epoch, double* waited);

  // Rows and inputs of the next batch; no rows: none is left.
  std::pair<absl::Span<const int64_t>, torch::Tensor> Next();

 private:
  void Prefetch();

  const Inputs& inputs_;
  const absl::Span<const int64_t> rows_;
  const size_t batch_size_;
  const int epoch_;
  double* const waited_;
  size_t at_ = 0;
  std::future<torch::Tensor> next_;  // last: it uses the others until it has ended
};

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_INPUTS_TORCH_H_
