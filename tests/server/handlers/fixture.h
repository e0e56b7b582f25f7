// What handlers work with, without a channel: a data folder, jobs whose workers are puppets, an engine without
// networks.
#ifndef GRAFT_TESTS_SERVER_HANDLERS_FIXTURE_H_
#define GRAFT_TESTS_SERVER_HANDLERS_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include "server/handlers/handlers.h"
#include "server/jobs/hooks.h"
#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft::testing {

class HandlersTest : public ::testing::Test {
 protected:
  HandlersTest() : root_(std::filesystem::canonical(dir_.path())) {
    std::filesystem::create_directories(root_ / "pictures/pets");
    options_.data_dir = root_ / "data";
    options_.weights_dir = root_ / "weights";
    options_.allow_dirs = {root_ / "pictures"};
    options_.threads = 2;
    data_ = DataFolder::Open({options_.data_dir}).value();
    JobManagerOptions jobs;
    jobs.data = data_.get();
    jobs.threads = false;
    jobs.now_ms = [this] { return now_ms_ += 10; };
    jobs.steady = [this] { return absl::Milliseconds(now_ms_ += 10); };
    jobs_ = JobManager::Open(jobs, &executor_, HooksOf(data_.get())).value();
    jobs_->Start();
    models_ = std::make_unique<ModelCache>(&engine_, [](const auto&...) -> absl::StatusOr<ModelCache::Located> {
      return absl::UnimplementedError("no test of these loads a model");
    });
    deps_.options = &options_;
    deps_.data = data_.get();
    deps_.jobs = jobs_.get();
    deps_.engine = &engine_;
    deps_.models = models_.get();
    deps_.start_time_ms = 1'790'000'000'000;
  }
  ~HandlersTest() override { jobs_->Shutdown(); }

  void AddDataset(const std::string& name) {
    DatasetInfo info;
    info.name = name;
    info.recipe.source = "upload";
    info.classes = {{"cat", 1, 1, 1}, {"dog", 1, 1, 1}};
    info.skipped = {{"a.txt", "isn't an image"}};
    info.skipped_total = 1;
    info.size_bytes = 6;
    std::filesystem::create_directories(data_->Dataset(name));
    ASSERT_THAT(SaveDatasetInfo(info, data_->Dataset(name)), IsOk());
  }
  void AddModel(const std::string& name, int version, const std::string& variant = "basic_cnn") {
    ModelDescription model;
    model.name = name;
    model.version = version;
    model.variant = variant;
    model.labels = {"cat", "dog"};
    model.dataset = "pets";
    model.history.resize(3);
    std::filesystem::create_directories(data_->Model(name, version));
    ASSERT_THAT(SaveModel(model, data_->Model(name, version)), IsOk());
  }

  v1::JobSpec Split(const std::string& dataset) {
    v1::JobSpec spec;
    spec.mutable_split()->set_dataset(dataset);
    spec.mutable_split()->set_folder((root_ / "pictures/pets").string());
    spec.mutable_split()->mutable_counts()->set_train(1);
    spec.mutable_split()->mutable_counts()->set_validation(1);
    return spec;
  }
  static v1::JobSpec Train(const std::string& model, const std::string& dataset) {
    v1::JobSpec spec;
    spec.mutable_train()->set_model(model);
    spec.mutable_train()->set_dataset(dataset);
    spec.mutable_train()->set_variant("basic_cnn");
    return spec;
  }
  absl::StatusOr<v1::Job> Submit(const v1::JobSpec& spec, const std::string& request_id = "",
                                 bool validate_only = false) {
    v1::SubmitJobRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    v1::Job job;
    absl::Status status = SubmitJob(deps_, call_, request, &job);
    return status.ok() ? absl::StatusOr<v1::Job>(job) : status;
  }

  // Every message that a source has by now.
  template <typename Response>
  absl::StatusOr<std::vector<Response>> ReadAll(StreamSource<Response>* source) {
    std::vector<Response> messages;
    for (;;) {
      Response message;
      absl::StatusOr<typename StreamSource<Response>::State> state = source->Next([] {}, &message);
      if (!state.ok()) {
        return state.status();
      }
      if (*state != StreamSource<Response>::State::kItem) {
        return messages;
      }
      messages.push_back(std::move(message));
    }
  }

  const TempDir dir_;
  const std::filesystem::path root_;
  int64_t now_ms_ = 1'790'000'000'000;
  ServerOptions options_;
  PuppetExecutor executor_;
  PuppetEngine engine_;
  std::unique_ptr<DataFolder> data_;
  std::unique_ptr<JobManager> jobs_;
  std::unique_ptr<ModelCache> models_;
  Deps deps_;
  const Call call_;
};

}  // namespace graft::testing

#endif  // GRAFT_TESTS_SERVER_HANDLERS_FIXTURE_H_
