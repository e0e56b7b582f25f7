#include "core/infer/evaluate.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/data/packed_images.h"
#include "core/model/classes.h"
#include "core/train/features.h"

namespace graft {

absl::StatusOr<Predictions> PredictPart(const Predictor& model, const std::filesystem::path& dataset,
                                        const Manifest& manifest, Part part, int threads, const ProgressFn& progress) {
  const ModelDescription& description = model.description();
  GRAFT_RETURN_IF_ERROR(CheckSameClasses(manifest.labels, description.labels));
  Predictions predictions;
  predictions.labels = manifest.labels;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < manifest.entries.size(); ++i) {
    if (manifest.entries[i].part == part) {
      rows.push_back(static_cast<int64_t>(i));
      predictions.files.push_back(manifest.entries[i].path);
      predictions.truth.push_back(manifest.entries[i].label);
    }
  }
  if (rows.empty()) {
    return InvalidField("part", absl::StrCat("the data set has no ", PartName(part), " images; evaluate another part"));
  }

  std::shared_ptr<const Features> features;
  std::shared_ptr<const PackedImages> images;
  const TrainingOptions& options = description.options;
  if (model.runs_on_features() && !model.description().options.predict_mirrored) {
    GRAFT_ASSIGN_OR_RETURN(
        features,
        Features::OpenOrExtract(dataset, manifest, *model.trunk(),
                                {options.preprocessing, options.interpolation, options.image_size, threads}, progress));
  } else {
    GRAFT_ASSIGN_OR_RETURN(images, PackedImages::OpenOrBuild(dataset, manifest, options.image_size,
                                                             options.interpolation, threads, progress));
  }

  const size_t classes = manifest.labels.size();
  predictions.probabilities.resize(rows.size() * classes);
  // Entries are sorted by part, so the part's rows lie one behind another and a batch is a span of the cache.
  constexpr size_t kBatch = 64;
  for (size_t from = 0; from < rows.size(); from += kBatch) {
    const size_t n = std::min(kBatch, rows.size() - from);
    const auto count = static_cast<int64_t>(n);
    const absl::Span<float> out = absl::MakeSpan(predictions.probabilities).subspan(from * classes, n * classes);
    if (features != nullptr) {
      const auto dimension = static_cast<size_t>(features->dimension());
      const auto first = static_cast<size_t>(rows[from]);
      GRAFT_RETURN_IF_ERROR(
          model.RunOnFeatures(features->values().subspan(first * dimension, n * dimension), count, out));
    } else {
      const absl::Span<const uint8_t> first = images->image(rows[from]);
      GRAFT_RETURN_IF_ERROR(model.Run({first.data(), first.size() * n}, count, out));
    }
    GRAFT_RETURN_IF_ERROR(
        progress({"evaluate", static_cast<int64_t>(from + n), static_cast<int64_t>(rows.size()), "images"}));
  }
  return predictions;
}

absl::StatusOr<EvaluationReport> EvaluateModel(const Predictor& model, const std::filesystem::path& dataset,
                                               const Manifest& manifest, Part part, int threads,
                                               const ProgressFn& progress) {
  GRAFT_ASSIGN_OR_RETURN(const Predictions predictions, PredictPart(model, dataset, manifest, part, threads, progress));
  return Evaluate(predictions.truth, predictions.probabilities, predictions.labels);
}

absl::StatusOr<double> MillisecondsPerImage(const Predictor& model, const ProgressFn& progress) {
  using Clock = std::chrono::steady_clock;
  constexpr int kWarmUp = 2;  // the first runs allocate and choose
  constexpr int kRuns = 20;
  constexpr Clock::duration kEnough = std::chrono::seconds(2);
  const auto side = static_cast<size_t>(model.image_size());
  std::vector<uint8_t> image(side * side * 3);
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<uint8_t>(i * 7919 >> 3);  // any pixels: none of our layers takes longer for some
  }
  std::vector<float> out(model.description().labels.size());
  std::vector<double> times;
  Clock::time_point begin;
  for (int run = -kWarmUp; run < kRuns; ++run) {
    const Clock::time_point start = Clock::now();
    if (run == 0) {
      begin = start;
    }
    if (!times.empty() && start - begin > kEnough) {
      break;
    }
    GRAFT_RETURN_IF_ERROR(model.Run(image, 1, absl::MakeSpan(out)));
    if (run >= 0) {
      times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
      GRAFT_RETURN_IF_ERROR(progress({"measure", run + 1, kRuns, "images"}));
    }
  }
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace graft
