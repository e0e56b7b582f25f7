#include "absl/strings/str_cat.h"
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

// INVALID_ARGUMENT: an option was changed that a training with these options doesn't look at.
absl::Status CheckUsed(const Variant& variant, const TrainingOptions& preset, const TrainingOptions& options) {
  for (const OptionField& field : TrainingOptionFields()) {
    const OptionValue value = field.get(options);
    if (value == field.get(preset)) {
      continue;
    }
    if (const std::string why = WhyUnused(variant, options, field.name); !why.empty()) {
      return InvalidField(absl::StrCat("options.", field.name),
                          absl::StrCat(Printable(OptionText(value), 64), " would change nothing: it ", why));
    }
  }
  return absl::OkStatus();
}

// The model that a training starts from.
absl::StatusOr<ModelDescription> FindStart(const ResolveContext& context, const v1::ModelRef& message) {
  GRAFT_ASSIGN_OR_RETURN(ModelRef ref, FromProto(message));
  const absl::StatusOr<int> version = context.data->ResolveVersion(ref);
  if (!version.ok()) {
    return Annotate(version.status(), "train.init_from");
  }
  ref.version = *version;
  return context.data->GetModel(ref);
}

// What is trained when nobody says: the like of what it starts from, or the best that there is.
absl::StatusOr<std::string> DefaultVariant(const ResolveContext& context, const v1::TrainSpec& train) {
  if (!train.has_init_from()) {
    return RecommendedVariant(context.weights_dir).name;
  }
  GRAFT_ASSIGN_OR_RETURN(const ModelDescription model, FindStart(context, train.init_from()));
  return model.variant;
}

// Whose weights the training starts from.
absl::Status ResolveStart(const ResolveContext& context, const v1::ModelRef& message, const Variant& variant,
                          TrainJobSpec* spec) {
  GRAFT_ASSIGN_OR_RETURN(const ModelDescription model, FindStart(context, message));
  const ModelRef ref{model.name, model.version, ""};
  GRAFT_ASSIGN_OR_RETURN(const Variant* other, FindVariant(model.variant));
  if (other->trunk != variant.trunk || other->layers == nullptr || variant.layers == nullptr ||
      (variant.trunk == nullptr && other->layers != variant.layers)) {
    return InvalidField("train.init_from", absl::StrCat("'", ref.name, "@", ref.version, "' is a ", other->name,
                                                        ", whose weights don't fit ", variant.name,
                                                        "; use a model of a variant with the same network"));
  }
  if (model.options.head != HeadKind::kDense || spec->options.head != HeadKind::kDense) {
    return InvalidField("train.init_from", "only a head of dense layers starts from another's weights; use head=dense");
  }
  // Its other weights were trained on these.
  if (const int frozen = FrozenBlocks(*other, model.options); frozen < FrozenBlocks(variant, spec->options)) {
    return InvalidField("train.init_from",
                        absl::StrCat("'", ref.name, "@", ref.version, "' has trained ", model.options.trainable_blocks,
                                     " blocks of its trunk; use options.trainable_blocks of at least as many"));
  }
  spec->init_from = ModelRef{ref.name, ref.version, ""};
  return absl::OkStatus();
}

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
    if (spec.variant.empty()) {
      GRAFT_ASSIGN_OR_RETURN(spec.variant, DefaultVariant(context, train));
    }
    GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(spec.variant));
    if (!train.preset().empty()) {
      spec.preset = train.preset();
    }
    GRAFT_RETURN_IF_ERROR(CheckText("train.preset", spec.preset, 100));
    GRAFT_ASSIGN_OR_RETURN(const Preset preset, FindPreset(spec.preset));
    GRAFT_ASSIGN_OR_RETURN(spec.options, FromProto(train.options(), variant->preset(preset)));
    GRAFT_ASSIGN_OR_RETURN(const DatasetInfo dataset, FindDataset(context, spec.dataset));
    GRAFT_ASSIGN_OR_RETURN(spec.options, ResolveOptions(*variant, spec.options));
    GRAFT_RETURN_IF_ERROR(CheckUsed(*variant, variant->preset(preset), spec.options));
    if (train.has_init_from()) {
      GRAFT_RETURN_IF_ERROR(ResolveStart(context, train.init_from(), *variant, &spec));
    }
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
    if (spec.init_from.has_value()) {
      job.reads.push_back({Resource::Type::kModel, spec.init_from->name, spec.init_from->version});
    }
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
    train->set_preset(spec.preset);
    if (spec.init_from.has_value()) {
      train->mutable_init_from()->set_name(spec.init_from->name);
      train->mutable_init_from()->set_version(spec.init_from->version);
    }
    *train->mutable_options() = ToProto(spec.options);
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const TrainJobResult result, TrainJobResultFromJson(json));
    v1::TrainResult* train = out->mutable_train();
    train->set_model(result.model);
    train->set_version(result.version);
    if (result.kept_epoch.has_value()) {
      *train->mutable_kept_epoch() = ToProto(*result.kept_epoch);
    }
    train->set_seconds(result.seconds);
    return absl::OkStatus();
  }
};

}  // namespace

nlohmann::json ToJson(const TrainJobSpec& spec) {
  nlohmann::json json = {{"model", spec.model},
                         {"dataset", spec.dataset},
                         {"variant", spec.variant},
                         {"preset", spec.preset},
                         {"options", ToJson(spec.options)}};
  if (spec.init_from.has_value()) {
    json["init_from"] = {{"name", spec.init_from->name}, {"version", spec.init_from->version}};
  }
  return json;
}

absl::StatusOr<TrainJobSpec> TrainJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("train's spec", [&]() -> absl::StatusOr<TrainJobSpec> {
    TrainJobSpec spec;
    json.at("model").get_to(spec.model);
    json.at("dataset").get_to(spec.dataset);
    json.at("variant").get_to(spec.variant);
    json.at("preset").get_to(spec.preset);
    if (json.contains("init_from")) {
      spec.init_from = ModelRef{json["init_from"].at("name"), json["init_from"].at("version"), ""};
    }
    GRAFT_ASSIGN_OR_RETURN(spec.options, TrainingOptionsFromJson(json.at("options")));
    return spec;
  });
}

nlohmann::json ToJson(const TrainJobResult& result) {
  nlohmann::json json = {{"model", result.model}, {"version", result.version}, {"seconds", result.seconds}};
  if (result.kept_epoch.has_value()) {
    json["kept_epoch"] = ToJson(*result.kept_epoch);
  }
  return json;
}

absl::StatusOr<TrainJobResult> TrainJobResultFromJson(const nlohmann::json& json) {
  return ParseJson("train's result", [&]() -> absl::StatusOr<TrainJobResult> {
    TrainJobResult result;
    json.at("model").get_to(result.model);
    json.at("version").get_to(result.version);
    json.at("seconds").get_to(result.seconds);
    if (json.contains("kept_epoch")) {
      result.kept_epoch = EpochMetricsFromJson(json["kept_epoch"]);
    }
    return result;
  });
}

const JobKind& TrainKind() {
  static const TrainJob kind;
  return kind;
}

}  // namespace graft
