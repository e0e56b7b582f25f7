#include "core/model/keep.h"

#include <cmath>

namespace graft {

bool CanBeBest(Keep keep, const EpochMetrics& epoch) {
  return keep != Keep::kLast && std::isfinite(epoch.validation_loss);
}

bool IsBetter(Keep keep, const EpochMetrics& epoch, const EpochMetrics& best) {
  if (keep == Keep::kBestAccuracy && epoch.validation_accuracy != best.validation_accuracy) {
    return epoch.validation_accuracy > best.validation_accuracy;
  }
  return epoch.validation_loss < best.validation_loss;
}

int KeptEpoch(Keep keep, const std::vector<EpochMetrics>& history) {
  if (history.empty()) {
    return 0;
  }
  const EpochMetrics* best = nullptr;
  for (const EpochMetrics& epoch : history) {
    if (epoch.stage == history.back().stage && CanBeBest(keep, epoch) &&
        (best == nullptr || IsBetter(keep, epoch, *best))) {
      best = &epoch;
    }
  }
  return best != nullptr ? best->epoch : history.back().epoch;
}

}  // namespace graft
