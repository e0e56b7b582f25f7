#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/store/names.h"
#include "server/handlers/handlers.h"
#include "server/handlers/paging.h"

namespace graft {
namespace {

// A model's files, each as its path and then its bytes.
class ModelFileSource : public StreamSource<v1::DownloadModelResponse> {
 public:
  ModelFileSource(const DataFolder* data, v1::ModelRef model) : data_(data), model_(std::move(model)) {}

  absl::StatusOr<State> Next(const std::function<void()>&, v1::DownloadModelResponse* out) override {
    if (folder_.empty()) {
      GRAFT_ASSIGN_OR_RETURN(ModelRef ref, FromProto(model_));
      GRAFT_ASSIGN_OR_RETURN(ref.version, data_->ResolveVersion(ref));  // the same one all along
      GRAFT_ASSIGN_OR_RETURN(files_, data_->ModelFiles(ref));
      folder_ = data_->Model(ref.name, ref.version);
    }
    if (in_.is_open()) {
      constexpr size_t kChunk = 1 << 18;
      std::string* chunk = out->mutable_chunk();
      chunk->resize(kChunk);
      in_.read(chunk->data(), kChunk);
      chunk->resize(static_cast<size_t>(in_.gcount()));
      if (in_.bad()) {
        return absl::DataLossError(absl::StrCat("model: cannot read '", files_[next_ - 1], "' of ", model_.name()));
      }
      if (!chunk->empty()) {
        return State::kItem;
      }
      in_.close();
      out->Clear();
    }
    if (next_ == files_.size()) {
      return State::kEnd;
    }
    const std::string& file = files_[next_++];
    in_.clear();
    in_.open(folder_ / file, std::ios::binary);
    if (!in_) {
      return absl::NotFoundError(absl::StrCat("model: ", model_.name(), " was deleted during the download"));
    }
    out->set_path(file);
    return State::kItem;
  }

 private:
  const DataFolder* const data_;
  const v1::ModelRef model_;
  std::filesystem::path folder_;
  std::vector<std::string> files_;
  size_t next_ = 0;
  std::ifstream in_;
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
    // The last epoch is what a list shows.
    if (model.history_size() > 1) {
      model.mutable_history()->DeleteSubrange(0, model.history_size() - 1);
    }
    for (v1::EvaluateResult& evaluation : *model.mutable_evaluations()) {
      evaluation.mutable_report()->clear_confusion();
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
  return std::make_unique<ModelFileSource>(deps.data, request.model());
}

}  // namespace graft
