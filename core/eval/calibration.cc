#include "core/eval/calibration.h"

#include <algorithm>
#include <cmath>

#include "core/eval/predictions.h"

namespace graft {

Calibration Calibrate(absl::Span<const int> truth, absl::Span<const float> probabilities, size_t classes) {
  Calibration calibration;
  for (int b = 0; b < kReliabilityBins; ++b) {
    calibration.bins.push_back(
        {.low = static_cast<double>(b) / kReliabilityBins, .high = static_cast<double>(b + 1) / kReliabilityBins});
  }
  double squares = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const absl::Span<const float> row = probabilities.subspan(i * classes, classes);
    const int predicted = PredictedClass(row);
    const double confidence = row[static_cast<size_t>(predicted)];
    const int bin = std::clamp(static_cast<int>(std::ceil(confidence * kReliabilityBins)) - 1, 0, kReliabilityBins - 1);
    ReliabilityBin& into = calibration.bins[static_cast<size_t>(bin)];
    ++into.images;
    into.confidence += confidence;
    into.accuracy += predicted == truth[i] ? 1 : 0;
    for (size_t c = classes == 2 ? 1 : 0; c < classes; ++c) {
      const double distance = row[c] - (truth[i] == static_cast<int>(c) ? 1.0 : 0.0);
      squares += distance * distance;
    }
  }
  const auto images = static_cast<double>(truth.size());
  for (ReliabilityBin& bin : calibration.bins) {
    if (bin.images > 0) {
      calibration.expected_error += std::abs(bin.confidence - bin.accuracy) / images;
      bin.confidence /= static_cast<double>(bin.images);
      bin.accuracy /= static_cast<double>(bin.images);
    }
  }
  calibration.brier = squares / images;
  return calibration;
}

nlohmann::json ToJson(const Calibration& calibration) {
  nlohmann::json bins = nlohmann::json::array();
  for (const ReliabilityBin& bin : calibration.bins) {
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"images", bin.images},
                    {"confidence", bin.confidence},
                    {"accuracy", bin.accuracy}});
  }
  return {{"expected_error", calibration.expected_error}, {"brier", calibration.brier}, {"bins", bins}};
}

Calibration CalibrationFromJson(const nlohmann::json& json) {
  Calibration calibration;
  json.at("expected_error").get_to(calibration.expected_error);
  json.at("brier").get_to(calibration.brier);
  for (const auto& bin : json.at("bins")) {
    calibration.bins.push_back({bin.at("low").get<double>(), bin.at("high").get<double>(),
                                bin.at("images").get<int64_t>(), bin.at("confidence").get<double>(),
                                bin.at("accuracy").get<double>()});
  }
  return calibration;
}

}  // namespace graft
