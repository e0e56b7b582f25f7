// A small server that answers by script, and commands run against it.
#ifndef GRAFT_TESTS_CLIENT_FAKE_SERVER_H_
#define GRAFT_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/cli.h"
#include "graft/v1/datasets.grpc.pb.h"
#include "graft/v1/jobs.grpc.pb.h"
#include "graft/v1/models.grpc.pb.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "tests/testing/files.h"

namespace graft::testing {

inline v1::JobEvent Event(int64_t sequence) {
  v1::JobEvent event;
  event.set_job_id("job-1");
  event.set_sequence(sequence);
  event.set_attempt(1);
  return event;
}
inline v1::JobEvent StateEvent(int64_t sequence, v1::JobState state) {
  v1::JobEvent event = Event(sequence);
  event.mutable_state()->set_state(state);
  return event;
}
inline v1::JobEvent EpochEvent(int64_t sequence, int epoch) {
  v1::JobEvent event = Event(sequence);
  event.mutable_epoch()->set_epoch(epoch);
  event.mutable_epoch()->set_validation_accuracy(0.5);
  return event;
}

// Answers by script.
class FakeServer : public v1::JobService::Service,
                   public v1::PredictionService::Service,
                   public v1::ModelService::Service {
 public:
  FakeServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<v1::JobService::Service*>(this));
    builder.RegisterService(static_cast<v1::PredictionService::Service*>(this));
    builder.RegisterService(static_cast<v1::ModelService::Service*>(this));
    builder.RegisterService(&datasets);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(); }

  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* request, v1::Job* job) override {
    const std::lock_guard lock(mutex);
    submits.push_back(*request);
    if (submits.size() <= unavailable_submits) {
      return {grpc::StatusCode::UNAVAILABLE, "starting"};
    }
    job->set_id("job-1");
    job->set_state(v1::JOB_STATE_QUEUED);
    *job->mutable_spec() = request->spec();
    return grpc::Status::OK;
  }
  // The first stream breaks after three events.
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override {
    std::unique_lock lock(mutex);
    watches.push_back(request->after_sequence());
    if (hang) {
      lock.unlock();
      // Ctrl-C while nothing happens: the handler waits until the client has given up.
      writer->Write(StateEvent(1, v1::JOB_STATE_RUNNING));
      if (interrupts) {
        kill(getpid(), SIGINT);
      }
      client_left.WaitForNotification();
      return grpc::Status::CANCELLED;
    }
    const std::vector<v1::JobEvent> log = {StateEvent(1, v1::JOB_STATE_QUEUED), StateEvent(2, v1::JOB_STATE_RUNNING),
                                           EpochEvent(3, 1), EpochEvent(4, 2), EndEvent()};
    for (const v1::JobEvent& event : log) {
      if (premature_ends > 0 && event.sequence() == 5) {
        break;
      }
      if (event.sequence() > request->after_sequence() - repeated) {
        writer->Write(event);
      }
      if (breaks && watches.size() == 1 && event.sequence() == 3) {
        return {grpc::StatusCode::UNAVAILABLE, "going down"};
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    const std::lock_guard lock(mutex);
    job->set_id(request->id());
    job->set_state(end_state);
    job->mutable_create_time()->set_seconds(1'799'999'000);
    job->set_last_sequence(last_sequence);
    if (trains) {
      *job->mutable_spec()->mutable_train() = TrainOfPets();
    } else {
      *job->mutable_spec()->mutable_evaluate() = EvaluateOfAlias();
    }
    if (premature_ends > 0) {
      --premature_ends;
      job->set_state(v1::JOB_STATE_RUNNING);
      return grpc::Status::OK;
    }
    job->mutable_end_time()->set_seconds(1'800'000'000);
    return grpc::Status::OK;
  }
  // Call by call up to the epochs of curve_epochs, the last of them again and again; 0: there is nothing to draw.
  grpc::Status GetLearningCurves(grpc::ServerContext*, const v1::GetLearningCurvesRequest* request,
                                 v1::GetLearningCurvesResponse* response) override {
    const std::lock_guard lock(mutex);
    const int epoch = curve_epochs[std::min(curves++, curve_epochs.size() - 1)];
    if (epoch == 0) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "no epoch of " + request->id() + " has ended"};
    }
    response->set_png("curves to " + std::to_string(epoch));
    response->set_epoch(epoch);
    return grpc::Status::OK;
  }
  static v1::TrainSpec TrainOfPets() {
    v1::TrainSpec spec;
    spec.set_model("m");
    spec.set_dataset("pets");
    spec.set_variant("basic_cnn");
    spec.mutable_options()->set_epochs(2);
    return spec;
  }
  static v1::EvaluateSpec EvaluateOfAlias() {
    v1::EvaluateSpec spec;
    spec.mutable_model()->set_name("m");
    spec.mutable_model()->set_alias("production");
    return spec;
  }
  // Jobs 120 to 1, in pages of at most 50.
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    const std::lock_guard lock(mutex);
    job_lists.push_back(*request);
    int next = request->page_token().empty() ? 120 : std::stoi(request->page_token());
    for (int n = std::min(50, request->page_size() == 0 ? 50 : request->page_size()); n > 0 && next > 0; --n, --next) {
      v1::Job* job = response->add_jobs();
      job->set_id("job-" + std::to_string(next));
      job->set_state(v1::JOB_STATE_SUCCEEDED);
      *job->mutable_spec()->mutable_evaluate() = EvaluateOfAlias();
    }
    response->set_next_page_token(next > 0 ? std::to_string(next) : "");
    return grpc::Status::OK;
  }
  static v1::RecommendResult SomeRecommendation() {
    v1::RecommendResult result;
    result.set_job_id("job-1");
    result.set_dataset("pets");
    result.set_images(240);
    result.set_variant("quick_features");
    for (const auto& [trunk, accuracy, milliseconds] : {std::tuple{"slow", 0.9917, 57.0}, {"quick", 0.9875, 9.5}}) {
      v1::TrunkCandidate* candidate = result.add_candidates();
      candidate->set_trunk(trunk);
      candidate->set_variant(std::string(trunk) + "_features");
      candidate->set_accuracy(accuracy);
      candidate->set_accuracy_low(0.97);
      candidate->set_accuracy_high(0.995);
      candidate->set_milliseconds_per_image(milliseconds);
      candidate->set_seconds(12);
    }
    v1::TrunkCandidate* left_out = result.add_candidates();
    left_out->set_trunk("slowest");
    left_out->set_over_budget(true);
    left_out->set_seconds(900);
    left_out->set_milliseconds_per_image(600);
    return result;
  }
  grpc::Status DrawRecommendation(grpc::ServerContext*, const v1::DrawRecommendationRequest* request,
                                  v1::DrawRecommendationResponse* response) override {
    response->set_png("png of " + request->id());
    return grpc::Status::OK;
  }
  v1::JobEvent EndEvent() {
    v1::JobEvent event = StateEvent(5, end_state);
    if (end_state == v1::JOB_STATE_FAILED) {
      event.mutable_state()->mutable_error()->set_message("disk full");
    } else if (trains) {
      event.mutable_state()->mutable_result()->mutable_train()->set_model("m");
      event.mutable_state()->mutable_result()->mutable_train()->set_version(3);
    } else if (!submits.empty() && submits.back().spec().has_recommend()) {
      *event.mutable_state()->mutable_result()->mutable_recommend() = SomeRecommendation();
    } else if (mistakes_to_find.images() > 0) {
      mistakes = mistakes_to_find;
      *event.mutable_state()->mutable_result()->mutable_find_mistakes() = mistakes;
      event.mutable_state()->mutable_result()->mutable_find_mistakes()->clear_mistakes();
    } else {
      event.mutable_state()->mutable_result()->mutable_evaluate()->set_model("m");
      event.mutable_state()->mutable_result()->mutable_evaluate()->mutable_report()->set_accuracy(0.875);
    }
    return event;
  }
  grpc::Status ClassifyStream(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::ClassifyStreamResponse, v1::ClassifyRequest>* stream) override {
    v1::ClassifyRequest request;
    for (int64_t index = 0; stream->Read(&request); ++index) {
      v1::ClassifyStreamResponse response;
      response.set_index(index);
      if (request.image() == "end") {
        return grpc::Status::OK;
      }
      if (request.image() == "lost") {
        response.mutable_error()->set_code(5);
        response.mutable_error()->set_message("no such model");
      } else if (request.image() == "skip") {
        response.set_index(index + 1);
      } else if (request.image() == "bad") {
        response.mutable_error()->set_code(3);
        response.mutable_error()->set_message("not an image");
      } else {
        v1::Prediction* prediction = response.mutable_response()->add_predictions();
        prediction->set_label(request.image());  // what was sent comes back as the label
        prediction->set_probability(0.75);
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  // The label comes back as the one that the map is for, the image as the picture.
  grpc::Status Explain(grpc::ServerContext*, const v1::ExplainRequest* request,
                       v1::ExplainResponse* response) override {
    const std::lock_guard lock(mutex);
    explains.push_back(*request);
    if (request->layers_only()) {
      v1::Layer* layer = response->add_layers();
      layer->set_name("conv2d_1");
      layer->set_type("Conv2D");
      layer->add_output_shape(148);
      layer->add_output_shape(148);
      layer->add_output_shape(16);
      return grpc::Status::OK;
    }
    if (request->image() == "bad") {
      return {grpc::StatusCode::INVALID_ARGUMENT, "image: of an unknown kind"};
    }
    for (const std::string& layer : request->layers()) {
      if (layer == "none") {
        return {grpc::StatusCode::INVALID_ARGUMENT, "layers: the model has none of these"};
      }
      v1::FeatureMaps* maps = response->add_feature_maps();
      maps->set_layer(layer);
      maps->set_picture("maps of " + layer);
    }
    v1::Prediction* prediction = response->add_predictions();
    prediction->set_label("dog");
    prediction->set_probability(0.75);
    v1::HeatMap* map = response->mutable_heat_map();
    map->set_label(request->label().empty() ? "dog" : request->label());
    map->set_height(1);
    map->set_width(2);
    map->add_values(0.5F);
    map->add_values(1);
    map->set_peak(request->image() == "cold" ? 0 : 3);
    map->set_picture("heat of " + request->image());
    return grpc::Status::OK;
  }

  // Versions 3 and 1 of m, and one of other; two a page.
  grpc::Status GetVariant(grpc::ServerContext*, const v1::GetVariantRequest* request, v1::Variant* variant) override {
    variant->set_name(request->name());
    v1::OptionInfo* option = variant->add_options();
    option->set_name("rho");
    option->set_meaning("RMSprop: decay of the squared gradient.");
    option->set_range("0 to below 1");
    option->set_default_value("0.9");
    option->set_reference_value("0.8");
    return grpc::Status::OK;
  }
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    for (const auto& [name, version] : {std::pair{"m", 3}, {"m", 1}, {"other", 7}}) {
      if (!request->name().empty() && request->name() != name) {
        continue;
      }
      v1::Model model;
      model.set_name(name);
      model.set_version(version);
      model.add_labels("dog");
      model.add_labels("cat");
      if ((name == std::string("other")) == !request->page_token().empty() || !request->name().empty()) {
        *response->add_models() = model;
      }
    }
    if (request->name().empty() && request->page_token().empty()) {
      response->set_next_page_token("2");
    }
    return grpc::Status::OK;
  }
  grpc::Status DeleteModel(grpc::ServerContext*, const v1::DeleteModelRequest* request,
                           v1::DeleteModelResponse* response) override {
    const std::lock_guard lock(mutex);
    deletes.push_back(*request);
    response->set_deleted(request->all_versions() ? 2 : 1);
    return grpc::Status::OK;
  }
  grpc::Status ListTrunks(grpc::ServerContext*, const v1::ListTrunksRequest*,
                          v1::ListTrunksResponse* response) override {
    for (const char* name : {"vgg16", "resnet50"}) {
      v1::GetTrunkRequest request;
      request.set_name(name);
      GetTrunk(nullptr, &request, response->add_trunks());
    }
    return grpc::Status::OK;
  }
  grpc::Status GetTrunk(grpc::ServerContext*, const v1::GetTrunkRequest* request, v1::Trunk* trunk) override {
    trunk->set_name(request->name());
    trunk->set_title("A " + request->name());
    trunk->set_parameters(14'714'688);
    trunk->set_multiply_adds(15'346'630'656);
    trunk->set_image_size(224);
    trunk->set_preprocessing(v1::PREPROCESSING_CAFFE);
    for (const int n : {7, 7, 512}) {
      trunk->add_feature_shape(n);
    }
    trunk->add_blocks("block1");
    trunk->add_blocks("block2");
    trunk->set_paper("Somebody, 2014");
    trunk->set_licence("CC BY 4.0");
    trunk->set_source("Oxford");
    trunk->set_available(request->name() == "vgg16");
    trunk->set_hint(trunk->available() ? "" : "run deploy/fetch-weights " + request->name());
    trunk->add_variants(request->name() + "_features");
    return grpc::Status::OK;
  }
  grpc::Status ImportTrunk(grpc::ServerContext*, grpc::ServerReader<v1::ImportTrunkRequest>* reader,
                           v1::Trunk* trunk) override {
    v1::ImportTrunkRequest request;
    v1::ImportTrunkRequest::Header header;
    std::string bytes;
    while (reader->Read(&request)) {
      if (request.has_header()) {
        header = request.header();
      }
      bytes += request.chunk();
    }
    const std::lock_guard lock(mutex);
    imports.emplace_back(header, bytes);
    if (header.like() == "vgg99") {
      return {grpc::StatusCode::NOT_FOUND, "like: there is no 'vgg99'"};
    }
    v1::GetTrunkRequest of;
    of.set_name(header.like());
    GetTrunk(nullptr, &of, trunk);
    trunk->set_name(header.name());
    trunk->set_like(header.like());
    return grpc::Status::OK;
  }
  grpc::Status ListVariants(grpc::ServerContext*, const v1::ListVariantsRequest*,
                            v1::ListVariantsResponse* response) override {
    for (const char* trunk : {"vgg16", "", "vgg16"}) {
      v1::Variant* variant = response->add_variants();
      variant->set_name("variant" + std::to_string(response->variants_size()));
      variant->set_trunk(trunk);
      for (const char* name : {"block1_conv1", "block1_pool"}) {
        v1::Layer* layer = variant->add_layers();
        layer->set_name(name);
        layer->mutable_output_shape()->Resize(3, 8);
      }
      v1::Layer* dense = variant->add_layers();
      dense->set_name("dense_1");
      dense->add_output_shape(8);
    }
    return grpc::Status::OK;
  }
  grpc::Status CompareModels(grpc::ServerContext*, const v1::CompareModelsRequest* request,
                             v1::CompareModelsResponse* response) override {
    const std::lock_guard lock(mutex);
    compares.push_back(*request);
    response->set_dataset("pets");
    response->set_part(v1::PART_TEST);
    response->set_images(50);
    for (const auto& [name, accuracy] : {std::pair{"good", 0.96}, {"fair", 0.9}}) {
      v1::ComparedModel* model = response->add_models();
      model->set_name(name);
      model->set_version(1);
      model->set_accuracy(accuracy);
      model->set_milliseconds_per_image(12.5);
      model->set_threads(2);
      if (response->models_size() > 1) {
        model->set_p_value(0.25);
      }
    }
    if (request->picture()) {
      response->set_picture("png");
    }
    return grpc::Status::OK;
  }
  // Of m@3 alone, once there is something.
  grpc::Status GetMistakes(grpc::ServerContext*, const v1::GetMistakesRequest* request,
                           v1::GetMistakesResponse* response) override {
    const std::lock_guard lock(mutex);
    mistakes_requests.push_back(*request);
    if (!mistakes_status.ok()) {
      return mistakes_status;
    }
    if (mistakes.images() == 0) {
      return {grpc::StatusCode::NOT_FOUND, "nobody has looked"};
    }
    *response->mutable_result() = mistakes;
    response->set_picture(request->picture() ? "png" : "");
    return grpc::Status::OK;
  }
  static v1::FindMistakesResult SomeMistakes(int count) {
    v1::FindMistakesResult result;
    result.set_model("m");
    result.set_version(3);
    result.set_dataset("pets");
    result.set_trunk("vgg16");
    result.set_folds(5);
    result.set_seed(42);
    result.set_images(3000);
    result.set_accuracy(0.975);
    result.set_suspected(count);
    for (int i = 0; i < count; ++i) {
      v1::SuspectedLabel* mistake = result.add_mistakes();
      mistake->set_path("cat." + std::to_string(i) + "\n.jpg");
      mistake->set_label("cat");
      mistake->set_suggested_label("dog");
      mistake->set_probability(0.125);
      mistake->set_suggested_probability(0.875);
    }
    return result;
  }
  grpc::Status ReportModel(grpc::ServerContext*, const v1::ReportModelRequest*,
                           grpc::ServerWriter<v1::DownloadModelResponse>* writer) override {
    for (const auto& [path, bytes] : report) {
      v1::DownloadModelResponse piece;
      piece.set_path(path);
      writer->Write(piece);
      piece.set_chunk(bytes);
      writer->Write(piece);
    }
    return report_end;
  }
  grpc::Status DownloadModel(grpc::ServerContext*, const v1::DownloadModelRequest*,
                             grpc::ServerWriter<v1::DownloadModelResponse>* writer) override {
    for (const auto& [path, bytes] : download) {
      v1::DownloadModelResponse piece;
      piece.set_path(path);
      writer->Write(piece);
      piece.set_chunk(bytes);
      writer->Write(piece);
    }
    return download_end;
  }

  struct Datasets : v1::DatasetService::Service {
    grpc::Status GetDataset(grpc::ServerContext*, const v1::GetDatasetRequest* request, v1::Dataset* dataset) override {
      *dataset = shown;
      dataset->set_name(request->name());
      return grpc::Status::OK;
    }
    grpc::Status PreviewDataset(grpc::ServerContext*, const v1::PreviewDatasetRequest* request,
                                v1::PreviewDatasetResponse* response) override {
      previews.push_back(*request);
      response->set_png("a picture");
      return grpc::Status::OK;
    }
    grpc::Status ListDatasets(grpc::ServerContext*, const v1::ListDatasetsRequest*,
                              v1::ListDatasetsResponse* response) override {
      response->add_datasets()->set_name("pets");
      response->add_datasets()->set_name("pe\nts");
      return grpc::Status::OK;
    }
    grpc::Status UploadImages(grpc::ServerContext*, grpc::ServerReader<v1::UploadImagesRequest>* reader,
                              v1::UploadImagesResponse* response) override {
      v1::UploadImagesRequest request;
      std::string path;
      while (reader->Read(&request)) {
        if (request.has_path()) {
          path = request.path();
          files.emplace_back(path, "");
        } else {
          files.back().second += request.chunk();
        }
      }
      response->set_upload_id("upload-7");
      response->set_files(static_cast<int64_t>(files.size()));
      return grpc::Status::OK;
    }
    v1::Dataset shown;
    std::vector<v1::PreviewDatasetRequest> previews;
    std::vector<std::pair<std::string, std::string>> files;
  };

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  std::mutex mutex;
  bool hang = false;
  bool interrupts = true;  // by the watch that hangs
  bool breaks = true;      // the first watch
  int premature_ends = 0;  // of watches that end well before the job has
  std::vector<std::pair<v1::ImportTrunkRequest::Header, std::string>> imports;
  std::vector<v1::DeleteModelRequest> deletes;
  std::vector<v1::CompareModelsRequest> compares;
  std::vector<v1::ExplainRequest> explains;
  std::vector<v1::ListJobsRequest> job_lists;
  std::vector<v1::GetMistakesRequest> mistakes_requests;
  grpc::Status mistakes_status;
  v1::FindMistakesResult mistakes;          // that are there
  v1::FindMistakesResult mistakes_to_find;  // by the job
  std::vector<std::pair<std::string, std::string>> download = {{"model.json", "{}"}, {"a/b.png", "png"}};
  grpc::Status download_end;
  std::vector<std::pair<std::string, std::string>> report = {{"report.html", "<!doctype html>"}};
  grpc::Status report_end;
  bool trains = false;  // job-1 is a training
  int64_t last_sequence = 5;
  std::vector<int> curve_epochs = {2};
  size_t curves = 0;     // that were asked for
  int64_t repeated = 0;  // events that a second watch gets again
  absl::Notification client_left;
  size_t unavailable_submits = 0;
  v1::JobState end_state = v1::JOB_STATE_SUCCEEDED;
  std::vector<v1::SubmitJobRequest> submits;
  std::vector<int64_t> watches;
  Datasets datasets;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Commands in this process.
class CliTest : public ::testing::Test {
 protected:
  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"--server", server_.address()});
    out_.str("");
    err_.str("");
    return RunCli(words, &out_, &err_, false, false);
  }
  std::vector<nlohmann::json> JsonLines() {
    std::vector<nlohmann::json> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);) {
      lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
  }
  const TempDir dir_;
  FakeServer server_;
  std::ostringstream out_;
  std::ostringstream err_;
};

}  // namespace graft::testing

#endif  // GRAFT_TESTS_CLIENT_FAKE_SERVER_H_
