// graftd: parses its settings, prepares the process, starts the server, waits for a signal.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/version.h"
#include "core/infer/engine.h"
#include "core/model/trunks.h"
#include "core/nn/runtime.h"
#include "server/log.h"
#include "server/options.h"
#include "server/process.h"
#include "server/server.h"

namespace {

constexpr int kFailed = 1;
constexpr int kBadSettings = 2;
// EX_TEMPFAIL: a supervisor should start graftd again.
constexpr int kListenerDied = 75;

struct Settings {
  graft::ServerOptions server;
  std::string log_level = "info";
  std::string log_format = "text";
};

// Weights and worker lie beside the program: PREFIX/bin/graftd, PREFIX/bin/graft-worker, PREFIX/share/graft/weights.
std::filesystem::path ProgramFolder() { return std::filesystem::read_symlink("/proc/self/exe").parent_path(); }

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "graftd: %s\n", std::string(status.message()).c_str());
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status) ? kBadSettings : kFailed;
}

// Where things are.
void AddPlaces(CLI::App* app, graft::ServerOptions* options) {
  app->add_option("--listen", options->listen, "HOST:PORT; port 0 takes a free one")
      ->envname("GRAFT_LISTEN")
      ->capture_default_str();
  app->add_option("--data-dir", options->data_dir, "Folder for data sets, models and jobs")
      ->envname("GRAFT_DATA_DIR")
      ->required();
  app->add_option("--allow-dir", options->allow_dirs,
                  "Folder of images that callers may name; may be given several times")
      ->envname("GRAFT_ALLOW_DIR")
      ->delimiter(':');
  app->add_option("--weights-dir", options->weights_dir, "Folder with the trunks' weights (deploy/fetch-weights)")
      ->envname("GRAFT_WEIGHTS_DIR")
      ->capture_default_str();
  app->add_option("--worker", options->worker_program, "The graft-worker program")->envname("GRAFT_WORKER");
  app->add_option("--port-file", options->port_file, "Write the bound port's number here once the server serves");
}

// What computes, and how.
void AddCompute(CLI::App* app, graft::ServerOptions* options) {
  app->add_option("--threads", options->threads, "Threads of the networks; 0: one a core")
      ->envname("GRAFT_THREADS")
      ->capture_default_str();
  app->add_option("--device", options->device, "auto, cpu or cuda:N")->envname("GRAFT_DEVICE")->capture_default_str();
  app->add_option("--convolution", options->convolution,
                  "Who computes convolutions on the CPU: auto (whichever is faster), winograd or onednn")
      ->envname("GRAFT_CONVOLUTION")
      ->capture_default_str();
  app->add_option("--max-batch", options->max_batch, "Images that run through a network at a time")
      ->envname("GRAFT_MAX_BATCH")
      ->capture_default_str();
}

// How much of everything.
void AddLimits(CLI::App* app, graft::ServerOptions* options) {
  app->add_option("--max-running-jobs", options->max_running_jobs, "Jobs at a time")
      ->envname("GRAFT_MAX_RUNNING_JOBS")
      ->capture_default_str();
  app->add_option("--max-queued-jobs", options->max_queued_jobs, "Jobs that may wait")
      ->envname("GRAFT_MAX_QUEUED_JOBS")
      ->capture_default_str();
  app->add_option("--max-connections", options->max_connections,
                  "Connections at a time; less when the limit of open files (ulimit -n) is lower")
      ->envname("GRAFT_MAX_CONNECTIONS")
      ->capture_default_str();
  app->add_option("--max-watch-streams", options->max_watch_streams, "Jobs watched at a time, by all callers together")
      ->envname("GRAFT_MAX_WATCH_STREAMS")
      ->capture_default_str();
  app->add_option("--max-bulk-streams", options->max_bulk_streams, "Uploads, downloads and streams of images at a time")
      ->envname("GRAFT_MAX_BULK_STREAMS")
      ->capture_default_str();
  app->add_option("--max-request-mib", options->max_request_mib,
                  "MiB of requests in memory at a time; streams wait for room, other calls are refused")
      ->envname("GRAFT_MAX_REQUEST_MIB")
      ->capture_default_str();
  app->add_option("--drain-seconds", options->drain_seconds, "Longest wait for running calls at shutdown")
      ->envname("GRAFT_DRAIN_SECONDS")
      ->capture_default_str();
}

void AddLog(CLI::App* app, Settings* settings) {
  app->add_option("--log-level", settings->log_level)
      ->envname("GRAFT_LOG_LEVEL")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  app->add_option("--log-format", settings->log_format)
      ->envname("GRAFT_LOG_FORMAT")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

void LogStart(const graft::ServerOptions& options, int port) {
  graft::Log(graft::LogLevel::kInfo, "serving",
             {{"port", absl::StrCat(port)},
              {"data_dir", options.data_dir.string()},
              {"weights_dir", options.weights_dir.string()},
              {"threads", absl::StrCat(options.threads)},
              {"convolution", options.convolution}});
  if (const absl::Status there = graft::CheckTrunkWeights(options.weights_dir, graft::DefaultTrunk().name);
      !there.ok()) {
    graft::Log(graft::LogLevel::kWarning, "weights_missing", {{"problem", std::string(there.message())}});
  }
}

int Serve(const Settings& settings) {
  const graft::ServerOptions& options = settings.server;
  // Blocked in every thread and taken by sigwait below: nothing runs inside of a signal handler.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  graft::ConfigureLog(settings.log_level, settings.log_format == "json");
  if (const absl::Status status = graft::SetConvolutionAlgorithm(options.convolution, graft::Purpose::kServing);
      !status.ok()) {
    return Fail(status);
  }
  auto engine = graft::MakeTorchEngine({options.weights_dir, options.device, options.threads});
  if (!engine.ok()) {
    return Fail(engine.status());
  }
  auto server = graft::Server::Start(options, *std::move(engine));
  if (!server.ok()) {
    return Fail(server.status());
  }
  (*server)->WatchListeners({}, [](const std::string& name) {
    graft::Log(graft::LogLevel::kError, "listener_died", {{"listener", name}, {"remedy", "start graftd again"}});
    std::_Exit(kListenerDied);  // as after a crash: jobs go on when it is back
  });
  LogStart(options, (*server)->port());
  int signal = 0;
  sigwait(&signals, &signal);
  graft::Log(graft::LogLevel::kInfo, "shutting_down", {{"signal", absl::StrCat(signal)}});
  (*server)->Shutdown(absl::Seconds(options.drain_seconds));
  graft::Log(graft::LogLevel::kInfo, "stopped", {});
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  graft::PrepareProcess();
  graft::KeepFreedMemory();
  Settings settings;
  settings.server.weights_dir = ProgramFolder().parent_path() / "share" / "graft" / "weights";
  settings.server.worker_program = ProgramFolder() / "graft-worker";
  CLI::App app{"Graft's server: splits data sets, trains models in the background and serves them over gRPC."};
  app.set_version_flag("--version", absl::StrCat("graftd ", graft::kVersion));
  app.set_config("--config", "", "A file with these options, one a line: data-dir = \"/var/lib/graft\"")
      ->envname("GRAFT_CONFIG");
  AddPlaces(&app, &settings.server);
  AddCompute(&app, &settings.server);
  AddLimits(&app, &settings.server);
  AddLog(&app, &settings);
  app.footer(
      "Examples:\n"
      "  graftd --data-dir ~/graft --allow-dir ~/pictures\n"
      "  graftd --config /etc/graft/graftd.toml\n"
      "  GRAFT_DATA_DIR=/var/lib/graft graftd --listen 127.0.0.1:7077\n"
      "Each option can be set in the file or as GRAFT_... in the environment; the command line wins.\n"
      "Exit status: 0, 1 something failed, 2 the settings are wrong, 75 a listening socket died: start it again.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kBadSettings;
  }
  if (const absl::Status status = settings.server.Resolve(); !status.ok()) {
    return Fail(status);
  }
  return Serve(settings);
}
