#include "absl/strings/str_format.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/job_text.h"
#include "client/training_options.h"
#include "client/watch.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

struct ListArguments {
  v1::JobState state = v1::JOB_STATE_UNSPECIFIED;  // any
  std::string kind;                                // empty: any
  int limit = 50;
};

struct WatchArguments {
  std::string id;
  int64_t after = 0;
};

struct CancelArguments {
  std::string id;
  bool keep_best = false;
};

// The newest `limit`. next_page_token isn't empty when there are older ones.
absl::StatusOr<v1::ListJobsResponse> NewestJobs(const Cli& cli, v1::ListJobsRequest request, int limit) {
  v1::ListJobsResponse all;
  do {
    request.set_page_size(limit - all.jobs_size());
    GRAFT_ASSIGN_OR_RETURN(const v1::ListJobsResponse page, Call(*cli.jobs, &v1::JobService::Stub::ListJobs, request));
    all.MergeFrom(page);
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.jobs_size() < limit);
  return all;
}

// A line of the list.
std::vector<std::string> Row(const v1::Job& job) {
  const bool ended = job.has_end_time() && job.has_start_time();
  const double seconds = static_cast<double>(job.end_time().seconds() - job.start_time().seconds()) +
                         (job.end_time().nanos() - job.start_time().nanos()) * 1e-9;
  return {Printable(job.id()),
          KindText(job.spec()),
          SubjectText(job.spec()),
          StateText(job),
          Time(job.create_time().seconds()),
          ended ? Duration(seconds) : "-"};
}

int JobList(const Cli& cli, const ListArguments& arguments) {
  v1::ListJobsRequest request;
  request.set_kind(arguments.kind);
  if (arguments.state != v1::JOB_STATE_UNSPECIFIED) {
    request.add_states(arguments.state);
  }
  return Show(cli, NewestJobs(cli, request, arguments.limit), [&](const v1::ListJobsResponse& list) {
    std::vector<std::vector<std::string>> rows = {{"ID", "KIND", "OF", "STATE", "CREATED", "TOOK"}};
    for (const v1::Job& job : list.jobs()) {
      rows.push_back(Row(job));
    }
    *cli.out << Table(rows);
    if (!list.next_page_token().empty()) {
      *cli.out << "... and older ones; --limit shows more\n";
    }
  });
}

void PrintProgress(const Cli& cli, const v1::Progress& progress) {
  *cli.out << "progress  " << Printable(progress.phase());
  if (progress.epochs() > 0) {
    *cli.out << ", epoch " << progress.epoch() << "/" << progress.epochs();
  }
  *cli.out << ", " << Thousands(progress.done());
  if (progress.total() > 0) {
    *cli.out << "/" << Thousands(progress.total());
  }
  *cli.out << " " << Printable(progress.unit());
  if (progress.has_eta_seconds()) {
    *cli.out << ", ETA " << Duration(progress.eta_seconds());
  }
  *cli.out << "\n";
}

void PrintJob(const Cli& cli, const v1::Job& job) {
  *cli.out << Printable(job.id()) << ": " << KindText(job.spec()) << " " << SubjectText(job.spec()) << "\nstate     "
           << StateText(job) << "\ncreated   " << Time(job.create_time().seconds()) << "\nstarted   "
           << Time(job.start_time().seconds()) << "\nended     " << Time(job.end_time().seconds()) << "\nattempt   "
           << job.attempt() << "\nevents    " << job.last_sequence() << "\n";
  if (job.has_progress()) {
    PrintProgress(cli, job.progress());
  }
  if (job.has_error()) {
    *cli.out << "error     " << Printable(job.error().message()) << "\n";
  }
  if (job.has_result()) {
    *cli.out << "result    " << ResultText(job.result()) << "\n";
  }
  if (job.spec().has_train()) {
    *cli.out << "variant   " << Printable(job.spec().train().variant()) << "\nOptions\n";
    for (const auto& [key, value] : TrainingOptionValues(job.spec().train().options())) {
      *cli.out << absl::StrFormat("  %-16s %s\n", key, Printable(value));
    }
  }
}

int JobShow(const Cli& cli, const std::string& id) {
  v1::GetJobRequest request;
  request.set_id(id);
  return Show(cli, Call(*cli.jobs, &v1::JobService::Stub::GetJob, request),
              [&](const v1::Job& job) { PrintJob(cli, job); });
}

int JobWatch(const Cli& cli, const WatchArguments& arguments) {
  return Watch(cli, arguments.id, {.after = arguments.after}, nullptr);
}

int ShowState(const Cli& cli, const absl::StatusOr<v1::Job>& answer) {
  return Show(cli, answer,
              [&](const v1::Job& job) { *cli.out << Printable(job.id()) << " is " << StateText(job) << "\n"; });
}

int JobCancel(const Cli& cli, const CancelArguments& arguments) {
  v1::CancelJobRequest request;
  request.set_id(arguments.id);
  request.set_keep_best(arguments.keep_best);
  return ShowState(cli, Call(*cli.jobs, &v1::JobService::Stub::CancelJob, request));
}

int JobPause(const Cli& cli, const std::string& id) {
  v1::PauseJobRequest request;
  request.set_id(id);
  return ShowState(cli, Call(*cli.jobs, &v1::JobService::Stub::PauseJob, request));
}

int JobResume(const Cli& cli, const std::string& id) {
  v1::ResumeJobRequest request;
  request.set_id(id);
  return ShowState(cli, Call(*cli.jobs, &v1::JobService::Stub::ResumeJob, request));
}

// The positional argument of a command on one job.
void AddId(CommandLine& line, CLI::App* command, std::string* id) {
  line.Complete(command->add_option("ID", *id, "The job")->required(), JobIds);
}

}  // namespace

void AddJobCommands(CommandLine& line) {
  CLI::App* group = line.AddGroup("job", "Jobs: long work in the background",
                                  "  graft job list --state running\n  graft job watch job-12");

  const auto [list, listed] = line.AddCommand(
      group, "list", "List jobs, newest first",
      "  graft job list\n  graft job list --state running\n  graft job list --kind train --limit 200", JobList);
  line.AddEnumOption(list, "--state", &listed->state, "Only these");
  line.OneOf(list->add_option("--kind", listed->kind, "Only these"), JobKinds());
  list->add_option("--limit", listed->limit, "At most so many")->check(CLI::Range(1, 1'000'000))->capture_default_str();

  const auto [show, shown] = line.AddCommand(group, "show", "Show a job", "  graft job show job-12", JobShow);
  AddId(line, show, shown);

  const auto [watch, watched] =
      line.AddCommand(group, "watch", "Follow a job until it ends; Ctrl-C leaves it running",
                      "  graft job watch job-12\n  graft job watch job-12 --after 40 --format json", JobWatch);
  AddId(line, watch, &watched->id);
  watch->add_option("--after", watched->after, "Only events after this sequence number")->check(CLI::NonNegativeNumber);

  const auto [cancel, cancelled] =
      line.AddCommand(group, "cancel", "Stop a queued, running or paused job",
                      "  graft job cancel job-12\n  graft job cancel job-12 --keep-best", JobCancel);
  AddId(line, cancel, &cancelled->id);
  cancel->add_flag("--keep-best", cancelled->keep_best,
                   "Make the best weights so far the training's model, which then counts as succeeded");

  const auto [pause, paused] = line.AddCommand(
      group, "pause", "Stop a job for a while; a training goes on from there later, other jobs from their beginning",
      "  graft job pause job-12", JobPause);
  AddId(line, pause, paused);

  const auto [resume, resumed] = line.AddCommand(group, "resume", "Queue a paused job again, in its old place",
                                                 "  graft job resume job-12", JobResume);
  AddId(line, resume, resumed);

  AddJobPictureCommands(line, group);
}

}  // namespace graft
