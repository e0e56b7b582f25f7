// The arithmetic of linear support vector machines, without LibTorch: what core/heads/linear_svm.cc is made of.
//
// Our own rather than LIBLINEAR, which solves the same problem in the same way: it draws from the C library's one
// generator, so that problems can't run side by side and repeat; it can't be told to stop; and it takes 16 bytes for
// each number of features that are dense.
#ifndef GRAFT_CORE_HEADS_SVM_H_
#define GRAFT_CORE_HEADS_SVM_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace graft {

// Rows of numbers, one behind another.
struct RowMatrix {
  const float* values = nullptr;
  int64_t dimension = 0;

  const float* row(int64_t i) const { return values + i * dimension; }
};

struct LinearScore {
  std::vector<float> weights;
  float bias = 0;

  // Positive: probably of the class.
  float Of(const float* row) const;
};

// Minimises |w|^2 / 2 + b^2 / 2 + c * the sum over rows of max(0, 1 - y (w x + b))^2, which is LIBLINEAR's
// L2-regularised L2-loss problem and the default of scikit-learn's LinearSVC, by coordinate descent in the dual with
// shrinking (Hsieh et al., 2008, https://doi.org/10.1145/1390156.1390208), to a violation of 0.001 of the optimum's
// conditions, or in a thousand passes. `positive`: for each of the matrix's rows, whether it is of the class. `which`:
// the rows to learn from. Takes one pass over those rows' memory at a time; `check` is called between two and may end
// it with an error. The seed draws the order of coordinates; the result depends on nothing else.
absl::StatusOr<LinearScore> FitLinearSvm(const RowMatrix& rows, const std::vector<bool>& positive,
                                         absl::Span<const int64_t> which, double c, uint64_t seed,
                                         const std::function<absl::Status()>& check);

// The probability of a class at a score: 1 / (1 + exp(slope * score + offset)).
struct PlattCurve {
  double slope = 0;
  double offset = 0;

  double Of(double score) const;
};

// Platt's scaling, by Newton's method with backtracking (Lin, Lin and Weng, 2007,
// https://doi.org/10.1007/s10994-007-5018-6). Where no row or every row is of the class, all probabilities are alike.
PlattCurve FitCalibration(absl::Span<const double> scores, const std::vector<bool>& positive);

// Deals the rows of each class to `folds` in turn, in an order that the seed draws: a fold for each row.
std::vector<int> StratifiedFolds(absl::Span<const int64_t> labels, int folds, uint64_t seed);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_SVM_H_
