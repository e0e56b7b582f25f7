#include "core/data/near_duplicates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <tuple>

namespace graft {
namespace {

constexpr int kSide = ImagePrint::kSide;
constexpr int kLow = 8;  // frequencies a direction

// Deviation of grey, of 255.
constexpr double kFlat = 3;

// Comparisons of thumbnails, each about a microsecond: a bound for data sets whose images look all the same, such as
// letters.
constexpr int64_t kMaxCorrelations = 3'000'000;

// kLow x kLow numbers: the two-dimensional discrete cosine transform (type II) of the grey image.
std::array<double, kLow * kLow> LowFrequencies(const std::array<double, kSide * kSide>& grey) {
  static const auto kCosines = [] {
    std::array<std::array<double, kSide>, kLow> cosines{};
    for (size_t k = 0; k < kLow; ++k) {
      for (size_t i = 0; i < kSide; ++i) {
        cosines[k][i] = (k == 0 ? std::numbers::sqrt2 / 2 : 1) *
                        std::cos(std::numbers::pi * static_cast<double>(k) * (static_cast<double>(i) + 0.5) / kSide);
      }
    }
    return cosines;
  }();
  std::array<double, kSide * kLow> rows{};
  for (size_t y = 0; y < kSide; ++y) {
    for (size_t k = 0; k < kLow; ++k) {
      for (size_t x = 0; x < kSide; ++x) {
        rows[y * kLow + k] += grey[y * kSide + x] * kCosines[k][x];
      }
    }
  }
  std::array<double, kLow * kLow> frequencies{};
  for (size_t l = 0; l < kLow; ++l) {
    for (size_t y = 0; y < kSide; ++y) {
      for (size_t k = 0; k < kLow; ++k) {
        frequencies[l * kLow + k] += rows[y * kLow + k] * kCosines[l][y];
      }
    }
  }
  return frequencies;
}

// A quarter of the hash.
constexpr int kQuarters = 4;
constexpr int kQuarterBits = 16;
uint32_t Quarter(uint64_t hash, int quarter) {
  return static_cast<uint32_t>(hash >> (quarter * kQuarterBits)) & ((1U << kQuarterBits) - 1);
}

// What differs from 0 in at most kNearBits / 4 bits of a quarter.
std::vector<uint32_t> NearZero() {
  std::vector<uint32_t> values;
  for (uint32_t value = 0; value < 1U << kQuarterBits; ++value) {
    if (std::popcount(value) <= kNearBits / kQuarters) {
      values.push_back(value);
    }
  }
  return values;
}

// Images by a quarter of their hashes.
class Index {
 public:
  Index(absl::Span<const ImagePrint> prints, int quarter) : starts_((size_t{1} << kQuarterBits) + 1) {
    for (const ImagePrint& print : prints) {
      ++starts_[Quarter(print.hash, quarter) + 1];
    }
    for (size_t i = 1; i < starts_.size(); ++i) {
      starts_[i] += starts_[i - 1];
    }
    images_.resize(prints.size());
    std::vector<size_t> next(starts_.begin(), starts_.end() - 1);
    for (size_t i = 0; i < prints.size(); ++i) {
      images_[next[Quarter(prints[i].hash, quarter)]++] = i;
    }
  }
  // In ascending order.
  absl::Span<const size_t> Find(uint32_t value) const {
    return absl::MakeConstSpan(images_).subspan(starts_[value], starts_[value + 1] - starts_[value]);
  }

 private:
  std::vector<size_t> starts_;
  std::vector<size_t> images_;
};

}  // namespace

ImagePrint PrintOf(absl::Span<const uint8_t> thumbnail) {
  ImagePrint print;
  std::array<double, kSide * kSide> grey;
  double sum = 0;
  double squares = 0;
  for (size_t i = 0; i < grey.size(); ++i) {
    grey[i] = 0.299 * thumbnail[3 * i] + 0.587 * thumbnail[3 * i + 1] + 0.114 * thumbnail[3 * i + 2];
    sum += grey[i];
    squares += grey[i] * grey[i];
  }
  const double mean = sum / static_cast<double>(grey.size());
  print.flat = squares / static_cast<double>(grey.size()) - mean * mean < kFlat * kFlat;
  for (size_t y = 0; y < kSide / 2; ++y) {
    for (size_t x = 0; x < kSide / 2; ++x) {
      for (size_t c = 0; c < 3; ++c) {
        const auto at = [&](size_t dy, size_t dx) {
          return int{thumbnail[((2 * y + dy) * kSide + 2 * x + dx) * 3 + c]};
        };
        print.colors[(y * kSide / 2 + x) * 3 + c] =
            static_cast<uint8_t>((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4);
      }
    }
  }
  std::array<double, kLow* kLow> frequencies = LowFrequencies(grey);
  // The first is the mean, which says nothing of the picture; its bit stays 0.
  std::array<double, kLow * kLow - 1> sorted;
  std::copy(frequencies.begin() + 1, frequencies.end(), sorted.begin());
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  const double median = sorted[sorted.size() / 2];
  for (size_t i = 1; i < frequencies.size(); ++i) {
    print.hash |= static_cast<uint64_t>(frequencies[i] > median) << i;
  }
  return print;
}

double Correlation(const ImagePrint& a, const ImagePrint& b) {
  std::array<int64_t, 3> sum_a{};
  std::array<int64_t, 3> sum_b{};
  int64_t squares_a = 0;
  int64_t squares_b = 0;
  int64_t products = 0;
  for (size_t i = 0; i < a.colors.size(); i += 3) {
    for (size_t c = 0; c < 3; ++c) {
      const int64_t x = a.colors[i + c];
      const int64_t y = b.colors[i + c];
      sum_a[c] += x;
      sum_b[c] += y;
      squares_a += x * x;
      squares_b += y * y;
      products += x * y;
    }
  }
  const size_t pixels = a.colors.size() / 3;
  const auto count = static_cast<double>(pixels);
  auto of_a = static_cast<double>(squares_a);
  auto of_b = static_cast<double>(squares_b);
  auto of_both = static_cast<double>(products);
  for (size_t c = 0; c < 3; ++c) {
    const auto x = static_cast<double>(sum_a[c]);
    const auto y = static_cast<double>(sum_b[c]);
    of_a -= x * x / count;
    of_b -= y * y / count;
    of_both -= x * y / count;
  }
  return of_a > 0 && of_b > 0 ? of_both / std::sqrt(of_a * of_b) : 0;
}

NearPairs FindNearPairs(absl::Span<const ImagePrint> prints, size_t max_pairs) {
  static const auto* const kNear = new std::vector<uint32_t>(NearZero());
  NearPairs found;
  int64_t correlations = 0;
  // Each pair is met in the first quarter that is near enough, and in no other.
  const auto compare = [&](int quarter, size_t i, size_t other) {
    const uint64_t differing = prints[i].hash ^ prints[other].hash;
    const int bits = std::popcount(differing);
    if (bits > kNearBits || prints[other].flat) {
      return;
    }
    for (int before = 0; before < quarter; ++before) {
      if (std::popcount(Quarter(differing, before)) <= kNearBits / kQuarters) {
        return;
      }
    }
    if (correlations == kMaxCorrelations || found.pairs.size() == max_pairs) {
      found.cut_short = true;
      return;
    }
    ++correlations;
    if (Correlation(prints[i], prints[other]) >= kNearCorrelation) {
      found.pairs.push_back({i, other, bits});
    }
  };
  for (int quarter = 0; quarter < kQuarters && !found.cut_short; ++quarter) {
    const Index index(prints, quarter);
    for (size_t i = 0; i < prints.size() && !found.cut_short; ++i) {
      if (prints[i].flat) {
        continue;
      }
      for (const uint32_t flipped : *kNear) {
        const absl::Span<const size_t> others = index.Find(Quarter(prints[i].hash, quarter) ^ flipped);
        for (auto other = std::upper_bound(others.begin(), others.end(), i); other != others.end() && !found.cut_short;
             ++other) {
          compare(quarter, i, *other);
        }
      }
    }
  }
  std::sort(found.pairs.begin(), found.pairs.end(), [](const NearPair& a, const NearPair& b) {
    return std::tie(a.first, a.second) < std::tie(b.first, b.second);
  });
  return found;
}

}  // namespace graft
