#include "server/options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

// An address, not whatever name begins like one: "127.example.org" is somebody's host.
bool IsLoopback(const std::string& host) {
  constexpr uint32_t kLoopbackNetwork = 127;
  in_addr address{};
  return host == "localhost" || host == "[::1]" ||
         (inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == kLoopbackNetwork);
}

}  // namespace

absl::Status ServerOptions::Resolve() {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon == std::string::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return InvalidField("--listen", absl::StrCat("'", listen, "' isn't HOST:PORT with a port of 0 to 65535"));
  }
  const std::string host = listen.substr(0, colon);
  if (!IsLoopback(host)) {
    return absl::FailedPreconditionError(
        absl::StrCat("--listen: '", host,
                     "' isn't a loopback address. Connections are neither encrypted nor authenticated yet, so "
                     "graftd serves this machine only; use 127.0.0.1:",
                     port, " and an SSH tunnel for others"));
  }
  for (const auto& [name, value, low, high] : {std::tuple{"--max-running-jobs", max_running_jobs, 1, 64},
                                               {"--max-queued-jobs", max_queued_jobs, 1, 100'000},
                                               {"--threads", threads, 0, 256},
                                               {"--max-batch", max_batch, 1, 256},
                                               {"--max-connections", max_connections, 1, 100'000},
                                               {"--max-watch-streams", max_watch_streams, 1, 100'000},
                                               {"--max-bulk-streams", max_bulk_streams, 1, 10'000},
                                               {"--max-request-mib", max_request_mib, 32, 1 << 20},
                                               {"--drain-seconds", drain_seconds, 0, 3600}}) {
    if (value < low || value > high) {
      return InvalidField(name, absl::StrCat(value, " is out of range; use ", low, " to ", high));
    }
  }
  if (threads == 0) {
    threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  if (data_dir.empty()) {
    return InvalidField("--data-dir", "not set; name a folder for data sets, models and jobs");
  }
  std::error_code error;
  data_dir = std::filesystem::absolute(data_dir, error).lexically_normal();
  weights_dir = std::filesystem::absolute(weights_dir, error).lexically_normal();
  worker_program = std::filesystem::absolute(worker_program, error).lexically_normal();
  for (std::filesystem::path& folder : allow_dirs) {
    const std::filesystem::path resolved = std::filesystem::canonical(folder, error);
    if (error || !std::filesystem::is_directory(resolved)) {
      return InvalidField("--allow-dir", absl::StrCat("there is no folder '", folder.string(), "'"));
    }
    folder = resolved;
  }
  return absl::OkStatus();
}

}  // namespace graft
