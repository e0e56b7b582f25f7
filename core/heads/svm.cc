#include "core/heads/svm.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "core/base/each_cpu.h"
#include "core/base/status.h"

namespace graft {
namespace {

constexpr double kTolerance = 1e-3;
constexpr int kMaxPasses = 1000;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// In lanes that are summed in a fixed order: the same bits for the same numbers on every CPU.
GRAFT_FOR_EACH_CPU("avx2", "default")
float Dot(const float* a, const float* b, int64_t count) {
  constexpr int64_t kLanes = 16;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  float sum = 0;
  for (; i < count; ++i) {
    sum += a[i] * b[i];
  }
  for (const float lane : sums) {
    sum += lane;
  }
  return sum;
}

GRAFT_FOR_EACH_CPU("avx2", "default")
void AddScaled(const float* row, float scale, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    out[i] += scale * row[i];
  }
}

// A row to learn from, in the dual.
struct Coordinate {
  const float* row = nullptr;
  double sign = 0;       // 1: of the class; -1: not
  double alpha = 0;      // at least 0
  double curvature = 0;  // of the dual along this coordinate
};

// The next place of a shuffled order that begins at `from`.
void Draw(std::mt19937_64* random, size_t from, std::vector<Coordinate*>* order) {
  std::swap((*order)[from], (*order)[from + (*random)() % (order->size() - from)]);
}

}  // namespace

float LinearScore::Of(const float* row) const {
  return Dot(weights.data(), row, static_cast<int64_t>(weights.size())) + bias;
}

absl::StatusOr<LinearScore> FitLinearSvm(const RowMatrix& rows, const std::vector<bool>& positive,
                                         absl::Span<const int64_t> which, double c, uint64_t seed,
                                         const std::function<absl::Status()>& check) {
  const double diagonal = 1 / (2 * c);
  std::vector<Coordinate> all(which.size());
  std::vector<Coordinate*> active;
  for (size_t i = 0; i < which.size(); ++i) {
    Coordinate& coordinate = all[i];
    coordinate.row = rows.row(which[i]);
    coordinate.sign = positive[static_cast<size_t>(which[i])] ? 1 : -1;
    coordinate.curvature = Dot(coordinate.row, coordinate.row, rows.dimension) + 1 + diagonal;
    active.push_back(&coordinate);
  }
  std::vector<float> weights(static_cast<size_t>(rows.dimension));
  double bias = 0;
  std::mt19937_64 random(seed);
  double shrink_above = kInfinity;  // gradients of coordinates at 0 that are set aside
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    GRAFT_RETURN_IF_ERROR(check());
    double most = -kInfinity;  // of the projected gradients
    double least = kInfinity;
    for (size_t i = 0; i < active.size();) {
      Draw(&random, i, &active);
      Coordinate& at = *active[i];
      const double score = Dot(weights.data(), at.row, rows.dimension) + bias;
      const double gradient = at.sign * score - 1 + diagonal * at.alpha;
      if (at.alpha == 0 && gradient > shrink_above) {
        std::swap(active[i], active.back());
        active.pop_back();
        continue;
      }
      const double projected = at.alpha == 0 ? std::min(gradient, 0.0) : gradient;
      most = std::max(most, projected);
      least = std::min(least, projected);
      if (projected != 0) {
        const double alpha = std::max(at.alpha - gradient / at.curvature, 0.0);
        const double step = (alpha - at.alpha) * at.sign;
        at.alpha = alpha;
        AddScaled(at.row, static_cast<float>(step), rows.dimension, weights.data());
        bias += step;
      }
      ++i;
    }
    if (active.empty() || most - least <= kTolerance) {
      if (active.size() == all.size()) {
        break;
      }
      // Those that were set aside may have come back into play.
      active.clear();
      for (Coordinate& coordinate : all) {
        active.push_back(&coordinate);
      }
      shrink_above = kInfinity;
    } else {
      shrink_above = most > 0 ? most : kInfinity;
    }
  }
  // Once more from the start, without what rounding has gathered on the way.
  std::vector<double> sums(weights.size());
  LinearScore score;
  double bias_sum = 0;
  for (const Coordinate& coordinate : all) {
    if (coordinate.alpha > 0) {
      const double factor = coordinate.alpha * coordinate.sign;
      for (size_t d = 0; d < sums.size(); ++d) {
        sums[d] += factor * coordinate.row[d];
      }
      bias_sum += factor;
    }
  }
  score.weights.assign(sums.begin(), sums.end());
  score.bias = static_cast<float>(bias_sum);
  return score;
}

double PlattCurve::Of(double score) const {
  const double exponent = slope * score + offset;
  return exponent >= 0 ? std::exp(-exponent) / (1 + std::exp(-exponent)) : 1 / (1 + std::exp(exponent));
}

PlattCurve FitCalibration(absl::Span<const double> scores, const std::vector<bool>& positive) {
  constexpr int kMaxSteps = 100;
  constexpr double kRidge = 1e-12;     // keeps the Hessian positive
  constexpr double kShortest = 1e-10;  // step
  constexpr double kFlat = 1e-9;       // gradient
  const auto yes = static_cast<double>(std::count(positive.begin(), positive.end(), true));
  const double no = static_cast<double>(scores.size()) - yes;
  const double yes_target = (yes + 1) / (yes + 2);
  const double no_target = 1 / (no + 2);
  const auto target = [&](size_t i) { return positive[i] ? yes_target : no_target; };
  const auto loss = [&](const PlattCurve& at) {
    double sum = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      const double exponent = at.slope * scores[i] + at.offset;
      sum += exponent >= 0 ? target(i) * exponent + std::log1p(std::exp(-exponent))
                           : (target(i) - 1) * exponent + std::log1p(std::exp(exponent));
    }
    return sum;
  };
  PlattCurve at = {0, std::log((no + 1) / (yes + 1))};
  double current = loss(at);
  for (int step = 0; step < kMaxSteps; ++step) {
    double h11 = kRidge;
    double h22 = kRidge;
    double h21 = 0;
    double g1 = 0;
    double g2 = 0;
    for (size_t i = 0; i < scores.size(); ++i) {
      const double p = at.Of(scores[i]);
      const double weight = p * (1 - p);
      h11 += scores[i] * scores[i] * weight;
      h22 += weight;
      h21 += scores[i] * weight;
      g1 += scores[i] * (target(i) - p);
      g2 += target(i) - p;
    }
    if (std::abs(g1) < kFlat && std::abs(g2) < kFlat) {
      break;
    }
    const double determinant = h11 * h22 - h21 * h21;
    const double d1 = -(h22 * g1 - h21 * g2) / determinant;
    const double d2 = -(h11 * g2 - h21 * g1) / determinant;
    const double slope = g1 * d1 + g2 * d2;
    double length = 1;
    while (length >= kShortest) {
      const PlattCurve next = {at.slope + length * d1, at.offset + length * d2};
      const double found = loss(next);
      if (found < current + 1e-4 * length * slope) {
        at = next;
        current = found;
        break;
      }
      length /= 2;
    }
    if (length < kShortest) {
      break;
    }
  }
  return at;
}

std::vector<int> StratifiedFolds(absl::Span<const int64_t> labels, int folds, uint64_t seed) {
  std::map<int64_t, std::vector<size_t>> classes;
  for (size_t i = 0; i < labels.size(); ++i) {
    classes[labels[i]].push_back(i);
  }
  std::mt19937_64 random(seed);
  std::vector<int> fold_of(labels.size());
  size_t dealt = 0;  // over all classes, so that small ones don't all begin with the first fold
  for (auto& [label, members] : classes) {
    for (size_t i = members.size(); i > 1; --i) {
      std::swap(members[i - 1], members[random() % i]);
    }
    for (const size_t member : members) {
      fold_of[member] = static_cast<int>(dealt++ % static_cast<size_t>(folds));
    }
  }
  return fold_of;
}

}  // namespace graft
