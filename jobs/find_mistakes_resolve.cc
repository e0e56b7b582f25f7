#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/model/variants.h"
#include "jobs/checks.h"
#include "jobs/find_mistakes.h"

namespace graft {
namespace {

constexpr int kDefaultFolds = 5;
constexpr uint64_t kDefaultSeed = 42;

// A model on a trunk is judged by that trunk's features of images as the model sees them: they are cached where it was
// trained on them. Any other is judged by the default trunk's. Never by what was trained on the labels.
absl::StatusOr<LabelJudge> JudgeOf(const ModelDescription& model) {
  GRAFT_ASSIGN_OR_RETURN(const Variant* own, FindVariant(model.variant));
  LabelJudge judge;
  judge.trunk = std::string(own->trunk == nullptr ? DefaultTrunk().name : own->trunk->name);
  GRAFT_ASSIGN_OR_RETURN(const Variant* features, FindFeaturesVariant(judge.trunk));
  const TrainingOptions& options = own->trunk == nullptr ? features->recommended : model.options;
  judge.preprocessing = ResolvePreprocessing(options.preprocessing, features->trunk);
  judge.interpolation = options.interpolation;
  judge.image_size = options.image_size;
  return judge;
}

class FindMistakesJob : public JobKind {
 public:
  absl::string_view name() const override { return "find_mistakes"; }

  absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& submitted) const override {
    const v1::FindMistakesSpec& find = submitted.find_mistakes();
    FindMistakesJobSpec spec;
    GRAFT_ASSIGN_OR_RETURN(const ModelRef ref, FromProto(find.model()));
    GRAFT_ASSIGN_OR_RETURN(spec.version, ResolveModel(context, ref));
    spec.model = ref.name;
    GRAFT_ASSIGN_OR_RETURN(const ModelDescription model, context.data->GetModel({spec.model, spec.version, ""}));
    const std::string name_and_version = absl::StrCat(spec.model, "@", spec.version);
    spec.dataset = model.dataset;
    if (!find.dataset().empty() && find.dataset() != model.dataset) {
      return InvalidField("find_mistakes.dataset",
                          absl::StrCat("'", Printable(find.dataset(), 100), "' isn't '", model.dataset, "', which ",
                                       name_and_version, " was trained on; leave it out"));
    }
    GRAFT_ASSIGN_OR_RETURN(const DatasetInfo dataset, FindDataset(context, spec.dataset));
    if (dataset.fingerprint != model.dataset_fingerprint) {
      return absl::FailedPreconditionError(
          absl::StrCat("dataset: '", spec.dataset, "' has other images now than ", name_and_version,
                       " was trained on; train a new version on them and look at its mistakes"));
    }
    GRAFT_ASSIGN_OR_RETURN(spec.judge, JudgeOf(model));
    spec.judge.folds = find.folds() == 0 ? kDefaultFolds : find.folds();
    spec.judge.seed = find.has_seed() ? find.seed() : kDefaultSeed;
    GRAFT_RETURN_IF_ERROR(CheckFolds("find_mistakes.folds", spec.judge.folds, dataset));
    GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(context.weights_dir, spec.judge.trunk));
    ResolvedJob job;
    job.kind = std::string(name());
    job.spec = ToJson(spec);
    job.dataset = spec.dataset;
    job.model = spec.model;
    job.reads = {{Resource::Type::kModel, spec.model, spec.version}, {Resource::Type::kDataset, spec.dataset}};
    return job;
  }

  absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json& json, int) const override {
    GRAFT_ASSIGN_OR_RETURN(const FindMistakesJobSpec spec, FindMistakesJobSpecFromJson(json));
    return DataFolder::MistakesTarget(spec.model, spec.version);
  }

  absl::Status SpecToProto(const nlohmann::json& json, v1::JobSpec* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const FindMistakesJobSpec spec, FindMistakesJobSpecFromJson(json));
    v1::FindMistakesSpec* find = out->mutable_find_mistakes();
    find->mutable_model()->set_name(spec.model);
    find->mutable_model()->set_version(spec.version);
    find->set_dataset(spec.dataset);
    find->set_folds(spec.judge.folds);
    find->set_seed(spec.judge.seed);
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const LabelMistakes mistakes, LabelMistakesFromJson(json));
    *out->mutable_find_mistakes() = ToProto(mistakes);
    return absl::OkStatus();
  }
};

}  // namespace

nlohmann::json ToJson(const FindMistakesJobSpec& spec) {
  return {{"model", spec.model}, {"version", spec.version}, {"dataset", spec.dataset}, {"judge", ToJson(spec.judge)}};
}

absl::StatusOr<FindMistakesJobSpec> FindMistakesJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("find_mistakes' spec", [&]() -> absl::StatusOr<FindMistakesJobSpec> {
    FindMistakesJobSpec spec;
    json.at("model").get_to(spec.model);
    json.at("version").get_to(spec.version);
    json.at("dataset").get_to(spec.dataset);
    GRAFT_ASSIGN_OR_RETURN(spec.judge, LabelJudgeFromJson(json.at("judge")));
    return spec;
  });
}

const JobKind& FindMistakesKind() {
  static const FindMistakesJob kind;
  return kind;
}

}  // namespace graft
