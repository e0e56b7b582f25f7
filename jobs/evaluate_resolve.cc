#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/model/classes.h"
#include "core/model/variants.h"
#include "core/store/evaluation.h"
#include "jobs/checks.h"
#include "jobs/evaluate.h"

namespace graft {
namespace {

class EvaluateJob : public JobKind {
 public:
  absl::string_view name() const override { return "evaluate"; }

  absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& submitted) const override {
    const v1::EvaluateSpec& evaluate = submitted.evaluate();
    GRAFT_ASSIGN_OR_RETURN(const ModelRef ref, FromProto(evaluate.model()));
    EvaluateJobSpec spec;
    GRAFT_ASSIGN_OR_RETURN(spec.version, ResolveModel(context, ref));
    spec.model = ref.name;
    GRAFT_ASSIGN_OR_RETURN(const ModelDescription model, context.data->GetModel({spec.model, spec.version, ""}));
    spec.dataset = evaluate.dataset().empty() ? model.dataset : evaluate.dataset();
    GRAFT_ASSIGN_OR_RETURN(spec.part, FromProto(evaluate.part()));
    GRAFT_ASSIGN_OR_RETURN(const DatasetInfo dataset, FindDataset(context, spec.dataset));
    std::vector<std::string> labels;
    int64_t images = 0;
    for (const DatasetInfo::Class& of : dataset.classes) {
      labels.push_back(of.label);
      images += spec.part == Part::kTrain ? of.train : spec.part == Part::kValidation ? of.validation : of.test;
    }
    GRAFT_RETURN_IF_ERROR(CheckSameClasses(labels, model.labels));
    if (images == 0) {
      return InvalidField(
          "part", absl::StrCat("'", spec.dataset, "' has no ", PartName(spec.part), " images; evaluate another part"));
    }
    GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(model.variant));
    if (variant->trunk != nullptr) {
      GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(context.weights_dir, variant->trunk->name));
    }
    ResolvedJob job;
    job.kind = std::string(name());
    job.spec = ToJson(spec);
    job.dataset = spec.dataset;
    job.model = spec.model;
    job.reads = {{Resource::Type::kModel, spec.model, spec.version}, {Resource::Type::kDataset, spec.dataset}};
    return job;
  }

  absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json& json, int) const override {
    GRAFT_ASSIGN_OR_RETURN(const EvaluateJobSpec spec, EvaluateJobSpecFromJson(json));
    return DataFolder::EvaluationTarget(spec.model, spec.version, spec.dataset, spec.part);
  }

  absl::Status SpecToProto(const nlohmann::json& json, v1::JobSpec* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const EvaluateJobSpec spec, EvaluateJobSpecFromJson(json));
    v1::EvaluateSpec* evaluate = out->mutable_evaluate();
    evaluate->mutable_model()->set_name(spec.model);
    evaluate->mutable_model()->set_version(spec.version);
    evaluate->set_dataset(spec.dataset);
    evaluate->set_part(ToProto(spec.part));
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const Evaluation evaluation, EvaluationFromJson(json));
    *out->mutable_evaluate() = ToProto(evaluation);
    return absl::OkStatus();
  }
};

}  // namespace

nlohmann::json ToJson(const EvaluateJobSpec& spec) {
  return {{"model", spec.model},
          {"version", spec.version},
          {"dataset", spec.dataset},
          {"part", std::string(PartName(spec.part))}};
}

absl::StatusOr<EvaluateJobSpec> EvaluateJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("evaluate's spec", [&]() -> absl::StatusOr<EvaluateJobSpec> {
    EvaluateJobSpec spec;
    json.at("model").get_to(spec.model);
    json.at("version").get_to(spec.version);
    json.at("dataset").get_to(spec.dataset);
    GRAFT_ASSIGN_OR_RETURN(spec.part, PartFromName(json.at("part").get<std::string>()));
    return spec;
  });
}

const JobKind& EvaluateKind() {
  static const EvaluateJob kind;
  return kind;
}

}  // namespace graft
