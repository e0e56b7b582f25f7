// The channel to graftd, and what a command works with.
#ifndef GRAFT_CLIENT_CONNECTION_H_
#define GRAFT_CLIENT_CONNECTION_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "graft/v1/datasets.grpc.pb.h"
#include "graft/v1/jobs.grpc.pb.h"
#include "graft/v1/models.grpc.pb.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "graft/v1/server.grpc.pb.h"

namespace graft {

// Everything that a command needs. Output goes where a test can read it.
struct Cli {
  std::string server = "127.0.0.1:7077";
  bool json = false;
  std::ostream* out = nullptr;
  std::ostream* err = nullptr;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  // What `out` writes to in the end; -1: not known. Only for a watch to notice that nobody reads.
  int out_fd = -1;

  std::unique_ptr<v1::JobService::Stub> jobs;
  std::unique_ptr<v1::DatasetService::Stub> datasets;
  std::unique_ptr<v1::ModelService::Stub> models;
  std::unique_ptr<v1::PredictionService::Stub> predictions;
  std::unique_ptr<v1::ServerService::Stub> status;

  // Opens the channel to `server` (lazily: nothing is sent).
  void Connect();
  // Prints a failed call with its remedy; returns the exit status, 1.
  int Fail(const absl::Status& status) const;
  // The same for a command line that is wrong: 2.
  int FailUsage(const absl::Status& status) const;
  // One JSON document, or line, with proto field names.
  void PrintJson(const google::protobuf::Message& message) const;
};

// Exit statuses.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kInterrupted = 130;
inline constexpr int kOutputClosed = 141;  // as a shell shows the death by SIGPIPE of other programs

absl::Status FromGrpc(const grpc::Status& status);

// How long a unary call may take, and a context for one.
inline constexpr absl::Duration kCallTime = absl::Seconds(60);
std::unique_ptr<grpc::ClientContext> UnaryContext(absl::Time deadline = absl::Now() + kCallTime);

// How long to wait before try `attempt` (from 1): doubles, bounded.
absl::Duration BackoffTime(int attempt);

}  // namespace graft

#endif  // GRAFT_CLIENT_CONNECTION_H_
