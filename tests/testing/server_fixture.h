// A whole server over real gRPC, with puppets for workers and networks.
#ifndef GRAFT_TESTS_TESTING_SERVER_FIXTURE_H_
#define GRAFT_TESTS_TESTING_SERVER_FIXTURE_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "graft/v1/datasets.grpc.pb.h"
#include "graft/v1/jobs.grpc.pb.h"
#include "graft/v1/models.grpc.pb.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "graft/v1/server.grpc.pb.h"
#include "graft/v1/worker.grpc.pb.h"
#include "server/options.h"
#include "server/server.h"
#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft::testing {

// A context with a deadline, so that a server that hangs fails the test.
std::unique_ptr<grpc::ClientContext> Context();

// A channel with a connection of its own.
std::shared_ptr<grpc::Channel> NewChannel(int port);

class ServerFixture : public ::testing::Test {
 protected:
  ServerFixture();

  // What a test's server starts with; changed before StartServer.
  static ServerOptions DefaultOptions(const TempDir& dir);
  // In the place of the one that runs, with options_.
  void StartServer();

  // A split of the samples into the data set `name`.
  static v1::JobSpec Split(const std::string& name);
  grpc::Status Submit(const v1::JobSpec& spec, v1::Job* job, const std::string& request_id = "");
  // As the worker of the job's first attempt.
  void Report(const std::string& job, int sequence, const JobEventBody& event);
  void ReportEpoch(const std::string& job, int epoch);
  // A model on the disk, as a job publishes it: pets, of the classes cat and dog.
  void AddModel(int version);
  static v1::ClassifyRequest ClassifyRequest(const std::string& sample);
  grpc::Status GetStatus();
  // Sends paths and contents; an empty path sends none.
  grpc::Status Upload(const std::vector<std::pair<std::string, std::string>>& files,
                      v1::UploadImagesResponse* response);
  static grpc::StatusCode Code(const grpc::Status& status) { return status.error_code(); }

  const TempDir dir_;
  ServerOptions options_;
  PuppetExecutor* executor_ = nullptr;  // the server's
  PuppetEngine* engine_ = nullptr;      // likewise
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::JobService::Stub> jobs_;
  std::unique_ptr<v1::DatasetService::Stub> datasets_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::PredictionService::Stub> predictions_;
  std::unique_ptr<v1::ServerService::Stub> status_;
  std::unique_ptr<v1::WorkerService::Stub> workers_;
};

}  // namespace graft::testing

#endif  // GRAFT_TESTS_TESTING_SERVER_FIXTURE_H_
