#ifndef GRAFT_CORE_HEADS_KNN_H_
#define GRAFT_CORE_HEADS_KNN_H_

#include <memory>
#include <string>

#include "core/heads/head.h"

namespace graft {

// The nearest training images vote: options.neighbors of them, or all where there are fewer. Distances are Euclidean;
// of features that are scaled to length one their order is that of the cosine. With v of k votes, a class of c has the
// probability (v + 1/c) / (k + 1), which is never 0 or 1. Keeps the features of all training images; each image is
// compared with all of them, in one matrix product a batch.
//
// Its score (Head::Score) is the mean squared distance of the options.neighbors nearest images of other classes, less
// that of the nearest ones of the class itself. The mean similarity to the class's neighbours alone would be higher for
// all that images have in common; of the difference only what sets the two kinds of neighbours apart is left.
std::unique_ptr<Head> MakeKnnHead(HeadPlan plan, const std::string& device);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_KNN_H_
