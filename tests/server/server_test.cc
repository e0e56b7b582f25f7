// The whole server over real gRPC, with puppets for workers and networks.
#include "server/server.h"

#include <sys/stat.h>

#include <map>

#include "tests/testing/server_fixture.h"

namespace graft {
namespace {

using ::graft::testing::Context;
using ::graft::testing::PuppetEngine;
using ::graft::testing::PuppetExecutor;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

using ServerTest = testing::ServerFixture;

TEST_F(ServerTest, StatusTellsWhatIsMissing) {
  v1::ServerStatus status;
  ASSERT_TRUE(status_->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_THAT(status.hint(), HasSubstr("deploy/fetch-weights"));
  EXPECT_EQ(status.trunks_size(), 0);
  EXPECT_GT(status.resident_bytes(), 0);
  EXPECT_EQ(status.allowed_folders_size(), 1);
}

TEST_F(ServerTest, ASecondServerOnThePortOrTheFolderIsRefused) {
  ServerOptions same_port = options_;
  same_port.listen = "127.0.0.1:" + std::to_string(server_->port());
  same_port.data_dir = dir_ / "other";
  EXPECT_THAT(Server::Start(same_port, std::make_unique<PuppetEngine>(), std::make_unique<PuppetExecutor>()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("taken")));
  EXPECT_THAT(Server::Start(options_, std::make_unique<PuppetEngine>(), std::make_unique<PuppetExecutor>()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another graftd")));
  v1::ServerStatus status;
  EXPECT_TRUE(status_->GetStatus(Context().get(), {}, &status).ok());
}

// Like the real one, it sees its workers end before it goes itself; tells how many it had been asked to stop by then.
class WatchedExecutor : public PuppetExecutor {
 public:
  WatchedExecutor(size_t* starts, size_t* stops) : starts_(starts), stops_(stops) {}
  ~WatchedExecutor() override {
    *starts_ = launches().size();
    *stops_ = stops().size();
    for (const WorkerLaunch& launch : launches()) {
      Exit(launch.job_id, launch.attempt, absl::OkStatus());
    }
  }

 private:
  size_t* const starts_;
  size_t* const stops_;
};

TEST_F(ServerTest, APortFileThatCannotBeWrittenEndsTheServerInOrder) {
  v1::Job waiting;
  ASSERT_TRUE(Submit(Split("waiting"), &waiting).ok());  // the next server starts it, when it gets to
  server_.reset();
  ServerOptions options = options_;
  options.port_file = dir_ / "no/such/folder/port";
  size_t starts = 0;
  size_t stops = 0;
  EXPECT_THAT(
      Server::Start(options, std::make_unique<PuppetEngine>(), std::make_unique<WatchedExecutor>(&starts, &stops)),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("no/such/folder")));
  EXPECT_EQ(stops, starts);  // nobody is left behind
  StartServer();
  v1::GetJobRequest request;
  request.set_id(waiting.id());
  v1::Job job;
  EXPECT_TRUE(jobs_->GetJob(Context().get(), request, &job).ok());
}

TEST_F(ServerTest, TheDataFolderIsTheUsersOwn) {
  std::filesystem::permissions(dir_ / "data", std::filesystem::perms::all);
  StartServer();
  struct stat info {};
  ASSERT_EQ(stat((dir_ / "data").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
}

TEST_F(ServerTest, TheWorkersSocketIsTheUsersOwn) {
  struct stat info {};
  ASSERT_EQ(stat((dir_ / "data/worker.sock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
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

TEST_F(ServerTest, UploadsLandBelowTheDataFolderAndBadPathsLeaveNothing) {
  v1::UploadImagesResponse response;
  ASSERT_TRUE(Upload({{"cat/1.jpg", "one"}, {"dog/ü 2.jpg", "three"}}, &response).ok());
  EXPECT_EQ(response.files(), 2);
  EXPECT_EQ(response.bytes(), 8);
  const std::filesystem::path uploads = dir_ / "data/uploads";
  EXPECT_EQ(testing::ReadText(uploads / response.upload_id() / "cat/1.jpg"), "one");
  EXPECT_EQ(testing::ReadText(uploads / response.upload_id() / "dog/ü 2.jpg"), "three");
  for (const char* path : {"../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/", "a\\b", "a\nb"}) {
    const grpc::Status status = Upload({{"good.jpg", "x"}, {path, "y"}}, &response);
    EXPECT_EQ(Code(status), grpc::StatusCode::INVALID_ARGUMENT) << path;
  }
  EXPECT_EQ(Code(Upload({{"a", "x"}, {"a", "y"}}, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Code(Upload({{"", "x"}}, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Code(Upload({}, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  server_.reset();  // every stream is over now
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(uploads), std::filesystem::directory_iterator()), 1);
}

using PredictionTest = ServerTest;

TEST_F(PredictionTest, ClassifyAnswersWithTheNewestVersionAndTopK) {
  AddModel(1);
  AddModel(2);
  v1::ClassifyResponse response;
  ASSERT_TRUE(predictions_->Classify(Context().get(), ClassifyRequest("cat.0.jpg"), &response).ok());
  EXPECT_EQ(response.version(), 2);
  ASSERT_EQ(response.predictions_size(), 2);
  EXPECT_GE(response.predictions(0).probability(), response.predictions(1).probability());
  EXPECT_NEAR(response.predictions(0).probability() + response.predictions(1).probability(), 1, 1e-6);
  v1::ClassifyRequest request = ClassifyRequest("cat.0.jpg");
  request.mutable_model()->set_version(1);
  request.set_top_k(1);
  ASSERT_TRUE(predictions_->Classify(Context().get(), request, &response).ok());
  EXPECT_EQ(response.version(), 1);
  EXPECT_EQ(response.predictions_size(), 1);
  request.mutable_model()->set_version(9);
  EXPECT_EQ(Code(predictions_->Classify(Context().get(), request, &response)), grpc::StatusCode::NOT_FOUND);
  request.mutable_model()->clear_version();
  request.set_top_k(-1);
  EXPECT_EQ(Code(predictions_->Classify(Context().get(), request, &response)), grpc::StatusCode::INVALID_ARGUMENT);
  request.set_top_k(0);
  request.set_image("not an image");
  const grpc::Status status = predictions_->Classify(Context().get(), request, &response);
  EXPECT_EQ(Code(status), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("JPEG"));
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
  ASSERT_TRUE(predictions_->Classify(Context().get(), ClassifyRequest("cat.0.jpg"), &response).ok());
  EXPECT_EQ(response.version(), 1);
  remove.mutable_model()->clear_version();
  remove.set_all_versions(true);
  ASSERT_TRUE(models_->DeleteModel(Context().get(), remove, &removed).ok());
  EXPECT_EQ(Code(predictions_->Classify(Context().get(), ClassifyRequest("cat.0.jpg"), &response)),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Code(models_->DeleteModel(Context().get(), remove, &removed)), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace graft
