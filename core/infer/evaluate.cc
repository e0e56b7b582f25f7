#include "core/infer/evaluate.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/data/packed_images.h"
#include "core/train/features.h"

namespace graft {

absl::StatusOr<EvaluationReport> EvaluateModel(const Predictor& model, const std::filesystem::path& dataset,
                                               const Manifest& manifest, Part part, int threads,
                                               const ProgressFn& progress) {
  const ModelDescription& description = model.description();
  if (manifest.labels != description.labels) {
    return InvalidField("dataset",
                        absl::StrCat("its classes (", absl::StrJoin(manifest.labels, ", "), ") aren't the model's (",
                                     absl::StrJoin(description.labels, ", "), ")"));
  }
  std::vector<int64_t> rows;
  std::vector<int> truth;
  for (size_t i = 0; i < manifest.entries.size(); ++i) {
    if (manifest.entries[i].part == part) {
      rows.push_back(static_cast<int64_t>(i));
      truth.push_back(manifest.entries[i].label);
    }
  }
  if (rows.empty()) {
    return InvalidField("part", absl::StrCat("the data set has no ", PartName(part), " images; evaluate another part"));
  }

  std::shared_ptr<const Features> features;
  std::shared_ptr<const PackedImages> images;
  const TrainingOptions& options = description.options;
  if (model.runs_on_features()) {
    GRAFT_ASSIGN_OR_RETURN(
        features,
        Features::OpenOrExtract(dataset, manifest, *model.trunk(),
                                {options.preprocessing, options.interpolation, options.image_size, threads}, progress));
  } else {
    GRAFT_ASSIGN_OR_RETURN(images, PackedImages::OpenOrBuild(dataset, manifest, options.image_size,
                                                             options.interpolation, threads, progress));
  }

  const size_t classes = manifest.labels.size();
  std::vector<float> probabilities(rows.size() * classes);
  // Entries are sorted by part, so the part's rows lie one behind another and a batch is a span of the cache.
  constexpr size_t kBatch = 64;
  for (size_t from = 0; from < rows.size(); from += kBatch) {
    const size_t n = std::min(kBatch, rows.size() - from);
    const auto count = static_cast<int64_t>(n);
    const absl::Span<float> out = absl::MakeSpan(probabilities).subspan(from * classes, n * classes);
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
  return Evaluate(truth, probabilities, manifest.labels);
}

}  // namespace graft
