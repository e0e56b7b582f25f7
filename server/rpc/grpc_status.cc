#include "server/rpc/grpc_status.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/text.h"

namespace graft {

grpc::Status ToGrpc(const absl::Status& status) {
  constexpr size_t kMaxMessage = 1024;
  if (status.ok()) {
    return grpc::Status::OK;
  }
  const absl::string_view message = Clipped(status.message(), kMaxMessage);
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      message.size() < status.message().size() ? absl::StrCat(message, "...") : std::string(message));
}

}  // namespace graft
