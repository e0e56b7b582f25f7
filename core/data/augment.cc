#include "core/data/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

#include "core/base/each_cpu.h"

namespace graft {
namespace {

// Row-major, on (column, row, 1).
using Matrix = std::array<std::array<double, 3>, 3>;

Matrix operator*(const Matrix& a, const Matrix& b) {
  Matrix product{};
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      for (size_t k = 0; k < 3; ++k) {
        product[i][j] += a[i][k] * b[k][j];
      }
    }
  }
  return product;
}

Matrix Shift(double columns, double rows) { return {{{1, 0, columns}, {0, 1, rows}, {0, 0, 1}}}; }

// From a pixel of the output to where it is sampled.
Matrix InputOfOutput(const AffineChange& change, int64_t side) {
  const double turn = change.rotation * M_PI / 180;
  const double shear = change.shear * M_PI / 180;
  const Matrix rotation = {{{std::cos(turn), -std::sin(turn), 0}, {std::sin(turn), std::cos(turn), 0}, {0, 0, 1}}};
  const Matrix shearing = {{{1, -std::sin(shear), 0}, {0, std::cos(shear), 0}, {0, 0, 1}}};
  const Matrix zoom = {{{change.column_zoom, 0, 0}, {0, change.row_zoom, 0}, {0, 0, 1}}};
  const double centre = static_cast<double>(side) / 2 - 0.5;
  return Shift(centre, centre) * rotation * Shift(change.column_shift, change.row_shift) * shearing * zoom *
         Shift(-centre, -centre);
}

// A pixel's three channels and one of padding.
using Pixel = float __attribute__((vector_size(16)));

// One row of the output: samples at (row, column), (row + row_step, column + column_step), ...; `position` brings each
// coordinate into [0, last]. Inlined into functions that are compiled for each CPU.
template <typename Position>
__attribute__((always_inline)) inline void Sample(const Pixel* image, int64_t side, float row, float column,
                                                  float row_step, float column_step, float* out, int64_t out_step,
                                                  const Position& position) {
  const auto last = static_cast<float>(side - 1);
  for (int64_t j = 0; j < side; ++j, out += out_step) {
    const float r = position(row + static_cast<float>(j) * row_step, last);
    const float c = position(column + static_cast<float>(j) * column_step, last);
    const auto top = static_cast<int64_t>(r);
    const auto left = static_cast<int64_t>(c);
    const float down = r - static_cast<float>(top);
    const float right = c - static_cast<float>(left);
    const Pixel* const upper = image + top * side;
    const Pixel* const lower = image + std::min(top + 1, side - 1) * side;
    const int64_t next = std::min(left + 1, side - 1);
    const Pixel above = upper[left] + (upper[next] - upper[left]) * right;
    const Pixel below = lower[left] + (lower[next] - lower[left]) * right;
    const Pixel sample = above + (below - above) * down;
    out[0] = sample[0];
    out[1] = sample[1];
    out[2] = sample[2];
  }
}

GRAFT_FOR_EACH_CPU("avx2,fma", "default")
void SampleNearest(const Pixel* image, int64_t side, float row, float column, float row_step, float column_step,
                   float* out, int64_t out_step) {
  Sample(image, side, row, column, row_step, column_step, out, out_step,
         [](float x, float last) { return std::min(std::max(x, 0.0F), last); });
}

GRAFT_FOR_EACH_CPU("avx2,fma", "default")
void SampleReflected(const Pixel* image, int64_t side, float row, float column, float row_step, float column_step,
                     float* out, int64_t out_step) {
  Sample(image, side, row, column, row_step, column_step, out, out_step, [](float x, float last) {
    // The outermost pixel stands there twice, so the mirror is half a pixel further out. Two mirrors make a period.
    const float period = 2 * (last + 1);
    const float turns = (x + 0.5F) / period;
    float in_period = x + 0.5F - std::floor(turns) * period;
    in_period = std::min(in_period, period - in_period);
    return std::min(std::max(in_period - 0.5F, 0.0F), last);
  });
}

// SampleNearest, and black where the position lies outside of [0, last].
GRAFT_FOR_EACH_CPU("avx2,fma", "default")
void SampleOrBlack(const Pixel* image, int64_t side, float row, float column, float row_step, float column_step,
                   float* out, int64_t out_step) {
  // By a hair further out, which rounding may make of a position on the edge.
  constexpr float kHair = 1e-4F;
  Sample(image, side, row, column, row_step, column_step, out, out_step,
         [](float x, float last) { return std::min(std::max(x, 0.0F), last); });
  const auto last = static_cast<float>(side - 1) + kHair;
  for (int64_t j = 0; j < side; ++j, out += out_step) {
    const float r = row + static_cast<float>(j) * row_step;
    const float c = column + static_cast<float>(j) * column_step;
    if (r < -kHair || r > last || c < -kHair || c > last) {
      std::fill(out, out + 3, 0.0F);
    }
  }
}

void ScaleTo255(float factor, float about, absl::Span<float> values) {
  for (float& value : values) {
    value = std::min(std::max(about + (value - about) * factor, 0.0F), 255.0F);
  }
}

float MeanGrey(absl::Span<const float> rgb) {
  double red = 0;
  double green = 0;
  double blue = 0;
  for (size_t i = 0; i + 3 <= rgb.size(); i += 3) {
    red += rgb[i];
    green += rgb[i + 1];
    blue += rgb[i + 2];
  }
  return static_cast<float>((0.2989 * red + 0.587 * green + 0.114 * blue) / (static_cast<double>(rgb.size()) / 3));
}

// One number of several, so that neighbours, such as seed 42's image 1 and seed 43's image 0, have nothing in common:
// the finalizer of Steele, Lea and Flood's SplitMix (2014).
uint64_t MixSeeds(std::initializer_list<uint64_t> seeds) {
  uint64_t mixed = 0;
  for (const uint64_t seed : seeds) {
    mixed += seed + 0x9E3779B97F4A7C15;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    mixed ^= mixed >> 31;
  }
  return mixed;
}

}  // namespace

absl::string_view FillName(Fill fill) {
  switch (fill) {
    case Fill::kNearest:
      return "nearest";
    case Fill::kReflect:
      return "reflect";
    case Fill::kConstant:
      return "constant";
  }
  return "";
}

uint64_t ChangeSeed(uint64_t seed, int epoch, int64_t row) {
  return MixSeeds({seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(row)});
}

AffineChange DrawChange(const Augmentation& options, int64_t side, uint64_t seed) {
  std::mt19937_64 generator(seed);
  // From -range to range. Written out, since the standard leaves its distributions to each library.
  const auto draw = [&](double range) {
    constexpr double kUnit = 1.0 / (uint64_t{1} << 53);
    return range * (2 * static_cast<double>(generator() >> 11) * kUnit - 1);
  };
  AffineChange change;
  change.rotation = draw(options.rotation);
  change.column_shift = draw(options.width_shift) * static_cast<double>(side);
  change.row_shift = draw(options.height_shift) * static_cast<double>(side);
  change.shear = draw(options.shear);
  change.column_zoom = 1 + draw(options.zoom);
  change.row_zoom = 1 + draw(options.zoom);
  change.flip = draw(1) < 0 && options.flip;
  // Behind those above, so that what a seed has drawn so far stays what it is.
  change.vertical_flip = draw(1) < 0 && options.vertical_flip;
  change.brightness = 1 + draw(options.brightness);
  change.contrast = 1 + draw(options.contrast);
  change.fill = options.fill;
  return change;
}

void ApplyChange(const AffineChange& change, absl::Span<const uint8_t> image, int64_t side, absl::Span<float> out) {
  thread_local std::vector<Pixel> pixels;
  pixels.resize(static_cast<size_t>(side * side));
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = Pixel{static_cast<float>(image[3 * i]), static_cast<float>(image[3 * i + 1]),
                      static_cast<float>(image[3 * i + 2]), 0};
  }
  const Matrix map = InputOfOutput(change, side);
  const auto number = [](double x) { return static_cast<float>(x); };
  const auto sample_row = change.fill == Fill::kReflect    ? &SampleReflected
                          : change.fill == Fill::kConstant ? &SampleOrBlack
                                                           : &SampleNearest;
  for (int64_t i = 0; i < side; ++i) {
    const auto row = static_cast<double>(i);
    float* const line = out.data() + (change.vertical_flip ? side - 1 - i : i) * side * 3;
    sample_row(pixels.data(), side, number(map[1][1] * row + map[1][2]), number(map[0][1] * row + map[0][2]),
               number(map[1][0]), number(map[0][0]), change.flip ? line + (side - 1) * 3 : line, change.flip ? -3 : 3);
  }
  if (change.brightness != 1) {
    ScaleTo255(number(change.brightness), 0, out);
  }
  if (change.contrast != 1) {
    ScaleTo255(number(change.contrast), MeanGrey(out), out);
  }
}

}  // namespace graft
