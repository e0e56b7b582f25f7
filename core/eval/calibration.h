// Whether a classifier is right as often as it says.
#ifndef GRAFT_CORE_EVAL_CALIBRATION_H_
#define GRAFT_CORE_EVAL_CALIBRATION_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "nlohmann/json.hpp"

namespace graft {

// Images whose predicted class has a probability in (low, high].
struct ReliabilityBin {
  double low = 0;
  double high = 0;
  int64_t images = 0;
  double confidence = 0;  // mean of that probability; 0 without images
  double accuracy = 0;    // share that was right; 0 without images
};

inline constexpr int kReliabilityBins = 15;

struct Calibration {
  std::vector<ReliabilityBin> bins;  // kReliabilityBins, equally wide, over [0, 1]
  // Mean over the images of their bin's distance between confidence and accuracy, in [0, 1] (Guo et al., On Calibration
  // of Modern Neural Networks, 2017).
  double expected_error = 0;
  // scikit-learn's brier_score_loss. Two classes: mean squared distance of the second one's probability from 0 or 1, in
  // [0, 1]. More: the mean of the squared distances summed over the classes, in [0, 2].
  double brier = 0;
};

// `probabilities` is truth.size() x classes, row-major, as Evaluate() (report.h) has checked it; not empty.
Calibration Calibrate(absl::Span<const int> truth, absl::Span<const float> probabilities, size_t classes);

// Makes each row of probabilities softer (temperature above 1) or sharper (below 1): each is raised to the power of 1 /
// temperature, which divides the logits behind it by the temperature, and the row scaled to a sum of 1 again. Below
// 1e-7 none counts less. `probabilities`: rows of `classes`, row-major. 1 changes nothing.
void ScaleByTemperature(double temperature, size_t classes, absl::Span<float> probabilities);

// The temperature, from 0.25 to 20, with which the probabilities of what is true are the greatest (the least log loss).
// As Calibrate() takes them, from images that nothing was trained on.
double FitTemperature(absl::Span<const int> truth, absl::Span<const float> probabilities, size_t classes);

nlohmann::json ToJson(const Calibration& calibration);
// Throws nlohmann's exceptions, as json.at() does.
Calibration CalibrationFromJson(const nlohmann::json& json);

}  // namespace graft

#endif  // GRAFT_CORE_EVAL_CALIBRATION_H_
