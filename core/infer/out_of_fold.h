// What is said of training images by heads that weren't trained on them.
#ifndef GRAFT_CORE_INFER_OUT_OF_FOLD_H_
#define GRAFT_CORE_INFER_OUT_OF_FOLD_H_

#include <cstdint>
#include <filesystem>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/progress.h"
#include "core/data/manifest.h"
#include "core/eval/predictions.h"
#include "core/model/heads.h"
#include "core/model/variants.h"
#include "core/trunks/trunk.h"

namespace graft {

struct Examples;

// Of each row of examples.train, in its order, what a head says that was fitted on all folds but the row's own: rows x
// classes. Each class is dealt evenly to the folds, in an order that plan.options.seed draws, which the heads are
// fitted with too. The head is one without epochs (its kind is linear_svm or knn). Holds the rows in memory twice.
// INVALID_ARGUMENT: fewer than two folds. FAILED_PRECONDITION: a class has fewer rows than there are folds.
absl::StatusOr<std::vector<float>> PredictOutOfFold(const Examples& examples, const HeadPlan& plan, int folds,
                                                    const ProgressFn& progress);

// The same for the training part of a data set, on features of the trunk: cached ones, or they are made. `variant` is
// one whose head is trained on this trunk's features, `options` are resolved: preprocessing, device and threads too.
absl::StatusOr<Predictions> PredictTrainingPart(const Variant& variant, const TrainingOptions& options, int folds,
                                                const Trunk& trunk, const std::filesystem::path& dataset,
                                                const Manifest& manifest, const ProgressFn& progress);

}  // namespace graft

#endif  // GRAFT_CORE_INFER_OUT_OF_FOLD_H_
