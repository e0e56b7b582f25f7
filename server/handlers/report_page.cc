#include "server/handlers/report_page.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "convert/convert.h"
#include "core/base/readable.h"
#include "core/base/text.h"
#include "core/model/artifact.h"
#include "core/model/variants.h"

namespace graft {
namespace {

// Grey on white and white on grey alike; tables scroll by themselves on a phone, pictures keep their white ground.
constexpr char kStyle[] = R"css(
:root { color-scheme: light dark; --ink: #1f2328; --muted: #5a626b; --line: #d9dee3; --ground: #fff; --panel: #f5f7f9; --bar: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --muted: #a2abb5; --line: #39414a; --ground: #15181c; --panel: #1e2329; --bar: #56b4e9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 24px 16px 64px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 40px 0 8px; padding-top: 16px; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 24px 0 8px; }
p { margin: 4px 0; }
.muted { color: var(--muted); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; margin: 16px 0; }
.card { background: var(--panel); border-radius: 8px; padding: 12px 14px; }
.card b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.card span { color: var(--muted); font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: normal; }
td:first-child, th:first-child { overflow-wrap: anywhere; min-width: 8em; }
th { color: var(--muted); font-weight: 600; }
.n { text-align: right; white-space: nowrap; }
.sum td { font-weight: 600; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px;
  align-items: start; margin: 16px 0; }
figure { margin: 0; min-width: 0; }
.wide { grid-column: 1 / -1; }
img { display: block; width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; }
summary { cursor: pointer; color: var(--muted); padding: 4px 0; }
@media print { details > :not(summary) { display: block; } h2 { break-after: avoid; } }
)css";

struct Cell {
  std::string html;  // escaped
  bool number = false;
};

Cell Words(absl::string_view text) { return {EscapeHtml(text)}; }
Cell Number(absl::string_view text) { return {EscapeHtml(text), true}; }
Cell Score(double value) { return Number(absl::StrFormat("%.4f", value)); }

class Page {
 public:
  template <typename... Parts>
  void Add(const Parts&... parts) {
    absl::StrAppend(&html_, parts...);
  }
  void Heading(int level, absl::string_view text) { Add("<h", level, ">", EscapeHtml(text), "</h", level, ">\n"); }
  void BeginTable(const std::vector<Cell>& heading) {
    Add("<div class=\"scroll\"><table><thead>");
    AddRow(heading, "th", "");
    Add("</thead><tbody>\n");
  }
  void Row(const std::vector<Cell>& cells, bool sum = false) { AddRow(cells, "td", sum ? " class=\"sum\"" : ""); }
  void EndTable() { Add("</tbody></table></div>\n"); }
  void Card(absl::string_view value, absl::string_view what) {
    Add("<div class=\"card\"><b>", EscapeHtml(value), "</b><span>", EscapeHtml(what), "</span></div>\n");
  }
  void Picture(absl::string_view png, absl::string_view what, bool wide) {
    Add("<figure", wide ? " class=\"wide\"" : "", "><img alt=\"", EscapeHtml(what), "\" src=\"data:image/png;base64,",
        absl::Base64Escape(png), "\"></figure>\n");
  }
  std::string Take() { return std::move(html_); }

 private:
  void AddRow(const std::vector<Cell>& cells, absl::string_view tag, absl::string_view attributes) {
    Add("<tr", attributes, ">");
    for (const Cell& cell : cells) {
      Add("<", tag, cell.number ? " class=\"n\">" : ">", cell.html, "</", tag, ">");
    }
    Add("</tr>\n");
  }

  std::string html_;
};

std::string IntervalText(const Interval& interval) {
  return absl::StrFormat("%.4f to %.4f", interval.low, interval.high);
}

void AddScores(Page& page, const EvaluationReport& report) {
  page.BeginTable({Words("Class"), Number("Precision"), Number("Recall"), Number("F1"), Number("Images")});
  const auto row = [&](const ClassMetrics& metrics, bool sum) {
    page.Row({Words(metrics.label), Score(metrics.precision), Score(metrics.recall), Score(metrics.f1),
              Number(Thousands(metrics.support))},
             sum);
  };
  for (const ClassMetrics& metrics : report.classes) {
    row(metrics, false);
  }
  row(report.macro_average, true);
  row(report.weighted_average, true);
  page.EndTable();
}

void AddCalibration(Page& page, const Calibration& calibration) {
  page.Heading(3, "Calibration");
  page.Add(absl::StrFormat("<p>Expected calibration error %.4f, Brier score %.4f.</p>\n", calibration.expected_error,
                           calibration.brier));
  page.BeginTable({Words("Confidence"), Number("Images"), Number("Mean confidence"), Number("Accuracy")});
  for (const ReliabilityBin& bin : calibration.bins) {
    if (bin.images > 0) {
      page.Row({Words(absl::StrFormat("above %.3f to %.3f", bin.low, bin.high)), Number(Thousands(bin.images)),
                Score(bin.confidence), Score(bin.accuracy)});
    }
  }
  page.EndTable();
}

void AddEvaluation(Page& page, const Evaluation& evaluation, const std::map<std::string, std::string>& pictures) {
  const EvaluationReport& report = evaluation.report;
  page.Heading(2, absl::StrCat("Scores on ", evaluation.dataset, ", ", PartName(evaluation.part)));
  page.Add("<div class=\"cards\">\n");
  page.Card(absl::StrFormat("%.4f", report.accuracy),
            absl::StrCat("accuracy; 95 % interval ", IntervalText(report.accuracy_interval)));
  page.Card(report.roc_auc.has_value() ? absl::StrFormat("%.4f", *report.roc_auc) : "undefined",
            "area under the ROC curve");
  page.Card(report.average_precision.has_value() ? absl::StrFormat("%.4f", *report.average_precision) : "undefined",
            "average precision");
  page.Card(absl::StrFormat("%.4f", report.log_loss), "log loss");
  page.Card(Thousands(report.images), "images");
  if (evaluation.milliseconds_per_image > 0) {
    page.Card(absl::StrFormat("%.1f ms", evaluation.milliseconds_per_image),
              absl::StrFormat("for an image alone, decoding not included, %d %s", evaluation.threads,
                              evaluation.threads == 1 ? "thread" : "threads"));
  }
  page.Add("</div>\n");
  AddScores(page, report);

  const std::string folder = absl::StrCat(
      "evaluations/",
      DataFolder::EvaluationTarget(evaluation.model, evaluation.version, evaluation.dataset, evaluation.part)
          .path.filename()
          .string(),
      "/");
  page.Add("<div class=\"pictures\">\n");
  for (const auto& [file, what, wide] : {std::tuple{"confusion_matrix.png", "Confusion matrix", false},
                                         {"roc.png", "ROC curves", false},
                                         {"precision_recall.png", "Precision-recall curves", false},
                                         {"reliability.png", "Reliability diagram", false},
                                         {"mistakes.png", "The most confident mistakes", true}}) {
    if (const auto picture = pictures.find(folder + file); picture != pictures.end()) {
      page.Picture(picture->second, what, wide);
    }
  }
  page.Add("</div>\n");
  if (report.calibration.has_value()) {
    AddCalibration(page, *report.calibration);
  }
}

void AddMistakes(Page& page, const LabelMistakes& mistakes, const std::map<std::string, std::string>& pictures) {
  page.Heading(2, absl::StrCat("Labels of ", mistakes.dataset, " that are suspect"));
  page.Add("<div class=\"cards\">\n");
  page.Card(Thousands(mistakes.suspected),
            absl::StrCat("suspected, of ", Thousands(mistakes.images), " training images"));
  page.Card(absl::StrFormat("%.4f", mistakes.accuracy),
            absl::StrFormat("accuracy of the judges, each on images that it wasn't fitted on; %d folds",
                            mistakes.judge.folds));
  page.Add("</div>\n");
  const auto picture = pictures.find(absl::StrCat("mistakes/", kMistakesPicture));
  if (mistakes.mistakes.empty() || picture == pictures.end()) {
    return;
  }
  page.Add("<div class=\"pictures\">\n");
  page.Picture(picture->second, "The most suspect labels", true);
  page.Add("</div>\n<details><summary>Images</summary>\n");
  page.BeginTable({Words("Image"), Words("Label"), Number("Probability"), Words("Suggested"), Number("Probability")});
  for (const LabelMistake& mistake : mistakes.mistakes) {
    page.Row({Words(mistake.file), Words(mistake.label), Score(mistake.probability), Words(mistake.suggested),
              Score(mistake.suggested_probability)});
  }
  page.EndTable();
  page.Add("</details>\n");
}

void AddHistory(Page& page, const std::vector<EpochMetrics>& history) {
  page.BeginTable({Number("Epoch"), Number("Loss"), Number("Accuracy"), Number("Validation loss"),
                   Number("Validation accuracy"), Number("Time")});
  for (const EpochMetrics& epoch : history) {
    page.Row({Number(absl::StrCat(epoch.epoch)), Score(epoch.loss), Score(epoch.accuracy), Score(epoch.validation_loss),
              Score(epoch.validation_accuracy), Number(Duration(epoch.seconds))});
  }
  page.EndTable();
}

void AddLayers(Page& page, const v1::Model& model) {
  page.BeginTable({Words("Layer"), Words("Type"), Words("Output shape"), Number("Parameters"), Words("Trainable")});
  for (const v1::Layer& layer : model.layers()) {
    page.Row({Words(layer.name()), Words(layer.type()), Words(absl::StrJoin(layer.output_shape(), " x ")),
              Number(Thousands(layer.parameters())),
              Words(layer.parameters() == 0 ? ""
                    : layer.trainable()     ? "yes"
                                            : "no")});
  }
  page.Row({Words("Total"), Words(""), Words(""), Number(Thousands(model.parameters())), Words("")}, true);
  page.Row({Words("Trainable"), Words(""), Words(""), Number(Thousands(model.trainable_parameters())), Words("")},
           true);
  page.EndTable();
}

// Those that the training looked at.
void AddOptions(Page& page, const Variant& variant, const TrainingOptions& options) {
  page.BeginTable({Words("Option"), Words("Value"), Words("Meaning")});
  for (const OptionField& field : TrainingOptionFields()) {
    if (WhyUnused(variant, options, field.name).empty()) {
      page.Row({Words(field.name), Words(OptionText(field.get(options))), Words(field.meaning)});
    }
  }
  page.EndTable();
}

std::string CsvCell(absl::string_view text) {
  std::string cell = Printable(text);
  // A spreadsheet would take a name for a formula, and people upload files of any name.
  if (!cell.empty() && std::string("=+-@").find(cell[0]) != std::string::npos) {
    cell = absl::StrCat("'", cell);
  }
  if (cell.find_first_of(",\"\n\r") == std::string::npos) {
    return cell;
  }
  return absl::StrCat("\"", absl::StrReplaceAll(cell, {{"\"", "\"\""}}), "\"");
}

}  // namespace

std::string EscapeHtml(absl::string_view text) {
  std::string escaped;
  for (const char c : Printable(text)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string ReportPage(const ModelEntry& entry, const LabelMistakes* mistakes,
                       const std::map<std::string, std::string>& pictures) {
  const ModelDescription& description = entry.description;
  const v1::Model model = ToProto(entry);
  const std::string name = absl::StrCat(description.name, "@", description.version);
  Page page;
  page.Add(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
      "'unsafe-inline'\">\n"
      "<title>",
      EscapeHtml(name), "</title>\n<style>", kStyle, "</style>\n</head>\n<body>\n");
  page.Heading(1, name);
  page.Add("<p class=\"muted\">", EscapeHtml(description.variant), ", trained on ", EscapeHtml(description.dataset),
           " by ", EscapeHtml(description.job_id), ", ", Time(description.create_time_ms / 1000), " UTC</p>\n");
  if (!entry.damaged.empty()) {
    page.Add("<p><b>Damaged:</b> ", EscapeHtml(entry.damaged), "</p>\n");
  }
  page.Add("<div class=\"cards\">\n");
  page.Card(Thousands(model.parameters()), "parameters");
  page.Card(Thousands(model.trainable_parameters()), "of them trained");
  page.Card(Duration(description.training_seconds), "training time");
  page.Card(Thousands(static_cast<int64_t>(description.labels.size())), "classes");
  page.Add("</div>\n<p><span class=\"muted\">Classes:</span> ", EscapeHtml(absl::StrJoin(description.labels, ", ")),
           "</p>\n");

  for (const Evaluation& evaluation : entry.evaluations) {
    AddEvaluation(page, evaluation, pictures);
  }
  if (entry.evaluations.empty()) {
    page.Heading(2, "Scores");
    page.Add("<p>Not evaluated yet: <code>graft evaluate ", EscapeHtml(name), "</code></p>\n");
  }

  if (mistakes != nullptr) {
    AddMistakes(page, *mistakes, pictures);
  }

  page.Heading(2, "Training");
  if (const auto curves = pictures.find("learning_curves.png"); curves != pictures.end()) {
    page.Add("<div class=\"pictures\">\n");
    page.Picture(curves->second, "Accuracy and loss by epoch", true);
    page.Add("</div>\n");
  }
  if (description.history.empty()) {
    page.Add("<p>This head isn't trained in epochs.</p>\n");
  } else {
    page.Add("<details><summary>Epochs</summary>\n");
    AddHistory(page, description.history);
    page.Add("</details>\n");
  }
  page.Heading(2, "Options");
  if (const auto variant = FindVariant(description.variant); variant.ok()) {
    AddOptions(page, **variant, description.options);
  }
  page.Heading(2, "Layers");
  AddLayers(page, model);
  page.Add("<p class=\"muted\">Data set fingerprint ", EscapeHtml(description.dataset_fingerprint),
           "</p>\n</body>\n</html>\n");
  return page.Take();
}

std::string PredictionsCsv(const Predictions& predictions) {
  std::string csv = "file,truth,predicted,right";
  for (const std::string& label : predictions.labels) {
    absl::StrAppend(&csv, ",", CsvCell(absl::StrCat("p(", label, ")")));
  }
  csv += "\r\n";
  std::vector<size_t> order = predictions.Mistakes();
  for (size_t i = 0; i < predictions.files.size(); ++i) {
    if (predictions.right(i)) {
      order.push_back(i);
    }
  }
  for (const size_t i : order) {
    absl::StrAppend(&csv, CsvCell(predictions.files[i]), ",",
                    CsvCell(predictions.labels[static_cast<size_t>(predictions.truth[i])]), ",",
                    CsvCell(predictions.labels[static_cast<size_t>(predictions.predicted(i))]), ",",
                    predictions.right(i) ? 1 : 0);
    for (const float probability : predictions.row(i)) {
      absl::StrAppend(&csv, ",", probability);
    }
    csv += "\r\n";
  }
  return csv;
}

}  // namespace graft
