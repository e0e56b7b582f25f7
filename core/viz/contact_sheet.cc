#include "core/viz/contact_sheet.h"

#include <algorithm>
#include <cmath>

#include "core/base/status.h"
#include "core/viz/canvas.h"

namespace graft {
namespace {

constexpr Color kInk = Rgb(0x1F2933);
constexpr Color kFaint = Rgb(0x6B7785);
constexpr Color kRule = Rgb(0xD5DAE0);
constexpr Color kMat = Rgb(0xF2F4F6);  // around pictures that aren't square

constexpr double kMargin = 20;
constexpr double kGap = 6;
constexpr double kTitle = 16;
constexpr double kText = 11;
constexpr double kSmall = 9;
constexpr double kCaption = 8;
constexpr double kCaptionLine = 11;
constexpr double kHeadingHeight = 30;
constexpr double kColumnHeight = 18;
constexpr double kMaxLabelWidth = 150;
constexpr double kScale = 2;

// What a page measures; texts are measured on a canvas of any size.
struct Layout {
  double label_width = 0;  // with its gap; 0: no row has one
  double top = 0;          // of the first row
  double width = 0;
  double height = 0;
};

size_t Columns(const Sheet& sheet) {
  size_t columns = 1;
  for (const SheetRow& row : sheet.rows) {
    columns = std::max(columns, row.pictures.size());
  }
  return columns;
}

size_t CaptionLines(const SheetRow& row) {
  size_t lines = 0;
  for (const SheetPicture& picture : row.pictures) {
    lines = std::max(lines, picture.caption.size());
  }
  return lines;
}

double RowHeight(const Sheet& sheet, const SheetRow& row) {
  return sheet.picture_side + static_cast<double>(CaptionLines(row)) * kCaptionLine + kGap;
}

Layout Measure(const Sheet& sheet, const Canvas& canvas) {
  Layout layout;
  for (const SheetRow& row : sheet.rows) {
    const double width = std::max(canvas.TextWidth(canvas.Shorten(row.label, kMaxLabelWidth, kText), kText),
                                  canvas.TextWidth(canvas.Shorten(row.note, kMaxLabelWidth, kSmall), kSmall));
    layout.label_width = std::max(layout.label_width, width);
  }
  layout.label_width = layout.label_width > 0 ? std::ceil(layout.label_width) + 2 * kGap : 0;
  const auto columns = static_cast<double>(Columns(sheet));
  const double grid = columns * sheet.picture_side + (columns - 1) * kGap;
  const double titles = std::max(canvas.TextWidth(canvas.Shorten(sheet.title, 600, kTitle, true), kTitle, true),
                                 canvas.TextWidth(canvas.Shorten(sheet.subtitle, 600, kSmall), kSmall));
  layout.width = std::ceil(2 * kMargin + std::max(layout.label_width + grid, titles));
  layout.top = kMargin + kTitle + (sheet.subtitle.empty() ? 0 : kSmall + kGap) + 2 * kGap +
               (sheet.columns.empty() ? 0 : kColumnHeight);
  double y = layout.top;
  for (const SheetRow& row : sheet.rows) {
    y += (row.heading.empty() ? 0 : kHeadingHeight) + RowHeight(sheet, row);
  }
  layout.height = std::ceil(y - kGap + kMargin);
  return layout;
}

void DrawPicture(const SheetPicture& picture, const Rect& square, Canvas* canvas) {
  if (picture.width < 1 || picture.height < 1) {
    return;
  }
  const double longest = std::max(picture.width, picture.height);
  const double width = square.width * picture.width / longest;
  const double height = square.height * picture.height / longest;
  if (picture.width != picture.height) {
    canvas->FillRectangle(square, kMat);
  }
  // On whole pixels, which keeps it sharp.
  const auto snap = [](double x) { return std::round(x * kScale) / kScale; };
  canvas->Picture({snap(square.x + (square.width - width) / 2), snap(square.y + (square.height - height) / 2),
                   snap(width), snap(height)},
                  picture.rgb, picture.width, picture.height);
}

void DrawRow(const Sheet& sheet, const SheetRow& row, const Layout& layout, double y, Canvas* canvas) {
  const double side = sheet.picture_side;
  const double room = layout.label_width - 2 * kGap;
  if (!row.label.empty() || !row.note.empty()) {
    const double middle = y + side / 2;
    const double label_y = row.note.empty() ? middle : middle - 7;
    canvas->Text({kMargin, label_y}, canvas->Shorten(row.label, room, kText),
                 {.color = kInk, .size = kText, .vertical = VerticalAlign::kMiddle});
    canvas->Text({kMargin, row.label.empty() ? middle : middle + 8}, canvas->Shorten(row.note, room, kSmall),
                 {.color = kFaint, .size = kSmall, .vertical = VerticalAlign::kMiddle});
  }
  double x = kMargin + layout.label_width;
  for (const SheetPicture& picture : row.pictures) {
    DrawPicture(picture, {x, y, side, side}, canvas);
    double baseline = y + side + kCaptionLine - 1;
    for (const std::string& line : picture.caption) {
      canvas->Text({x, baseline}, canvas->Shorten(line, side, kCaption), {.color = kFaint, .size = kCaption});
      baseline += kCaptionLine;
    }
    x += side + kGap;
  }
}

}  // namespace

absl::StatusOr<std::string> ContactSheet(const Sheet& sheet) {
  if (sheet.rows.empty()) {
    return InvalidField("rows", "there is nothing to show");
  }
  GRAFT_ASSIGN_OR_RETURN(const Canvas ruler, Canvas::Create(1, 1, kScale));
  const Layout layout = Measure(sheet, ruler);
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas,
                         Canvas::Create(static_cast<int>(layout.width), static_cast<int>(layout.height), kScale));

  const double room = layout.width - 2 * kMargin;
  double y = kMargin + kTitle;
  canvas.Text({kMargin, y - 3}, canvas.Shorten(sheet.title, room, kTitle, true),
              {.color = kInk, .size = kTitle, .bold = true});
  if (!sheet.subtitle.empty()) {
    y += kSmall + kGap;
    canvas.Text({kMargin, y}, canvas.Shorten(sheet.subtitle, room, kSmall), {.color = kFaint, .size = kSmall});
  }
  double x = kMargin + layout.label_width;
  for (const std::string& heading : sheet.columns) {
    canvas.Text({x + sheet.picture_side / 2.0, layout.top - kGap}, canvas.Shorten(heading, sheet.picture_side, kSmall),
                {.color = kFaint, .size = kSmall, .horizontal = HorizontalAlign::kCenter});
    x += sheet.picture_side + kGap;
  }
  y = layout.top;
  for (const SheetRow& row : sheet.rows) {
    if (!row.heading.empty()) {
      canvas.Line({kMargin, y + 4}, {layout.width - kMargin, y + 4}, {.color = kRule});
      canvas.Text({kMargin, y + kHeadingHeight - 10}, canvas.Shorten(row.heading, room, kText, true),
                  {.color = kInk, .size = kText, .bold = true});
      y += kHeadingHeight;
    }
    DrawRow(sheet, row, layout, y, &canvas);
    y += RowHeight(sheet, row);
  }
  return canvas.EncodePng();
}

}  // namespace graft
