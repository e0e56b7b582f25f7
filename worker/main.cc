// graft-worker: started by graftd for each job; not for people.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/nn/runtime.h"
#include "core/store/data_folder.h"
#include "core/store/imported_trunks.h"
#include "jobs/run.h"
#include "worker/reporter.h"

namespace {

graft::Reporter* reporter = nullptr;

void OnSignal(int) { reporter->RequestStop(); }

// The exit status. A failure's message is the log's last line: what the server shows when it has nothing else.
int Run(const graft::ReporterOptions& options, const std::string& data_dir, const std::string& weights_dir,
        graft::Reporter* events) {
  const auto fail = [](const absl::Status& status) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  };
  const auto assignment = events->FetchAssignment();
  if (!assignment.ok()) {
    return fail(assignment.status());
  }
  const auto spec = graft::ParseDocument(assignment->spec());
  if (!spec.ok()) {
    return fail(spec.status());
  }
  const graft::DataFolder data(data_dir);
  for (const std::string& wrong : graft::AddImportedTrunks(data.Trunks())) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
  }
  graft::RunRequest request;
  request.job_id = options.job_id;
  request.kind = assignment->kind();
  request.spec = *spec;
  request.model_version = assignment->model_version();
  request.settings = {assignment->settings().threads(), assignment->settings().device(),
                      assignment->settings().convolution()};
  request.data = &data;
  request.weights_dir = weights_dir;
  request.staging = data.Staging(options.job_id, options.attempt);
  request.checkpoints = data.Checkpoints(options.job_id);
  const auto result = graft::RunJob(request, {[&](const auto& progress) { events->Progress(progress); },
                                              [&](const auto& epoch) {
                                                // One that goes on from a checkpoint hears of all epochs again.
                                                if (epoch.epoch > assignment->epochs()) {
                                                  events->Epoch(epoch);
                                                }
                                              },
                                              [&](const auto& line) { events->Line(line); },
                                              [&] { return events->stopped(); }, [&] { return events->finish(); }});
  if (events->stopped()) {
    return 0;  // whoever asked for the stop says what becomes of the job
  }
  graft::JobStateChange end;
  if (result.ok()) {
    end.state = graft::JobState::kSucceeded;
    end.result = *result;
  } else {
    end.state = graft::JobState::kFailed;
    end.error = result.status();
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  }
  if (const absl::Status told = events->Finish(end); !told.ok()) {
    return fail(told);
  }
  return result.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  graft::KeepFreedMemory();
  graft::ReporterOptions options;
  std::string data_dir;
  std::string weights_dir;
  int give_up_seconds = 600;
  CLI::App app{"Runs one attempt of one job and reports to graftd, which starts it."};
  app.add_option("--server", options.server, "graftd's worker socket: unix:PATH")->required();
  app.add_option("--job", options.job_id, "The job's id")->required();
  app.add_option("--attempt", options.attempt, "Which attempt of it")->required();
  app.add_option("--incarnation", options.incarnation, "What tells this worker from any other")->required();
  app.add_option("--data-dir", data_dir, "graftd's data folder, as this machine sees it")->required();
  app.add_option("--weights-dir", weights_dir, "Folder of trunks' weights, as this machine sees it")->required();
  app.add_option("--give-up-seconds", give_up_seconds, "How long to go on without a server")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  options.give_up = absl::Seconds(give_up_seconds);

  signal(SIGPIPE, SIG_IGN);  // a server that goes away is a failed call
  graft::Reporter events(options);
  reporter = &events;
  struct sigaction action {};
  action.sa_handler = &OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  return Run(options, data_dir, weights_dir, &events);
}
