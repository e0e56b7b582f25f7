#include "core/viz/charts.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/viz/canvas.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// BGR, 8 bits; empty when it isn't a picture.
cv::Mat Decode(const std::string& png) {
  const std::vector<uchar> bytes(png.begin(), png.end());
  return bytes.empty() ? cv::Mat() : cv::imdecode(bytes, cv::IMREAD_UNCHANGED);
}

// Pixels whose channels are all within 12 of 0xRRGGBB.
int CountColor(const cv::Mat& image, int rgb, cv::Rect area = {}) {
  const cv::Scalar color(rgb & 0xFF, rgb >> 8 & 0xFF, rgb >> 16 & 0xFF);
  const cv::Scalar slack(12, 12, 12);
  cv::Mat match;
  cv::inRange(area.empty() ? image : image(area), color - slack, color + slack, match);
  return cv::countNonZero(match);
}

constexpr int kTrainColor = 0x0072B2;
constexpr int kValidationColor = 0xD55E00;
const cv::Rect kAccuracyPlot(176, 224, 788, 500);
const cv::Rect kLossPlot(1164, 224, 788, 500);

std::vector<EpochPoint> Curve(int epochs) {
  std::vector<EpochPoint> points;
  for (int e = 1; e <= epochs; ++e) {
    const double t = 3.0 * e / epochs;
    points.push_back({.epoch = e,
                      .loss = 0.7 * std::exp(-t),
                      .accuracy = 1 - 0.5 * std::exp(-t),
                      .validation_loss = 0.4 + 0.3 * std::exp(-2 * t) + 0.02 * t * t,
                      .validation_accuracy = 0.9 - 0.35 * std::exp(-t)});
  }
  return points;
}

std::vector<std::string> Names(int classes) {
  std::vector<std::string> names;
  for (int c = 0; c < classes; ++c) {
    names.push_back(absl::StrCat("class ", c));
  }
  return names;
}

// Images of random classes, scored by a classifier that is right more often the higher `skill` is.
EvaluationReport RandomReport(const std::vector<std::string>& labels, int images, double skill, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> noise;
  const size_t k = labels.size();
  std::vector<int> truth;
  std::vector<float> probabilities;
  for (int i = 0; i < images; ++i) {
    truth.push_back(static_cast<int>(random() % k));
    std::vector<double> scores(k);
    double sum = 0;
    for (size_t c = 0; c < k; ++c) {
      scores[c] = std::exp(noise(random) + (static_cast<int>(c) == truth.back() ? skill : 0));
      sum += scores[c];
    }
    for (const double score : scores) {
      probabilities.push_back(static_cast<float>(score / sum));
    }
  }
  return *Evaluate(truth, probabilities, labels);
}

TEST(LearningCurvesTest, DrawsBothLinesInBothPanels) {
  for (const int epochs : {1, 2, 3, 30, 100, 1000}) {
    ASSERT_OK_AND_ASSIGN(const std::string png, LearningCurves("pets", Curve(epochs)));
    const cv::Mat image = Decode(png);
    ASSERT_EQ(image.size(), cv::Size(2000, 840)) << epochs;
    ASSERT_EQ(image.type(), CV_8UC3);
    for (const cv::Rect& plot : {kAccuracyPlot, kLossPlot}) {
      EXPECT_GT(CountColor(image, kTrainColor, plot), epochs == 1 ? 20 : 500) << epochs;
      EXPECT_GT(CountColor(image, kValidationColor, plot), epochs == 1 ? 20 : 500) << epochs;
    }
  }
}

TEST(LearningCurvesTest, EachSeriesShows) {
  const std::vector<EpochPoint> base = Curve(20);
  ASSERT_OK_AND_ASSIGN(const std::string png, LearningCurves("pets", base));
  EXPECT_EQ(*LearningCurves("pets", base), png);
  EXPECT_NE(*LearningCurves("dogs", base), png);
  for (double EpochPoint::*field :
       {&EpochPoint::loss, &EpochPoint::accuracy, &EpochPoint::validation_loss, &EpochPoint::validation_accuracy}) {
    std::vector<EpochPoint> changed = base;
    changed[10].*field *= 0.9;
    const bool is_loss = field == &EpochPoint::loss || field == &EpochPoint::validation_loss;
    const cv::Mat before = Decode(png);
    const cv::Mat after = Decode(*LearningCurves("pets", changed));
    // Only its own panel changes.
    EXPECT_EQ(cv::norm(before(kLossPlot), after(kLossPlot), cv::NORM_L1) > 0, is_loss);
    EXPECT_EQ(cv::norm(before(kAccuracyPlot), after(kAccuracyPlot), cv::NORM_L1) > 0, !is_loss);
  }
}

TEST(LearningCurvesTest, BetterIsHigherInAccuracyAndLowerInLoss) {
  const std::vector<EpochPoint> points = Curve(30);  // training ends above validation in accuracy, below in loss
  const cv::Mat image = Decode(*LearningCurves("pets", points));
  const auto train_row_at_end = [&](const cv::Rect& plot, int color) {
    for (int y = plot.y; y < plot.br().y; ++y) {
      if (CountColor(image, color, {plot.br().x - 60, y, 60, 1}) > 0) {
        return y;
      }
    }
    return -1;
  };
  EXPECT_LT(train_row_at_end(kAccuracyPlot, kTrainColor), train_row_at_end(kAccuracyPlot, kValidationColor));
  EXPECT_GT(train_row_at_end(kLossPlot, kTrainColor), train_row_at_end(kLossPlot, kValidationColor));
}

TEST(LearningCurvesTest, MarksTheBestValidationEpoch) {
  std::vector<EpochPoint> points = Curve(11);
  points[3].validation_loss = 0.1;
  points[7].validation_accuracy = 0.97;
  points[9].validation_accuracy = 0.97;  // the first of equals counts
  const cv::Mat image = Decode(*LearningCurves("pets", points));
  const auto marker = [&](const cv::Rect& plot) {  // the one thing in a plot drawn in ink: its middle column
    cv::Mat ink;
    cv::inRange(image(plot), cv::Scalar(0x1A, 0x1A, 0x1A), cv::Scalar(0x2A, 0x2A, 0x2A), ink);
    std::vector<cv::Point> found;
    cv::findNonZero(ink, found);
    const cv::Rect box = found.empty() ? cv::Rect() : cv::boundingRect(found);
    return plot.x + box.x + box.width / 2.0;
  };
  // Epochs 1 to 11 lie evenly between 20 pixels right of the plot's left edge and 20 left of its right edge.
  const auto at = [](const cv::Rect& plot, int epoch) { return plot.x + 20 + (plot.width - 40) * (epoch - 1) / 10.0; };
  EXPECT_NEAR(marker(kLossPlot), at(kLossPlot, 4), 2);
  EXPECT_NEAR(marker(kAccuracyPlot), at(kAccuracyPlot, 8), 2);
}

TEST(LearningCurvesTest, MarksTheKeptEpochAndTheHeadsEpochs) {
  constexpr int kKeptColor = 0x009E73;
  constexpr int kShade = 0xF0F0F0;
  const std::vector<EpochPoint> points = Curve(11);
  const cv::Mat plain = Decode(*LearningCurves("pets", points));
  EXPECT_EQ(CountColor(plain, kKeptColor), 0);
  const cv::Mat image = Decode(*LearningCurves("pets", points, {.kept_epoch = 6, .head_epochs = 4}));
  for (const cv::Rect& plot : {kAccuracyPlot, kLossPlot}) {
    // Epochs 1 to 11 lie evenly between 20 pixels right of the plot's left edge and 20 left of its right edge.
    const double step = (plot.width - 40) / 10.0;
    const auto at = [&](double epoch) { return plot.x + 20 + static_cast<int>((epoch - 1) * step); };
    EXPECT_GT(CountColor(image, kKeptColor, {at(6) - 4, plot.y, 8, plot.height}), plot.height);
    EXPECT_EQ(CountColor(image, kKeptColor, {plot.x, plot.y, at(6) - 4 - plot.x, plot.height}), 0);
    EXPECT_EQ(CountColor(image, kKeptColor, {at(6) + 4, plot.y, plot.br().x - at(6) - 4, plot.height}), 0);
    const auto shaded = [&](double from, double to) {  // the share of a strip that no line runs through
      const cv::Rect strip(at(from) + 4, plot.y + 4, at(to) - at(from) - 8, plot.height - 8);
      return CountColor(image, kShade, strip) / static_cast<double>(strip.area());
    };
    EXPECT_GT(shaded(3, 4.5), 0.8);
    EXPECT_LT(shaded(4.5, 5.5), 0.2);
  }
  // A training that is in its first stage yet, and marks of epochs that aren't there.
  const cv::Mat head = Decode(*LearningCurves("pets", Curve(2), {.kept_epoch = 9, .head_epochs = 5}));
  EXPECT_GT(CountColor(head, kShade, kLossPlot), kLossPlot.area() / 2);
  EXPECT_EQ(CountColor(head, kKeptColor, kLossPlot), 0);
  for (const CurveMarks& marks : {CurveMarks{INT_MAX, INT_MAX}, CurveMarks{-1, -1}, CurveMarks{1, 1}}) {
    EXPECT_THAT(LearningCurves("pets", Curve(1), marks), IsOk());
  }
}

TEST(LearningCurvesTest, OrderOfPointsDoesNotMatter) {
  std::vector<EpochPoint> points = Curve(12);
  const std::string png = *LearningCurves("pets", points);
  std::reverse(points.begin(), points.end());
  EXPECT_EQ(*LearningCurves("pets", points), png);
}

TEST(LearningCurvesTest, NotFiniteIsAGap) {
  std::vector<EpochPoint> points = Curve(20);
  const int whole = CountColor(Decode(*LearningCurves("pets", points)), kTrainColor, kLossPlot);
  for (const double gap : {kNan, kInfinity, -kInfinity}) {
    for (int i = 5; i < 15; ++i) {
      points[i].loss = gap;
    }
    const int rest = CountColor(Decode(*LearningCurves("pets", points)), kTrainColor, kLossPlot);
    EXPECT_LT(rest, whole * 0.7);
    EXPECT_GT(rest, whole * 0.2);
  }
}

TEST(LearningCurvesTest, ASpikeDoesNotFlattenTheRest) {
  std::vector<EpochPoint> points = Curve(20);
  points[0].loss = 1e6;
  const cv::Mat image = Decode(*LearningCurves("pets", points));
  // On a linear axis all but the first point would lie in the lowest rows.
  EXPECT_EQ(CountColor(image, kTrainColor, {kLossPlot.x + 60, kLossPlot.br().y - 20, kLossPlot.width - 60, 20}), 0);
}

TEST(LearningCurvesTest, ExtremeValues) {
  const std::vector<double> values = {0,    -0.0,  1,     -1,     1e-320, 1e-30,     1e30,
                                      1e99, 1e101, 1e308, -1e308, kNan,   kInfinity, -kInfinity};
  for (const double a : values) {
    for (const double b : {0.5, -1.0, 1e308, kNan}) {
      const std::vector<EpochPoint> points = {{1, a, b, b, a}, {2, b, a, 0.5, 0.5}, {3, a, a, a, a}};
      ASSERT_OK_AND_ASSIGN(const std::string png, LearningCurves("pets", points));
      ASSERT_EQ(Decode(png).size(), cv::Size(2000, 840)) << a << " " << b;
    }
  }
  for (const auto& epochs : {std::vector<int>{INT_MIN, INT_MAX}, {-5, 0, 5}, {7, 7, 7}, {0}, {INT_MAX}, {1, 1000000}}) {
    std::vector<EpochPoint> points;
    for (const int epoch : epochs) {
      points.push_back({epoch, 0.5, 0.5, 0.5, 0.5});
    }
    EXPECT_THAT(LearningCurves("pets", points), IsOk());
  }
  EXPECT_THAT(LearningCurves("pets", {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("points")));
}

TEST(ChartsTest, AnyTitle) {
  const EvaluationReport report = RandomReport(Names(3), 50, 1);
  for (const std::string& title :
       {std::string(), std::string(100000, 'W'), std::string("\xff\xfe\xc3"), std::string("a\0b\n\t", 5),
        std::string("\xed\xa0\x80 \xf4\x90\x80\x80 \xc0\x80"), std::string("日本語 🐈 Ünïcödé")}) {
    EXPECT_THAT(LearningCurves(title, Curve(3)), IsOk());
    EXPECT_THAT(ConfusionMatrix(title, report), IsOk());
    EXPECT_THAT(RocCurves(title, report), IsOk());
  }
}

TEST(ConfusionMatrixTest, AnyNumberOfClasses) {
  cv::Size last;
  for (const int classes : {2, 3, 4, 12, 60, 100, 300}) {
    ASSERT_OK_AND_ASSIGN(const std::string png, ConfusionMatrix("pets", RandomReport(Names(classes), 500, 3)));
    const cv::Mat image = Decode(png);
    ASSERT_FALSE(image.empty());
    EXPECT_GE(image.cols, 900);
    EXPECT_LE(image.cols, 3100);
    EXPECT_GE(image.rows, 600);
    EXPECT_LE(image.rows, 3000);
    EXPECT_NE(image.size(), last);
    last = image.size();
  }
}

TEST(ConfusionMatrixTest, ShadesTheDiagonalOfAPerfectClassifier) {
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, Evaluate({0, 1, 1}, {1, 0, 0, 1, 0, 1}, {"cat", "dog"}));
  const cv::Mat image = Decode(*ConfusionMatrix("pets", report));
  // Cells are 260 pixels wide; the matrix starts below the two title lines.
  cv::Mat dark;
  cv::inRange(image, cv::Scalar(0x60, 0x28, 0x00), cv::Scalar(0x78, 0x38, 0x14), dark);
  std::vector<cv::Point> points;
  cv::findNonZero(dark, points);
  ASSERT_GT(points.size(), 100000u);
  cv::Rect box = cv::boundingRect(points);
  EXPECT_NEAR(box.y, 168, 1);
  EXPECT_NEAR(box.height, 520, 4);
  box.width = 520;  // without the colour bar
  const auto share = [&](int row, int column) {
    return cv::countNonZero(dark({box.x + 260 * column + 4, box.y + 260 * row + 4, 250, 250})) / 62500.0;
  };
  EXPECT_GT(share(0, 0), 0.9);
  EXPECT_GT(share(1, 1), 0.9);
  EXPECT_EQ(share(0, 1), 0);
  EXPECT_EQ(share(1, 0), 0);
}

TEST(ConfusionMatrixTest, RowsAreTrueClasses) {
  // Both dogs taken for cats: the lower left cell is full, the upper right one empty.
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report, Evaluate({0, 1, 1}, {1, 0, 1, 0, 1, 0}, {"cat", "dog"}));
  const cv::Mat image = Decode(*ConfusionMatrix("pets", report));
  const int left = 170;
  EXPECT_GT(CountColor(image, 0x08306B, {left, 168 + 270, 240, 240}), 40000);
  EXPECT_EQ(CountColor(image, 0x08306B, {left + 280, 168, 200, 240}), 0);
}

TEST(ConfusionMatrixTest, CountsShow) {
  const EvaluationReport report = RandomReport(Names(4), 400, 2);
  EvaluationReport other = report;
  for (int64_t& count : other.confusion) {
    count *= 10;  // the same shades
  }
  const std::string png = *ConfusionMatrix("pets", report);
  EXPECT_EQ(*ConfusionMatrix("pets", report), png);
  EXPECT_NE(*ConfusionMatrix("pets", other), png);
  other = report;
  other.labels[2] = "dog";
  EXPECT_NE(*ConfusionMatrix("pets", other), png);
  other = report;
  other.accuracy = 0.5;
  EXPECT_NE(*ConfusionMatrix("pets", other), png);
}

TEST(ConfusionMatrixTest, ExtremeReports) {
  EvaluationReport report = RandomReport({"cat", std::string(100000, 'w')}, 10, 1);
  EXPECT_THAT(ConfusionMatrix("pets", report), IsOk());
  report.labels = {"\xff\xff", std::string("\0", 1)};
  EXPECT_THAT(ConfusionMatrix("pets", report), IsOk());
  report.confusion = {0, 0, 0, 0};
  EXPECT_THAT(ConfusionMatrix("pets", report), IsOk());
  report.confusion.assign(4, std::numeric_limits<int64_t>::max());
  report.accuracy = kNan;
  EXPECT_THAT(ConfusionMatrix("pets", report), IsOk());
  report.confusion = {1, 0, 0, -1};
  EXPECT_THAT(ConfusionMatrix("pets", report), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("confusion")));
  report.confusion = {1, 0, 0};
  EXPECT_THAT(ConfusionMatrix("pets", report), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("confusion")));
  EXPECT_THAT(ConfusionMatrix("pets", {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("confusion")));
}

TEST(RocCurvesTest, AnyNumberOfClasses) {
  for (const int classes : {2, 3, 10, 11, 60}) {
    ASSERT_OK_AND_ASSIGN(const std::string png, RocCurves("pets", RandomReport(Names(classes), 600, 1)));
    EXPECT_EQ(Decode(png).size(), cv::Size(classes == 2 ? 1160 : 1720, 1200)) << classes;
  }
}

TEST(RocCurvesTest, BetterClassifiersReachFurtherUpAndLeft) {
  const auto area_reached = [](double skill) {
    const cv::Mat image = Decode(*RocCurves("pets", RandomReport(Names(2), 1000, skill)));
    // The upper left quarter of the plot's upper left quarter.
    return CountColor(image, kTrainColor, {176 + 20, 168 + 20, 225, 225});
  };
  EXPECT_EQ(area_reached(0), 0);
  EXPECT_GT(area_reached(1.5), 100);
}

TEST(RocCurvesTest, DependOnTheCurves) {
  for (const int classes : {2, 5, 20}) {
    const EvaluationReport report = RandomReport(Names(classes), 600, 1);
    const std::string png = *RocCurves("pets", report);
    EXPECT_EQ(*RocCurves("pets", report), png);
    EXPECT_NE(*RocCurves("pets", RandomReport(Names(classes), 600, 1, 2)), png);
  }
}

TEST(RocCurvesTest, ExtremeReports) {
  EXPECT_THAT(RocCurves("pets", {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("roc")));
  for (const int classes : {2, 3, 12}) {
    EvaluationReport report = RandomReport(Names(classes), 1, 1);  // no class has both kinds of image
    EXPECT_THAT(RocCurves("pets", report), IsOk());
    report = RandomReport(Names(classes), 200, 1);
    report.labels[1] = std::string(100000, 'w').append("\xff");
    EXPECT_THAT(RocCurves("pets", report), IsOk());
    report.roc[1] = {{1, 1, 0}, {0, 0, 1}};  // backwards
    EXPECT_THAT(RocCurves("pets", report), IsOk());
    for (const double bad : {kNan, kInfinity, -0.5, 1.5}) {
      report.roc[0] = {{0, bad, 0}};
      EXPECT_THAT(RocCurves("pets", report), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("roc")));
      report.roc[0] = {{bad, 0, 0}};
      EXPECT_THAT(RocCurves("pets", report), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("roc")));
    }
    report.roc.pop_back();
    EXPECT_THAT(RocCurves("pets", report), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("roc")));
  }
}

TEST(CanvasTest, SizeIsPointsTimesScale) {
  for (const double scale : {1.0, 1.5, 2.0}) {
    ASSERT_OK_AND_ASSIGN(const Canvas canvas, Canvas::Create(100, 40, scale));
    EXPECT_EQ(Decode(*canvas.EncodePng()).size(),
              cv::Size(static_cast<int>(100 * scale), static_cast<int>(40 * scale)));
  }
  for (const auto& [width, height, scale] : std::vector<std::tuple<int, int, double>>{
           {0, 10, 1}, {10, -1, 1}, {10, 10, 0}, {10, 10, -1}, {10, 10, kNan}, {10, 10, kInfinity}, {20000, 1, 1}}) {
    EXPECT_THAT(Canvas::Create(width, height, scale),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("canvas")));
  }
}

TEST(CanvasTest, FillsWhatItIsTold) {
  ASSERT_OK_AND_ASSIGN(Canvas canvas, Canvas::Create(100, 100, 1));
  canvas.FillRectangle({10, 20, 30, 40}, Rgb(0xCC0011));
  const cv::Mat image = Decode(*canvas.EncodePng());
  EXPECT_EQ(CountColor(image, 0xCC0011), 30 * 40);
  EXPECT_EQ(CountColor(image, 0xCC0011, {10, 20, 30, 40}), 30 * 40);
  EXPECT_EQ(CountColor(image, 0xFFFFFF), 100 * 100 - 30 * 40);
}

TEST(CanvasTest, ClipHolds) {
  ASSERT_OK_AND_ASSIGN(Canvas canvas, Canvas::Create(100, 100, 1));
  canvas.BeginClip({0, 0, 50, 100});
  canvas.FillRectangle({0, 0, 100, 100}, Rgb(0));
  canvas.EndClip();
  canvas.FillRectangle({90, 0, 10, 100}, Rgb(0));
  EXPECT_EQ(CountColor(Decode(*canvas.EncodePng()), 0), 60 * 100);
}

TEST(CanvasTest, NotFiniteCoordinates) {
  ASSERT_OK_AND_ASSIGN(Canvas canvas, Canvas::Create(100, 100, 1));
  const LineStyle style{.color = Rgb(0), .width = 3};
  canvas.Line({kNan, 0}, {50, 50}, style);
  canvas.FillRectangle({0, 0, kInfinity, 10}, Rgb(0));
  canvas.StrokeRectangle({kNan, 0, 1, 10}, style);
  canvas.FillCircle({0, kNan}, 10, Rgb(0));
  canvas.StrokeCircle({0, kInfinity}, 10, style);
  canvas.Text({kNan, 10}, "text", {.color = Rgb(0)});
  canvas.Polyline({}, style);
  canvas.Polyline({{kNan, kNan}}, style);
  EXPECT_EQ(CountColor(Decode(*canvas.EncodePng()), 0xFFFFFF), 100 * 100);
  // A point between gaps is a dot; a line far outside still goes through.
  canvas.Polyline({{kNan, 0}, {20, 20}, {kNan, 0}}, style);
  EXPECT_GT(CountColor(Decode(*canvas.EncodePng()), 0, {15, 15, 10, 10}), 10);
  canvas.Polyline({{-1e300, 70}, {1e300, 70}}, style);
  EXPECT_GT(CountColor(Decode(*canvas.EncodePng()), 0, {0, 68, 100, 4}), 190);
}

TEST(CanvasTest, TextIsMeasuredAndShortened) {
  ASSERT_OK_AND_ASSIGN(Canvas canvas, Canvas::Create(400, 100, 1));
  const double width = canvas.TextWidth("Golden retriever", 12);
  EXPECT_GT(width, 60);
  EXPECT_LT(width, 160);
  EXPECT_NEAR(canvas.TextWidth("Golden retriever", 24), 2 * width, 0.5);
  EXPECT_EQ(canvas.Shorten("Golden retriever", width + 0.1, 12), "Golden retriever");
  const std::string shorter = canvas.Shorten("Golden retriever", width - 10, 12);
  EXPECT_THAT(shorter, ::testing::StartsWith("Golden re"));
  EXPECT_THAT(shorter, ::testing::EndsWith("…"));
  EXPECT_LE(canvas.TextWidth(shorter, 12), width - 10);
  EXPECT_EQ(canvas.Shorten("Golden retriever", 1, 12), "");
  EXPECT_EQ(canvas.Shorten("Golden retriever", -1, 12), "");
  // Whole characters only.
  EXPECT_EQ(canvas.Shorten("ééééé", canvas.TextWidth("éé…", 12) + 0.1, 12), "éé…");
}

TEST(CanvasTest, TextIsAlignedAndRotated) {
  const auto box = [](const TextStyle& style) {
    Canvas canvas = *Canvas::Create(400, 400, 1);
    canvas.Text({200, 200}, "HHHHHH", style);
    cv::Mat ink;
    cv::inRange(Decode(*canvas.EncodePng()), cv::Scalar(0, 0, 0), cv::Scalar(128, 128, 128), ink);
    std::vector<cv::Point> points;
    cv::findNonZero(ink, points);
    return cv::boundingRect(points);
  };
  const cv::Rect left = box({.color = Rgb(0), .size = 20});
  EXPECT_NEAR(left.x, 201, 3);
  EXPECT_NEAR(left.br().y, 200, 1);
  EXPECT_GT(left.width, 4 * left.height);
  EXPECT_NEAR(box({.color = Rgb(0), .size = 20, .horizontal = HorizontalAlign::kRight}).br().x, 199, 3);
  const cv::Rect middle =
      box({.color = Rgb(0), .size = 20, .horizontal = HorizontalAlign::kCenter, .vertical = VerticalAlign::kMiddle});
  EXPECT_NEAR(middle.x + middle.width / 2.0, 200, 2);
  EXPECT_NEAR(middle.y + middle.height / 2.0, 200, 1);
  EXPECT_NEAR(box({.color = Rgb(0), .size = 20, .vertical = VerticalAlign::kTop}).y, 200, 1);
  const cv::Rect up = box({.color = Rgb(0), .size = 20, .degrees = -90});
  EXPECT_GT(up.height, 4 * up.width);
  EXPECT_NEAR(up.br().y, 199, 3);
}

TEST(PrecisionRecallCurvesTest, TwoTenAndManyClassesAreDrawn) {
  for (const int classes : {2, 3, 10, 40}) {
    const EvaluationReport report = RandomReport(Names(classes), 400, 2);
    ASSERT_OK_AND_ASSIGN(const std::string png, PrecisionRecallCurves("pets", report));
    const cv::Mat image = Decode(png);
    ASSERT_EQ(image.size(), cv::Size(1720, 1200));
    const cv::Rect plot(176, 168, 900, 900);
    EXPECT_GT(CountColor(image, kTrainColor, plot), 300) << classes;       // the first curve's
    EXPECT_GT(CountColor(image, kValidationColor, plot), 300) << classes;  // the second one's
  }
  // The better the classifier, the more lies under its curve.
  const auto first_row = [](double skill) {
    const cv::Mat image = Decode(*PrecisionRecallCurves("pets", RandomReport(Names(2), 400, skill)));
    for (int y = 168; y < 1068; ++y) {
      if (CountColor(image, kTrainColor, {900, y, 100, 1}) > 0) {
        return y;
      }
    }
    return -1;
  };
  EXPECT_LT(first_row(5), first_row(0.5));
}

TEST(PrecisionRecallCurvesTest, OddReportsAreDrawnOrRefused) {
  EvaluationReport report = RandomReport({"cat", std::string(100000, 'w')}, 20, 1);
  EXPECT_THAT(PrecisionRecallCurves(std::string(100000, 't'), report), IsOk());
  ASSERT_OK_AND_ASSIGN(const EvaluationReport one_class, Evaluate({0}, {0.9f, 0.1f}, {"cat", "dog"}));
  EXPECT_THAT(PrecisionRecallCurves("pets", one_class), IsOk());
  report.precision_recall[0][0].precision = kNan;
  EXPECT_THAT(PrecisionRecallCurves("pets", report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("precision_recall")));
  report.precision_recall.clear();
  EXPECT_THAT(PrecisionRecallCurves("pets", report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 curves for 2 labels")));
}

TEST(ReliabilityDiagramTest, ConfidenceThatIsTooHighShowsAsAGap) {
  constexpr int kGapColor = 0xECB68C;
  const auto gap = [](float confidence, int right) {
    std::vector<int> truth(100, 1);
    std::fill(truth.begin(), truth.begin() + right, 0);
    std::vector<float> probabilities;
    for (int i = 0; i < 100; ++i) {
      probabilities.push_back(confidence);
      probabilities.push_back(1 - confidence);
    }
    const cv::Mat image = Decode(*ReliabilityDiagram("pets", *Evaluate(truth, probabilities, {"cat", "dog"})));
    EXPECT_EQ(image.size(), cv::Size(1160, 1380));
    return CountColor(image, kGapColor, {176, 168, 900, 760});
  };
  EXPECT_GT(gap(0.95f, 60), 3000);
  EXPECT_LT(gap(0.95f, 95), 200);
}

TEST(ReliabilityDiagramTest, WithoutCalibrationOrWithNonsenseIsRefused) {
  EvaluationReport report = RandomReport(Names(10), 300, 2);
  EXPECT_THAT(ReliabilityDiagram("pets", report), IsOk());
  report.calibration->bins[3].accuracy = 1.5;
  EXPECT_THAT(ReliabilityDiagram("pets", report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("calibration")));
  report.calibration.reset();
  EXPECT_THAT(ReliabilityDiagram("pets", report),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("evaluate the model again")));
}

Mistake ColoredMistake(int width, int height, uint8_t blue) {
  Mistake mistake{.file = "cat.1.jpg", .truth = "cat", .predicted = "dog", .probability = 0.9, .pixels = {}};
  mistake.width = width;
  mistake.height = height;
  for (int i = 0; i < width * height; ++i) {
    mistake.pixels.insert(mistake.pixels.end(), {0, 0, blue});
  }
  return mistake;
}

TEST(MistakeSheetTest, PhotographsKeepTheirShapeAndColour) {
  ASSERT_OK_AND_ASSIGN(const std::string png, MistakeSheet("pets", {ColoredMistake(200, 100, 200)}, 3, 50));
  const cv::Mat image = Decode(png);
  EXPECT_EQ(image.cols, 1724);
  // 300 x 150 pixels, in the middle of the first square of 300.
  EXPECT_NEAR(CountColor(image, 0x0000C8, {48, 168, 300, 300}), 300 * 150, 700);
  EXPECT_EQ(CountColor(image, 0x0000C8, {48, 168, 300, 70}), 0);
  EXPECT_EQ(CountColor(image, 0x0000C8, {380, 0, 1344, image.rows}), 0);
}

TEST(MistakeSheetTest, NoneOneAndAllAreDrawnMoreAreRefused) {
  EXPECT_THAT(MistakeSheet("pets", {}, 0, 50), IsOk());
  std::vector<Mistake> mistakes(kMostMistakes, ColoredMistake(3, 400, 90));
  mistakes[1] =
      Mistake{.file = std::string(100000, 'f'), .truth = std::string(100000, 't'), .predicted = "\xff", .pixels = {}};
  ASSERT_OK_AND_ASSIGN(const std::string png, MistakeSheet("pets", mistakes, 1000, 5000));
  EXPECT_EQ(Decode(png).cols, 1724);
  mistakes.push_back(mistakes[0]);
  EXPECT_THAT(MistakeSheet("pets", mistakes, 1000, 5000),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 25")));
  mistakes.resize(1);
  EXPECT_THAT(MistakeSheet("pets", mistakes, 0, 50), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 of 0")));
  mistakes[0].pixels.pop_back();
  EXPECT_THAT(MistakeSheet("pets", mistakes, 1, 50),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 x 400")));
}

TEST(SuspectSheetTest, TwiceAsManyAreDrawnAndMoreAreRefused) {
  EXPECT_THAT(SuspectSheet("pets", {}, 0, 50), IsOk());
  std::vector<Mistake> mistakes(kMostSuspects, ColoredMistake(300, 300, 200));
  ASSERT_OK_AND_ASSIGN(const std::string png, SuspectSheet("pets", mistakes, 60, 5000));
  const cv::Mat image = Decode(png);
  EXPECT_EQ(image.cols, 1724);
  EXPECT_NEAR(CountColor(image, 0x0000C8, {0, 0, image.cols, image.rows}), 50 * 300 * 300, 50 * 1500);
  // What is said of a suspected label isn't what is said of a mistake.
  const std::vector<Mistake> one = {ColoredMistake(300, 300, 200)};
  EXPECT_NE(SuspectSheet("pets", one, 3, 50).value(), MistakeSheet("pets", one, 3, 50).value());
  mistakes.push_back(mistakes[0]);
  EXPECT_THAT(SuspectSheet("pets", mistakes, 60, 5000),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 50")));
}

TEST(ComparisonBarsTest, ABarForEachModelAsLongAsItsAccuracy) {
  const auto bars = [](double accuracy) {
    const std::vector<ComparedModel> models = {{"a@1", 0.95, {0.9, 0.97}}, {"b@2", accuracy, {0.52, 0.93}}};
    const cv::Mat image = Decode(*ComparisonBars("pets", models));
    EXPECT_EQ(image.cols, 1600);
    return cv::countNonZero(image.reshape(1) < 200);
  };
  EXPECT_GT(bars(0.9), bars(0.6) + 2000);
  EXPECT_THAT(ComparisonBars("pets", {{"a@1", 1, {0.3, 1}}}), IsOk());
  EXPECT_THAT(ComparisonBars("pets", {{std::string(100000, 'n'), 0, {0, 0.1}}}), IsOk());
  EXPECT_THAT(ComparisonBars("pets", std::vector<ComparedModel>(kMostCompared, {"a", 0.5, {0.4, 0.6}})), IsOk());
  EXPECT_THAT(ComparisonBars("pets", {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 to 50")));
  EXPECT_THAT(ComparisonBars("pets", {{"a@1", 0.5, {0.6, 0.7}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a@1")));
}

TEST(AccuracyByTimeTest, EachModelHasItsPlaceAndTheChosenOneStandsOut) {
  const std::vector<TimedModel> models = {{"slow", 0.99, {0.985, 0.994}, 57, false},
                                          {"quick", 0.98, {0.97, 0.99}, 9, true}};
  const cv::Mat image = Decode(*AccuracyByTime("pets", models));
  EXPECT_EQ(image.size(), cv::Size(1600, 960));
  const auto pixels_of = [](const cv::Mat& picture, const cv::Scalar& bgr) {
    cv::Mat mask;
    cv::inRange(picture, bgr, bgr, mask);
    cv::Moments moments = cv::moments(mask, true);
    return std::tuple{moments.m00, moments.m10 / moments.m00, moments.m01 / moments.m00};
  };
  const auto [blue, blue_x, blue_y] = pixels_of(image, {0xB2, 0x72, 0x00});
  const auto [red, red_x, red_y] = pixels_of(image, {0x00, 0x5E, 0xD5});
  EXPECT_GT(blue, 100);
  EXPECT_GT(red, blue);
  EXPECT_GT(blue_x, red_x + 300) << "takes longer";
  EXPECT_LT(blue_y, red_y - 50) << "is more accurate";
  EXPECT_THAT(AccuracyByTime("pets", {{std::string(100000, 'n'), 0, {0, 0.1}, 1e-9}}), IsOk());
  EXPECT_THAT(AccuracyByTime("pets", {}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 to 50")));
  EXPECT_THAT(AccuracyByTime("pets", {{"a", 0.5, {0.6, 0.7}, 1}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a has")));
  EXPECT_THAT(AccuracyByTime("pets", {{"a", 0.5, {0.4, 0.7}, 0}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 ms")));
}

}  // namespace
}  // namespace graft
