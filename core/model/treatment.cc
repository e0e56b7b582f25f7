#include "core/model/treatment.h"

#include <algorithm>
#include <cmath>

namespace graft {
namespace {

// Channels by channels, so that the inner loop runs over memory as it lies.
void Pool(const float* features, int64_t places, int64_t channels, Pooling pooling, float* out) {
  std::copy(features, features + channels, out);
  for (int64_t place = 1; place < places; ++place) {
    const float* const values = features + place * channels;
    for (int64_t c = 0; c < channels; ++c) {
      out[c] = pooling == Pooling::kMax ? std::max(out[c], values[c]) : out[c] + values[c];
    }
  }
  if (pooling == Pooling::kAverage) {
    for (int64_t c = 0; c < channels; ++c) {
      out[c] /= static_cast<float>(places);
    }
  }
}

void ScaleToLengthOne(int64_t count, float* values) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += static_cast<double>(values[i]) * values[i];
  }
  if (sum > 0) {
    const double scale = 1 / std::sqrt(sum);
    for (int64_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(values[i] * scale);
    }
  }
}

}  // namespace

Shape TreatedShape(const Shape& grid, Pooling pooling) { return pooling == Pooling::kNone ? grid : Shape{grid.back()}; }

bool IsTreated(const TrainingOptions& options) {
  return options.pooling != Pooling::kNone || options.feature_scaling != FeatureScaling::kNone;
}

void TreatFeatures(const float* features, const Shape& grid, const TrainingOptions& options, float* out) {
  const int64_t count = ElementCount(grid);
  if (options.pooling == Pooling::kNone) {
    std::copy(features, features + count, out);
  } else {
    Pool(features, count / grid.back(), grid.back(), options.pooling, out);
  }
  if (options.feature_scaling == FeatureScaling::kL2) {
    ScaleToLengthOne(ElementCount(TreatedShape(grid, options.pooling)), out);
  }
}

}  // namespace graft
