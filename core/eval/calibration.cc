#include "core/eval/calibration.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/eval/predictions.h"

namespace graft {
namespace {

constexpr float kLeastProbability = 1e-7F;
constexpr double kLeastTemperature = 0.25;
constexpr double kGreatestTemperature = 20;

// Of rows of logarithms, at the inverse of a temperature.
double LogLoss(double inverse, absl::Span<const int> truth, absl::Span<const double> logs, size_t classes) {
  double loss = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const absl::Span<const double> row = logs.subspan(i * classes, classes);
    const double top = *std::max_element(row.begin(), row.end());
    const double sum = std::accumulate(row.begin(), row.end(), 0.0, [&](double so_far, double value) {
      return so_far + std::exp(inverse * (value - top));
    });
    loss += std::log(sum) - inverse * (row[static_cast<size_t>(truth[i])] - top);
  }
  return loss;
}

}  // namespace

void ScaleByTemperature(double temperature, size_t classes, absl::Span<float> probabilities) {
  if (temperature == 1) {
    return;
  }
  const double power = 1 / temperature;
  for (size_t from = 0; from < probabilities.size(); from += classes) {
    const absl::Span<float> row = probabilities.subspan(from, classes);
    const double top = std::max(*std::max_element(row.begin(), row.end()), kLeastProbability);
    double sum = 0;
    for (const float value : row) {
      sum += std::pow(std::max(value, kLeastProbability) / top, power);
    }
    for (float& value : row) {
      value = static_cast<float>(std::pow(std::max(value, kLeastProbability) / top, power) / sum);
    }
  }
}

double FitTemperature(absl::Span<const int> truth, absl::Span<const float> probabilities, size_t classes) {
  std::vector<double> logs(probabilities.size());
  std::transform(probabilities.begin(), probabilities.end(), logs.begin(),
                 [](float value) { return std::log(static_cast<double>(std::max(value, kLeastProbability))); });
  // The loss is convex in the inverse of the temperature: a golden section search finds its one minimum.
  constexpr double kGolden = 0.6180339887498949;
  constexpr int kSteps = 60;  // to 1e-12 of the first interval
  double low = 1 / kGreatestTemperature;
  double high = 1 / kLeastTemperature;
  const auto loss = [&](double inverse) { return LogLoss(inverse, truth, logs, classes); };
  double left = high - kGolden * (high - low);
  double right = low + kGolden * (high - low);
  double left_loss = loss(left);
  double right_loss = loss(right);
  for (int step = 0; step < kSteps; ++step) {
    if (left_loss <= right_loss) {
      high = right;
      right = left;
      right_loss = left_loss;
      left = high - kGolden * (high - low);
      left_loss = loss(left);
    } else {
      low = left;
      left = right;
      left_loss = right_loss;
      right = low + kGolden * (high - low);
      right_loss = loss(right);
    }
  }
  return 2 / (low + high);
}

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
