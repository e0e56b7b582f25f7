// The whole server over real gRPC, with puppets for workers and networks.
#include "server/server.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>

#include "graft/v1/datasets.grpc.pb.h"
#include "graft/v1/jobs.grpc.pb.h"
#include "graft/v1/models.grpc.pb.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "graft/v1/server.grpc.pb.h"
#include "graft/v1/worker.grpc.pb.h"
#include "server/catalog.h"
#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::PuppetEngine;
using ::graft::testing::PuppetExecutor;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

constexpr auto kDeadline = std::chrono::seconds(60);

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() { StartServer(); }

  ServerOptions Options() {
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.data_dir = dir_ / "data";
    options.weights_dir = dir_ / "weights";
    options.worker_program = "graft-worker";
    options.allow_dirs = {std::filesystem::path(GRAFT_SOURCE_DIR) / "samples"};
    EXPECT_THAT(options.Resolve(), IsOk());
    return options;
  }

  void StartServer() {
    auto executor = std::make_unique<PuppetExecutor>();
    executor_ = executor.get();
    auto server = Server::Start(Options(), std::make_unique<PuppetEngine>(), std::move(executor));
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    const auto channel =
        grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials());
    jobs_ = v1::JobService::NewStub(channel);
    datasets_ = v1::DatasetService::NewStub(channel);
    models_ = v1::ModelService::NewStub(channel);
    predictions_ = v1::PredictionService::NewStub(channel);
    status_ = v1::ServerService::NewStub(channel);
    workers_ = v1::WorkerService::NewStub(
        grpc::CreateChannel("unix:" + (dir_ / "data/worker.sock").string(), grpc::InsecureChannelCredentials()));
  }

  // A context with a deadline, so that a hanging server fails the test.
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + kDeadline);
    return context;
  }

  static v1::JobSpec Split(const std::string& name) {
    v1::JobSpec spec;
    v1::SplitSpec* split = spec.mutable_split();
    split->set_dataset(name);
    split->set_folder((std::filesystem::path(GRAFT_SOURCE_DIR) / "samples").string());
    split->mutable_counts()->set_train(2);
    split->mutable_counts()->set_validation(1);
    split->mutable_counts()->set_test(1);
    return spec;
  }
  grpc::Status Submit(const v1::JobSpec& spec, v1::Job* job, const std::string& request_id = "") {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    return jobs_->SubmitJob(Context().get(), request, job);
  }
  void ReportEpoch(const std::string& job, int epoch) {
    v1::ReportRequest request;
    request.set_job_id(job);
    request.set_attempt(1);
    request.set_first_sequence(epoch);
    request.add_events()->mutable_epoch()->set_epoch(epoch);
    v1::ReportResponse response;
    ASSERT_TRUE(workers_->Report(Context().get(), request, &response).ok());
    EXPECT_EQ(response.acknowledged(), epoch);
  }
  static grpc::StatusCode Code(const grpc::Status& status) { return status.error_code(); }

  const testing::TempDir dir_;
  PuppetExecutor* executor_ = nullptr;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::DatasetService::Stub> datasets_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::PredictionService::Stub> predictions_;
  std::unique_ptr<v1::ServerService::Stub> status_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
};

TEST_F(ServerTest, StatusTellsWhatIsMissing) {
  v1::ServerStatus status;
  ASSERT_TRUE(status_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_THAT(status.hint(), HasSubstr("deploy/fetch-weights"));
  EXPECT_EQ(status.trunks_size(), 0);
  EXPECT_GT(status.resident_bytes(), 0);
  EXPECT_EQ(status.allowed_folders_size(), 1);
}

TEST_F(ServerTest, ASecondServerOnThePortOrTheFolderIsRefused) {
  ServerOptions same_port = Options();
  same_port.listen = "127.0.0.1:" + std::to_string(server_->port());
  same_port.data_dir = dir_ / "other";
  EXPECT_THAT(Server::Start(same_port, std::make_unique<PuppetEngine>(), std::make_unique<PuppetExecutor>()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("taken")));
  EXPECT_THAT(Server::Start(Options(), std::make_unique<PuppetEngine>(), std::make_unique<PuppetExecutor>()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another graftd")));
  v1::ServerStatus status;
  EXPECT_TRUE(status_->GetStatus(Context().get(), {}, &status).ok());
}

// Like the real one, it sees its workers end before it goes itself; tells how many it had been asked to stop by then.
class WatchedExecutor : public PuppetExecutor {
 public:
  explicit WatchedExecutor(size_t* stops) : stops_(stops) {}
  ~WatchedExecutor() override {
    *stops_ = stops().size();
    for (const WorkerLaunch& launch : launches()) {
      Exit(launch.job_id, launch.attempt, absl::OkStatus());
    }
  }

 private:
  size_t* const stops_;
};

TEST_F(ServerTest, APortFileThatCannotBeWrittenEndsTheServerInOrder) {
  v1::Job waiting;
  ASSERT_TRUE(Submit(Split("waiting"), &waiting).ok());  // the next server starts it at once
  server_.reset();
  ServerOptions options = Options();
  options.port_file = dir_ / "no/such/folder/port";
  size_t stops = 0;
  EXPECT_THAT(Server::Start(options, std::make_unique<PuppetEngine>(), std::make_unique<WatchedExecutor>(&stops)),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/folder")));
  EXPECT_EQ(stops, 1U);
  StartServer();
  v1::GetJobRequest request;
  request.set_id(waiting.id());
  v1::Job job;
  EXPECT_TRUE(jobs_->GetJob(Context().get(), request, &job).ok());
}

TEST_F(ServerTest, TheWorkersSocketIsTheUsersOwn) {
  struct stat info {};
  ASSERT_EQ(stat((dir_ / "data/worker.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(ServerTest, WatchReplaysThenFollowsAndResumesWithoutAGap) {
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  v1::WatchJobRequest request;
  request.set_id(job.id());
  auto context = Context();
  auto stream = jobs_->WatchJob(context.get(), request);
  v1::JobEvent event;
  for (int64_t sequence = 1; sequence <= 2; ++sequence) {
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.sequence(), sequence);
  }
  for (int epoch = 1; epoch <= 100; ++epoch) {
    ReportEpoch(job.id(), epoch);
    ASSERT_TRUE(stream->Read(&event));
    EXPECT_EQ(event.sequence(), epoch + 2);
    EXPECT_EQ(event.epoch().epoch(), epoch);
  }
  context->TryCancel();
  EXPECT_EQ(Code(stream->Finish()), grpc::StatusCode::CANCELLED);

  // From the middle; and the stream ends after the terminal event.
  request.set_after_sequence(90);
  auto again = Context();
  stream = jobs_->WatchJob(again.get(), request);
  v1::Job cancelled;
  v1::CancelJobRequest cancel;
  cancel.set_id(job.id());
  ASSERT_TRUE(jobs_->CancelJob(Context().get(), cancel, &cancelled).ok());
  executor_->Exit(job.id(), 1, absl::OkStatus());
  int64_t expected = 91;
  while (stream->Read(&event)) {
    EXPECT_EQ(event.sequence(), expected++);
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(event.state().state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(expected, 105);

  request.set_after_sequence(1000);
  auto beyond = Context();
  stream = jobs_->WatchJob(beyond.get(), request);
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_EQ(Code(stream->Finish()), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(ServerTest, ManyWatchersThatComeAndGoSeeEverything) {
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  std::atomic<int> wrong{0};
  std::vector<std::thread> watchers;
  for (int w = 0; w < 8; ++w) {
    watchers.emplace_back([&, w] {
      int64_t seen = 0;
      bool ended = false;
      for (int turn = 0; !ended; ++turn) {
        auto context = Context();
        v1::WatchJobRequest request;
        request.set_id(job.id());
        request.set_after_sequence(seen);
        auto stream = jobs_->WatchJob(context.get(), request);
        v1::JobEvent event;
        int read = 0;
        while (stream->Read(&event)) {
          wrong += event.sequence() != seen + 1;
          seen = event.sequence();
          if (++read == 5 + w && turn < 6) {
            context->TryCancel();  // and comes back
          }
        }
        ended = stream->Finish().ok();
        if (!ended && context->debug_error_string().empty() && turn > 100) {
          ++wrong;
          break;
        }
      }
      wrong += seen != 203;
    });
  }
  for (int epoch = 1; epoch <= 200; ++epoch) {
    ReportEpoch(job.id(), epoch);
  }
  executor_->Exit(job.id(), 1, absl::AbortedError("killed"));
  for (std::thread& watcher : watchers) {
    watcher.join();
  }
  EXPECT_EQ(wrong, 0);
}

TEST_F(ServerTest, ShutdownEndsWatchersWithAWayBackAndTheJobComesBackToo) {
  v1::Job job;
  ASSERT_TRUE(Submit(Split("pets"), &job).ok());
  auto context = Context();
  v1::WatchJobRequest request;
  request.set_id(job.id());
  auto stream = jobs_->WatchJob(context.get(), request);
  v1::JobEvent event;
  ASSERT_TRUE(stream->Read(&event));
  ASSERT_TRUE(stream->Read(&event));
  std::thread shutdown([this] { server_->Shutdown(absl::Seconds(30)); });
  while (stream->Read(&event)) {
  }
  const grpc::Status status = stream->Finish();
  shutdown.join();
  EXPECT_EQ(Code(status), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("after_sequence"));
  server_.reset();
  StartServer();
  v1::GetJobRequest get;
  get.set_id(job.id());
  ASSERT_TRUE(jobs_->GetJob(Context().get(), get, &job).ok());
  EXPECT_EQ(job.state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(job.attempt(), 2);
}

TEST_F(ServerTest, SubmitIsCheckedFieldByField) {
  const auto expect = [&](const v1::JobSpec& spec, grpc::StatusCode code, const std::string& message) {
    v1::Job job;
    const grpc::Status status = Submit(spec, &job);
    EXPECT_EQ(Code(status), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(message));
  };
  using grpc::StatusCode;
  expect({}, StatusCode::INVALID_ARGUMENT, "spec");
  for (const char* name : {"", ".", "..", "a/b", "../x", "-x", "a b", "x\n", "\xff"}) {
    v1::JobSpec spec = Split("pets");
    if (std::string(name) == "\xff") {
      continue;  // the library refuses bad UTF-8 by itself
    }
    spec.mutable_split()->set_dataset(name);
    expect(spec, StatusCode::INVALID_ARGUMENT, "split.dataset");
  }
  v1::JobSpec spec = Split("pets");
  for (const auto& [folder, code] : {std::pair{"", StatusCode::INVALID_ARGUMENT},
                                     {"samples", StatusCode::INVALID_ARGUMENT},
                                     {"/etc", StatusCode::PERMISSION_DENIED},
                                     {"/no/such/folder", StatusCode::PERMISSION_DENIED}}) {
    spec.mutable_split()->set_folder(folder);
    expect(spec, code, "split.folder");
  }
  const std::string samples = (std::filesystem::path(GRAFT_SOURCE_DIR) / "samples").string();
  spec.mutable_split()->set_folder(samples + "/../tests");
  expect(spec, StatusCode::PERMISSION_DENIED, "split.folder");
  spec.mutable_split()->set_folder(samples + "/none");
  expect(spec, StatusCode::NOT_FOUND, "split.folder");
  spec.mutable_split()->set_upload_id("none");
  expect(spec, StatusCode::NOT_FOUND, "split.upload_id");
  spec = Split("pets");
  spec.mutable_split()->clear_counts();
  expect(spec, StatusCode::INVALID_ARGUMENT, "split.sizes");
  spec.mutable_split()->mutable_fractions()->set_train(0.9);
  spec.mutable_split()->mutable_fractions()->set_validation(0.2);
  expect(spec, StatusCode::INVALID_ARGUMENT, "fractions");

  v1::JobSpec train;
  train.mutable_train()->set_model("m");
  train.mutable_train()->set_variant("vgg99");
  expect(train, StatusCode::NOT_FOUND, "basic_cnn");
  train.mutable_train()->set_variant("basic_cnn");
  train.mutable_train()->set_dataset("nowhere");
  expect(train, StatusCode::NOT_FOUND, "nowhere");
  train.mutable_train()->mutable_options()->set_learning_rate(-1);
  expect(train, StatusCode::INVALID_ARGUMENT, "options.learning_rate: -1");
  v1::JobSpec evaluate;
  evaluate.mutable_evaluate()->mutable_model()->set_name("m");
  expect(evaluate, StatusCode::NOT_FOUND, "'m'");

  v1::ListJobsResponse list;
  ASSERT_TRUE(jobs_->ListJobs(Context().get(), {}, &list).ok());
  EXPECT_EQ(list.jobs_size(), 0);
}

TEST_F(ServerTest, ALinkOutOfAnAllowedFolderIsRefused) {
  ServerOptions options = Options();
  options.data_dir = dir_ / "linked";
  std::filesystem::create_directories(dir_ / "allowed");
  std::filesystem::create_directory_symlink("/etc", dir_ / "allowed/etc");
  EXPECT_THAT(
      CheckAllowedFolder("folder", (dir_ / "allowed/etc").string(), {std::filesystem::canonical(dir_ / "allowed")}),
      StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(CheckAllowedFolder("folder", (dir_ / "allowed").string(), {std::filesystem::canonical(dir_ / "allowed")}),
              IsOk());
  // A sibling whose name begins alike.
  std::filesystem::create_directories(dir_ / "allowed2");
  EXPECT_THAT(
      CheckAllowedFolder("folder", (dir_ / "allowed2").string(), {std::filesystem::canonical(dir_ / "allowed")}),
      StatusIs(absl::StatusCode::kPermissionDenied, _));
}

TEST_F(ServerTest, ValidateOnlyQueuesNothingAndRequestIdsAreKept) {
  v1::SubmitJobRequest request;
  *request.mutable_spec() = Split("pets");
  request.set_validate_only(true);
  v1::Job job;
  ASSERT_TRUE(jobs_->SubmitJob(Context().get(), request, &job).ok());
  EXPECT_EQ(job.id(), "");
  EXPECT_EQ(job.spec().split().label_rule(), v1::LABEL_RULE_FILENAME);
  ASSERT_TRUE(Submit(Split("pets"), &job, "r1").ok());
  v1::Job same;
  ASSERT_TRUE(Submit(Split("pets"), &same, "r1").ok());
  EXPECT_EQ(same.id(), job.id());
  EXPECT_EQ(Code(Submit(Split("other"), &same, "r1")), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Code(Submit(Split("pets"), &same, "r2")), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Code(Submit(Split("x"), &same, std::string(129, 'x'))), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServerTest, JobsArePaged) {
  for (int i = 0; i < 5; ++i) {
    v1::Job job;
    ASSERT_TRUE(Submit(Split("pets" + std::to_string(i)), &job).ok());
  }
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> ids;
  do {
    v1::ListJobsResponse page;
    ASSERT_TRUE(jobs_->ListJobs(Context().get(), request, &page).ok());
    for (const v1::Job& job : page.jobs()) {
      ids.push_back(job.id());
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(ids, ::testing::ElementsAre("job-5", "job-4", "job-3", "job-2", "job-1"));
  v1::ListJobsResponse page;
  request.set_page_token("nonsense");
  EXPECT_EQ(Code(jobs_->ListJobs(Context().get(), request, &page)), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_page_token("");
  request.set_page_size(-1);
  EXPECT_EQ(Code(jobs_->ListJobs(Context().get(), request, &page)), grpc::StatusCode::INVALID_ARGUMENT);
}

// Sends paths and contents; an empty path sends none.
grpc::Status Upload(v1::DatasetService::Stub* stub, const std::vector<std::pair<std::string, std::string>>& files,
                    v1::UploadImagesResponse* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  auto stream = stub->UploadImages(&context, response);
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

TEST_F(ServerTest, UploadsLandBelowTheDataFolderAndBadPathsLeaveNothing) {
  v1::UploadImagesResponse response;
  ASSERT_TRUE(Upload(datasets_.get(), {{"cat/1.jpg", "one"}, {"dog/ü 2.jpg", "three"}}, &response).ok());
  EXPECT_EQ(response.files(), 2);
  EXPECT_EQ(response.bytes(), 8);
  const std::filesystem::path uploads = dir_ / "data/uploads";
  EXPECT_EQ(testing::ReadText(uploads / response.upload_id() / "cat/1.jpg"), "one");
  EXPECT_EQ(testing::ReadText(uploads / response.upload_id() / "dog/ü 2.jpg"), "three");
  for (const char* path : {"../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/", "a\\b", "a\nb"}) {
    const grpc::Status status = Upload(datasets_.get(), {{"good.jpg", "x"}, {path, "y"}}, &response);
    EXPECT_EQ(Code(status), grpc::StatusCode::INVALID_ARGUMENT) << path;
  }
  EXPECT_EQ(Code(Upload(datasets_.get(), {{"a", "x"}, {"a", "y"}}, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Code(Upload(datasets_.get(), {{"", "x"}}, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Code(Upload(datasets_.get(), {}, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  server_.reset();  // every stream is over now
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(uploads), std::filesystem::directory_iterator()), 1);
}

class PredictionTest : public ServerTest {
 protected:
  // A model on the disk, as a job publishes it.
  void AddModel(int version) {
    ModelDescription model;
    model.name = "pets";
    model.version = version;
    model.variant = "basic_cnn";
    model.labels = {"cat", "dog"};
    const std::filesystem::path folder = dir_ / ("data/models/pets/" + std::to_string(version));
    std::filesystem::create_directories(folder);
    ASSERT_THAT(SaveModel(model, folder), IsOk());
    testing::WriteText(folder / "learning_curves.png", std::string(600'000, 'p'));
  }
  v1::ClassifyRequest Request(const std::string& sample) {
    v1::ClassifyRequest request;
    request.mutable_model()->set_name("pets");
    request.set_image(testing::ReadText(testing::Sample(sample)));
    return request;
  }
};

TEST_F(PredictionTest, ClassifyAnswersWithTheNewestVersionAndTopK) {
  AddModel(1);
  AddModel(2);
  v1::ClassifyResponse response;
  ASSERT_TRUE(predictions_->Classify(Context().get(), Request("cat.0.jpg"), &response).ok());
  EXPECT_EQ(response.version(), 2);
  ASSERT_EQ(response.predictions_size(), 2);
  EXPECT_GE(response.predictions(0).probability(), response.predictions(1).probability());
  EXPECT_NEAR(response.predictions(0).probability() + response.predictions(1).probability(), 1, 1e-6);
  v1::ClassifyRequest request = Request("cat.0.jpg");
  request.mutable_model()->set_version(1);
  request.set_top_k(1);
  ASSERT_TRUE(predictions_->Classify(Context().get(), request, &response).ok());
  EXPECT_EQ(response.version(), 1);
  EXPECT_EQ(response.predictions_size(), 1);
  request.mutable_model()->set_version(9);
  EXPECT_EQ(Code(predictions_->Classify(Context().get(), request, &response)), grpc::StatusCode::NOT_FOUND);
  request.mutable_model()->set_version(0);
  request.set_top_k(-1);
  EXPECT_EQ(Code(predictions_->Classify(Context().get(), request, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_top_k(0);
  request.set_image("not an image");
  const grpc::Status status = predictions_->Classify(Context().get(), request, &response);
  EXPECT_EQ(Code(status), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("JPEG"));
}

TEST_F(PredictionTest, AStreamAnswersEachInOrderAndABadOneDoesNotEndIt) {
  AddModel(1);
  auto context = Context();
  auto stream = predictions_->ClassifyStream(context.get());
  constexpr int kCount = 200;
  std::thread writer([&] {
    for (int i = 0; i < kCount; ++i) {
      v1::ClassifyRequest request = Request("dog." + std::to_string(i % 20) + ".jpg");
      if (i % 10 == 3) {
        request.set_image("GIF89a");
      }
      stream->Write(request);
    }
    stream->WritesDone();
  });
  v1::ClassifyStreamResponse response;
  int count = 0;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.index(), count);
    EXPECT_EQ(response.has_error(), count % 10 == 3) << count;
    ++count;
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(count, kCount);
}

TEST_F(PredictionTest, CallersThatLeaveEarlyHarmNobody) {
  AddModel(1);
  for (int i = 0; i < 30; ++i) {
    auto context = Context();
    auto stream = predictions_->ClassifyStream(context.get());
    for (int n = 0; n < i % 7; ++n) {
      stream->Write(Request("cat.1.jpg"));
    }
    context->TryCancel();
    EXPECT_EQ(Code(stream->Finish()), grpc::StatusCode::CANCELLED);
  }
  v1::ClassifyResponse response;
  EXPECT_TRUE(predictions_->Classify(Context().get(), Request("cat.0.jpg"), &response).ok());
}

TEST_F(PredictionTest, FeaturesArePooledOnRequest) {
  v1::ExtractFeaturesRequest request;
  request.set_trunk("vgg16");
  request.set_image(testing::ReadText(testing::Sample("cat.0.jpg")));
  v1::ExtractFeaturesResponse response;
  ASSERT_TRUE(predictions_->ExtractFeatures(Context().get(), request, &response).ok());
  EXPECT_THAT(response.shape(), ::testing::ElementsAre(2, 2, 3));
  EXPECT_EQ(response.values_size(), 12);
  EXPECT_EQ(response.preprocessing(), v1::PREPROCESSING_CAFFE);
  request.set_pooling(v1::POOLING_AVERAGE);
  ASSERT_TRUE(predictions_->ExtractFeatures(Context().get(), request, &response).ok());
  EXPECT_THAT(response.shape(), ::testing::ElementsAre(3));
  EXPECT_EQ(response.values_size(), 3);
  request.set_image_size(20);
  EXPECT_EQ(Code(predictions_->ExtractFeatures(Context().get(), request, &response)),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_image_size(0);
  request.set_trunk("resnet");
  EXPECT_EQ(Code(predictions_->ExtractFeatures(Context().get(), request, &response)), grpc::StatusCode::NOT_FOUND);
  AddModel(1);
  request.mutable_model()->set_name("pets");
  const grpc::Status status = predictions_->ExtractFeatures(Context().get(), request, &response);
  EXPECT_EQ(Code(status), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("no trunk"));
}

TEST_F(PredictionTest, ModelsAreListedShownDownloadedAndDeleted) {
  AddModel(1);
  AddModel(2);
  v1::ListModelsResponse list;
  ASSERT_TRUE(models_->ListModels(Context().get(), {}, &list).ok());
  ASSERT_EQ(list.models_size(), 2);
  EXPECT_EQ(list.models(0).version(), 2);
  v1::GetModelRequest get;
  get.mutable_model()->set_name("pets");
  v1::Model model;
  ASSERT_TRUE(models_->GetModel(Context().get(), get, &model).ok());
  EXPECT_EQ(model.parameters(), 19'024'513);
  EXPECT_THAT(model.pictures(), ::testing::ElementsAre("learning_curves.png"));

  v1::DownloadModelRequest download;
  download.mutable_model()->set_name("pets");
  auto context = Context();
  auto stream = models_->DownloadModel(context.get(), download);
  v1::DownloadModelResponse piece;
  std::map<std::string, std::string> files;
  std::string current;
  while (stream->Read(&piece)) {
    if (piece.has_path()) {
      current = piece.path();
      files[current];
    } else {
      files[current] += piece.chunk();
    }
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(files.size(), 2U);
  EXPECT_EQ(files["learning_curves.png"], std::string(600'000, 'p'));
  EXPECT_EQ(files["model.json"], testing::ReadText(dir_ / "data/models/pets/2/model.json"));

  v1::DeleteModelRequest remove;
  remove.mutable_model()->set_name("pets");
  remove.mutable_model()->set_version(2);
  v1::DeleteModelResponse removed;
  ASSERT_TRUE(models_->DeleteModel(Context().get(), remove, &removed).ok());
  EXPECT_EQ(removed.deleted(), 1);
  v1::ClassifyResponse response;
  ASSERT_TRUE(predictions_->Classify(Context().get(), Request("cat.0.jpg"), &response).ok());
  EXPECT_EQ(response.version(), 1);
  remove.mutable_model()->clear_version();
  remove.set_all_versions(true);
  ASSERT_TRUE(models_->DeleteModel(Context().get(), remove, &removed).ok());
  EXPECT_EQ(Code(predictions_->Classify(Context().get(), Request("cat.0.jpg"), &response)),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Code(models_->DeleteModel(Context().get(), remove, &removed)), grpc::StatusCode::NOT_FOUND);
}

TEST(ServerOptionsTest, OnlyLoopbackAndSaneNumbers) {
  const auto check = [](const std::function<void(ServerOptions*)>& change) {
    ServerOptions options;
    options.data_dir = "data";
    change(&options);
    return options.Resolve();
  };
  EXPECT_THAT(check([](ServerOptions*) {}), IsOk());
  EXPECT_THAT(check([](ServerOptions* o) { o->listen = "[::1]:0"; }), IsOk());
  for (const char* address : {"0.0.0.0:7077", "192.0.2.1:1", "[::]:1", "example.org:1"}) {
    EXPECT_THAT(check([&](ServerOptions* o) { o->listen = address; }),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("loopback")));
  }
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_THAT(check([&](ServerOptions* o) { o->listen = address; }),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--listen")));
  }
  EXPECT_THAT(check([](ServerOptions* o) { o->max_running_jobs = 0; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--max-running-jobs")));
  EXPECT_THAT(check([](ServerOptions* o) { o->allow_dirs = {"/no/such"}; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--allow-dir")));
  EXPECT_THAT(check([](ServerOptions* o) { o->data_dir = ""; }),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--data-dir")));
}

}  // namespace
}  // namespace graft
