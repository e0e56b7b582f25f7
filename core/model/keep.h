// Which epoch's weights a training keeps.
#ifndef GRAFT_CORE_MODEL_KEEP_H_
#define GRAFT_CORE_MODEL_KEEP_H_

#include <vector>

#include "core/model/artifact.h"
#include "core/model/options.h"

namespace graft {

// Whether `keep` looks at how good an epoch is, and this one can be judged: its validation loss is finite.
bool CanBeBest(Keep keep, const EpochMetrics& epoch);
// Of two that can be the best: whether an epoch's weights are the ones to keep rather than those of the best so far.
bool IsBetter(Keep keep, const EpochMetrics& epoch, const EpochMetrics& best);

// The number of the epoch whose weights would be kept if the training ended now: the best of the stage that it is in,
// or the last where none can be that. 0: no epoch has ended.
int KeptEpoch(Keep keep, const std::vector<EpochMetrics>& history);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_KEEP_H_
