#include "client/connection.h"

#include <algorithm>

#include "client/format.h"
#include "core/base/text.h"

namespace graft {

void Cli::Connect() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  // The channel's own wait must not outlast our tries.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  const auto channel = grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(), arguments);
  jobs = v1::JobService::NewStub(channel);
  datasets = v1::DatasetService::NewStub(channel);
  models = v1::ModelService::NewStub(channel);
  predictions = v1::PredictionService::NewStub(channel);
  status = v1::ServerService::NewStub(channel);
}

int Cli::Fail(const absl::Status& failure) const {
  *err << "graft: "
       << (failure.message().empty() ? absl::StatusCodeToString(failure.code()) : Printable(failure.message())) << "\n";
  if (absl::IsUnavailable(failure)) {
    *err << "graft: no server answers at " << server << "; start one with graftd, or set --server or GRAFT_SERVER\n";
  }
  return kFailed;
}

int Cli::FailUsage(const absl::Status& failure) const {
  *err << "graft: " << Printable(failure.message()) << "\n";
  return kUsage;
}

void Cli::PrintJson(const google::protobuf::Message& message) const {
  *out << JsonText(message) << std::endl;  // flushed: a reader at the other end of a pipe follows
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::unique_ptr<grpc::ClientContext> UnaryContext(absl::Time deadline) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(absl::ToChronoTime(deadline));
  return context;
}

absl::Duration BackoffTime(int attempt) { return absl::Milliseconds(std::min(2000, 100 << std::min(attempt, 5))); }

}  // namespace graft
