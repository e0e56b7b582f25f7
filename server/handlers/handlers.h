// What each RPC does, without gRPC: a handler is a function of what the server has, the call, the request and the
// response, and for a stream it makes the source or the sink of its messages (rpc/stream.h). Handlers run on a pool.
// Tests call them without a channel; services.cc gives each a line.
#ifndef GRAFT_SERVER_HANDLERS_HANDLERS_H_
#define GRAFT_SERVER_HANDLERS_HANDLERS_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/infer/batcher.h"
#include "core/infer/engine.h"
#include "core/store/data_folder.h"
#include "graft/v1/datasets.pb.h"
#include "graft/v1/jobs.pb.h"
#include "graft/v1/models.pb.h"
#include "graft/v1/prediction.pb.h"
#include "graft/v1/server.pb.h"
#include "server/call.h"
#include "server/jobs/job_manager.h"
#include "server/model_cache.h"
#include "server/options.h"
#include "server/rpc/byte_budget.h"
#include "server/rpc/stream.h"
#include "server/rpc/thread_pool.h"

namespace graft {

// What handlers work with; all thread-safe, all longer-lived than any call.
struct Deps {
  const ServerOptions* options = nullptr;
  DataFolder* data = nullptr;
  JobManager* jobs = nullptr;
  Engine* engine = nullptr;
  ModelCache* models = nullptr;
  Batcher* batcher = nullptr;
  // Draws what came out of a batch: neither the batcher's threads nor handlers' may wait for that.
  ThreadPool* drawing = nullptr;
  // Of explanations that are made, or wait to be drawn or sent.
  ByteBudget* explanations = nullptr;
  int64_t start_time_ms = 0;
};

// Job.
absl::Status SubmitJob(const Deps& deps, const Call& call, const v1::SubmitJobRequest& request, v1::Job* response);
absl::Status GetJob(const Deps& deps, const Call& call, const v1::GetJobRequest& request, v1::Job* response);
absl::Status ListJobs(const Deps& deps, const Call& call, const v1::ListJobsRequest& request,
                      v1::ListJobsResponse* response);
absl::Status CancelJob(const Deps& deps, const Call& call, const v1::CancelJobRequest& request, v1::Job* response);
absl::Status PauseJob(const Deps& deps, const Call& call, const v1::PauseJobRequest& request, v1::Job* response);
absl::Status ResumeJob(const Deps& deps, const Call& call, const v1::ResumeJobRequest& request, v1::Job* response);
std::unique_ptr<StreamSource<v1::JobEvent>> WatchJob(const Deps& deps, const Call& call,
                                                     const v1::WatchJobRequest& request);
absl::Status DrawRecommendation(const Deps& deps, const Call& call, const v1::DrawRecommendationRequest& request,
                                v1::DrawRecommendationResponse* response);
absl::Status GetLearningCurves(const Deps& deps, const Call& call, const v1::GetLearningCurvesRequest& request,
                               v1::GetLearningCurvesResponse* response);

// Data set.
absl::Status GetDataset(const Deps& deps, const Call& call, const v1::GetDatasetRequest& request,
                        v1::Dataset* response);
absl::Status ListDatasets(const Deps& deps, const Call& call, const v1::ListDatasetsRequest& request,
                          v1::ListDatasetsResponse* response);
absl::Status DeleteDataset(const Deps& deps, const Call& call, const v1::DeleteDatasetRequest& request,
                           v1::DeleteDatasetResponse* response);
absl::Status PreviewDataset(const Deps& deps, const Call& call, const v1::PreviewDatasetRequest& request,
                            v1::PreviewDatasetResponse* response);
std::unique_ptr<StreamSink<v1::UploadImagesRequest, v1::UploadImagesResponse>> UploadImages(const Deps& deps,
                                                                                            const Call& call);

// Model, variant and server.
absl::Status ListVariants(const Deps& deps, const Call& call, const v1::ListVariantsRequest& request,
                          v1::ListVariantsResponse* response);
absl::Status GetVariant(const Deps& deps, const Call& call, const v1::GetVariantRequest& request,
                        v1::Variant* response);
absl::Status ListTrunks(const Deps& deps, const Call& call, const v1::ListTrunksRequest& request,
                        v1::ListTrunksResponse* response);
absl::Status GetTrunk(const Deps& deps, const Call& call, const v1::GetTrunkRequest& request, v1::Trunk* response);
absl::Status GetModel(const Deps& deps, const Call& call, const v1::GetModelRequest& request, v1::Model* response);
absl::Status ListModels(const Deps& deps, const Call& call, const v1::ListModelsRequest& request,
                        v1::ListModelsResponse* response);
absl::Status DeleteModel(const Deps& deps, const Call& call, const v1::DeleteModelRequest& request,
                         v1::DeleteModelResponse* response);
std::unique_ptr<StreamSink<v1::ImportTrunkRequest, v1::Trunk>> ImportTrunk(const Deps& deps, const Call& call);
std::unique_ptr<StreamSource<v1::DownloadModelResponse>> DownloadModel(const Deps& deps, const Call& call,
                                                                       const v1::DownloadModelRequest& request);
absl::Status CompareModels(const Deps& deps, const Call& call, const v1::CompareModelsRequest& request,
                           v1::CompareModelsResponse* response);
std::unique_ptr<StreamSource<v1::DownloadModelResponse>> ReportModel(const Deps& deps, const Call& call,
                                                                     const v1::ReportModelRequest& request);
absl::Status GetMistakes(const Deps& deps, const Call& call, const v1::GetMistakesRequest& request,
                         v1::GetMistakesResponse* response);
absl::Status GetStatus(const Deps& deps, const Call& call, const v1::GetStatusRequest& request,
                       v1::ServerStatus* response);

// Prediction: answers later, on another thread: it waits neither for a model nor for the network. `call` and `request`
// must live until `done` is called; work whose caller has gone isn't begun.
void Classify(const Deps& deps, const Call& call, const v1::ClassifyRequest& request,
              const std::function<void(absl::StatusOr<v1::ClassifyResponse>)>& done);
void ExtractFeatures(const Deps& deps, const Call& call, const v1::ExtractFeaturesRequest& request,
                     const std::function<void(absl::StatusOr<v1::ExtractFeaturesResponse>)>& done);
void Explain(const Deps& deps, const Call& call, const v1::ExplainRequest& request,
             const std::function<void(absl::StatusOr<v1::ExplainResponse>)>& done);

}  // namespace graft

#endif  // GRAFT_SERVER_HANDLERS_HANDLERS_H_
