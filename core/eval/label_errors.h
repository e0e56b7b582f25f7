// Which labels of a data set are probably wrong, by confident learning (Northcutt, Jiang and Chuang, "Confident
// Learning: Estimating Uncertainty in Dataset Labels", 2021, https://doi.org/10.1613/jair.1.12125).
#ifndef GRAFT_CORE_EVAL_LABEL_ERRORS_H_
#define GRAFT_CORE_EVAL_LABEL_ERRORS_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace graft {

// An image that probably isn't of the class that it is labelled as.
struct LabelError {
  size_t image = 0;
  int label = 0;  // given
  int suggested = 0;
  double probability = 0;  // of the given one
  double suggested_probability = 0;

  double margin() const { return suggested_probability - probability; }
};

struct LabelErrors {
  // Of each class: the mean of its probability over the images that are labelled as it; 1 where there are none, so that
  // nothing is taken for a class that was never seen.
  std::vector<double> thresholds;
  // The largest margin first; of equals in the images' order.
  std::vector<LabelError> errors;
};

// `probabilities`, labels.size() x classes, row-major, are of a classifier that was fitted without the image: one that
// learnt the label says it again. An image is suspected when the probability of another class reaches that class's
// threshold and is above the given label's; of several such classes the most probable is suggested, the first of
// equals.
//
// INVALID_ARGUMENT, naming the field: fewer than two classes, sizes that don't fit, a label that is no class, or a
// probability outside [0, 1].
absl::StatusOr<LabelErrors> FindLabelErrors(absl::Span<const int> labels, absl::Span<const float> probabilities,
                                            size_t classes);

}  // namespace graft

#endif  // GRAFT_CORE_EVAL_LABEL_ERRORS_H_
