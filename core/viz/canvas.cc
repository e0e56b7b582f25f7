#include "core/viz/canvas.h"

#include <cairo.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr double kMaxPixels = 16384;
constexpr double kCapitalHeight = 0.729;  // of DejaVu Sans, in em

bool IsFinite(Point p) { return std::isfinite(p.x) && std::isfinite(p.y); }

// Cairo's fixed-point numbers end at 2^23; beyond them lines wrap round to the other side.
Point Clamp(Point p) { return {std::clamp(p.x, -1e5, 1e5), std::clamp(p.y, -1e5, 1e5)}; }

// Cairo refuses everything that follows one text that isn't UTF-8, and ends at a NUL.
std::vector<std::string> Characters(absl::string_view text) {
  std::vector<std::string> characters;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeUtf8(text, at);
    const bool shown = point.bytes > 0 && !IsHarmful(point.value);
    characters.push_back(shown ? std::string(text.substr(at, point.bytes)) : "\uFFFD");
    at += std::max<size_t>(point.bytes, 1);
  }
  return characters;
}

std::string Join(const std::vector<std::string>& characters, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += characters[i];
  }
  return text;
}

cairo_status_t Append(void* closure, const unsigned char* data, unsigned int size) noexcept {
  try {
    static_cast<std::string*>(closure)->append(reinterpret_cast<const char*>(data), size);
    return CAIRO_STATUS_SUCCESS;
  } catch (const std::bad_alloc&) {
    return CAIRO_STATUS_NO_MEMORY;
  }
}

absl::Status CairoStatus(cairo_status_t status) {
  if (status == CAIRO_STATUS_SUCCESS) {
    return absl::OkStatus();
  }
  const std::string message = absl::StrCat("drawing failed: ", cairo_status_to_string(status));
  return status == CAIRO_STATUS_NO_MEMORY ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

Color Mix(const Color& from, const Color& to, double share) {
  const auto mix = [share](double a, double b) { return a + (b - a) * share; };
  return {mix(from.red, to.red), mix(from.green, to.green), mix(from.blue, to.blue), mix(from.alpha, to.alpha)};
}

struct Canvas::Impl {
  ~Impl() {
    cairo_destroy(context);
    cairo_surface_destroy(surface);
  }

  void SetColor(const Color& color) { cairo_set_source_rgba(context, color.red, color.green, color.blue, color.alpha); }
  void SetFont(double size, bool bold) {
    cairo_select_font_face(context, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(context, size);
  }
  void Stroke(const LineStyle& style) {
    SetColor(style.color);
    cairo_set_line_width(context, style.width);
    cairo_set_dash(context, style.dash.data(), static_cast<int>(style.dash.size()), 0);
    // Round caps would close the gaps of a dashed line.
    cairo_set_line_cap(context, style.dash.empty() ? CAIRO_LINE_CAP_ROUND : CAIRO_LINE_CAP_BUTT);
    cairo_stroke(context);
  }
  double Width(const std::string& text) {
    cairo_text_extents_t extents;
    cairo_text_extents(context, text.c_str(), &extents);
    return extents.x_advance;
  }

  int width = 0;
  int height = 0;
  cairo_surface_t* surface = nullptr;
  cairo_t* context = nullptr;
};

Canvas::Canvas(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Canvas::Canvas(Canvas&&) noexcept = default;
Canvas& Canvas::operator=(Canvas&&) noexcept = default;
Canvas::~Canvas() = default;

absl::StatusOr<Canvas> Canvas::Create(int width, int height, double scale) {
  const double pixels_wide = std::round(width * scale);
  const double pixels_high = std::round(height * scale);
  if (!(scale > 0 && pixels_wide >= 1 && pixels_wide <= kMaxPixels && pixels_high >= 1 && pixels_high <= kMaxPixels)) {
    return InvalidField("canvas", absl::StrCat(width, " x ", height, " points at ", scale,
                                               " pixels a point are out of range; use 1 to ", kMaxPixels, " pixels"));
  }
  auto impl = std::make_unique<Impl>();
  impl->width = width;
  impl->height = height;
  impl->surface =
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(pixels_wide), static_cast<int>(pixels_high));
  impl->context = cairo_create(impl->surface);
  GRAFT_RETURN_IF_ERROR(CairoStatus(cairo_status(impl->context)));
  cairo_set_source_rgb(impl->context, 1, 1, 1);
  cairo_paint(impl->context);
  cairo_scale(impl->context, scale, scale);
  cairo_set_line_join(impl->context, CAIRO_LINE_JOIN_ROUND);
  // Unhinted: text keeps its width at every scale and rotation, and no colour fringes.
  cairo_font_options_t* options = cairo_font_options_create();
  cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
  cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
  cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
  cairo_set_font_options(impl->context, options);
  cairo_font_options_destroy(options);
  return Canvas(std::move(impl));
}

double Canvas::width() const { return impl_->width; }
double Canvas::height() const { return impl_->height; }

void Canvas::Polyline(const std::vector<Point>& points, const LineStyle& style) {
  cairo_t* context = impl_->context;
  cairo_new_path(context);
  for (size_t i = 0; i < points.size(); ++i) {
    if (!IsFinite(points[i])) {
      continue;
    }
    const Point p = Clamp(points[i]);
    const bool starts = i == 0 || !IsFinite(points[i - 1]);
    const bool ends = i + 1 == points.size() || !IsFinite(points[i + 1]);
    if (starts && ends) {
      impl_->Stroke(style);
      FillCircle(p, style.width, style.color);
    } else if (starts) {
      cairo_move_to(context, p.x, p.y);
    } else {
      cairo_line_to(context, p.x, p.y);
    }
  }
  impl_->Stroke(style);
}

void Canvas::Line(Point from, Point to, const LineStyle& style) {
  if (IsFinite(from) && IsFinite(to)) {
    from = Clamp(from);
    to = Clamp(to);
    cairo_new_path(impl_->context);
    cairo_move_to(impl_->context, from.x, from.y);
    cairo_line_to(impl_->context, to.x, to.y);
    impl_->Stroke(style);
  }
}

void Canvas::FillRectangle(const Rect& rect, const Color& color) {
  if (IsFinite({rect.x, rect.y}) && IsFinite({rect.right(), rect.bottom()})) {
    const Point from = Clamp({rect.x, rect.y});
    const Point to = Clamp({rect.right(), rect.bottom()});
    cairo_new_path(impl_->context);
    cairo_rectangle(impl_->context, from.x, from.y, to.x - from.x, to.y - from.y);
    impl_->SetColor(color);
    cairo_fill(impl_->context);
  }
}

void Canvas::StrokeRectangle(const Rect& rect, const LineStyle& style) {
  if (IsFinite({rect.x, rect.y}) && IsFinite({rect.right(), rect.bottom()})) {
    const Point from = Clamp({rect.x, rect.y});
    const Point to = Clamp({rect.right(), rect.bottom()});
    cairo_new_path(impl_->context);
    cairo_rectangle(impl_->context, from.x, from.y, to.x - from.x, to.y - from.y);
    impl_->Stroke(style);
  }
}

void Canvas::FillCircle(Point center, double radius, const Color& color) {
  if (IsFinite(center)) {
    center = Clamp(center);
    cairo_new_path(impl_->context);
    cairo_arc(impl_->context, center.x, center.y, radius, 0, 2 * std::numbers::pi);
    impl_->SetColor(color);
    cairo_fill(impl_->context);
  }
}

void Canvas::StrokeCircle(Point center, double radius, const LineStyle& style) {
  if (IsFinite(center)) {
    center = Clamp(center);
    cairo_new_path(impl_->context);
    cairo_arc(impl_->context, center.x, center.y, radius, 0, 2 * std::numbers::pi);
    impl_->Stroke(style);
  }
}

void Canvas::Picture(const Rect& rect, absl::Span<const uint8_t> rgb, int width, int height) {
  if (!IsFinite({rect.x, rect.y}) || !IsFinite({rect.right(), rect.bottom()}) || width < 1 || height < 1 ||
      rgb.size() != static_cast<size_t>(width) * static_cast<size_t>(height) * 3) {
    return;
  }
  cairo_surface_t* const picture = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
  if (cairo_surface_status(picture) == CAIRO_STATUS_SUCCESS) {
    cairo_surface_flush(picture);
    uint8_t* const pixels = cairo_image_surface_get_data(picture);
    const int stride = cairo_image_surface_get_stride(picture);
    const uint8_t* from = rgb.data();
    for (int y = 0; y < height; ++y) {
      auto* const to = reinterpret_cast<uint32_t*>(pixels + static_cast<ptrdiff_t>(y) * stride);
      for (int x = 0; x < width; ++x, from += 3) {
        to[x] = uint32_t{from[0]} << 16 | uint32_t{from[1]} << 8 | from[2];
      }
    }
    cairo_surface_mark_dirty(picture);
  }
  cairo_t* const context = impl_->context;
  cairo_save(context);
  cairo_new_path(context);
  cairo_rectangle(context, rect.x, rect.y, rect.width, rect.height);
  cairo_clip(context);
  cairo_translate(context, rect.x, rect.y);
  cairo_scale(context, rect.width / width, rect.height / height);
  cairo_set_source_surface(context, picture, 0, 0);  // one that failed makes the context fail, too
  cairo_pattern_set_filter(cairo_get_source(context), CAIRO_FILTER_GOOD);
  cairo_pattern_set_extend(cairo_get_source(context), CAIRO_EXTEND_PAD);
  cairo_paint(context);
  cairo_restore(context);
  cairo_surface_destroy(picture);
}

void Canvas::Text(Point anchor, absl::string_view text, const TextStyle& style) {
  if (!IsFinite(anchor)) {
    return;
  }
  const std::vector<std::string> characters = Characters(text);
  const std::string clean = Join(characters, characters.size());
  cairo_t* context = impl_->context;
  cairo_save(context);
  impl_->SetFont(style.size, style.bold);
  impl_->SetColor(style.color);
  anchor = Clamp(anchor);
  cairo_translate(context, anchor.x, anchor.y);
  cairo_rotate(context, style.degrees * std::numbers::pi / 180);
  const double width = style.horizontal == HorizontalAlign::kLeft ? 0 : impl_->Width(clean);
  const double x = style.horizontal == HorizontalAlign::kCenter ? -width / 2 : -width;
  const double capital = kCapitalHeight * style.size;
  const double y = style.vertical == VerticalAlign::kTop      ? capital
                   : style.vertical == VerticalAlign::kMiddle ? capital / 2
                                                              : 0;
  cairo_move_to(context, x, y);
  cairo_show_text(context, clean.c_str());
  cairo_restore(context);
}

double Canvas::TextWidth(absl::string_view text, double size, bool bold) const {
  const std::vector<std::string> characters = Characters(text);
  impl_->SetFont(size, bold);
  return impl_->Width(Join(characters, characters.size()));
}

std::string Canvas::Shorten(absl::string_view text, double width, double size, bool bold) const {
  // More can't fit, however narrow; measuring a text of megabytes would take its time.
  const std::vector<std::string> characters = Characters(text.substr(0, 4096));
  impl_->SetFont(size, bold);
  if (text.size() <= 4096) {
    std::string whole = Join(characters, characters.size());
    if (impl_->Width(whole) <= width) {
      return whole;
    }
  }
  size_t fits = 0;  // characters; the width grows with their number
  size_t too_many = characters.size() + 1;
  while (fits + 1 < too_many) {
    const size_t middle = (fits + too_many) / 2;
    (impl_->Width(Join(characters, middle) + "…") <= width ? fits : too_many) = middle;
  }
  // No space before the ellipsis.
  while (fits > 0 && characters[fits - 1] == " ") {
    --fits;
  }
  return fits == 0 ? "" : Join(characters, fits) + "…";
}

void Canvas::BeginClip(const Rect& rect) {
  cairo_save(impl_->context);
  cairo_rectangle(impl_->context, rect.x, rect.y, rect.width, rect.height);
  cairo_clip(impl_->context);
}

void Canvas::EndClip() { cairo_restore(impl_->context); }

absl::StatusOr<std::string> Canvas::EncodePng() const {
  GRAFT_RETURN_IF_ERROR(CairoStatus(cairo_status(impl_->context)));
  std::string png;
  GRAFT_RETURN_IF_ERROR(CairoStatus(cairo_surface_write_to_png_stream(impl_->surface, Append, &png)));
  return png;
}

}  // namespace graft
