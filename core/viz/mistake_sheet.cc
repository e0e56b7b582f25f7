#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/viz/axes.h"
#include "core/viz/canvas.h"
#include "core/viz/charts.h"

namespace graft {
namespace {

constexpr int kColumns = 5;
constexpr double kSide = kMistakeSide / kScale;
constexpr double kGap = 16;
constexpr double kTextHeight = 62;
constexpr double kTop = 84;

// What the sheets differ in.
struct Words {
  size_t most;  // photographs
  absl::string_view one;
  absl::string_view several;
  absl::string_view order;
  absl::string_view predicted_after;
  absl::string_view truth_before;
  absl::string_view none;
};
constexpr Words kMistakes = {
    .most = kMostMistakes,
    .one = "mistake",
    .several = "mistakes",
    .order = "most confident",
    .predicted_after = "",
    .truth_before = "is ",
    .none = "No mistakes: every image was given its class.",
};
constexpr Words kSuspects = {
    .most = kMostSuspects,
    .one = "suspected label",
    .several = "suspected labels",
    .order = "most probable",
    .predicted_after = "?",
    .truth_before = "labelled ",
    .none = "No label is suspected: each image is probably of the class that it is labelled as.",
};

std::string Subtitle(const Words& words, size_t shown, int64_t wrong, int64_t images) {
  if (wrong == 0) {
    return absl::StrFormat("%d %s", images, images == 1 ? "image" : "images");
  }
  const std::string of = absl::StrFormat("%d %s in %d images", wrong, wrong == 1 ? words.one : words.several, images);
  return static_cast<int64_t>(shown) < wrong ? absl::StrFormat("the %d %s of %s", shown, words.order, of)
                                             : absl::StrFormat("%s, the %s first", of, words.order);
}

void DrawMistake(Canvas& canvas, Point corner, const Words& words, const Mistake& mistake) {
  const Rect box{corner.x, corner.y, kSide, kSide};
  canvas.FillRectangle(box, Rgb(0xF2F2F2));
  if (mistake.width > 0) {
    const double scale = std::min(kSide / mistake.width, kSide / mistake.height);
    const Rect picture{box.x + (kSide - mistake.width * scale) / 2, box.y + (kSide - mistake.height * scale) / 2,
                       mistake.width * scale, mistake.height * scale};
    canvas.Picture(picture, mistake.pixels, mistake.width, mistake.height);
  } else {
    canvas.Text({box.x + kSide / 2, box.y + kSide / 2}, "can't be shown",
                {.color = kMuted,
                 .size = kTickSize,
                 .horizontal = HorizontalAlign::kCenter,
                 .vertical = VerticalAlign::kMiddle});
  }
  // A name, cut to its room, and a probability behind it, which never is.
  const auto line = [&](double y, absl::string_view before, const std::string& name, absl::string_view after,
                        double probability, const TextStyle& style) {
    const std::string number = absl::StrCat(after, " ", Percent(probability));
    const double room =
        kSide - canvas.TextWidth(before, style.size, style.bold) - canvas.TextWidth(number, style.size, style.bold);
    canvas.Text({corner.x, y}, absl::StrCat(before, canvas.Shorten(name, room, style.size, style.bold), number), style);
  };
  line(box.bottom() + 17, "", mistake.predicted, words.predicted_after, mistake.probability,
       {.color = Rgb(0xB04A00), .size = 12, .bold = true});
  line(box.bottom() + 33, words.truth_before, mistake.truth, "", mistake.truth_probability,
       {.color = kInk, .size = 12});
  canvas.Text({corner.x, box.bottom() + 48}, canvas.Shorten(mistake.file, kSide, 9.5), {.color = kMuted, .size = 9.5});
}

absl::StatusOr<std::string> DrawSheet(const Words& words, absl::string_view title, const std::vector<Mistake>& mistakes,
                                      int64_t wrong, int64_t images) {
  if (mistakes.size() > words.most || wrong < static_cast<int64_t>(mistakes.size()) || images < wrong) {
    return InvalidField("mistakes", absl::StrCat("there are ", mistakes.size(), " of ", wrong, " in ", images,
                                                 " images; at most ", words.most, " are shown"));
  }
  for (const Mistake& mistake : mistakes) {
    if (mistake.width < 0 || mistake.height < 0 || (mistake.width == 0) != (mistake.height == 0) ||
        mistake.pixels.size() != static_cast<size_t>(mistake.width) * static_cast<size_t>(mistake.height) * 3) {
      return InvalidField("mistakes", absl::StrCat(mistake.file, " has ", mistake.pixels.size(), " bytes for ",
                                                   mistake.width, " x ", mistake.height, " pixels"));
    }
  }
  const size_t rows = std::max<size_t>(1, (mistakes.size() + kColumns - 1) / kColumns);
  const double row_height = mistakes.empty() ? 60 : kSide + kTextHeight;
  const auto width = static_cast<int>(2 * kMargin + kColumns * kSide + (kColumns - 1) * kGap);
  const auto height = static_cast<int>(kTop + static_cast<double>(rows) * row_height + kMargin / 2);
  GRAFT_ASSIGN_OR_RETURN(Canvas canvas, Canvas::Create(width, height, kScale));
  DrawTitle(canvas, title);
  canvas.Text({kMargin, 60}, Subtitle(words, mistakes.size(), wrong, images), {.color = kMuted, .size = kLabelSize});
  if (wrong == 0) {
    canvas.Text({kMargin, kTop + 24}, words.none, {.color = kInk, .size = kLabelSize});
  }
  for (size_t i = 0; i < mistakes.size(); ++i) {
    const size_t row = i / kColumns;
    const Point corner{kMargin + static_cast<double>(i % kColumns) * (kSide + kGap),
                       kTop + static_cast<double>(row) * row_height};
    DrawMistake(canvas, corner, words, mistakes[i]);
  }
  return canvas.EncodePng();
}

}  // namespace

absl::StatusOr<std::string> MistakeSheet(absl::string_view title, const std::vector<Mistake>& mistakes, int64_t wrong,
                                         int64_t images) {
  return DrawSheet(kMistakes, title, mistakes, wrong, images);
}

absl::StatusOr<std::string> SuspectSheet(absl::string_view title, const std::vector<Mistake>& mistakes,
                                         int64_t suspected, int64_t images) {
  return DrawSheet(kSuspects, title, mistakes, suspected, images);
}

}  // namespace graft
