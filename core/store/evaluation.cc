#include "core/store/evaluation.h"

#include "absl/strings/str_cat.h"
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
  const size_t k = report.labels.size();
  if (k == 0 || report.classes.size() != k || report.confusion.size() != k * k) {
    return absl::DataLossError(absl::StrCat("evaluation: ", k, " labels, ", report.classes.size(), " classes and ",
                                            report.confusion.size(), " cells of the confusion matrix don't fit"));
  }
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

}  // namespace graft
