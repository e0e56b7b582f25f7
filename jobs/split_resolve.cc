#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/store/names.h"
#include "jobs/split.h"

namespace graft {
namespace {

class Split : public JobKind {
 public:
  absl::string_view name() const override { return "split"; }

  absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& submitted) const override {
    const v1::SplitSpec& split = submitted.split();
    SplitJobSpec spec;
    spec.dataset = split.dataset();
    GRAFT_RETURN_IF_ERROR(CheckName("split.dataset", spec.dataset));
    GRAFT_ASSIGN_OR_RETURN(const SplitOptions options, FromProto(split));
    spec.recipe.label_rule = options.label_rule;
    spec.recipe.sizes = options.sizes;
    spec.recipe.seed = options.seed;
    spec.recipe.hard_link = options.hard_link;
    switch (split.source_case()) {
      case v1::SplitSpec::kFolder: {
        GRAFT_ASSIGN_OR_RETURN(spec.recipe.source,
                               CheckAllowedFolder("split.folder", split.folder(), context.allow_dirs));
        break;
      }
      case v1::SplitSpec::kUploadId:
        GRAFT_RETURN_IF_ERROR(context.data->FindUpload("split.upload_id", split.upload_id()).status());
        spec.recipe.source = split.upload_id();
        break;
      case v1::SplitSpec::SOURCE_NOT_SET:
        return InvalidField("split.source", "not set; give a folder on the server or an upload_id");
    }
    if (context.data->HasDataset(spec.dataset)) {
      return absl::AlreadyExistsError(
          absl::StrCat("split.dataset: there is a '", spec.dataset, "' already; delete it or choose another name"));
    }
    ResolvedJob job;
    job.kind = std::string(name());
    job.spec = ToJson(spec);
    job.dataset = spec.dataset;
    if (split.has_upload_id()) {
      job.reads = {{Resource::Type::kUpload, split.upload_id()}};
    }
    job.makes = Resource{Resource::Type::kDataset, spec.dataset};
    return job;
  }

  absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json& json, int) const override {
    GRAFT_ASSIGN_OR_RETURN(const SplitJobSpec spec, SplitJobSpecFromJson(json));
    return DataFolder::DatasetTarget(spec.dataset);
  }

  absl::Status SpecToProto(const nlohmann::json& json, v1::JobSpec* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const SplitJobSpec spec, SplitJobSpecFromJson(json));
    *out->mutable_split() = ToProto(spec.recipe, spec.dataset);
    return absl::OkStatus();
  }

  absl::Status ResultToProto(const nlohmann::json& json, v1::JobResult* out) const override {
    GRAFT_ASSIGN_OR_RETURN(const SplitJobResult result, SplitJobResultFromJson(json));
    v1::SplitResult* split = out->mutable_split();
    split->set_dataset(result.dataset);
    split->set_images(result.images);
    split->set_skipped(result.skipped);
    return absl::OkStatus();
  }
};

}  // namespace

nlohmann::json ToJson(const SplitJobSpec& spec) { return {{"dataset", spec.dataset}, {"recipe", ToJson(spec.recipe)}}; }

absl::StatusOr<SplitJobSpec> SplitJobSpecFromJson(const nlohmann::json& json) {
  return ParseJson("split's spec", [&]() -> absl::StatusOr<SplitJobSpec> {
    SplitJobSpec spec;
    json.at("dataset").get_to(spec.dataset);
    GRAFT_ASSIGN_OR_RETURN(spec.recipe, SplitRecipeFromJson(json.at("recipe")));
    return spec;
  });
}

nlohmann::json ToJson(const SplitJobResult& result) {
  return {{"dataset", result.dataset}, {"images", result.images}, {"skipped", result.skipped}};
}

absl::StatusOr<SplitJobResult> SplitJobResultFromJson(const nlohmann::json& json) {
  return ParseJson("split's result", [&]() -> absl::StatusOr<SplitJobResult> {
    SplitJobResult result;
    json.at("dataset").get_to(result.dataset);
    json.at("images").get_to(result.images);
    json.at("skipped").get_to(result.skipped);
    return result;
  });
}

const JobKind& SplitKind() {
  static const Split kind;
  return kind;
}

}  // namespace graft
