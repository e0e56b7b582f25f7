#include "core/train/inputs_torch.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/data/augment.h"
#include "core/model/treatment.h"
#include "core/nn/input_torch.h"
#include "core/train/meter.h"

namespace graft {
namespace {

class ImageInputs : public Inputs {
 public:
  ImageInputs(std::shared_ptr<const PackedImages> images, const TrainingOptions& options)
      : images_(std::move(images)), options_(options), device_(options.device) {}

  torch::Tensor Gather(absl::Span<const int64_t> rows, int epoch) const override {
    const int64_t side = images_->image_size();
    const int64_t floats = side * side * 3;
    torch::Tensor x = torch::empty({static_cast<int64_t>(rows.size()), side, side, 3});
    auto* const out = x.data_ptr<float>();
    ParallelFor(static_cast<int64_t>(rows.size()), options_.threads, [&](int64_t i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      float* const pixels = out + i * floats;
      if (epoch > 0 && options_.augmentation.any()) {
        const uint64_t seed = ChangeSeed(options_.seed, epoch, row);
        const auto span = absl::MakeSpan(pixels, static_cast<size_t>(floats));
        ApplyChange(DrawChange(options_.augmentation, side, seed), images_->image(row), side, span);
        PreparePixels(absl::Span<const float>(span), options_.preprocessing, pixels);
      } else {
        PreparePixels(images_->image(row), options_.preprocessing, pixels);
      }
    });
    return x.permute({0, 3, 1, 2}).to(device_);
  }

 private:
  const std::shared_ptr<const PackedImages> images_;
  const TrainingOptions options_;
  const torch::Device device_;
};

class FeatureInputs : public Inputs {
 public:
  FeatureInputs(std::shared_ptr<const Features> features, std::shared_ptr<const Features> mirrored,
                const TrainingOptions& options)
      : features_(std::move(features)), mirrored_(std::move(mirrored)), options_(options), device_(options.device) {}

  // Without LibTorch's operators, which would start a pool of threads for each thread that calls them.
  torch::Tensor Gather(absl::Span<const int64_t> rows, int epoch) const override {
    const int64_t dimension = ElementCount(TreatedShape(features_->shape(), options_.pooling));
    torch::Tensor x = torch::empty({static_cast<int64_t>(rows.size()), dimension});
    float* out = x.data_ptr<float>();
    for (const int64_t row : rows) {
      const Features& form = IsMirrored(row, epoch) ? *mirrored_ : *features_;
      TreatFeatures(form.values().data() + row * form.dimension(), form.shape(), options_, out);
      out += dimension;
    }
    return x.to(device_);
  }

 private:
  // The draw that ImageInputs would make.
  bool IsMirrored(int64_t row, int epoch) const {
    return epoch > 0 && mirrored_ != nullptr &&
           DrawChange(options_.augmentation, options_.image_size, ChangeSeed(options_.seed, epoch, row)).flip;
  }

  const std::shared_ptr<const Features> features_;
  const std::shared_ptr<const Features> mirrored_;
  const TrainingOptions options_;
  const torch::Device device_;
};

}  // namespace

std::unique_ptr<Inputs> MakeImageInputs(std::shared_ptr<const PackedImages> images, const TrainingOptions& options) {
  return std::make_unique<ImageInputs>(std::move(images), options);
}

std::unique_ptr<Inputs> MakeFeatureInputs(std::shared_ptr<const Features> features,
                                          std::shared_ptr<const Features> mirrored, const TrainingOptions& options) {
  return std::make_unique<FeatureInputs>(std::move(features), std::move(mirrored), options);
}

torch::Tensor Examples::Labels(absl::Span<const int64_t> rows) const {
  torch::Tensor tensor = torch::empty({static_cast<int64_t>(rows.size())}, torch::kLong);
  std::transform(rows.begin(), rows.end(), tensor.data_ptr<int64_t>(),
                 [&](int64_t row) { return labels[static_cast<size_t>(row)]; });
  return tensor.to(device);
}

absl::StatusOr<std::vector<double>> ClassWeights(absl::string_view wanted, const Manifest& manifest) {
  if (wanted == "none") {
    return std::vector<double>();
  }
  if (wanted == "balanced") {
    std::vector<double> counts(manifest.labels.size());
    for (const ManifestEntry& entry : manifest.entries) {
      if (entry.part == Part::kTrain) {
        ++counts[static_cast<size_t>(entry.label)];
      }
    }
    const double mean = std::accumulate(counts.begin(), counts.end(), 0.0) / static_cast<double>(counts.size());
    for (double& count : counts) {
      count = count > 0 ? mean / count : 0;
    }
    return counts;
  }
  std::vector<double> weights(manifest.labels.size(), 1);
  GRAFT_ASSIGN_OR_RETURN(const auto named, ParseClassWeights(wanted));
  for (const auto& [label, weight] : named) {
    const auto found = std::find(manifest.labels.begin(), manifest.labels.end(), label);
    if (found == manifest.labels.end()) {
      return InvalidField("options.class_weights", absl::StrCat("the data set has no class '", Printable(label),
                                                                "'; it has ", absl::StrJoin(manifest.labels, ", ")));
    }
    weights[static_cast<size_t>(found - manifest.labels.begin())] = weight;
  }
  return weights;
}

torch::Tensor Examples::Prepare(const torch::Tensor& inputs) const {
  if (trunk == nullptr || frozen_blocks == 0) {
    return inputs;
  }
  const torch::NoGradGuard no_grad;
  return trunk->Forward(inputs, frozen_blocks);
}

Examples MakeExamples(const Manifest& manifest, std::unique_ptr<const Inputs> inputs, const torch::Device& device) {
  Examples examples;
  examples.inputs = std::move(inputs);
  examples.device = device;
  examples.fingerprint = manifest.fingerprint;
  for (size_t i = 0; i < manifest.entries.size(); ++i) {
    const ManifestEntry& entry = manifest.entries[i];
    examples.labels.push_back(entry.label);
    if (entry.part == Part::kTrain) {
      examples.train.push_back(static_cast<int64_t>(i));
    } else if (entry.part == Part::kValidation) {
      examples.validation.push_back(static_cast<int64_t>(i));
    }
  }
  return examples;
}

Batches::Batches(const Inputs& inputs, absl::Span<const int64_t> rows, size_t batch_size, int epoch, double* waited)
    : inputs_(inputs), rows_(rows), batch_size_(batch_size), epoch_(epoch), waited_(waited) {
  Prefetch();
}

std::pair<absl::Span<const int64_t>, torch::Tensor> Batches::Next() {
  if (!next_.valid()) {
    return {};
  }
  torch::Tensor x;
  {
    const Stopwatch watch(waited_);
    x = next_.get();
  }
  const absl::Span<const int64_t> batch = rows_.subspan(at_, batch_size_);
  at_ += batch.size();
  Prefetch();
  return {batch, std::move(x)};
}

void Batches::Prefetch() {
  if (at_ < rows_.size()) {
    next_ = std::async(std::launch::async,
                       [this, batch = rows_.subspan(at_, batch_size_)] { return inputs_.Gather(batch, epoch_); });
  }
}

}  // namespace graft
