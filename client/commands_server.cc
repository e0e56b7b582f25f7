#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/format.h"
#include "core/base/text.h"

namespace graft {
namespace {

void PrintStatus(const Cli& cli, const v1::ServerStatus& status) {
  const auto list = [](const auto& items) {
    return items.empty() ? std::string("none") : Printable(absl::StrJoin(items, ", "));
  };
  *cli.out << "graftd " << status.version() << " at " << cli.server << ", up since "
           << Time(status.start_time().seconds()) << " UTC\n"
           << absl::StrFormat("jobs      %d running (at most %d), %d queued, %d paused\n", status.jobs_running(),
                              status.max_running_jobs(), status.jobs_queued(), status.jobs_paused())
           << "data      " << status.datasets() << " data sets, " << status.models() << " model versions\n"
           << "loaded    " << list(status.loaded()) << "\n"
           << "trunks    " << list(status.trunks()) << "\n"
           << "device    " << status.device() << ", " << status.threads() << " threads, LibTorch "
           << status.torch_version() << "\n"
           << "kernels   " << status.instruction_set() << ", convolution " << status.convolution() << "\n"
           << "memory    " << Bytes(status.resident_bytes()) << " resident\n"
           << "folders   " << list(status.allowed_folders()) << "\n";
  if (!status.hint().empty()) {
    *cli.out << "hint      " << Printable(status.hint()) << "\n";
  }
}

int ServerStatus(const Cli& cli) {
  return Show(cli, Call(*cli.status, &v1::ServerService::Stub::GetStatus, v1::GetStatusRequest()),
              [&](const v1::ServerStatus& status) { PrintStatus(cli, status); });
}

}  // namespace

void AddServerCommands(CommandLine& line) {
  line.AddCommand(line.app(), "status", "Show the server: jobs, models in memory, weights",
                  "  graft status\n  graft status --format json", ServerStatus);
}

}  // namespace graft
