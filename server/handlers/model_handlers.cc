#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/kernels/conv3x3.h"
#include "server/handlers/handlers.h"
#include "server/rpc/reactors.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr char kVersion[] = "0.1.0";

// A model's files, each as its path and then its bytes.
class ModelFileSource : public StreamSource<v1::DownloadModelResponse> {
 public:
  ModelFileSource(const Catalog* catalog, v1::DownloadModelRequest request)
      : catalog_(catalog), request_(std::move(request)) {}

  absl::StatusOr<State> Next(const std::function<void()>&, v1::DownloadModelResponse* out) override {
    if (folder_.empty()) {
      GRAFT_ASSIGN_OR_RETURN(folder_, catalog_->ModelFolder(request_.name(), request_.version()));
      std::error_code error;
      for (fs::recursive_directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
        if (it->is_regular_file(error)) {
          files_.push_back(it->path());
        }
      }
      std::sort(files_.begin(), files_.end());
    }
    if (in_.is_open()) {
      constexpr size_t kChunk = 1 << 18;
      std::string* chunk = out->mutable_chunk();
      chunk->resize(kChunk);
      in_.read(chunk->data(), kChunk);
      chunk->resize(static_cast<size_t>(in_.gcount()));
      if (!chunk->empty()) {
        return State::kItem;
      }
      in_.close();
      out->Clear();
    }
    if (next_ == files_.size()) {
      return State::kEnd;
    }
    const fs::path& file = files_[next_++];
    in_.clear();
    in_.open(file, std::ios::binary);
    if (!in_) {
      return absl::NotFoundError(absl::StrCat("model: ", request_.name(), " was deleted during the download"));
    }
    out->set_path(file.lexically_relative(folder_).generic_string());
    return State::kItem;
  }

 private:
  const Catalog* const catalog_;
  const v1::DownloadModelRequest request_;
  fs::path folder_;
  std::vector<fs::path> files_;
  size_t next_ = 0;
  std::ifstream in_;
};

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

absl::Status ListVariants(const Deps&, const v1::ListVariantsRequest&, v1::ListVariantsResponse* response) {
  for (const Variant& variant : Variants()) {
    *response->add_variants() = ToProto(variant);
  }
  return absl::OkStatus();
}

absl::Status GetVariant(const Deps&, const v1::GetVariantRequest& request, v1::Variant* response) {
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(request.name()));
  *response = ToProto(*variant);
  return absl::OkStatus();
}

absl::Status GetModel(const Deps& deps, const v1::GetModelRequest& request, v1::Model* response) {
  GRAFT_ASSIGN_OR_RETURN(*response, deps.catalog->GetModel(request.name(), request.version()));
  return absl::OkStatus();
}

absl::Status ListModels(const Deps& deps, const v1::ListModelsRequest& request, v1::ListModelsResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  GRAFT_ASSIGN_OR_RETURN(const int64_t offset, PageToken(request.page_token()));
  auto versions = deps.catalog->ModelVersions();
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
    absl::StatusOr<v1::Model> model = deps.catalog->GetModel(versions[i].first, versions[i].second);
    if (absl::IsNotFound(model.status())) {
      continue;  // deleted meanwhile
    }
    GRAFT_RETURN_IF_ERROR(model.status());
    model->clear_layers();
    // The last epoch is what a list shows.
    if (model->history_size() > 1) {
      model->mutable_history()->DeleteSubrange(0, model->history_size() - 1);
    }
    for (v1::EvaluateResult& evaluation : *model->mutable_evaluations()) {
      evaluation.mutable_report()->clear_confusion();
    }
    *response->add_models() = *std::move(model);
  }
  return absl::OkStatus();
}

absl::Status DeleteModel(const Deps& deps, const v1::DeleteModelRequest& request, v1::DeleteModelResponse* response) {
  if (const std::string user = deps.jobs->UserOfModel(request.name(), request.version()); !user.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("name: ", user, " uses '", request.name(), "'; wait for it or cancel it first"));
  }
  GRAFT_ASSIGN_OR_RETURN(const int deleted, deps.catalog->DeleteModel(request.name(), request.version()));
  deps.models->Drop(request.name(), request.version());
  response->set_deleted(deleted);
  return absl::OkStatus();
}

std::unique_ptr<StreamSource<v1::DownloadModelResponse>> DownloadModel(const Deps& deps,
                                                                       const v1::DownloadModelRequest& request) {
  return std::make_unique<ModelFileSource>(deps.catalog, request);
}

absl::Status GetStatus(const Deps& deps, const v1::GetStatusRequest&, v1::ServerStatus* response) {
  response->set_version(kVersion);
  *response->mutable_start_time() = ToTimestamp(deps.start_time_ms);
  response->set_jobs_running(deps.jobs->running());
  response->set_jobs_queued(deps.jobs->queued());
  response->set_max_running_jobs(deps.jobs->max_running());
  response->set_datasets(static_cast<int32_t>(deps.catalog->DatasetNames().size()));
  response->set_models(static_cast<int32_t>(deps.catalog->ModelVersions().size()));
  for (const std::string& name : deps.models->names()) {
    response->add_loaded(name);
  }
  for (const std::string& name : deps.engine->loaded_trunks()) {
    response->add_loaded(name);
  }
  for (const TrunkInfo& trunk : Trunks()) {
    if (const absl::Status there = CheckTrunkWeights(deps.options->weights_dir, trunk.name); there.ok()) {
      response->add_trunks(std::string(trunk.name));
    } else if (trunk.name == DefaultTrunk().name) {
      response->set_hint(std::string(there.message()));
    }
  }
  response->set_device(deps.engine->device());
  response->set_threads(deps.options->threads);
  response->set_torch_version(deps.engine->version());
  response->set_instruction_set(kernels::IsaName(kernels::BestIsa()));
  response->set_convolution(deps.options->convolution);
  response->set_resident_bytes(ResidentBytes());
  for (const fs::path& folder : deps.options->allow_dirs) {
    response->add_allowed_folders(folder.string());
  }
  return absl::OkStatus();
}

}  // namespace graft
