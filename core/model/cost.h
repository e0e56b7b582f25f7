// What training a network takes, before any of it is allocated.
#ifndef GRAFT_CORE_MODEL_COST_H_
#define GRAFT_CORE_MODEL_COST_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/model/options.h"
#include "core/model/variants.h"

namespace graft {

// More memory than this no job may need: every option within its range can still ask for terabytes together. VGG16
// whole fits at 512 pixels and 32 images a step.
inline constexpr int64_t kMaxTrainingBytes = int64_t{16} << 30;

// Bytes, about, that training these layers takes at its peak.
struct TrainingCost {
  double parameters = 0;  // weights, and of trained ones gradients and what the optimizer keeps
  double per_image = 0;   // of a batch: each layer's output, and the gradients of the largest two
};
TrainingCost EstimateCost(absl::Span<const LayerInfo> layers, const TrainingOptions& options);

// INVALID_ARGUMENT when the estimate is above kMaxTrainingBytes; names the options to blame and what would fit.
absl::Status CheckCost(absl::Span<const LayerInfo> layers, const TrainingOptions& options);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_COST_H_
