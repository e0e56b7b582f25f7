// What becomes of a trunk's features before a head sees them: one function, for training, evaluating and serving.
#ifndef GRAFT_CORE_MODEL_TREATMENT_H_
#define GRAFT_CORE_MODEL_TREATMENT_H_

#include "core/model/layers.h"
#include "core/model/options.h"

namespace graft {

// Of features of the shape `grid` (height, width, channels), after pooling: {channels}, or the grid.
Shape TreatedShape(const Shape& grid, Pooling pooling);

// Whether anything becomes of them.
bool IsTreated(const TrainingOptions& options);

// One image's features, height x width x channels, pooled and scaled as the options say. out: as many floats as the
// treated shape has. Features that are all zero stay so. The same floats come out bit by bit, whoever calls.
void TreatFeatures(const float* features, const Shape& grid, const TrainingOptions& options, float* out);

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_TREATMENT_H_
