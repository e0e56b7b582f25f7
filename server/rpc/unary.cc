#include "server/rpc/unary.h"

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status.h"
#include "server/rpc/grpc_status.h"

namespace graft {
namespace {

// Belongs to gRPC, which says by OnDone that it needs it no longer, and to whoever holds its `done`.
class UnaryCall final : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(const RpcRuntime& runtime, const grpc::CallbackServerContext& context, std::string method,
            AsyncHandler handler)
      : runtime_(runtime), running_(std::move(method), context), handler_(std::move(handler)) {}

  void Start(const google::protobuf::Message& request) {
    self_ = shared_from_this();
    const absl::Status refused = CatchExceptions("internal error", [&] { return Admit(request); });
    if (!refused.ok()) {
      Answer(refused);
    }
  }

  void OnCancel() override { running_.Cancel(); }

  void OnDone() override {
    bytes_ = ByteBudget::Reservation();  // gRPC frees the request now
    running_.Leave();
    const std::shared_ptr<UnaryCall> last = std::move(self_);
  }

 private:
  absl::Status Admit(const google::protobuf::Message& request) {
    GRAFT_RETURN_IF_ERROR(running_.Enter(runtime_.open, OpenCalls::Kind::kUnary, nullptr));
    GRAFT_RETURN_IF_ERROR(CheckStrings(request, runtime_.max_string_bytes));
    std::optional<ByteBudget::Reservation> bytes =
        runtime_.bytes->TryTake(static_cast<int64_t>(request.ByteSizeLong()));
    if (!bytes.has_value()) {
      return absl::ResourceExhaustedError(
          "the server is busy: the requests that wait fill its memory for them (--max-request-mib); try again in a "
          "second");
    }
    bytes_ = *std::move(bytes);
    if (!runtime_.calls->TryPost([self = shared_from_this(), posted = absl::Now()] { self->Run(posted); })) {
      return absl::ResourceExhaustedError("the server is busy: too many calls are waiting; try again in a second");
    }
    return absl::OkStatus();
  }

  void Run(absl::Time posted) {
    begun_ = absl::Now();
    running_.OnPhase("queue", begun_ - posted);
    if (const absl::Status wanted = running_.Wanted(); !wanted.ok()) {
      Answer(wanted);
      return;
    }
    const absl::Status thrown = CatchExceptions("internal error", [&] {
      handler_(running_.call(), [self = shared_from_this()](const absl::Status& status) {
        self->running_.OnPhase("handler", absl::Now() - self->begun_);
        self->Answer(status);
      });
      return absl::OkStatus();
    });
    if (!thrown.ok()) {
      Answer(thrown);
    }
  }

  void Answer(const absl::Status& status) {
    if (answered_.test_and_set()) {
      return;  // a handler that throws after its answer; Finish twice would end the process
    }
    running_.End(status);
    Finish(ToGrpc(status));
  }

  const RpcRuntime runtime_;
  RunningCall running_;
  const AsyncHandler handler_;
  ByteBudget::Reservation bytes_;  // set before the handler can run
  absl::Time begun_;               // likewise
  std::atomic_flag answered_;
  std::shared_ptr<UnaryCall> self_;  // gRPC's share
};

}  // namespace

grpc::ServerUnaryReactor* RunUnaryAsync(const RpcRuntime& runtime, grpc::CallbackServerContext* context,
                                        std::string method, const google::protobuf::Message& request,
                                        AsyncHandler handler) {
  const auto call = std::make_shared<UnaryCall>(runtime, *context, std::move(method), std::move(handler));
  call->Start(request);
  return call.get();
}

grpc::ServerUnaryReactor* RunUnary(const RpcRuntime& runtime, grpc::CallbackServerContext* context, std::string method,
                                   const google::protobuf::Message& request, Handler handler) {
  return RunUnaryAsync(runtime, context, std::move(method), request,
                       [handler = std::move(handler)](const Call& call, const auto& done) {
                         done(CatchExceptions("internal error", [&] { return handler(call); }));
                       });
}

}  // namespace graft
