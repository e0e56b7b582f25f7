#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/eval/significance.h"
#include "core/viz/charts.h"
#include "server/handlers/file_source.h"
#include "server/handlers/handlers.h"
#include "server/handlers/report_page.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

std::string NameOf(const ModelRef& ref) { return absl::StrCat(ref.name, "@", ref.version); }

// The models' versions, each once.
absl::StatusOr<std::vector<ModelRef>> ResolveAll(const Deps& deps, const v1::CompareModelsRequest& request) {
  if (request.models().empty() || static_cast<size_t>(request.models_size()) > kMostCompared) {
    return InvalidField("models", absl::StrCat("there are ", request.models_size(), "; give 1 to ", kMostCompared));
  }
  std::vector<ModelRef> models;
  std::set<std::string> seen;
  for (const v1::ModelRef& named : request.models()) {
    GRAFT_ASSIGN_OR_RETURN(ModelRef ref, FromProto(named));
    GRAFT_ASSIGN_OR_RETURN(ref.version, deps.data->ResolveVersion(ref));
    ref.alias.clear();
    if (!seen.insert(NameOf(ref)).second) {
      return InvalidField("models", absl::StrCat(NameOf(ref), " is there twice; name each model once"));
    }
    models.push_back(std::move(ref));
  }
  return models;
}

struct Contender {
  ModelEntry entry;
  ScoredPart scores;
};

// All models' scores on the same images. FAILED_PRECONDITION says what to run first.
absl::StatusOr<std::vector<Contender>> FindScores(const Deps& deps, const std::vector<ModelRef>& models,
                                                  const std::string& dataset, Part part) {
  // The data set as it is now, or, where it has gone, as the first model met it.
  std::string fingerprint;
  const absl::StatusOr<DatasetInfo> info = deps.data->GetDataset(dataset);
  if (info.ok()) {
    fingerprint = info->fingerprint;
  } else if (!absl::IsNotFound(info.status())) {
    return info.status();
  }
  std::vector<Contender> contenders;
  std::vector<std::string> missing;
  std::vector<std::string> commands;
  for (const ModelRef& ref : models) {
    absl::StatusOr<ScoredPart> scores = deps.data->GetEvaluation(ref, dataset, part);
    if (!scores.ok() && !absl::IsNotFound(scores.status())) {
      return scores.status();
    }
    GRAFT_ASSIGN_OR_RETURN(ModelEntry entry, deps.data->ShowModel(ref));
    if (entry.description.variant.empty()) {
      return absl::DataLossError(absl::StrCat(NameOf(ref), ": ", entry.damaged));
    }
    if (scores.ok() && fingerprint.empty()) {
      fingerprint = scores->evaluation.dataset_fingerprint;
    }
    if (!scores.ok() || scores->evaluation.dataset_fingerprint != fingerprint) {
      missing.push_back(absl::StrCat(NameOf(ref), scores.ok() ? " (its evaluation is of other images)" : ""));
      commands.push_back(
          absl::StrCat("graft evaluate ", NameOf(ref), " --dataset ", dataset, " --split ", PartName(part)));
      continue;
    }
    contenders.push_back({std::move(entry), *std::move(scores)});
  }
  if (fingerprint.empty() && !info.ok()) {
    return info.status();  // neither there nor known from any evaluation
  }
  if (!missing.empty()) {
    constexpr size_t kShown = 5;
    std::string message = absl::StrCat("models: not evaluated on the ", PartName(part), " part of '", dataset, "': ");
    for (size_t i = 0; i < std::min(kShown, missing.size()); ++i) {
      absl::StrAppend(&message, i == 0 ? "" : ", ", missing[i]);
    }
    if (missing.size() > kShown) {
      absl::StrAppend(&message, " and ", missing.size() - kShown, " more");
    }
    absl::StrAppend(&message, "; run: ");
    for (size_t i = 0; i < std::min(kShown, commands.size()); ++i) {
      absl::StrAppend(&message, i == 0 ? "" : " && ", commands[i]);
    }
    return absl::FailedPreconditionError(message);
  }
  return contenders;
}

// Against `best`, image by image.
absl::Status Pair(const Predictions& best, const Predictions& other, v1::ComparedModel* out) {
  if (best.files != other.files || best.truth != other.truth) {
    return absl::DataLossError(absl::StrCat("models: the predictions of ", out->name(), "@", out->version(),
                                            " aren't of the same images; evaluate it again"));
  }
  int64_t only_best = 0;
  int64_t only_other = 0;
  for (size_t i = 0; i < best.truth.size(); ++i) {
    only_best += best.right(i) && !other.right(i) ? 1 : 0;
    only_other += other.right(i) && !best.right(i) ? 1 : 0;
  }
  out->set_only_best_right(only_best);
  out->set_only_this_right(only_other);
  out->set_p_value(McNemarExact(only_best, only_other));
  return absl::OkStatus();
}

v1::ComparedModel Describe(const Contender& contender) {
  const v1::Model model = ToProto(contender.entry);
  const Evaluation& evaluation = contender.scores.evaluation;
  const EvaluationReport& report = evaluation.report;
  v1::ComparedModel out;
  out.set_name(model.name());
  out.set_version(model.version());
  out.set_variant(model.variant());
  out.set_accuracy(report.accuracy);
  out.set_accuracy_low(report.accuracy_interval.low);
  out.set_accuracy_high(report.accuracy_interval.high);
  out.set_precision(report.macro_average.precision);
  out.set_recall(report.macro_average.recall);
  out.set_f1(report.macro_average.f1);
  if (report.roc_auc.has_value()) {
    out.set_roc_auc(*report.roc_auc);
  }
  out.set_log_loss(report.log_loss);
  out.set_parameters(model.parameters());
  out.set_trainable_parameters(model.trainable_parameters());
  std::error_code error;
  const uintmax_t bytes = fs::file_size(WeightsFile(contender.entry.folder), error);
  out.set_size_bytes(error ? 0 : static_cast<int64_t>(bytes));
  out.set_milliseconds_per_image(evaluation.milliseconds_per_image);
  out.set_threads(evaluation.threads);
  out.set_training_seconds(model.training_seconds());
  return out;
}

// What a report consists of beside the page: descriptions and pictures as they lie there, and the predictions as CSV.
absl::StatusOr<FileList> ReportFiles(const DataFolder& data, const v1::ModelRef& model) {
  constexpr int64_t kMaxPicture = 64 << 20;
  GRAFT_ASSIGN_OR_RETURN(ModelRef ref, FromProto(model));
  GRAFT_ASSIGN_OR_RETURN(ref.version, data.ResolveVersion(ref));
  ref.alias.clear();
  GRAFT_ASSIGN_OR_RETURN(ModelEntry entry, data.ShowModel(ref));
  if (entry.description.variant.empty()) {
    return absl::DataLossError(absl::StrCat("model: ", NameOf(ref), ": ", entry.damaged));
  }
  FileList list{absl::StrCat("model: ", NameOf(ref)), entry.folder, {}};
  std::map<std::string, std::string> pictures;
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> files, data.ModelFiles(ref));
  for (const std::string& file : files) {
    if (absl::EndsWith(file, ".json")) {
      list.files.push_back({file, std::nullopt});
    } else if (absl::EndsWith(file, ".png")) {
      // Read here, so that the page and the file beside it are the same picture. One that has just been replaced is
      // left out.
      if (const auto bytes = ReadFile(entry.folder / file, kMaxPicture); bytes.ok()) {
        pictures[file] = std::string(bytes->begin(), bytes->end());
        list.files.push_back({file, pictures[file]});
      }
    }
  }
  for (const Evaluation& evaluation : entry.evaluations) {
    const absl::StatusOr<ScoredPart> scores = data.GetEvaluation(ref, evaluation.dataset, evaluation.part);
    if (scores.ok()) {
      const fs::path folder =
          DataFolder::EvaluationTarget(ref.name, ref.version, evaluation.dataset, evaluation.part).path.filename();
      list.files.push_back(
          {(fs::path("evaluations") / folder / "predictions.csv").string(), PredictionsCsv(scores->predictions)});
    }
  }
  const absl::StatusOr<LabelMistakes> mistakes = data.GetMistakes(ref, nullptr);
  if (!mistakes.ok() && !absl::IsNotFound(mistakes.status()) && entry.damaged.empty()) {
    entry.damaged = std::string(mistakes.status().message());
  }
  list.files.insert(list.files.begin(),
                    {"report.html", ReportPage(entry, mistakes.ok() ? &*mistakes : nullptr, pictures)});
  return list;
}

}  // namespace

absl::Status CompareModels(const Deps& deps, const Call&, const v1::CompareModelsRequest& request,
                           v1::CompareModelsResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const Part part, FromProto(request.part()));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ModelRef> models, ResolveAll(deps, request));
  std::string dataset = request.dataset();
  if (dataset.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const ModelDescription first, deps.data->GetModel(models.front()));
    dataset = first.dataset;
  }
  GRAFT_ASSIGN_OR_RETURN(std::vector<Contender> contenders, FindScores(deps, models, dataset, part));
  std::stable_sort(contenders.begin(), contenders.end(), [](const Contender& a, const Contender& b) {
    const EvaluationReport& one = a.scores.evaluation.report;
    const EvaluationReport& other = b.scores.evaluation.report;
    return one.accuracy != other.accuracy ? one.accuracy > other.accuracy : one.log_loss < other.log_loss;
  });
  const ScoredPart& best = contenders.front().scores;
  response->set_dataset(dataset);
  response->set_part(ToProto(part));
  response->set_dataset_fingerprint(best.evaluation.dataset_fingerprint);
  response->set_images(best.evaluation.report.images);
  std::vector<ComparedModel> bars;
  for (const Contender& contender : contenders) {
    v1::ComparedModel& row = *response->add_models();
    row = Describe(contender);
    if (&contender != &contenders.front()) {
      GRAFT_RETURN_IF_ERROR(Pair(best.predictions, contender.scores.predictions, &row));
    }
    bars.push_back(
        {absl::StrCat(row.name(), "@", row.version()), row.accuracy(), {row.accuracy_low(), row.accuracy_high()}});
  }
  if (request.picture()) {
    GRAFT_ASSIGN_OR_RETURN(*response->mutable_picture(),
                           ComparisonBars(absl::StrCat(dataset, " (", PartName(part), ", ", response->images(),
                                                       response->images() == 1 ? " image)" : " images)"),
                                          bars));
  }
  return absl::OkStatus();
}

std::unique_ptr<StreamSource<v1::DownloadModelResponse>> ReportModel(const Deps& deps, const Call&,
                                                                     const v1::ReportModelRequest& request) {
  return std::make_unique<FileSource>(
      [&data = *deps.data, model = request.model()] { return ReportFiles(data, model); });
}

absl::Status GetMistakes(const Deps& deps, const Call&, const v1::GetMistakesRequest& request,
                         v1::GetMistakesResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const ModelRef ref, FromProto(request.model()));
  const absl::StatusOr<LabelMistakes> mistakes =
      deps.data->GetMistakes(ref, request.picture() ? response->mutable_picture() : nullptr);
  if (absl::IsDataLoss(mistakes.status())) {
    return absl::DataLossError(
        absl::StrCat(mistakes.status().message(), "; look again with: graft model mistakes ", ref.name, " --again"));
  }
  GRAFT_RETURN_IF_ERROR(mistakes.status());
  *response->mutable_result() = ToProto(*mistakes);
  return absl::OkStatus();
}

}  // namespace graft
