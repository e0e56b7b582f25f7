// Scores a model on a part of a data set.
#ifndef GRAFT_CORE_INFER_EVALUATE_H_
#define GRAFT_CORE_INFER_EVALUATE_H_

#include <filesystem>

#include "absl/status/statusor.h"
#include "core/base/progress.h"
#include "core/data/manifest.h"
#include "core/eval/report.h"
#include "core/infer/predictor.h"

namespace graft {

// Uses the data set's cached features or images and makes them when they aren't there. INVALID_ARGUMENT: the part is
// empty, or the data set's labels aren't the model's.
absl::StatusOr<EvaluationReport> EvaluateModel(const Predictor& model, const std::filesystem::path& dataset,
                                               const Manifest& manifest, Part part, int threads,
                                               const ProgressFn& progress);

}  // namespace graft

#endif  // GRAFT_CORE_INFER_EVALUATE_H_
