#include "client/connection.h"

#include <algorithm>
#include <random>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "core/base/status.h"
#include "google/protobuf/util/json_util.h"

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
       << (failure.message().empty() ? absl::StatusCodeToString(failure.code())
                                     : Printable(std::string(failure.message())))
       << "\n";
  if (absl::IsUnavailable(failure)) {
    *err << "graft: no server answers at " << server << "; start one with graftd, or set --server or GRAFT_SERVER\n";
  }
  return kFailed;
}

int Cli::FailUsage(const absl::Status& failure) const {
  *err << "graft: " << Printable(std::string(failure.message())) << "\n";
  return kUsage;
}

void Cli::PrintJson(const google::protobuf::Message& message) const {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  *out << text << std::endl;  // flushed: a reader at the other end of a pipe follows
}

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::unique_ptr<grpc::ClientContext> UnaryContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  return context;
}

std::string NewRequestId() {
  std::random_device random;
  const uint32_t a = random();
  const uint32_t b = random();
  const uint32_t c = random();
  const uint32_t d = random();
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xFFF, 0x8000 | (c >> 18), c & 0xFFFF, d);
}

std::chrono::milliseconds BackoffTime(int attempt) {
  return std::chrono::milliseconds(std::min(2000, 100 << std::min(attempt, 5)));
}

absl::StatusOr<v1::Job> Submit(const Cli& cli, const v1::JobSpec& spec, bool validate_only) {
  v1::SubmitJobRequest request;
  request.set_request_id(NewRequestId());
  *request.mutable_spec() = spec;
  request.set_validate_only(validate_only);
  constexpr int kTries = 5;
  for (int attempt = 0;; ++attempt) {
    v1::Job job;
    const absl::Status status = FromGrpc(cli.jobs->SubmitJob(UnaryContext().get(), request, &job));
    if (status.ok()) {
      return job;
    }
    if (!absl::IsUnavailable(status) || attempt + 1 == kTries) {
      return status;
    }
    std::this_thread::sleep_for(BackoffTime(attempt + 1));
  }
}

}  // namespace graft
