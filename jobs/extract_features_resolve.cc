#include "convert/convert.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/model/parse_enum.h"
#include "core/model/trunks.h"
#include "jobs/checks.h"
#include "jobs/extract_features.h"

namespace graft {
namespace {

class ExtractFeaturesJob : public JobKind {
 public:
  absl::string_view name() const override { return "extract_features"; }

  absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& submitted) const override {
    const v1::ExtractFeaturesSpec& extract = submitted.extract_features();
    ExtractFeaturesJobSpec spec;
    spec.dataset = extract.dataset();
    GRAFT_RETURN_IF_ERROR(FindDataset(context, spec.dataset).status());
    spec.trunk = extract.trunk().empty() ? std::string(DefaultTrunk().name) : extract.trunk();
    GRAFT_RETURN_IF_ERROR(CheckText("extract_features.trunk", spec.trunk, 100));
    GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, FindTrunk(spec.trunk));
    GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(context.weights_dir, spec.trunk));
    TrainingOptions options;  // for their ranges
    options.image_size = extract.image_size() == 0 ? trunk->image_size : extract.image_size();
    GRAFT_RETURN_IF_ERROR(options.Validate());
    spec.image_size = options.image_size;
    GRAFT_ASSIGN_OR_RETURN(const Preprocessing preprocessing, FromProto(extract.preprocessing()));
    spec.preprocessing = ResolvePreprocessing(preprocessing, trunk);
    GRAFT_ASSIGN_OR_RETURN(spec.interpolation, FromProto(extract.interpolation(), Interpolation::kBilinear));
    ResolvedJob job;
    job.kind = std::string(name());
    job.spec = ToJson(spec);
    job.dataset = spec.dataset;
    job.reads = {{Resource::Type::kDataset, spec.dataset}};
    return job;
  }

  // Features go straight to the data set's cache.
  absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json&, int) const override {
    return std::nullopt;
  }

  absl::Status SpecToProto(const nlohmann::json& json, v1::JobSpec* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const ExtractFeaturesJobSpec spec, ExtractFeaturesJobSpecFromJson(json));
    v1::ExtractFeaturesSpec* extract = out->mutable_extract_features();
    extract->set_dataset(spec.dataset);
    extract->set_trunk(spec.trunk);
    extract->set_preprocessing(ToProto(spec.preprocessing));
    extract->set_interpolation(ToProto(spec.interpolation));
    extract->set_image_size(spec.image_size);
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const ExtractFeaturesJobResult result, ExtractFeaturesJobResultFromJson(json));
    v1::ExtractFeaturesResult* extracted = out->mutable_extract_features();
    extracted->set_images(result.images);
    extracted->set_dimension(result.dimension);
    extracted->set_cached(result.cached);
    extracted->set_seconds(result.seconds);
    return absl::OkStatus();
  }
};

}  // namespace

nlohmann::json ToJson(const ExtractFeaturesJobSpec& spec) {
  return {{"dataset", spec.dataset},
          {"trunk", spec.trunk},
          {"preprocessing", std::string(PreprocessingName(spec.preprocessing))},
          {"interpolation", std::string(InterpolationName(spec.interpolation))},
          {"image_size", spec.image_size}};
}

absl::StatusOr<ExtractFeaturesJobSpec> ExtractFeaturesJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("extract_features' spec", [&]() -> absl::StatusOr<ExtractFeaturesJobSpec> {
    ExtractFeaturesJobSpec spec;
    json.at("dataset").get_to(spec.dataset);
    json.at("trunk").get_to(spec.trunk);
    GRAFT_ASSIGN_OR_RETURN(spec.preprocessing,
                           ParseEnum("preprocessing", json.at("preprocessing").get<std::string>(), &PreprocessingName));
    GRAFT_ASSIGN_OR_RETURN(spec.interpolation,
                           ParseEnum("interpolation", json.at("interpolation").get<std::string>(), &InterpolationName));
    json.at("image_size").get_to(spec.image_size);
    return spec;
  });
}

nlohmann::json ToJson(const ExtractFeaturesJobResult& result) {
  return {{"images", result.images},
          {"dimension", result.dimension},
          {"cached", result.cached},
          {"seconds", result.seconds}};
}

absl::StatusOr<ExtractFeaturesJobResult> ExtractFeaturesJobResultFromJson(const nlohmann::json& json) {
  return ParseJson("extract_features' result", [&]() -> absl::StatusOr<ExtractFeaturesJobResult> {
    ExtractFeaturesJobResult result;
    json.at("images").get_to(result.images);
    json.at("dimension").get_to(result.dimension);
    json.at("cached").get_to(result.cached);
    json.at("seconds").get_to(result.seconds);
    return result;
  });
}

const JobKind& ExtractFeaturesKind() {
  static const ExtractFeaturesJob kind;
  return kind;
}

}  // namespace graft
