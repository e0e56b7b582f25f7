#include "server/services.h"

#include <utility>

#include "graft/v1/datasets.grpc.pb.h"
#include "graft/v1/jobs.grpc.pb.h"
#include "graft/v1/models.grpc.pb.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "graft/v1/server.grpc.pb.h"
#include "graft/v1/worker.grpc.pb.h"
#include "server/rpc/grpc_status.h"
#include "server/rpc/ordered_stream.h"
#include "server/rpc/pull_stream.h"
#include "server/rpc/push_stream.h"
#include "server/rpc/unary.h"

namespace graft {
namespace {

using Context = grpc::CallbackServerContext;

// GRAFT_UNARY(GetJob, GetJobRequest, Job): a method that runs the handler of the same name.
#define GRAFT_UNARY(Name, Request, Response)                                                                      \
  grpc::ServerUnaryReactor* Name(Context* context, const v1::Request* request, v1::Response* response) override { \
    return RunUnary(*runtime_, context, #Name, *request, [this, request, response](const Call& call) {            \
      return graft::Name(*deps_, call, *request, response);                                                       \
    });                                                                                                           \
  }
// Answered later, by the batcher.
#define GRAFT_PREDICTION(Name, Request, Response)                                                                 \
  grpc::ServerUnaryReactor* Name(Context* context, const v1::Request* request, v1::Response* response) override { \
    return RunUnaryAsync(*runtime_, context, #Name, *request,                                                     \
                         [this, request, response](const Call& call, const auto& done) {                          \
                           graft::Name(*deps_, call, *request, [response, done](absl::StatusOr<v1::Response> a) { \
                             if (!a.ok()) {                                                                       \
                               done(a.status());                                                                  \
                               return;                                                                            \
                             }                                                                                    \
                             *response = *std::move(a);                                                           \
                             done(absl::OkStatus());                                                              \
                           });                                                                                    \
                         });                                                                                      \
  }
#define GRAFT_PREDICTION_STREAM(Name, Handler, Request, Response, StreamResponse)                               \
  grpc::ServerBidiReactor<v1::Request, v1::StreamResponse>* Name(Context* context) override {                   \
    return OrderedStream<v1::Request, v1::StreamResponse>::Start(                                               \
        *runtime_, context, #Name, OpenCalls::Kind::kBulk,                                                      \
        [this](const Call& call, int64_t index, std::shared_ptr<const v1::Request> request, const auto& done) { \
          const v1::Request& held = *request;                                                                   \
          graft::Handler(*deps_, call, held,                                                                    \
                         [index, request = std::move(request), done](absl::StatusOr<v1::Response> answer) {     \
                           done(ToItem<v1::StreamResponse>(index, std::move(answer)));                          \
                         });                                                                                    \
        });                                                                                                     \
  }

template <typename Item, typename Response>
Item ToItem(int64_t index, absl::StatusOr<Response> answer) {
  Item item;
  item.set_index(index);
  if (answer.ok()) {
    *item.mutable_response() = *std::move(answer);
  } else {
    item.mutable_error()->set_code(static_cast<int>(answer.status().code()));
    item.mutable_error()->set_message(ToGrpc(answer.status()).error_message());
  }
  return item;
}

// What every service of ours has.
template <typename Base>
class ServiceBase : public Base::CallbackService {
 public:
  ServiceBase(const Deps* deps, const RpcRuntime* runtime) : deps_(deps), runtime_(runtime) {}

 protected:
  const Deps* const deps_;
  const RpcRuntime* const runtime_;
};

class JobServiceImpl : public ServiceBase<v1::JobService> {
 public:
  using ServiceBase::ServiceBase;
  GRAFT_UNARY(SubmitJob, SubmitJobRequest, Job)
  GRAFT_UNARY(GetJob, GetJobRequest, Job)
  GRAFT_UNARY(ListJobs, ListJobsRequest, ListJobsResponse)
  GRAFT_UNARY(CancelJob, CancelJobRequest, Job)
  GRAFT_UNARY(PauseJob, PauseJobRequest, Job)
  GRAFT_UNARY(ResumeJob, ResumeJobRequest, Job)
  GRAFT_UNARY(DrawRecommendation, DrawRecommendationRequest, DrawRecommendationResponse)
  GRAFT_UNARY(GetLearningCurves, GetLearningCurvesRequest, GetLearningCurvesResponse)
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(Context* context, const v1::WatchJobRequest* request) override {
    return PullStream<v1::JobEvent>::Start(
        *runtime_, context, "WatchJob", OpenCalls::Kind::kWatch, *request,
        [this, request](const Call& call) { return graft::WatchJob(*deps_, call, *request); });
  }
};

class DatasetServiceImpl : public ServiceBase<v1::DatasetService> {
 public:
  using ServiceBase::ServiceBase;
  GRAFT_UNARY(GetDataset, GetDatasetRequest, Dataset)
  GRAFT_UNARY(ListDatasets, ListDatasetsRequest, ListDatasetsResponse)
  GRAFT_UNARY(DeleteDataset, DeleteDatasetRequest, DeleteDatasetResponse)
  GRAFT_UNARY(PreviewDataset, PreviewDatasetRequest, PreviewDatasetResponse)
  grpc::ServerReadReactor<v1::UploadImagesRequest>* UploadImages(Context* context,
                                                                 v1::UploadImagesResponse* response) override {
    return PushStream<v1::UploadImagesRequest, v1::UploadImagesResponse>::Start(
        *runtime_, context, "UploadImages", OpenCalls::Kind::kBulk, response,
        [this](const Call& call) { return graft::UploadImages(*deps_, call); });
  }
};

class ModelServiceImpl : public ServiceBase<v1::ModelService> {
 public:
  using ServiceBase::ServiceBase;
  GRAFT_UNARY(ListVariants, ListVariantsRequest, ListVariantsResponse)
  GRAFT_UNARY(GetVariant, GetVariantRequest, Variant)
  GRAFT_UNARY(ListTrunks, ListTrunksRequest, ListTrunksResponse)
  GRAFT_UNARY(GetTrunk, GetTrunkRequest, Trunk)
  grpc::ServerReadReactor<v1::ImportTrunkRequest>* ImportTrunk(Context* context, v1::Trunk* response) override {
    return PushStream<v1::ImportTrunkRequest, v1::Trunk>::Start(
        *runtime_, context, "ImportTrunk", OpenCalls::Kind::kBulk, response,
        [this](const Call& call) { return graft::ImportTrunk(*deps_, call); });
  }
  GRAFT_UNARY(GetModel, GetModelRequest, Model)
  GRAFT_UNARY(ListModels, ListModelsRequest, ListModelsResponse)
  GRAFT_UNARY(DeleteModel, DeleteModelRequest, DeleteModelResponse)
  grpc::ServerWriteReactor<v1::DownloadModelResponse>* DownloadModel(Context* context,
                                                                     const v1::DownloadModelRequest* request) override {
    return PullStream<v1::DownloadModelResponse>::Start(
        *runtime_, context, "DownloadModel", OpenCalls::Kind::kBulk, *request,
        [this, request](const Call& call) { return graft::DownloadModel(*deps_, call, *request); });
  }
  GRAFT_UNARY(CompareModels, CompareModelsRequest, CompareModelsResponse)
  GRAFT_UNARY(GetMistakes, GetMistakesRequest, GetMistakesResponse)
  grpc::ServerWriteReactor<v1::DownloadModelResponse>* ReportModel(Context* context,
                                                                   const v1::ReportModelRequest* request) override {
    return PullStream<v1::DownloadModelResponse>::Start(
        *runtime_, context, "ReportModel", OpenCalls::Kind::kBulk, *request,
        [this, request](const Call& call) { return graft::ReportModel(*deps_, call, *request); });
  }
};

class PredictionServiceImpl : public ServiceBase<v1::PredictionService> {
 public:
  using ServiceBase::ServiceBase;
  GRAFT_PREDICTION(Classify, ClassifyRequest, ClassifyResponse)
  GRAFT_PREDICTION(ExtractFeatures, ExtractFeaturesRequest, ExtractFeaturesResponse)
  GRAFT_PREDICTION(Explain, ExplainRequest, ExplainResponse)
  GRAFT_PREDICTION_STREAM(ClassifyStream, Classify, ClassifyRequest, ClassifyResponse, ClassifyStreamResponse)
  GRAFT_PREDICTION_STREAM(ExtractFeaturesStream, ExtractFeatures, ExtractFeaturesRequest, ExtractFeaturesResponse,
                          ExtractFeaturesStreamResponse)
};

class ServerServiceImpl : public ServiceBase<v1::ServerService> {
 public:
  using ServiceBase::ServiceBase;
  GRAFT_UNARY(GetStatus, GetStatusRequest, ServerStatus)
};

class WorkerServiceImpl : public v1::WorkerService::CallbackService {
 public:
  WorkerServiceImpl(JobManager* jobs, const RpcRuntime* runtime) : jobs_(jobs), runtime_(runtime) {}

  grpc::ServerUnaryReactor* FetchAssignment(Context* context, const v1::FetchAssignmentRequest* request,
                                            v1::Assignment* response) override {
    return RunUnary(*runtime_, context, "FetchAssignment", *request,
                    [this, request, response](const Call&) -> absl::Status {
                      GRAFT_ASSIGN_OR_RETURN(*response, jobs_->FetchAssignment(*request));
                      return absl::OkStatus();
                    });
  }
  grpc::ServerUnaryReactor* Report(Context* context, const v1::ReportRequest* request,
                                   v1::ReportResponse* response) override {
    return RunUnary(*runtime_, context, "Report", *request, [this, request, response](const Call&) -> absl::Status {
      GRAFT_ASSIGN_OR_RETURN(*response, jobs_->Report(*request));
      return absl::OkStatus();
    });
  }

 private:
  JobManager* const jobs_;
  const RpcRuntime* const runtime_;
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> MakePublicServices(const Deps* deps, const RpcRuntime* runtime) {
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(std::make_unique<JobServiceImpl>(deps, runtime));
  services.push_back(std::make_unique<DatasetServiceImpl>(deps, runtime));
  services.push_back(std::make_unique<ModelServiceImpl>(deps, runtime));
  services.push_back(std::make_unique<PredictionServiceImpl>(deps, runtime));
  services.push_back(std::make_unique<ServerServiceImpl>(deps, runtime));
  return services;
}

std::unique_ptr<grpc::Service> MakeWorkerService(JobManager* jobs, const RpcRuntime* runtime) {
  return std::make_unique<WorkerServiceImpl>(jobs, runtime);
}

std::vector<std::string> PublicServiceNames() {
  return {v1::JobService::service_full_name(), v1::DatasetService::service_full_name(),
          v1::ModelService::service_full_name(), v1::PredictionService::service_full_name(),
          v1::ServerService::service_full_name()};
}

}  // namespace graft
