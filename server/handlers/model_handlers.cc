#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/store/imported_trunks.h"
#include "core/store/names.h"
#include "server/handlers/file_source.h"
#include "server/handlers/handlers.h"
#include "server/handlers/paging.h"

namespace graft {
namespace {

class ImportStream : public StreamSink<v1::ImportTrunkRequest, v1::Trunk> {
 public:
  explicit ImportStream(const Deps& deps) : deps_(deps) {}

  absl::Status Add(const v1::ImportTrunkRequest& request) override {
    switch (request.kind_case()) {
      case v1::ImportTrunkRequest::kHeader:
        return Begin(request.header());
      case v1::ImportTrunkRequest::kChunk:
        return sink_ == nullptr ? NoHeader() : sink_->Write(request.chunk());
      case v1::ImportTrunkRequest::KIND_NOT_SET:
        break;
    }
    return InvalidField("kind", "not set; send a header, and then chunks of the file");
  }

  absl::Status Close(v1::Trunk* response) override {
    GRAFT_RETURN_IF_ERROR(sink_ == nullptr ? NoHeader() : absl::OkStatus());
    GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, sink_->Finish());
    *response = ToProto(*trunk, deps_.options->weights_dir);
    return absl::OkStatus();
  }

 private:
  static absl::Status NoHeader() { return InvalidField("header", "not set; the first message says what the file is"); }

  absl::Status Begin(const v1::ImportTrunkRequest::Header& header) {
    if (sink_ != nullptr) {
      return InvalidField("header", "there is one already; send chunks of the file after it");
    }
    ImportedTrunk trunk;
    trunk.name = header.name();
    trunk.like = header.like();
    GRAFT_RETURN_IF_ERROR(CheckText("header.like", trunk.like, 100));
    trunk.source = header.source().empty() ? "a file without a name" : header.source();
    GRAFT_RETURN_IF_ERROR(CheckText("header.source", trunk.source, 255));
    GRAFT_ASSIGN_OR_RETURN(trunk.preprocessing, FromProto(header.preprocessing()));
    GRAFT_ASSIGN_OR_RETURN(sink_, TrunkSink::Open(deps_.data->Trunks(), std::move(trunk)));
    return absl::OkStatus();
  }

  const Deps& deps_;
  std::unique_ptr<TrunkSink> sink_;
};

}  // namespace

absl::Status ListVariants(const Deps&, const Call&, const v1::ListVariantsRequest&,
                          v1::ListVariantsResponse* response) {
  for (const Variant& variant : Variants()) {
    *response->add_variants() = ToProto(variant);
  }
  return absl::OkStatus();
}

absl::Status GetVariant(const Deps&, const Call&, const v1::GetVariantRequest& request, v1::Variant* response) {
  GRAFT_RETURN_IF_ERROR(CheckText("name", request.name(), 100));
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(request.name()));
  *response = ToProto(*variant);
  return absl::OkStatus();
}

absl::Status ListTrunks(const Deps& deps, const Call&, const v1::ListTrunksRequest&, v1::ListTrunksResponse* response) {
  for (const TrunkInfo& trunk : Trunks()) {
    *response->add_trunks() = ToProto(trunk, deps.options->weights_dir);
  }
  return absl::OkStatus();
}

absl::Status GetTrunk(const Deps& deps, const Call&, const v1::GetTrunkRequest& request, v1::Trunk* response) {
  GRAFT_RETURN_IF_ERROR(CheckText("name", request.name(), 100));
  GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, FindTrunk(request.name()));
  *response = ToProto(*trunk, deps.options->weights_dir);
  return absl::OkStatus();
}

std::unique_ptr<StreamSink<v1::ImportTrunkRequest, v1::Trunk>> ImportTrunk(const Deps& deps, const Call&) {
  return std::make_unique<ImportStream>(deps);
}

absl::Status GetModel(const Deps& deps, const Call&, const v1::GetModelRequest& request, v1::Model* response) {
  GRAFT_ASSIGN_OR_RETURN(const ModelRef ref, FromProto(request.model()));
  GRAFT_ASSIGN_OR_RETURN(const ModelEntry entry, deps.data->ShowModel(ref));
  *response = ToProto(entry);
  return absl::OkStatus();
}

absl::Status ListModels(const Deps& deps, const Call&, const v1::ListModelsRequest& request,
                        v1::ListModelsResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  GRAFT_ASSIGN_OR_RETURN(const int64_t offset, PageToken(request.page_token()));
  if (!request.name().empty()) {
    GRAFT_RETURN_IF_ERROR(CheckName("name", request.name()));
  }
  std::vector<std::pair<std::string, int>> versions = deps.data->ModelVersions();
  if (!request.name().empty()) {
    versions.erase(
        std::remove_if(versions.begin(), versions.end(), [&](const auto& v) { return v.first != request.name(); }),
        versions.end());
  }
  for (auto i = static_cast<size_t>(offset); i < versions.size(); ++i) {
    if (response->models_size() == page_size) {
      response->set_next_page_token(absl::StrCat(i));
      break;
    }
    const absl::StatusOr<ModelEntry> entry = deps.data->ShowModel({versions[i].first, versions[i].second, ""});
    if (!entry.ok()) {
      continue;  // deleted meanwhile
    }
    v1::Model& model = *response->add_models();
    model = ToProto(*entry);
    model.clear_layers();
    // Of the epochs a list shows the one that was kept.
    if (model.history_size() > 1) {
      const v1::EpochMetrics kept = model.history(std::clamp(model.kept_epoch(), 1, model.history_size()) - 1);
      model.clear_history();
      *model.add_history() = kept;
    }
    for (v1::EvaluateResult& evaluation : *model.mutable_evaluations()) {
      evaluation.mutable_report()->clear_confusion();
      if (evaluation.report().has_calibration()) {
        evaluation.mutable_report()->mutable_calibration()->clear_bins();
      }
    }
  }
  return absl::OkStatus();
}

absl::Status DeleteModel(const Deps& deps, const Call&, const v1::DeleteModelRequest& request,
                         v1::DeleteModelResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const ModelRef ref, FromProto(request.model()));
  if (request.all_versions() == (ref.version != 0 || !ref.alias.empty())) {
    return InvalidField("model.version", "give the version to delete, or all_versions, and not both");
  }
  GRAFT_ASSIGN_OR_RETURN(const int resolved, deps.data->ResolveVersion(ref));
  const int version = request.all_versions() ? 0 : resolved;
  return deps.jobs->WhileUnused({Resource::Type::kModel, ref.name, version}, [&]() -> absl::Status {
    GRAFT_ASSIGN_OR_RETURN(const int deleted, deps.data->DeleteModel(ref.name, version));
    deps.models->Drop(ref.name, version);
    response->set_deleted(deleted);
    return absl::OkStatus();
  });
}

std::unique_ptr<StreamSource<v1::DownloadModelResponse>> DownloadModel(const Deps& deps, const Call&,
                                                                       const v1::DownloadModelRequest& request) {
  return std::make_unique<FileSource>([&data = *deps.data, model = request.model()]() -> absl::StatusOr<FileList> {
    GRAFT_ASSIGN_OR_RETURN(ModelRef ref, FromProto(model));
    GRAFT_ASSIGN_OR_RETURN(ref.version, data.ResolveVersion(ref));  // the same one all along
    GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> paths, data.ModelFiles(ref));
    FileList list{absl::StrCat("model: ", ref.name), data.Model(ref.name, ref.version), {}};
    for (const std::string& path : paths) {
      list.files.push_back({path, std::nullopt});
    }
    return list;
  });
}

}  // namespace graft
