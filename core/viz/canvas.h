// A small drawing surface for charts: antialiased lines, shapes and text, exported as PNG.
#ifndef GRAFT_CORE_VIZ_CANVAS_H_
#define GRAFT_CORE_VIZ_CANVAS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

struct Color {
  double red = 0, green = 0, blue = 0, alpha = 1;  // [0, 1], sRGB, alpha not multiplied in
};

// 0xRRGGBB
constexpr Color Rgb(uint32_t hex, double alpha = 1) {
  return {(hex >> 16 & 0xFF) / 255.0, (hex >> 8 & 0xFF) / 255.0, (hex & 0xFF) / 255.0, alpha};
}

// The colour `share` of the way from one to the other.
Color Mix(const Color& from, const Color& to, double share);

struct Point {
  double x = 0, y = 0;
};

struct Rect {
  double x = 0, y = 0, width = 0, height = 0;
  double right() const { return x + width; }
  double bottom() const { return y + height; }
};

struct LineStyle {
  Color color;
  double width = 1;
  std::vector<double> dash = {};  // lengths of dash, gap, ...; empty: solid
};

enum class HorizontalAlign { kLeft, kCenter, kRight };
enum class VerticalAlign { kTop, kMiddle, kBaseline };  // top and middle of a capital letter

struct TextStyle {
  Color color;
  double size = 12;
  bool bold = false;
  HorizontalAlign horizontal = HorizontalAlign::kLeft;
  VerticalAlign vertical = VerticalAlign::kBaseline;
  double degrees = 0;  // clockwise, about the anchor; alignment is along and across the rotated text
};

// A white picture with a coordinate system in points, the origin top left, y down. Text is DejaVu Sans (or what
// fontconfig puts in its place). Text that is not UTF-8 and harmful code points (core/base/text.h) are drawn as U+FFFD;
// coordinates that are not finite draw nothing. Not thread-safe; several canvases may be drawn on at once.
class Canvas {
 public:
  // `width` and `height` in points, `scale` pixels a point. INVALID_ARGUMENT for sizes outside 1 to 16384 pixels.
  static absl::StatusOr<Canvas> Create(int width, int height, double scale);
  Canvas(Canvas&&) noexcept;
  Canvas& operator=(Canvas&&) noexcept;
  ~Canvas();

  double width() const;
  double height() const;

  // Lines through the points in turn; one that is not finite leaves a gap, and a point between two gaps is a dot.
  void Polyline(const std::vector<Point>& points, const LineStyle& style);
  void Line(Point from, Point to, const LineStyle& style);
  void FillRectangle(const Rect& rect, const Color& color);
  void StrokeRectangle(const Rect& rect, const LineStyle& style);
  void FillCircle(Point center, double radius, const Color& color);
  void StrokeCircle(Point center, double radius, const LineStyle& style);

  // width x height pixels of RGB, row-major, stretched over `rect` and smoothed; nothing when the sizes don't fit.
  void Picture(const Rect& rect, absl::Span<const uint8_t> rgb, int width, int height);

  void Text(Point anchor, absl::string_view text, const TextStyle& style);
  double TextWidth(absl::string_view text, double size, bool bold = false) const;
  // `text`, or as much of its start as fits into `width` with an ellipsis behind it; "" when not even that fits.
  std::string Shorten(absl::string_view text, double width, double size, bool bold = false) const;

  // Drawing is restricted to `rect` until EndClip. Doesn't nest.
  void BeginClip(const Rect& rect);
  void EndClip();

  // The picture as the bytes of an RGB PNG file. Errors of any drawing call before surface here.
  absl::StatusOr<std::string> EncodePng() const;

 private:
  struct Impl;
  explicit Canvas(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_CANVAS_H_
