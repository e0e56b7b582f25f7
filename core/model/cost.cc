#include "core/model/cost.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"

namespace graft {
namespace {

constexpr double kFloatBytes = 4;

// Floats that the optimizer keeps for each weight.
int States(OptimizerKind optimizer) {
  switch (optimizer) {
    case OptimizerKind::kRmsprop:
    case OptimizerKind::kSgd:
      return 1;
    case OptimizerKind::kAdam:
    case OptimizerKind::kAdamW:
      return 2;
  }
  return 2;
}

std::string Gibibytes(double bytes) { return absl::StrFormat("%.3g GiB", bytes / (int64_t{1} << 30)); }

}  // namespace

TrainingCost EstimateCost(absl::Span<const LayerInfo> layers, const TrainingOptions& options) {
  double weights = 0;
  double outputs = 0;
  double largest = 0;
  for (const LayerInfo& layer : layers) {
    const auto parameters = static_cast<double>(layer.parameters);
    weights += layer.trainable ? parameters * (2 + States(options.optimizer)) : parameters;
    const double output =
        std::accumulate(layer.output_shape.begin(), layer.output_shape.end(), 1.0, std::multiplies<>());
    outputs += output;
    largest = std::max(largest, output);
  }
  return {weights * kFloatBytes, (outputs + 2 * largest) * kFloatBytes};
}

absl::Status CheckCost(absl::Span<const LayerInfo> layers, const TrainingOptions& options) {
  const TrainingCost cost = EstimateCost(layers, options);
  const double batch = options.batch_size * cost.per_image;
  if (cost.parameters + batch <= kMaxTrainingBytes) {
    return absl::OkStatus();
  }
  const double images = (kMaxTrainingBytes - cost.parameters) / cost.per_image;
  if (images >= 1) {
    return InvalidField("options.batch_size",
                        absl::StrCat(options.batch_size, " images of ", options.image_size, " pixels a side need ",
                                     Gibibytes(cost.parameters + batch), " of memory to train on, above the limit of ",
                                     Gibibytes(kMaxTrainingBytes), "; use at most ", static_cast<int64_t>(images),
                                     ", or a smaller options.image_size"));
  }
  return InvalidField("options.dense_units, options.image_size",
                      absl::StrCat("with ", options.dense_units, " and ", options.image_size, " the network needs ",
                                   Gibibytes(cost.parameters + batch), " of memory to be trained, above the limit of ",
                                   Gibibytes(kMaxTrainingBytes), "; use smaller ones"));
}

}  // namespace graft
