#include <fcntl.h>

#include <fstream>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "server/handlers/handlers.h"
#include "server/rpc/stream.h"

namespace graft {
namespace {

constexpr int64_t kMaxFiles = 100'000;
constexpr int64_t kMaxUploadBytes = int64_t{10} << 30;
constexpr int64_t kMaxFileBytes = int64_t{64} << 20;

// Writes an upload's files as they come.
class UploadSink : public StreamSink<v1::UploadImagesRequest, v1::UploadImagesResponse> {
 public:
  explicit UploadSink(Catalog* catalog) : catalog_(catalog) {}
  ~UploadSink() override {
    if (!closed_ && !id_.empty()) {
      catalog_->DeleteUpload(id_);
    }
  }

  absl::Status Add(const v1::UploadImagesRequest& request) override {
    if (request.has_path()) {
      return NextFile(request.path());
    }
    if (!out_.is_open()) {
      return InvalidField("path", "the first message must carry a file's path, then its chunks");
    }
    const auto size = static_cast<int64_t>(request.chunk().size());
    file_bytes_ += size;
    bytes_ += size;
    if (file_bytes_ > kMaxFileBytes || bytes_ > kMaxUploadBytes) {
      return absl::ResourceExhaustedError(absl::StrCat("the upload is too large at ", path_.string(), ": at most ",
                                                       kMaxFileBytes >> 20, " MiB a file and ", kMaxUploadBytes >> 30,
                                                       " GiB in all are accepted"));
    }
    out_.write(request.chunk().data(), size);
    return out_ ? absl::OkStatus() : ErrnoStatus(errno, "write", path_);
  }

  absl::Status Close(v1::UploadImagesResponse* response) override {
    GRAFT_RETURN_IF_ERROR(CloseFile());
    if (files_ == 0) {
      return absl::InvalidArgumentError("the upload holds no file");
    }
    closed_ = true;
    response->set_upload_id(id_);
    response->set_files(files_);
    response->set_bytes(bytes_);
    return absl::OkStatus();
  }

 private:
  absl::Status NextFile(const std::string& path) {
    GRAFT_RETURN_IF_ERROR(CheckRelativePath("path", path));
    GRAFT_RETURN_IF_ERROR(CloseFile());
    if (id_.empty()) {
      GRAFT_ASSIGN_OR_RETURN(std::tie(id_, folder_), catalog_->NewUpload());
    }
    if (++files_ > kMaxFiles) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the upload has more than ", kMaxFiles, " files; split it into several"));
    }
    if (!paths_.insert(path).second) {
      return InvalidField("path", absl::StrCat("'", path, "' comes twice"));
    }
    path_ = folder_ / path;
    std::error_code error;
    std::filesystem::create_directories(path_.parent_path(), error);
    if (error) {
      return ErrnoStatus(error.value(), "create", path_.parent_path());
    }
    file_bytes_ = 0;
    out_.open(path_, std::ios::binary | std::ios::trunc);
    return out_ ? absl::OkStatus() : ErrnoStatus(errno, "create", path_);
  }

  absl::Status CloseFile() {
    if (out_.is_open()) {
      out_.close();  // a full disk may only show here
      if (!out_) {
        return ErrnoStatus(errno, "write", path_);
      }
    }
    return absl::OkStatus();
  }

  Catalog* const catalog_;
  std::string id_;
  std::filesystem::path folder_;
  std::filesystem::path path_;
  std::ofstream out_;
  std::set<std::string> paths_;
  int64_t files_ = 0;
  int64_t bytes_ = 0;
  int64_t file_bytes_ = 0;
  bool closed_ = false;
};

}  // namespace

absl::Status GetDataset(const Deps& deps, const Call&, const v1::GetDatasetRequest& request, v1::Dataset* response) {
  GRAFT_ASSIGN_OR_RETURN(*response, deps.catalog->GetDataset(request.name()));
  return absl::OkStatus();
}

absl::Status ListDatasets(const Deps& deps, const Call&, const v1::ListDatasetsRequest& request,
                          v1::ListDatasetsResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  GRAFT_ASSIGN_OR_RETURN(const int64_t offset, PageToken(request.page_token()));
  const std::vector<std::string> names = deps.catalog->DatasetNames();
  for (auto i = static_cast<size_t>(offset); i < names.size(); ++i) {
    if (response->datasets_size() == page_size) {
      response->set_next_page_token(absl::StrCat(i));
      break;
    }
    absl::StatusOr<v1::Dataset> dataset = deps.catalog->GetDataset(names[i]);
    if (absl::IsNotFound(dataset.status())) {
      continue;  // deleted meanwhile
    }
    GRAFT_RETURN_IF_ERROR(dataset.status());
    dataset->clear_skipped();
    *response->add_datasets() = *std::move(dataset);
  }
  return absl::OkStatus();
}

absl::Status DeleteDataset(const Deps& deps, const Call&, const v1::DeleteDatasetRequest& request,
                           v1::DeleteDatasetResponse*) {
  if (const std::string user = deps.jobs->UserOfDataset(request.name()); !user.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("name: ", user, " uses '", request.name(), "'; wait for it or cancel it first"));
  }
  return deps.catalog->DeleteDataset(request.name());
}

std::unique_ptr<StreamSink<v1::UploadImagesRequest, v1::UploadImagesResponse>> UploadImages(const Deps& deps,
                                                                                            const Call&) {
  return std::make_unique<UploadSink>(deps.catalog);
}

}  // namespace graft
