#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/model/trunks.h"
#include "jobs/checks.h"
#include "jobs/recommend.h"

namespace graft {
namespace {

constexpr int kDefaultFolds = 5;
constexpr uint64_t kDefaultSeed = 42;
constexpr double kMostBudget = 7 * 24 * 3600;

// The named ones, or all whose weights are there.
absl::StatusOr<std::vector<std::string>> ResolveTrunks(const ResolveContext& context, const v1::RecommendSpec& spec) {
  std::vector<std::string> names;
  if (spec.trunks().empty()) {
    for (const TrunkInfo& trunk : Trunks()) {
      if (CheckTrunkWeights(context.weights_dir, trunk.name).ok()) {
        names.emplace_back(trunk.name);
      }
    }
    if (names.empty()) {
      return CheckTrunkWeights(context.weights_dir, DefaultTrunk().name);
    }
    return names;
  }
  for (const std::string& name : spec.trunks()) {
    GRAFT_RETURN_IF_ERROR(CheckText("recommend.trunks", name, 100));
    GRAFT_RETURN_IF_ERROR(FindTrunk(name).status());
    GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(context.weights_dir, name));
    if (std::count(names.begin(), names.end(), name) > 0) {
      return InvalidField("recommend.trunks", absl::StrCat("'", name, "' is there twice"));
    }
    names.push_back(name);
  }
  return names;
}

class RecommendJob : public JobKind {
 public:
  absl::string_view name() const override { return "recommend"; }

  absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& submitted) const override {
    const v1::RecommendSpec& recommend = submitted.recommend();
    RecommendJobSpec spec;
    spec.dataset = recommend.dataset();
    GRAFT_ASSIGN_OR_RETURN(const DatasetInfo dataset, FindDataset(context, spec.dataset));
    GRAFT_ASSIGN_OR_RETURN(spec.trunks, ResolveTrunks(context, recommend));
    spec.folds = recommend.folds();
    if (spec.folds == 0) {
      // Fewer where a class has few images: each needs one in every fold.
      spec.folds = kDefaultFolds;
      for (const DatasetInfo::Class& of : dataset.classes) {
        spec.folds = std::clamp(static_cast<int>(of.train), kLeastFolds, spec.folds);
      }
    }
    GRAFT_RETURN_IF_ERROR(CheckFolds("recommend.folds", spec.folds, dataset));
    spec.seed = recommend.has_seed() ? recommend.seed() : kDefaultSeed;
    spec.budget_seconds = recommend.budget_seconds();
    if (!(spec.budget_seconds >= 0 && spec.budget_seconds <= kMostBudget)) {
      return InvalidField("recommend.budget_seconds",
                          absl::StrCat(spec.budget_seconds, " is out of range; use 0 (none) to ", kMostBudget));
    }
    ResolvedJob job;
    job.kind = std::string(name());
    job.spec = ToJson(spec);
    job.dataset = spec.dataset;
    job.reads = {{Resource::Type::kDataset, spec.dataset}};
    return job;
  }

  // The result says it all; features go straight to the data set's cache.
  absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json& json, int) const override {
    GRAFT_RETURN_IF_ERROR(RecommendJobSpecFromJson(json).status());
    return std::nullopt;
  }

  absl::Status SpecToProto(const nlohmann::json& json, v1::JobSpec* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const RecommendJobSpec spec, RecommendJobSpecFromJson(json));
    v1::RecommendSpec* recommend = out->mutable_recommend();
    recommend->set_dataset(spec.dataset);
    for (const std::string& trunk : spec.trunks) {
      recommend->add_trunks(trunk);
    }
    recommend->set_folds(spec.folds);
    recommend->set_seed(spec.seed);
    recommend->set_budget_seconds(spec.budget_seconds);
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const RecommendJobResult result, RecommendJobResultFromJson(json));
    v1::RecommendResult* recommended = out->mutable_recommend();
    recommended->set_job_id(result.job_id);
    recommended->set_dataset(result.dataset);
    recommended->set_images(result.images);
    recommended->set_variant(result.variant);
    for (const TrunkCandidate& candidate : result.candidates) {
      v1::TrunkCandidate* added = recommended->add_candidates();
      added->set_trunk(candidate.trunk);
      added->set_variant(candidate.variant);
      added->set_milliseconds_per_image(candidate.milliseconds);
      added->set_seconds(candidate.seconds);
      added->set_over_budget(candidate.over_budget);
      if (!candidate.over_budget) {
        added->set_accuracy(candidate.accuracy);
        added->set_accuracy_low(candidate.interval.low);
        added->set_accuracy_high(candidate.interval.high);
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

const TrunkCandidate* Choose(int64_t images, std::vector<TrunkCandidate>* candidates) {
  std::stable_sort(candidates->begin(), candidates->end(), [](const TrunkCandidate& a, const TrunkCandidate& b) {
    return std::pair(a.over_budget, -a.accuracy) < std::pair(b.over_budget, -b.accuracy);
  });
  if (candidates->empty() || candidates->front().over_budget) {
    return nullptr;
  }
  const double best = candidates->front().accuracy;
  const double error = std::sqrt(best * (1 - best) / static_cast<double>(images));
  const TrunkCandidate* chosen = &candidates->front();
  for (const TrunkCandidate& candidate : *candidates) {
    if (!candidate.over_budget && candidate.accuracy >= best - error && candidate.milliseconds < chosen->milliseconds) {
      chosen = &candidate;
    }
  }
  return chosen;
}

nlohmann::json ToJson(const RecommendJobSpec& spec) {
  return {{"dataset", spec.dataset},
          {"trunks", spec.trunks},
          {"folds", spec.folds},
          {"seed", spec.seed},
          {"budget_seconds", spec.budget_seconds}};
}

absl::StatusOr<RecommendJobSpec> RecommendJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("recommend's spec", [&]() -> absl::StatusOr<RecommendJobSpec> {
    RecommendJobSpec spec;
    json.at("dataset").get_to(spec.dataset);
    json.at("trunks").get_to(spec.trunks);
    json.at("folds").get_to(spec.folds);
    json.at("seed").get_to(spec.seed);
    json.at("budget_seconds").get_to(spec.budget_seconds);
    return spec;
  });
}

nlohmann::json ToJson(const RecommendJobResult& result) {
  nlohmann::json candidates = nlohmann::json::array();
  for (const TrunkCandidate& candidate : result.candidates) {
    candidates.push_back({{"trunk", candidate.trunk},
                          {"variant", candidate.variant},
                          {"milliseconds", candidate.milliseconds},
                          {"seconds", candidate.seconds},
                          {"over_budget", candidate.over_budget},
                          {"accuracy", candidate.accuracy},
                          {"accuracy_low", candidate.interval.low},
                          {"accuracy_high", candidate.interval.high}});
  }
  return {{"job_id", result.job_id},
          {"dataset", result.dataset},
          {"images", result.images},
          {"candidates", std::move(candidates)},
          {"variant", result.variant}};
}

absl::StatusOr<RecommendJobResult> RecommendJobResultFromJson(const nlohmann::json& json) {
  return ParseJson("recommend's result", [&]() -> absl::StatusOr<RecommendJobResult> {
    RecommendJobResult result;
    json.at("job_id").get_to(result.job_id);
    json.at("dataset").get_to(result.dataset);
    json.at("images").get_to(result.images);
    json.at("variant").get_to(result.variant);
    for (const nlohmann::json& row : json.at("candidates")) {
      TrunkCandidate candidate;
      row.at("trunk").get_to(candidate.trunk);
      row.at("variant").get_to(candidate.variant);
      row.at("milliseconds").get_to(candidate.milliseconds);
      row.at("seconds").get_to(candidate.seconds);
      row.at("over_budget").get_to(candidate.over_budget);
      row.at("accuracy").get_to(candidate.accuracy);
      row.at("accuracy_low").get_to(candidate.interval.low);
      row.at("accuracy_high").get_to(candidate.interval.high);
      result.candidates.push_back(std::move(candidate));
    }
    return result;
  });
}

const JobKind& RecommendKind() {
  static const RecommendJob kind;
  return kind;
}

}  // namespace graft
