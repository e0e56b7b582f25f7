#include "core/store/evaluation.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

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
    absl::StatusOr<EvaluationReport> report = ReportFromJson(json.at("report"));
    if (!report.ok()) {  // INVALID_ARGUMENT would blame whoever asks for it
      return absl::DataLossError(report.status().message());
    }
    evaluation.report = *std::move(report);
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
