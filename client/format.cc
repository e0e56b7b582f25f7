#include "client/format.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/text.h"
#include "google/protobuf/util/json_util.h"

namespace graft {
size_t Columns(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Padded(const std::string& text, size_t columns, bool right) {
  const std::string space(columns - std::min(columns, Columns(text)), ' ');
  return right ? space + text : text + space;
}

std::string ClippedToColumns(const std::string& text, size_t columns) {
  size_t seen = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80 && ++seen > columns) {
      return text.substr(0, i);
    }
  }
  return text;
}

std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Columns(row[i]));
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&line, i == 0 ? "" : "  ", Padded(row[i], widths[i], i < right.size() && right[i]));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string LayerTable(const google::protobuf::RepeatedPtrField<v1::Layer>& layers) {
  std::vector<std::vector<std::string>> rows = {{"Layer (type)", "Output shape", "Param #", "Trainable"}};
  int64_t total = 0;
  int64_t trainable = 0;
  for (const v1::Layer& layer : layers) {
    std::string shape = "(None";
    for (const int64_t n : layer.output_shape()) {
      absl::StrAppend(&shape, ", ", n);
    }
    rows.push_back({absl::StrCat(Printable(layer.name()), " (", Printable(layer.type()), ")"), shape + ")",
                    Thousands(layer.parameters()),
                    layer.parameters() == 0 ? "-"
                    : layer.trainable()     ? "yes"
                                            : "no"});
    total += layer.parameters();
    trainable += layer.trainable() ? layer.parameters() : 0;
  }
  return absl::StrCat(Table(rows, {false, false, true, false}), "Total params: ", Thousands(total),
                      "\nTrainable params: ", Thousands(trainable),
                      "\nNon-trainable params: ", Thousands(total - trainable), "\n");
}

std::string ReportText(const v1::EvaluationReport& report) {
  std::vector<std::vector<std::string>> rows = {{"", "precision", "recall", "f1-score", "support"}};
  const auto add = [&](const v1::ClassMetrics& metrics) {
    rows.push_back({Printable(metrics.label()), absl::StrFormat("%.4f", metrics.precision()),
                    absl::StrFormat("%.4f", metrics.recall()), absl::StrFormat("%.4f", metrics.f1()),
                    Thousands(metrics.support())});
  };
  for (const v1::ClassMetrics& metrics : report.classes()) {
    add(metrics);
  }
  rows.push_back({""});
  rows.push_back({"accuracy", "", "", absl::StrFormat("%.4f", report.accuracy()), Thousands(report.images())});
  add(report.macro_average());
  add(report.weighted_average());
  std::string out = Table(rows, {false, true, true, true, true});

  const int classes = report.labels_size();
  constexpr int kMostShown = 20;
  if (classes > kMostShown) {
    absl::StrAppend(&out, "\nConfusion matrix: ", classes, " classes; see confusion_matrix.png\n");
  } else if (report.confusion_size() == classes * classes) {
    std::vector<std::vector<std::string>> matrix = {{"true \\ predicted"}};
    for (const std::string& label : report.labels()) {
      matrix[0].push_back(Printable(label));
    }
    for (int row = 0; row < classes; ++row) {
      matrix.push_back({Printable(report.labels(row))});
      for (int column = 0; column < classes; ++column) {
        matrix.back().push_back(Thousands(report.confusion(row * classes + column)));
      }
    }
    std::vector<bool> right(static_cast<size_t>(classes) + 1, true);
    right[0] = false;
    absl::StrAppend(&out, "\nConfusion matrix\n", Table(matrix, right));
  }
  absl::StrAppend(&out, "\nROC AUC: ", report.has_roc_auc() ? absl::StrFormat("%.4f", report.roc_auc()) : "not defined",
                  "   log loss: ", absl::StrFormat("%.4f", report.log_loss()), "\n");
  if (report.has_calibration()) {  // from a server that says so much
    absl::StrAppend(&out,
                    absl::StrFormat("accuracy's 95 %% interval: %.4f to %.4f   average precision: %s\n",
                                    report.accuracy_low(), report.accuracy_high(),
                                    report.has_average_precision() ? absl::StrFormat("%.4f", report.average_precision())
                                                                   : "not defined"),
                    absl::StrFormat("calibration error: %.4f   Brier score: %.4f\n",
                                    report.calibration().expected_error(), report.calibration().brier()));
  }
  return out;
}

std::string DamageText(const std::string& name, const std::string& damage, const std::string& remove) {
  if (damage.empty()) {
    return "";
  }
  return absl::StrCat(Printable(name), " is damaged: ", Printable(damage), "; remove it with: ", remove, " ",
                      Printable(name), "\n");
}

std::string Bar(double share, int width) {
  const double within = std::clamp(share, 0.0, 1.0);
  const auto full = static_cast<size_t>(std::lround(within * width));
  return "[" + std::string(full, '#') + std::string(static_cast<size_t>(width) - full, '.') + "]";
}

std::string JsonText(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

}  // namespace graft
