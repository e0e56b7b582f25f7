// Scores a model on a part of a data set.
#ifndef GRAFT_CORE_INFER_EVALUATE_H_
#define GRAFT_CORE_INFER_EVALUATE_H_

#include <filesystem>

#include "absl/status/statusor.h"
#include "core/base/progress.h"
#include "core/data/manifest.h"
#include "core/eval/predictions.h"
#include "core/eval/report.h"
#include "core/infer/predictor.h"

namespace graft {

// What the model says of each image of the part. Uses the data set's cached features or images and makes them when they
// aren't there. INVALID_ARGUMENT: the part is empty, or the data set's classes aren't the model's.
absl::StatusOr<Predictions> PredictPart(const Predictor& model, const std::filesystem::path& dataset,
                                        const Manifest& manifest, Part part, int threads, const ProgressFn& progress);

// The same, scored.
absl::StatusOr<EvaluationReport> EvaluateModel(const Predictor& model, const std::filesystem::path& dataset,
                                               const Manifest& manifest, Part part, int threads,
                                               const ProgressFn& progress);

// How long the model takes for one image alone, from pixels at the network's size to probabilities, its trunk included
// and decoding not: the median of up to 20 runs, of as many as fit into two seconds.
absl::StatusOr<double> MillisecondsPerImage(const Predictor& model, const ProgressFn& progress);

}  // namespace graft

#endif  // GRAFT_CORE_INFER_EVALUATE_H_
