#include "core/data/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/base/each_cpu.h"

namespace graft {
namespace {

// Bits behind the point of a weight: 8 for a byte's value and 2 for sums beyond it are left of 32.
constexpr int kWeightBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);

struct Filter {
  double support;  // pixels on either side, at scale 1
  double (*weight)(double distance);
};

double Box(double distance) { return distance > -0.5 && distance <= 0.5 ? 1 : 0; }

double Triangle(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

// Keys's cubic convolution with a = -0.5, https://doi.org/10.1109/TASSP.1981.1163711.
double Cubic(double distance) {
  constexpr double kA = -0.5;
  const double x = std::abs(distance);
  if (x < 1) {
    return ((kA + 2) * x - (kA + 3)) * x * x + 1;
  }
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * kA : 0;
}

const Filter* FilterOf(Interpolation interpolation) {
  static constexpr Filter kBox = {0.5, &Box};
  static constexpr Filter kTriangle = {1, &Triangle};
  static constexpr Filter kCubic = {2, &Cubic};
  switch (interpolation) {
    case Interpolation::kBilinear:
      return &kTriangle;
    case Interpolation::kBicubic:
      return &kCubic;
    case Interpolation::kBox:
      return &kBox;
    case Interpolation::kNearest:
    case Interpolation::kArea:
      break;
  }
  return nullptr;
}

// Which inputs make each output along one axis, and with what weights.
struct Weights {
  int most = 0;             // of the counts
  std::vector<int> first;   // input, for each output
  std::vector<int> count;   // likewise
  std::vector<int32_t> of;  // `most` for each output
};

// As Pillow computes them, in double precision and in the same order: the last bit of a weight can show in a pixel.
Weights MakeWeights(int from, int to, const Filter& filter) {
  const double scale = static_cast<double>(from) / to;
  const double stretch = std::max(scale, 1.0);
  const double support = filter.support * stretch;
  Weights weights;
  weights.most = static_cast<int>(std::ceil(support)) * 2 + 1;
  weights.of.resize(static_cast<size_t>(to) * static_cast<size_t>(weights.most));
  std::vector<double> exact(static_cast<size_t>(weights.most));
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    // As Pillow rounds.  NOLINTBEGIN(bugprone-incorrect-roundings)
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int count = std::min(static_cast<int>(centre + support + 0.5), from) - first;
    // NOLINTEND(bugprone-incorrect-roundings)
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      exact[static_cast<size_t>(k)] = filter.weight((k + first - centre + 0.5) * (1 / stretch));
      sum += exact[static_cast<size_t>(k)];
    }
    int32_t* const fixed = weights.of.data() + static_cast<size_t>(i) * static_cast<size_t>(weights.most);
    for (int k = 0; k < count; ++k) {
      const double weight = exact[static_cast<size_t>(k)] / (sum == 0 ? 1 : sum) * (1 << kWeightBits);
      fixed[k] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    weights.first.push_back(first);
    weights.count.push_back(count);
  }
  return weights;
}

uint8_t ToByte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255)); }

// A pixel's three channels, and a lane for nothing.
using Ints4 __attribute__((vector_size(16))) = int32_t;

// A row of pixels becomes a row of as many outputs as there are weights. `wide` is room for one more number than the
// row has bytes.
GRAFT_FOR_EACH_CPU("avx2", "default")
void ResizeRow(const uint8_t* row, const Weights& weights, std::vector<int32_t>* wide, uint8_t* out) {
  std::copy(row, row + wide->size() - 1, wide->begin());
  const size_t size = weights.first.size();
  for (size_t i = 0; i < size; ++i, out += 3) {
    const int32_t* pixel = wide->data() + static_cast<ptrdiff_t>(weights.first[i]) * 3;
    const int32_t* const weight = weights.of.data() + i * static_cast<size_t>(weights.most);
    const int count = weights.count[i];
    Ints4 sum = {kHalf, kHalf, kHalf, kHalf};
    for (int k = 0; k < count; ++k, pixel += 3) {
      Ints4 channels;
      std::memcpy(&channels, pixel, sizeof(channels));
      sum += channels * weight[k];
    }
    for (int c = 0; c < 3; ++c) {
      out[c] = ToByte(sum[c]);
    }
  }
}

// out[i] = the sum over k of rows[k][i] * weight[k].
GRAFT_FOR_EACH_CPU("avx2", "default")
void MixRows(const uint8_t* const* rows, const int32_t* weight, int count, int bytes, uint8_t* out) {
  constexpr int kLanes = 32;  // their sums stay in registers
  int i = 0;
  for (; i + kLanes <= bytes; i += kLanes) {
    int32_t sum[kLanes];
    for (int32_t& s : sum) {
      s = kHalf;
    }
    for (int k = 0; k < count; ++k) {
      const uint8_t* const row = rows[k] + i;
      for (int lane = 0; lane < kLanes; ++lane) {
        sum[lane] += row[lane] * weight[k];
      }
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      out[i + lane] = ToByte(sum[lane]);
    }
  }
  for (; i < bytes; ++i) {
    int32_t sum = kHalf;
    for (int k = 0; k < count; ++k) {
      sum += rows[k][i] * weight[k];
    }
    out[i] = ToByte(sum);
  }
}

}  // namespace

bool IsFilter(Interpolation interpolation) { return FilterOf(interpolation) != nullptr; }

void ResizeFiltered(const uint8_t* pixels, int width, int height, size_t stride, int size, Interpolation interpolation,
                    uint8_t* out) {
  const Filter& filter = *FilterOf(interpolation);
  const Weights across = MakeWeights(width, size, filter);
  const Weights down = MakeWeights(height, size, filter);
  const auto bytes = static_cast<size_t>(size) * 3;
  const auto row_bytes = static_cast<size_t>(width) * 3;
  std::vector<int32_t> wide(row_bytes + 1);
  std::vector<const uint8_t*> rows(static_cast<size_t>(down.most));
  const auto mix = [&](size_t y, size_t count, uint8_t* to) {
    MixRows(rows.data(), down.of.data() + y * rows.size(), down.count[y], static_cast<int>(count), to);
  };
  if (height > size && height - size > 2 * (width - size)) {  // Pillow 13 goes down first then, and rounds there
    std::vector<uint8_t> mixed(row_bytes);
    for (size_t y = 0; y < static_cast<size_t>(size); ++y) {
      for (int k = 0; k < down.count[y]; ++k) {
        rows[static_cast<size_t>(k)] = pixels + static_cast<size_t>(down.first[y] + k) * stride;
      }
      mix(y, row_bytes, mixed.data());
      ResizeRow(mixed.data(), across, &wide, out + y * bytes);
    }
    return;
  }
  // Rows are brought to their width when they are first needed, and only those that an output row needs are kept.
  std::vector<uint8_t> narrow(rows.size() * bytes);
  const auto kept = [&](int row) { return narrow.data() + static_cast<size_t>(row) % rows.size() * bytes; };
  int next = 0;  // row of the image
  for (size_t y = 0; y < static_cast<size_t>(size); ++y) {
    const int end = down.first[y] + down.count[y];
    for (next = std::max(next, down.first[y]); next < end; ++next) {
      ResizeRow(pixels + static_cast<size_t>(next) * stride, across, &wide, kept(next));
    }
    for (int k = 0; k < down.count[y]; ++k) {
      rows[static_cast<size_t>(k)] = kept(down.first[y] + k);
    }
    mix(y, bytes, out + y * bytes);
  }
}

}  // namespace graft
