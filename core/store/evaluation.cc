#include "core/store/evaluation.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"

namespace graft {
namespace {

// A report is only read where its document is sealed, so damage is told by that; here, its shape is checked.
ClassMetrics MetricsFromJson(const nlohmann::json& json) {
  ClassMetrics metrics;
  json.at("label").get_to(metrics.label);
  json.at("precision").get_to(metrics.precision);
  json.at("recall").get_to(metrics.recall);
  json.at("f1").get_to(metrics.f1);
  json.at("support").get_to(metrics.support);
  return metrics;
}

absl::StatusOr<EvaluationReport> ReportFromJson(const nlohmann::json& json) {
  EvaluationReport report;
  json.at("labels").get_to(report.labels);
  json.at("images").get_to(report.images);
  json.at("accuracy").get_to(report.accuracy);
  for (const auto& metrics : json.at("classes")) {
    report.classes.push_back(MetricsFromJson(metrics));
  }
  report.macro_average = MetricsFromJson(json.at("macro_average"));
  report.weighted_average = MetricsFromJson(json.at("weighted_average"));
  for (const auto& row : json.at("confusion")) {
    for (const auto& cell : row) {
      report.confusion.push_back(cell.get<int64_t>());
    }
  }
  if (!json.at("roc_auc").is_null()) {
    report.roc_auc = json["roc_auc"].get<double>();
  }
  json.at("log_loss").get_to(report.log_loss);
  // Reports of before have neither.
  if (const auto score = json.find("average_precision"); score != json.end() && !score->is_null()) {
    report.average_precision = score->get<double>();
  }
  if (const auto calibration = json.find("calibration"); calibration != json.end() && !calibration->is_null()) {
    report.calibration = CalibrationFromJson(*calibration);
  }
  const size_t k = report.labels.size();
  if (k == 0 || report.classes.size() != k || report.confusion.size() != k * k) {
    return absl::DataLossError(absl::StrCat("evaluation: ", k, " labels, ", report.classes.size(), " classes and ",
                                            report.confusion.size(), " cells of the confusion matrix don't fit"));
  }
  int64_t right = 0;
  for (size_t c = 0; c < k; ++c) {
    right += report.confusion[c * k + c];
  }
  report.accuracy_interval = WilsonInterval(right, report.images);
  return report;
}

std::filesystem::path ReportFile(const std::filesystem::path& folder) { return folder / "report.json"; }

}  // namespace

absl::StatusOr<Part> PartFromName(absl::string_view name) {
  for (const Part part : kParts) {
    if (PartName(part) == name) {
      return part;
    }
  }
  return absl::DataLossError(absl::StrCat("part: '", name, "' is unknown"));
}

nlohmann::json ToJson(const Evaluation& evaluation) {
  return {{"model", evaluation.model},
          {"version", evaluation.version},
          {"dataset", evaluation.dataset},
          {"dataset_fingerprint", evaluation.dataset_fingerprint},
          {"part", std::string(PartName(evaluation.part))},
          {"job_id", evaluation.job_id},
          {"milliseconds_per_image", evaluation.milliseconds_per_image},
          {"threads", evaluation.threads},
          {"report", ToJson(evaluation.report)}};
}

absl::StatusOr<Evaluation> EvaluationFromJson(const nlohmann::json& json) {
  return ParseJson("evaluation", [&]() -> absl::StatusOr<Evaluation> {
    Evaluation evaluation;
    json.at("model").get_to(evaluation.model);
    json.at("version").get_to(evaluation.version);
    json.at("dataset").get_to(evaluation.dataset);
    json.at("dataset_fingerprint").get_to(evaluation.dataset_fingerprint);
    GRAFT_ASSIGN_OR_RETURN(evaluation.part, PartFromName(json.at("part").get<std::string>()));
    json.at("job_id").get_to(evaluation.job_id);
    evaluation.milliseconds_per_image = json.value("milliseconds_per_image", 0.0);
    evaluation.threads = json.value("threads", 0);
    GRAFT_ASSIGN_OR_RETURN(evaluation.report, ReportFromJson(json.at("report")));
    return evaluation;
  });
}

absl::Status SaveEvaluation(const Evaluation& evaluation, const std::filesystem::path& folder) {
  return WriteSealedJson(ReportFile(folder), ToJson(evaluation));
}

absl::StatusOr<Evaluation> LoadEvaluation(const std::filesystem::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(ReportFile(folder)));
  absl::StatusOr<Evaluation> evaluation = EvaluationFromJson(json);
  return evaluation.ok() ? std::move(evaluation) : Annotate(evaluation.status(), ReportFile(folder).string());
}

absl::Status SavePredictions(const Predictions& predictions, const std::filesystem::path& folder) {
  const auto images = static_cast<int64_t>(predictions.files.size());
  // Names have no control characters, so a newline ends one.
  const std::string files = absl::StrJoin(predictions.files, "\n");
  const std::vector<int32_t> truth(predictions.truth.begin(), predictions.truth.end());
  return WriteSafetensors(
      folder / kPredictionsFile,
      {{"files", DType::kU8, {static_cast<int64_t>(files.size())}, AsBytes(absl::MakeConstSpan(files))},
       {"truth", DType::kI32, {images}, AsBytes(absl::MakeConstSpan(truth))},
       {"probabilities",
        DType::kF32,
        {images, static_cast<int64_t>(predictions.labels.size())},
        AsBytes(absl::MakeConstSpan(predictions.probabilities))}},
      {{"labels", nlohmann::json(predictions.labels).dump()}});
}

absl::StatusOr<Predictions> LoadPredictions(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kPredictionsFile;
  GRAFT_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenSealed(path));
  return ParseJson(path.string(), [&]() -> absl::StatusOr<Predictions> {
    Predictions predictions;
    nlohmann::json::parse(file.Metadata("labels")).get_to(predictions.labels);
    const auto classes = static_cast<int64_t>(predictions.labels.size());
    GRAFT_ASSIGN_OR_RETURN(const TensorView files, file.Get("files", DType::kU8, {-1}));
    GRAFT_ASSIGN_OR_RETURN(const TensorView truth, file.Get("truth", DType::kI32, {-1}));
    GRAFT_ASSIGN_OR_RETURN(const TensorView probabilities,
                           file.Get("probabilities", DType::kF32, {truth.shape[0], classes}));
    predictions.files =
        absl::StrSplit(absl::string_view(reinterpret_cast<const char*>(files.data.data()), files.data.size()), '\n');
    std::vector<int32_t> classes_of(static_cast<size_t>(truth.elements()));
    std::memcpy(classes_of.data(), truth.data.data(), truth.data.size());
    predictions.truth.assign(classes_of.begin(), classes_of.end());
    predictions.probabilities.resize(static_cast<size_t>(probabilities.elements()));
    std::memcpy(predictions.probabilities.data(), probabilities.data.data(), probabilities.data.size());
    const bool fits = std::all_of(predictions.truth.begin(), predictions.truth.end(),
                                  [&](int label) { return label >= 0 && label < classes; });
    if (classes < 2 || !fits || predictions.files.size() != predictions.truth.size()) {
      return absl::DataLossError(absl::StrCat(path.string(), ": ", predictions.files.size(), " files, ",
                                              predictions.truth.size(), " true classes and ", classes,
                                              " labels don't fit"));
    }
    return predictions;
  });
}

}  // namespace graft
