// graft-worker: started by graftd for each job; not for people.

#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "core/nn/runtime.h"
#include "worker/job_runner.h"
#include "worker/reporter.h"

namespace {

graft::Reporter* reporter = nullptr;

void OnSignal(int) { reporter->RequestStop(); }

}  // namespace

int main(int argc, char** argv) {
  graft::KeepFreedMemory();
  std::string server;
  std::string job;
  int attempt = 0;
  CLI::App app{"Runs one attempt of one job and reports to graftd, which starts it."};
  app.add_option("--server", server, "graftd's worker socket: unix:PATH")->required();
  app.add_option("--job", job, "The job's id")->required();
  app.add_option("--attempt", attempt, "Which attempt of it")->required();
  CLI11_PARSE(app, argc, argv);

  graft::Reporter events(server, job, attempt);
  reporter = &events;
  struct sigaction action {};
  action.sa_handler = &OnSignal;
  sigaction(SIGTERM, &action, nullptr);

  const auto assignment = events.FetchAssignment();
  if (!assignment.ok()) {
    std::fprintf(stderr, "%s\n", std::string(assignment.status().message()).c_str());
    return 1;
  }
  const auto result = graft::RunJob(
      job, *assignment,
      {[&](const auto& progress) { events.Progress(progress); }, [&](const auto& epoch) { events.Epoch(epoch); },
       [&](const auto& text, bool warning) { events.Log(text, warning); }, [&] { return events.stopped(); }});
  if (events.stopped()) {
    return 0;  // whoever asked for the stop says what becomes of the job
  }
  graft::v1::StateChange end;
  if (result.ok()) {
    end.set_state(graft::v1::JOB_STATE_SUCCEEDED);
    *end.mutable_result() = *result;
  } else {
    end.set_state(graft::v1::JOB_STATE_FAILED);
    end.mutable_error()->set_code(static_cast<int>(result.status().code()));
    end.mutable_error()->set_message(std::string(result.status().message()));
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
  }
  events.Finish(end);
  return result.ok() ? 0 : 1;
}
