#include "tests/testing/server_fixture.h"

#include <chrono>

#include "jobs/job.h"

namespace graft::testing {

std::unique_ptr<grpc::ClientContext> Context() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  return context;
}

std::shared_ptr<grpc::Channel> NewChannel(int port) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments);
}

ServerFixture::ServerFixture() : options_(DefaultOptions(dir_)) { StartServer(); }

ServerOptions ServerFixture::DefaultOptions(const TempDir& dir) {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.data_dir = dir / "data";
  options.weights_dir = dir / "weights";
  options.worker_program = "graft-worker";
  options.allow_dirs = {std::filesystem::path(GRAFT_SOURCE_DIR) / "samples"};
  EXPECT_THAT(options.Resolve(), IsOk());
  return options;
}

void ServerFixture::StartServer() {
  server_ = nullptr;
  auto executor = std::make_unique<PuppetExecutor>();
  executor_ = executor.get();
  auto engine = std::make_unique<PuppetEngine>();
  engine_ = engine.get();
  auto server = Server::Start(options_, std::move(engine), std::move(executor));
  ASSERT_THAT(server, IsOk());
  server_ = *std::move(server);
  const auto channel = NewChannel(server_->port());
  jobs_ = v1::JobService::NewStub(channel);
  datasets_ = v1::DatasetService::NewStub(channel);
  models_ = v1::ModelService::NewStub(channel);
  predictions_ = v1::PredictionService::NewStub(channel);
  status_ = v1::ServerService::NewStub(channel);
  workers_ = v1::WorkerService::NewStub(
      grpc::CreateChannel("unix:" + (dir_ / "data/worker.sock").string(), grpc::InsecureChannelCredentials()));
}

v1::JobSpec ServerFixture::Split(const std::string& name) {
  v1::JobSpec spec;
  v1::SplitSpec* split = spec.mutable_split();
  split->set_dataset(name);
  split->set_folder((std::filesystem::path(GRAFT_SOURCE_DIR) / "samples").string());
  split->mutable_counts()->set_train(2);
  split->mutable_counts()->set_validation(1);
  split->mutable_counts()->set_test(1);
  return spec;
}

grpc::Status ServerFixture::Submit(const v1::JobSpec& spec, v1::Job* job, const std::string& request_id) {
  v1::SubmitJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id);
  return jobs_->SubmitJob(Context().get(), request, job);
}

void ServerFixture::ReportEpoch(const std::string& job, int epoch) {
  EpochMetrics metrics;
  metrics.epoch = epoch;
  Report(job, epoch, metrics);
}

void ServerFixture::Report(const std::string& job, int sequence, const JobEventBody& event) {
  v1::ReportRequest request;
  request.set_job_id(job);
  request.set_attempt(1);
  request.set_first_sequence(sequence);
  for (const WorkerLaunch& launch : executor_->launches()) {
    if (launch.job_id == job) {
      request.set_incarnation(launch.incarnation);
    }
  }
  request.add_events(DocumentText(ToJson(event)));
  v1::ReportResponse response;
  ASSERT_TRUE(workers_->Report(Context().get(), request, &response).ok());
  EXPECT_EQ(response.acknowledged(), sequence);
}

void ServerFixture::AddModel(int version) {
  ModelDescription model;
  model.name = "pets";
  model.version = version;
  model.variant = "basic_cnn";
  model.labels = {"cat", "dog"};
  const std::filesystem::path folder = dir_ / ("data/models/pets/" + std::to_string(version));
  std::filesystem::create_directories(folder);
  ASSERT_THAT(SaveModel(model, folder), IsOk());
  WriteText(folder / "learning_curves.png", std::string(600'000, 'p'));
}

v1::ClassifyRequest ServerFixture::ClassifyRequest(const std::string& sample) {
  v1::ClassifyRequest request;
  request.mutable_model()->set_name("pets");
  request.set_image(ReadText(Sample(sample)));
  return request;
}

grpc::Status ServerFixture::GetStatus() {
  v1::ServerStatus status;
  return status_->GetStatus(Context().get(), {}, &status);
}

grpc::Status ServerFixture::Upload(const std::vector<std::pair<std::string, std::string>>& files,
                                   v1::UploadImagesResponse* response) {
  const auto context = Context();
  auto stream = datasets_->UploadImages(context.get(), response);
  for (const auto& [path, content] : files) {
    v1::UploadImagesRequest request;
    if (!path.empty()) {
      request.set_path(path);
      stream->Write(request);
    }
    request.set_chunk(content);
    stream->Write(request);
  }
  stream->WritesDone();
  return stream->Finish();
}

}  // namespace graft::testing
