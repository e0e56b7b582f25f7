#ifndef GRAFT_CORE_HEADS_LINEAR_SVM_H_
#define GRAFT_CORE_HEADS_LINEAR_SVM_H_

#include <memory>
#include <string>

#include "core/heads/head.h"

namespace graft {

// A linear support vector machine a class against the rest (of two classes, one), see svm.h. Scores become
// probabilities by a curve for each, fitted on scores of training images by machines that were trained on the other
// four fifths, as scikit-learn's CalibratedClassifierCV(ensemble=False) does; with more than two classes they are then
// divided by their sum. Trained without epochs: options.svm_c and seed. Where svm_c is 0, the one of a few is taken
// whose machines err least on the other fold's images, and of equals the one of the least log loss there.
std::unique_ptr<Head> MakeLinearSvmHead(HeadPlan plan, const std::string& device);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_LINEAR_SVM_H_
