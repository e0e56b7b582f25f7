#include "convert/convert.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/model/trunks.h"
#include "core/model/variants.h"
#include "core/store/names.h"
#include "jobs/checks.h"
#include "jobs/train.h"

namespace graft {
namespace {

class TrainJob : public JobKind {
 public:
  absl::string_view name() const override { return "train"; }

  absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& submitted) const override {
    const v1::TrainSpec& train = submitted.train();
    TrainJobSpec spec;
    spec.model = train.model();
    spec.dataset = train.dataset();
    spec.variant = train.variant();
    GRAFT_RETURN_IF_ERROR(CheckName("train.model", spec.model));
    GRAFT_RETURN_IF_ERROR(CheckText("train.variant", spec.variant, 100));
    GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(spec.variant));
    GRAFT_ASSIGN_OR_RETURN(spec.options, FromProto(train.options(), variant->defaults));
    GRAFT_ASSIGN_OR_RETURN(const DatasetInfo dataset, FindDataset(context, spec.dataset));
    GRAFT_ASSIGN_OR_RETURN(spec.options, ResolveOptions(*variant, spec.options));
    GRAFT_RETURN_IF_ERROR(
        DescribeVariant(*variant, spec.options, static_cast<int64_t>(dataset.classes.size())).status());
    if (variant->trunk != nullptr) {
      GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(context.weights_dir, variant->trunk->name));
    }
    if (spec.options.threads == 0) {
      spec.options.threads = context.threads;
    }
    ResolvedJob job;
    job.kind = std::string(name());
    job.spec = ToJson(spec);
    job.dataset = spec.dataset;
    job.model = spec.model;
    job.reads = {{Resource::Type::kDataset, spec.dataset}};
    job.makes = Resource{Resource::Type::kModel, spec.model};
    return job;
  }

  absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json& json, int model_version) const override {
    GRAFT_ASSIGN_OR_RETURN(const TrainJobSpec spec, TrainJobSpecFromJson(json));
    return DataFolder::ModelTarget(spec.model, model_version);
  }

  absl::Status SpecToProto(const nlohmann::json& json, v1::JobSpec* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const TrainJobSpec spec, TrainJobSpecFromJson(json));
    v1::TrainSpec* train = out->mutable_train();
    train->set_model(spec.model);
    train->set_dataset(spec.dataset);
    train->set_variant(spec.variant);
    *train->mutable_options() = ToProto(spec.options);
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const TrainJobResult result, TrainJobResultFromJson(json));
    v1::TrainResult* train = out->mutable_train();
    train->set_model(result.model);
    train->set_version(result.version);
    if (result.last_epoch.has_value()) {
      *train->mutable_last_epoch() = ToProto(*result.last_epoch);
    }
    train->set_seconds(result.seconds);
    return absl::OkStatus();
  }
};

}  // namespace

nlohmann::json ToJson(const TrainJobSpec& spec) {
  return {
      {"model", spec.model}, {"dataset", spec.dataset}, {"variant", spec.variant}, {"options", ToJson(spec.options)}};
}

absl::StatusOr<TrainJobSpec> TrainJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("train's spec", [&]() -> absl::StatusOr<TrainJobSpec> {
    TrainJobSpec spec;
    json.at("model").get_to(spec.model);
    json.at("dataset").get_to(spec.dataset);
    json.at("variant").get_to(spec.variant);
    GRAFT_ASSIGN_OR_RETURN(spec.options, TrainingOptionsFromJson(json.at("options")));
    return spec;
  });
}

nlohmann::json ToJson(const TrainJobResult& result) {
  nlohmann::json json = {{"model", result.model}, {"version", result.version}, {"seconds", result.seconds}};
  if (result.last_epoch.has_value()) {
    json["last_epoch"] = ToJson(*result.last_epoch);
  }
  return json;
}

absl::StatusOr<TrainJobResult> TrainJobResultFromJson(const nlohmann::json& json) {
  return ParseJson("train's result", [&]() -> absl::StatusOr<TrainJobResult> {
    TrainJobResult result;
    json.at("model").get_to(result.model);
    json.at("version").get_to(result.version);
    json.at("seconds").get_to(result.seconds);
    if (json.contains("last_epoch")) {
      result.last_epoch = EpochMetricsFromJson(json["last_epoch"]);
    }
    return result;
  });
}

const JobKind& TrainKind() {
  static const TrainJob kind;
  return kind;
}

}  // namespace graft
