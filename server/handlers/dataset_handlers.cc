#include <utility>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/store/names.h"
#include "server/handlers/handlers.h"
#include "server/handlers/paging.h"

namespace graft {
namespace {

// Messages into an upload.
class UploadStream : public StreamSink<v1::UploadImagesRequest, v1::UploadImagesResponse> {
 public:
  explicit UploadStream(std::unique_ptr<UploadSink> upload) : upload_(std::move(upload)) {}

  absl::Status Add(const v1::UploadImagesRequest& request) override {
    switch (request.kind_case()) {
      case v1::UploadImagesRequest::kPath:
        return upload_->NextFile(request.path());
      case v1::UploadImagesRequest::kChunk:
        return upload_->Write(request.chunk());
      case v1::UploadImagesRequest::KIND_NOT_SET:
        break;
    }
    return InvalidField("kind", "not set; send a file's path or a chunk of it");
  }

  absl::Status Close(v1::UploadImagesResponse* response) override {
    GRAFT_ASSIGN_OR_RETURN(const UploadSink::Summary summary, upload_->Finish());
    response->set_upload_id(summary.id);
    response->set_files(summary.files);
    response->set_bytes(summary.bytes);
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<UploadSink> upload_;
};

}  // namespace

absl::Status GetDataset(const Deps& deps, const Call&, const v1::GetDatasetRequest& request, v1::Dataset* response) {
  GRAFT_ASSIGN_OR_RETURN(const DatasetEntry entry, deps.data->ShowDataset(request.name()));
  *response = ToProto(entry);
  const absl::StatusOr<DatasetQuality> quality = deps.data->GetQuality(request.name());
  if (quality.ok()) {
    *response->mutable_quality() = ToProto(*quality, request.name());
  } else if (!absl::IsNotFound(quality.status()) && entry.damaged.empty()) {
    response->mutable_quality()->set_damaged(std::string(quality.status().message()));
  }
  return absl::OkStatus();
}

absl::Status ListDatasets(const Deps& deps, const Call&, const v1::ListDatasetsRequest& request,
                          v1::ListDatasetsResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  GRAFT_ASSIGN_OR_RETURN(const int64_t offset, PageToken(request.page_token()));
  const std::vector<std::string> names = deps.data->DatasetNames();
  for (auto i = static_cast<size_t>(offset); i < names.size(); ++i) {
    if (response->datasets_size() == page_size) {
      response->set_next_page_token(absl::StrCat(i));
      break;
    }
    const absl::StatusOr<DatasetEntry> entry = deps.data->ShowDataset(names[i]);
    if (!entry.ok()) {
      continue;  // deleted meanwhile
    }
    *response->add_datasets() = ToProto(*entry);
    response->mutable_datasets()->rbegin()->clear_skipped();
  }
  return absl::OkStatus();
}

absl::Status DeleteDataset(const Deps& deps, const Call&, const v1::DeleteDatasetRequest& request,
                           v1::DeleteDatasetResponse*) {
  GRAFT_RETURN_IF_ERROR(CheckName("name", request.name()));
  return deps.jobs->WhileUnused({Resource::Type::kDataset, request.name()},
                                [&] { return deps.data->DeleteDataset(request.name()); });
}

std::unique_ptr<StreamSink<v1::UploadImagesRequest, v1::UploadImagesResponse>> UploadImages(const Deps& deps,
                                                                                            const Call&) {
  return std::make_unique<UploadStream>(deps.data->NewUpload());
}

}  // namespace graft
