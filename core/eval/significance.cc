#include "core/eval/significance.h"

#include <algorithm>
#include <cmath>

namespace graft {

Interval WilsonInterval(int64_t part, int64_t whole) {
  if (whole <= 0) {
    return {0, 1};
  }
  constexpr double kZ = 1.959963984540054;  // the normal distribution's 0.975
  const auto n = static_cast<double>(whole);
  const double share = static_cast<double>(part) / n;
  const double scale = 1 + kZ * kZ / n;
  const double center = (share + kZ * kZ / (2 * n)) / scale;
  const double half = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n)) / scale;
  // At the ends it is exact, and rounding mustn't leave them.
  return {part == 0 ? 0 : std::max(0.0, center - half), part == whole ? 1 : std::min(1.0, center + half)};
}

double McNemarExact(int64_t only_first_right, int64_t only_second_right) {
  const int64_t n = only_first_right + only_second_right;
  const int64_t fewer = std::min(only_first_right, only_second_right);
  // The binomial distribution of n fair coins up to `fewer`: its largest term by logarithms, as 2^-n may be no double,
  // the others from that downwards.
  double log_term = -static_cast<double>(n) * std::log(2.0);
  for (int64_t i = 1; i <= fewer; ++i) {
    log_term += std::log(static_cast<double>(n - fewer + i) / static_cast<double>(i));
  }
  double sum = 0;
  double share = 1;  // of the largest term
  for (int64_t i = fewer; i >= 0; --i) {
    sum += share;
    share *= static_cast<double>(i) / static_cast<double>(n - i + 1);
  }
  return std::min(1.0, 2 * sum * std::exp(log_term));
}

}  // namespace graft
