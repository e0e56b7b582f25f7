#include "server/jobs/job_manager.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/failpoint.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "server/jobs/job_folders.h"
#include "server/jobs/record_changes.h"
#include "server/jobs/report.h"
#include "server/jobs/transitions.h"
#include "server/log.h"

namespace graft {
namespace {

constexpr int kEventPage = 64;
// A tick that comes later than this many is the server's own fault: it was stopped, or the machine was.
constexpr int kLateTicks = 5;
// More jobs than can have succeeded in the moment before a crash.
constexpr int kCleanedAgain = 100;
constexpr absl::Duration kFirstBackoff = absl::Seconds(1);
constexpr absl::Duration kLongestBackoff = absl::Seconds(60);

// Whether trying again can't help.
bool IsFinal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

void Tell(Wish wish, v1::ReportResponse* response) {
  response->set_stop(StopsWorker(wish));
  response->set_finish(wish == Wish::kKeepBest);
}

// What a job that wishes `before` wishes once it was asked for `wish`; nullopt: nothing changes.
absl::StatusOr<std::optional<Wish>> Granted(const JobRecord& record, Wish before, Wish wish) {
  if (record.state == JobState::kPublishing) {
    return absl::FailedPreconditionError(
        absl::StrCat("id: ", record.id(), " has done its work; its result is being put in its place"));
  }
  if (before == Wish::kCancel && wish != Wish::kCancel) {
    return absl::FailedPreconditionError(absl::StrCat("id: ", record.id(), " is being cancelled"));
  }
  if (wish == Wish::kKeepBest && record.epochs == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("keep_best: ", record.id(),
                     " has no weights to keep: no epoch of a training has ended; cancel it without keep_best"));
  }
  if (wish == Wish::kPause && record.state == JobState::kPaused) {
    return std::nullopt;
  }
  if (wish == Wish::kNone && record.state != JobState::kPaused) {
    return before == Wish::kPause ? std::optional(Wish::kRestart) : std::nullopt;
  }
  return record.state != JobState::kPaused && before == wish ? std::nullopt : std::optional(wish);
}

absl::Duration Backoff(int failures) {
  return std::min(kFirstBackoff * (int64_t{1} << std::min(failures - 1, 10)), kLongestBackoff);
}

}  // namespace

JobManager::JobManager(JobManagerOptions options, Executor* executor, JobHooks hooks, std::unique_ptr<JobLog> log)
    : options_(std::move(options)),
      executor_(executor),
      hooks_(std::move(hooks)),
      log_(std::move(log)),
      reserve_(options_.data->root() / "reserve", options_.reserve_bytes) {}

JobManager::~JobManager() = default;

absl::StatusOr<std::unique_ptr<JobManager>> JobManager::Open(JobManagerOptions options, Executor* executor,
                                                             JobHooks hooks) {
  GRAFT_ASSIGN_OR_RETURN(auto log, JobLog::Open(options.data->root(), FirstJobNumber(*options.data)));
  GRAFT_ASSIGN_OR_RETURN(std::vector<JobRecord> records, log->Unfinished());
  std::unique_ptr<JobManager> manager(new JobManager(std::move(options), executor, std::move(hooks), std::move(log)));
  const MutexLock lock(&manager->mutex_);
  const absl::Duration now = manager->options_.steady();
  for (JobRecord& record : records) {
    ActiveJob job;
    job.record = std::move(record);
    job.heard = now;
    manager->scheduler_.Add(std::move(job));
  }
  return manager;
}

void JobManager::Start() {
  std::vector<JobRecord> running;
  {
    const MutexLock lock(&mutex_);
    for (const auto& [number, job] : scheduler_.jobs()) {
      if (job.record.state == JobState::kRunning) {
        running.push_back(job.record);
      }
    }
  }
  for (const JobRecord& record : running) {
    const absl::Status adopted = executor_->Adopt(Launch(record), OnExit(record));
    if (!adopted.ok()) {
      const MutexLock lock(&mutex_);
      if (ActiveJob* const job = scheduler_.Find(record.number); job != nullptr && !job->ended.has_value()) {
        job->ended = WorkerEnd{absl::AbortedError("the server ended while the job was running, and so did its worker"),
                               /*again=*/true};
      }
    } else if (StopsWorker(record.wish)) {
      executor_->Stop(record.id(), record.attempt);
    }
  }
  SweepStaging(
      *options_.data, [this](int64_t number, int attempt) { return NeedsStaging(number, attempt); },
      [this](int64_t number) { return HasEnded(number); });
  chores_.Add([this] {
    JobFilter succeeded;
    succeeded.states = {JobState::kSucceeded};
    succeeded.limit = kCleanedAgain;
    const absl::StatusOr<std::vector<JobRecord>> records = log_->List(succeeded);
    for (const JobRecord& record : records.value_or(std::vector<JobRecord>())) {
      hooks_.published(record);
    }
  });
  {
    const MutexLock lock(&mutex_);
    started_ = true;
  }
  if (options_.threads) {
    chores_.StartThread();
    ticker_ = std::thread([this] { RunTicks(); });
  } else {
    Tick();
  }
}

void JobManager::Shutdown() {
  std::vector<JobRecord> running;
  {
    const MutexLock lock(&mutex_);
    stopping_ = true;
    for (auto& [number, job] : scheduler_.jobs()) {
      if (job.record.state == JobState::kRunning) {
        running.push_back(job.record);
        if (!job.ended.has_value()) {
          job.ended = WorkerEnd{absl::OkStatus(), /*again=*/true};
        }
      }
    }
  }
  for (const JobRecord& record : running) {
    // If the log can't be written, the next server finds the job running and its worker gone.
    Settle(record.number).IgnoreError();
    executor_->Stop(record.id(), record.attempt);
  }
  if (ticker_.joinable()) {
    ticker_.join();
  }
  chores_.Finish();
}

WorkerLaunch JobManager::Launch(const JobRecord& record) const {
  return {record.id(), record.attempt, record.incarnation, options_.data->Attempt(record.id(), record.attempt),
          options_.settings};
}

Executor::OnExit JobManager::OnExit(const JobRecord& record) {
  return [this, number = record.number, attempt = record.attempt](const absl::Status& exit) {
    OnWorkerExit(number, attempt, exit);
  };
}

absl::Status JobManager::Timed(const std::function<absl::Status()>& write) {
  const absl::Duration before = options_.steady();
  absl::Status status = write();
  const absl::Duration after = options_.steady();
  if (after - before > kLateTicks * options_.tick) {
    const MutexLock lock(&mutex_);
    scheduler_.Forgive(after);
  }
  return status;
}

absl::Status JobManager::AppendEvents(JobRecord record, std::vector<JobEventBody> from_worker) {
  const std::vector<LoggedEvent> events = NumberEvents(options_.now_ms(), std::move(from_worker), {}, &record);
  GRAFT_RETURN_IF_ERROR(Timed([&] { return log_->Append(record.number, events); }));
  const MutexLock lock(&mutex_);
  if (ActiveJob* const job = scheduler_.Find(record.number); job != nullptr) {
    record.wish = job->record.wish;  // one that is owed isn't in the log
    job->record = std::move(record);
  }
  return absl::OkStatus();
}

absl::Status JobManager::Store(JobRecord record, std::vector<JobEventBody> from_worker, std::vector<JobEventBody> own) {
  {
    const MutexLock lock(&mutex_);
    if (const ActiveJob* const job = scheduler_.Find(record.number);
        job != nullptr && job->record.state != record.state) {
      GRAFT_RETURN_IF_ERROR(CheckTransition(job->record.state, record.state));
    }
  }
  const std::vector<LoggedEvent> events =
      NumberEvents(options_.now_ms(), std::move(from_worker), std::move(own), &record);
  absl::Status stored = Timed([&] { return log_->Change(record, events); });
  if (absl::IsResourceExhausted(stored) && reserve_.GiveUp()) {
    Log(LogLevel::kWarning, "jobs",
        {{"message", "the disk is full; the reserve was given up to store a job's state"}, {"job", record.id()}});
    stored = Timed([&] { return log_->Change(record, events); });
  }
  if (!stored.ok() && !store_fails_) {
    Log(LogLevel::kError, "jobs",
        {{"message", "a job's state can't be stored; trying again until it can"},
         {"job", record.id()},
         {"reason", std::string(stored.message())}});
  }
  store_fails_ = !stored.ok();
  GRAFT_RETURN_IF_ERROR(stored);
  const MutexLock lock(&mutex_);
  ActiveJob* const job = scheduler_.Find(record.number);
  if (job == nullptr) {
    return absl::OkStatus();
  }
  if (IsTerminal(record.state)) {
    scheduler_.Remove(record.number);
    return absl::OkStatus();
  }
  if (record.state != job->record.state) {
    job->lost = false;
    job->ended.reset();
  }
  job->publishing = record.state == JobState::kPublishing;  // by the caller, at once
  if (job->publishing) {
    job->wish_owed.reset();  // it came too late
  }
  if (record.state == JobState::kRunning && job->record.state == JobState::kQueued) {
    job->heard = options_.steady();
  }
  job->record = std::move(record);
  return absl::OkStatus();
}

absl::Status JobManager::Settle(int64_t number) {
  JobRecord record;
  JobState before = JobState::kQueued;
  std::optional<Wish> asked;
  {
    const MutexLock writing(&writing_);
    std::vector<JobEventBody> events;
    {
      const MutexLock lock(&mutex_);
      ActiveJob* const job = scheduler_.Find(number);
      if (job == nullptr || !Owes(*job)) {
        return absl::OkStatus();
      }
      record = job->record;
      before = record.state;
      asked = job->wish_owed;
      Outcome outcome = Decide(*job, options_.max_losses);
      if (!outcome.line.text.empty()) {
        events.push_back(std::move(outcome.line));
      }
      record.losses += outcome.loss ? 1 : 0;
      record.wish = outcome.wish;
      if (outcome.state != before) {
        events.push_back(EnterState(outcome.state, options_.now_ms(), outcome.error, &record));
      }
    }
    GRAFT_RETURN_IF_ERROR(Store(record, {}, std::move(events)));
    const MutexLock lock(&mutex_);
    if (ActiveJob* const job = scheduler_.Find(number); job != nullptr && job->wish_owed == asked) {
      job->wish_owed.reset();  // else one has come in between, and is owed still
    }
  }
  subscriptions_.Notify(number);
  if (record.state == JobState::kSucceeded) {
    chores_.Add([this, record] { hooks_.published(record); });
  }
  if (record.state != before && before != JobState::kQueued) {
    chores_.Add([this, number, attempt = record.attempt] { CleanUp(number, attempt); });
  }
  if (IsTerminal(record.state)) {
    chores_.Add([this] { log_->Checkpoint().IgnoreError(); });
  }
  return absl::OkStatus();
}

void JobManager::OnWorkerExit(int64_t number, int attempt, const absl::Status& exit) {
  {
    const MutexLock lock(&mutex_);
    leaving_.erase({number, attempt});
    ActiveJob* const job = scheduler_.Find(number);
    if (job != nullptr && job->record.attempt == attempt) {
      if (job->record.state == JobState::kRunning && !job->ended.has_value()) {
        if (job->lost) {
          job->ended = WorkerEnd{absl::AbortedError("the worker wasn't heard of for too long and was ended"), true};
        } else {
          // What it was doing may have killed it, or what happened around it; the number of starts is bounded.
          job->ended =
              WorkerEnd{exit.ok() ? absl::AbortedError("the worker process ended without a result") : exit, true};
        }
      }
    }
  }
  Settle(number).IgnoreError();  // else it is owed
  chores_.Add([this, number, attempt] { CleanUp(number, attempt); });
  StartNext();
}

void JobManager::CleanUp(int64_t number, int attempt) {
  if (!NeedsStaging(number, attempt)) {
    RemoveStaging(*options_.data, number, attempt);
  }
  if (HasEnded(number)) {
    RemoveCheckpoints(*options_.data, number);
  }
}

bool JobManager::HasEnded(int64_t number) const {
  const MutexLock lock(&mutex_);
  return scheduler_.Find(number) == nullptr;
}

bool JobManager::NeedsStaging(int64_t number, int attempt) const {
  const MutexLock lock(&mutex_);
  const ActiveJob* const job = scheduler_.Find(number);
  return job != nullptr && job->record.attempt == attempt &&
         (job->record.state == JobState::kRunning || job->record.state == JobState::kPublishing);
}

void JobManager::StartNext() {
  for (;;) {
    JobRecord record;
    {
      const MutexLock writing(&writing_);
      {
        const MutexLock lock(&mutex_);
        if (!started_ || stopping_) {
          return;
        }
        const std::optional<int64_t> next = scheduler_.Next(options_.max_running);
        if (!next.has_value()) {
          return;
        }
        record = scheduler_.Find(*next)->record;
      }
      JobEventBody event = EnterState(JobState::kRunning, options_.now_ms(), absl::OkStatus(), &record);
      const absl::Status folder = MakeStaging(*options_.data, record);
      if (!folder.ok() && !IsFinal(folder)) {
        return;  // a full disk; the next tick tries again
      }
      if (!folder.ok()) {
        event =
            EnterState(JobState::kFailed, options_.now_ms(), Annotate(folder, "the job could not be started"), &record);
      }
      if (!Store(record, {}, {std::move(event)}).ok()) {
        return;  // so does it here
      }
    }
    subscriptions_.Notify(record.number);
    if (record.state != JobState::kRunning) {
      continue;
    }
    absl::Status started = Failpoint("worker.start");
    if (started.ok()) {
      started = executor_->Start(Launch(record), OnExit(record));
    }
    if (started.ok() && StoppedMeanwhile(record)) {
      Settle(record.number).IgnoreError();
      executor_->Stop(record.id(), record.attempt);
    }
    if (!started.ok()) {
      {
        const MutexLock lock(&mutex_);
        if (ActiveJob* const job = scheduler_.Find(record.number);
            job != nullptr && job->record.incarnation == record.incarnation) {
          job->ended = WorkerEnd{Annotate(started, "the worker could not be started"), /*again=*/false};
        }
      }
      Settle(record.number).IgnoreError();
    }
  }
}

bool JobManager::StoppedMeanwhile(const JobRecord& record) {
  const MutexLock lock(&mutex_);
  if (!stopping_) {
    return false;
  }
  if (ActiveJob* const job = scheduler_.Find(record.number);
      job != nullptr && job->record.incarnation == record.incarnation && !job->ended.has_value()) {
    job->ended = WorkerEnd{absl::OkStatus(), /*again=*/true};
  }
  return true;
}

void JobManager::LookAfterQuietWorkers() {
  std::vector<std::tuple<int64_t, std::string, int>> quiet;
  absl::Duration now;
  {
    const MutexLock lock(&mutex_);
    now = options_.steady();
    // Some time before it matters, so that there is a figure to compare with.
    for (const int64_t number : scheduler_.Quiet(now, options_.worker_timeout / 2)) {
      const JobRecord& record = scheduler_.Find(number)->record;
      quiet.emplace_back(number, record.id(), record.attempt);
    }
  }
  for (const auto& [number, id, attempt] : quiet) {
    const std::optional<absl::Duration> used = executor_->ProcessorTime(id, attempt);
    const MutexLock lock(&mutex_);
    ActiveJob* const job = scheduler_.Find(number);
    if (!used.has_value() || job == nullptr || job->record.attempt != attempt) {
      continue;
    }
    if (job->processor_time.has_value() && *used > *job->processor_time) {
      job->computed = now;
    }
    job->processor_time = used;
  }
}

void JobManager::Tick() {
  LookAfterQuietWorkers();
  std::vector<std::pair<std::string, int>> to_stop;
  std::vector<int64_t> owing;
  std::vector<int64_t> to_publish;
  {
    const MutexLock lock(&mutex_);
    const absl::Duration now = options_.steady();
    if (last_tick_.has_value() && now - *last_tick_ > kLateTicks * options_.tick) {
      // Nobody could be heard: the server itself stood still.
      scheduler_.Forgive(now);
    }
    last_tick_ = now;
    for (const int64_t number : scheduler_.Unresponsive(now, options_.worker_timeout, options_.busy_worker_timeout)) {
      ActiveJob& job = *scheduler_.Find(number);
      if (job.lost) {
        // It was told to end a whole period ago, and not even that was heard of: its job goes on without it.
        job.ended = WorkerEnd{absl::AbortedError("the worker wasn't heard of for too long and could not be ended"),
                              /*again=*/true};
      } else {
        job.lost = true;
        job.heard = now;
        to_stop.emplace_back(job.record.id(), job.record.attempt);
      }
    }
    for (auto it = leaving_.begin(); it != leaving_.end();) {
      if (now < it->second) {
        ++it;
        continue;
      }
      JobRecord record;
      record.number = it->first.first;
      to_stop.emplace_back(record.id(), it->first.second);
      it = leaving_.erase(it);
    }
    for (auto& [number, job] : scheduler_.jobs()) {
      if (Owes(job)) {
        owing.push_back(number);
      } else if (job.record.state == JobState::kPublishing && !job.publishing && now >= job.next_publish) {
        job.publishing = true;
        to_publish.push_back(number);
      }
    }
  }
  for (const auto& [id, attempt] : to_stop) {
    executor_->Stop(id, attempt);
  }
  for (const int64_t number : owing) {
    Settle(number).IgnoreError();
  }
  for (const int64_t number : to_publish) {
    chores_.Add([this, number] { PublishNow(number); });
  }
  StartNext();
  log_->Reseal().IgnoreError();
  {
    // Only when there is room for everybody else's needs too.
    const absl::StatusOr<int64_t> free = options_.free_bytes(options_.data->root());
    const MutexLock writing(&writing_);
    if (free.ok() && *free > options_.reserve_bytes + options_.min_free_bytes) {
      reserve_.Make().IgnoreError();
    }
  }
  if (!options_.threads) {
    chores_.RunAll();
  }
}

void JobManager::PublishNow(int64_t number) {
  JobRecord record;
  {
    const MutexLock lock(&mutex_);
    const ActiveJob* const job = scheduler_.Find(number);
    if (job == nullptr || stopping_) {
      return;  // the next server publishes
    }
    record = job->record;
  }
  const absl::Status outcome = hooks_.publish(record, options_.data->Staging(record.id(), record.attempt));
  bool tell = false;
  {
    const MutexLock lock(&mutex_);
    ActiveJob* const job = scheduler_.Find(number);
    if (job == nullptr) {
      return;
    }
    job->publishing = false;
    if (outcome.ok() || IsFinal(outcome)) {
      job->published = outcome;
    } else {
      ++job->publish_failures;
      job->next_publish = options_.steady() + Backoff(job->publish_failures);
      tell = job->publish_failures == 1;
    }
  }
  if (tell) {
    Log(LogLevel::kWarning, "jobs",
        {{"message", "a result could not be put in its place; trying again"},
         {"job", record.id()},
         {"reason", std::string(outcome.message())}});
  }
  if (outcome.ok() || IsFinal(outcome)) {
    Settle(number).IgnoreError();
  }
}

void JobManager::RunTicks() {
  for (;;) {
    Tick();
    MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.tick)) {
      return;
    }
  }
}

absl::StatusOr<std::optional<JobRecord>> JobManager::FindRequest(const std::string& request_id,
                                                                 const std::string& submitted_sha256) {
  if (request_id.empty()) {
    return std::nullopt;
  }
  GRAFT_ASSIGN_OR_RETURN(const std::optional<JobRecord> found, log_->FindRequest(request_id));
  if (!found.has_value()) {
    return std::nullopt;
  }
  if (found->submitted_sha256.empty()) {
    return found->error;  // damaged: which spec it was isn't known
  }
  if (found->submitted_sha256 != submitted_sha256) {
    return absl::AlreadyExistsError(absl::StrCat("request_id: '", Printable(request_id, 128), "' was used for ",
                                                 found->id(), " with another spec; use a new one"));
  }
  const std::optional<JobRecord> active = ViewActive(found->number);
  return active.has_value() ? active : found;
}

absl::StatusOr<JobRecord> JobManager::Submit(const std::string& request_id, const std::string& submitted_sha256,
                                             ResolvedJob job, int newest_version) {
  const absl::StatusOr<int64_t> free = options_.free_bytes(options_.data->root());
  if (free.ok() && *free < options_.min_free_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the disk of ", options_.data->root().string(), " has ", *free,
                                                     " bytes free, and jobs are taken from ", options_.min_free_bytes,
                                                     " on; make room and try again"));
  }
  JobRecord record;
  {
    const MutexLock writing(&writing_);
    // Two equal requests at the same time both found nothing before; here only the first creates.
    GRAFT_ASSIGN_OR_RETURN(const std::optional<JobRecord> found, FindRequest(request_id, submitted_sha256));
    if (found.has_value()) {
      return *found;
    }
    if (job.makes.has_value() && job.makes->type == Resource::Type::kModel && job.makes->version == 0) {
      GRAFT_ASSIGN_OR_RETURN(const int given, log_->NewestVersion(job.makes->name));
      record.model_version = std::max(given, newest_version) + 1;
      job.makes->version = record.model_version;
    }
    {
      const MutexLock lock(&mutex_);
      if (stopping_) {
        return absl::UnavailableError("the server is shutting down; try again");
      }
      if (const int queued = scheduler_.Count(JobState::kQueued) + scheduler_.Count(JobState::kPaused);
          queued >= options_.max_queued) {
        return absl::ResourceExhaustedError(absl::StrCat(
            queued, " jobs are queued or paused already, the most that this server takes; try again later"));
      }
      GRAFT_RETURN_IF_ERROR(scheduler_.Admit(job));
      scheduler_.BeginSubmission(job);
    }
    // From here on nobody deletes what the job needs; what was deleted before is missing now.
    absl::Status status = CheckPresence(*options_.data, job);
    if (status.ok()) {
      record.request_id = request_id;
      record.submitted_sha256 = submitted_sha256;
      record.job = std::move(job);
      record.create_time_ms = options_.now_ms();
      status = Timed([&] { return log_->Create(&record); });
    }
    const MutexLock lock(&mutex_);
    scheduler_.EndSubmission();
    if (!status.ok()) {
      return status;
    }
    ActiveJob active;
    active.record = record;
    scheduler_.Add(std::move(active));
  }
  StartNext();
  return GetNumber(record.number);
}

JobRecord JobManager::View(const ActiveJob& job) const {
  JobRecord record = job.record;
  record.wish = job.wish();
  record.queue_position = scheduler_.QueuePosition(record.number);
  record.result = nullptr;  // of a publishing one: it isn't there yet
  return record;
}

std::optional<JobRecord> JobManager::ViewActive(int64_t number) const {
  const MutexLock lock(&mutex_);
  const ActiveJob* const job = scheduler_.Find(number);
  return job == nullptr ? std::nullopt : std::optional(View(*job));
}

absl::StatusOr<JobRecord> JobManager::GetNumber(int64_t number) {
  // Memory first: a job that isn't there any more has its end in the log.
  if (std::optional<JobRecord> active = ViewActive(number); active.has_value()) {
    return *std::move(active);
  }
  return log_->Get(number);
}

absl::StatusOr<JobRecord> JobManager::Get(const std::string& id) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  return GetNumber(number);
}

absl::StatusOr<std::vector<JobRecord>> JobManager::List(JobFilter filter) {
  if (std::count(filter.states.begin(), filter.states.end(), JobState::kRunning) > 0) {
    filter.states.push_back(JobState::kPublishing);
  }
  GRAFT_ASSIGN_OR_RETURN(std::vector<JobRecord> records, log_->List(filter));
  const MutexLock lock(&mutex_);
  for (JobRecord& record : records) {
    if (const ActiveJob* const job = scheduler_.Find(record.number); job != nullptr) {
      record = View(*job);
    } else if (!IsTerminal(record.state)) {
      record.result = nullptr;
    }
  }
  return records;
}

absl::StatusOr<JobRecord> JobManager::Cancel(const std::string& id) { return Ask(id, Wish::kCancel); }
absl::StatusOr<JobRecord> JobManager::KeepBest(const std::string& id) { return Ask(id, Wish::kKeepBest); }
absl::StatusOr<JobRecord> JobManager::Pause(const std::string& id) { return Ask(id, Wish::kPause); }
absl::StatusOr<JobRecord> JobManager::Resume(const std::string& id) { return Ask(id, Wish::kNone); }

absl::StatusOr<JobRecord> JobManager::Ask(const std::string& id, Wish wish) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  std::optional<int> to_stop;
  {
    const MutexLock lock(&mutex_);
    if (ActiveJob* const job = scheduler_.Find(number); job != nullptr) {
      GRAFT_ASSIGN_OR_RETURN(const std::optional<Wish> granted, Granted(job->record, job->wish(), wish));
      if (granted.has_value()) {
        job->wish_owed = granted;
      }
      if (job->record.state == JobState::kRunning && StopsWorker(job->wish())) {
        to_stop = job->record.attempt;
      }
    }
  }
  if (const absl::Status settled = Settle(number); !settled.ok()) {
    Log(LogLevel::kWarning, "jobs",
        {{"message", "what was asked of a job could not be stored yet"},
         {"job", id},
         {"asked", std::string(WishName(wish))},
         {"reason", std::string(settled.message())}});
  }
  if (to_stop.has_value()) {
    executor_->Stop(id, *to_stop);
  }
  StartNext();  // it may be this one, or one behind it
  GRAFT_ASSIGN_OR_RETURN(JobRecord record, GetNumber(number));
  if (IsTerminal(record.state) && (record.state != JobState::kCancelled || wish != Wish::kCancel)) {
    return absl::FailedPreconditionError(absl::StrCat("id: ", id, " has ended already: ", JobStateName(record.state)));
  }
  return record;
}

int JobManager::running() const {
  const MutexLock lock(&mutex_);
  return scheduler_.Count(JobState::kRunning) + scheduler_.Count(JobState::kPublishing);
}

int JobManager::queued() const {
  const MutexLock lock(&mutex_);
  return scheduler_.Count(JobState::kQueued);
}

int JobManager::paused() const {
  const MutexLock lock(&mutex_);
  return scheduler_.Count(JobState::kPaused);
}

std::string JobManager::UserOf(const Resource& resource) const {
  const MutexLock lock(&mutex_);
  return scheduler_.UserOf(resource);
}

std::string JobManager::MakerOf(const Resource& resource) const {
  const MutexLock lock(&mutex_);
  return scheduler_.MakerOf(resource);
}

absl::Status JobManager::WhileUnused(const Resource& resource, const std::function<absl::Status()>& fn) {
  {
    const MutexLock lock(&mutex_);
    GRAFT_RETURN_IF_ERROR(scheduler_.Reserve(resource));
  }
  absl::Status status = fn();
  const MutexLock lock(&mutex_);
  scheduler_.Release(resource);
  return status;
}

absl::StatusOr<JobManager::EventPage> JobManager::Events(const std::string& id, int64_t after) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  // The state first: when it is terminal, its event is in what is read next.
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record, GetNumber(number));
  if (after < 0 || after > record.last_sequence) {
    return absl::OutOfRangeError(
        absl::StrCat("after_sequence: ", after, " was never given out; ", id, " is at ", record.last_sequence));
  }
  EventPage page;
  GRAFT_ASSIGN_OR_RETURN(page.events, log_->Events(number, after, record.last_sequence, kEventPage));
  const int64_t last = page.events.empty() ? after : page.events.back().sequence;
  page.ended = IsTerminal(record.state) && last >= record.last_sequence;
  if (page.ended && !page.events.empty() && !std::holds_alternative<JobStateChange>(page.events.back().body)) {
    page.events.back().body = JobStateChange{record.state, record.error, record.result};  // the event is damaged
  }
  return page;
}

absl::StatusOr<int64_t> JobManager::Subscribe(const std::string& id, std::function<void()> notify) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  GRAFT_RETURN_IF_ERROR(GetNumber(number).status());
  return subscriptions_.Add(number, std::move(notify));
}

ActiveJob* JobManager::Current(const std::string& job_id, int attempt, const std::string& incarnation) {
  const absl::StatusOr<int64_t> number = ParseJobId(job_id);
  ActiveJob* const job = number.ok() ? scheduler_.Find(*number) : nullptr;
  if (job == nullptr || job->record.state != JobState::kRunning || job->record.attempt != attempt ||
      job->record.incarnation != incarnation || job->lost || job->ended.has_value()) {
    return nullptr;
  }
  return job;
}

absl::StatusOr<v1::Assignment> JobManager::FetchAssignment(const v1::FetchAssignmentRequest& request) {
  GRAFT_RETURN_IF_ERROR(Failpoint("assignment.fetch"));
  GRAFT_RETURN_IF_ERROR(ParseJobId(request.job_id()).status());
  const MutexLock lock(&mutex_);
  ActiveJob* const job = Current(request.job_id(), request.attempt(), request.incarnation());
  if (job == nullptr || StopsWorker(job->wish())) {
    return absl::FailedPreconditionError(
        absl::StrCat("attempt ", request.attempt(), " of ", request.job_id(), " isn't to run any more"));
  }
  job->heard = options_.steady();
  v1::Assignment assignment;
  assignment.set_kind(job->record.job.kind);
  assignment.set_spec(DocumentText(job->record.job.spec));
  assignment.set_model_version(job->record.model_version);
  assignment.set_epochs(job->record.epochs);
  assignment.mutable_settings()->set_threads(options_.settings.threads);
  assignment.mutable_settings()->set_device(options_.settings.device);
  assignment.mutable_settings()->set_convolution(options_.settings.convolution);
  return assignment;
}

std::optional<v1::ReportResponse> JobManager::Answer(const v1::ReportRequest& request, JobRecord* record) {
  v1::ReportResponse response;
  const MutexLock lock(&mutex_);
  ActiveJob* const job = Current(request.job_id(), request.attempt(), request.incarnation());
  if (job == nullptr) {
    // Another attempt has taken over, or this one's end was stored and the answer got lost.
    response.set_acknowledged(request.first_sequence() + request.events_size() - 1);
    response.set_stop(true);
    return response;
  }
  job->heard = options_.steady();
  *record = job->record;
  record->wish = job->wish();
  if (request.events().empty()) {
    response.set_acknowledged(record->worker_sequence);
    Tell(record->wish, &response);
    return response;
  }
  return std::nullopt;
}

absl::Status JobManager::StoreEnd(JobRecord record, std::vector<JobEventBody> before, JobStateChange end) {
  std::vector<JobEventBody> own;
  if (end.state == JobState::kSucceeded) {
    // No event: callers see the job as running until its result is in its place.
    record.state = JobState::kPublishing;
    record.wish = Wish::kNone;
    record.result = std::move(end.result);
  } else if (record.wish == Wish::kCancel) {
    own.push_back(EnterState(JobState::kCancelled, options_.now_ms(), absl::OkStatus(), &record));
  } else {
    own.push_back(EnterState(
        JobState::kFailed, options_.now_ms(),
        end.error.ok() ? absl::AbortedError("the worker reported no result and no error") : end.error, &record));
  }
  GRAFT_RETURN_IF_ERROR(Store(record, std::move(before), std::move(own)));
  {
    const MutexLock lock(&mutex_);
    leaving_[{record.number, record.attempt}] = options_.steady() + options_.worker_timeout;
  }
  if (record.state == JobState::kPublishing) {
    chores_.Add([this, number = record.number] { PublishNow(number); });
  } else {
    chores_.Add([this] { log_->Checkpoint().IgnoreError(); });
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ReportResponse> JobManager::Report(const v1::ReportRequest& request) {
  GRAFT_RETURN_IF_ERROR(Failpoint("worker.report"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(request.job_id()));
  JobRecord record;
  // A heartbeat, and whoever isn't current, waits for no disk.
  if (const std::optional<v1::ReportResponse> at_once = Answer(request, &record); at_once.has_value()) {
    return *at_once;
  }
  GRAFT_ASSIGN_OR_RETURN(std::vector<JobEventBody> events, ParseEvents(request));
  v1::ReportResponse response;
  bool ended = false;
  {
    const MutexLock writing(&writing_);
    // Again: others may have written meanwhile.
    if (const std::optional<v1::ReportResponse> at_once = Answer(request, &record); at_once.has_value()) {
      return *at_once;
    }
    News news = TakeNews(request.first_sequence(), std::move(events), &record);
    ended = news.end.has_value();
    response.set_acknowledged(record.worker_sequence + static_cast<int64_t>(news.events.size()) + (ended ? 1 : 0));
    Tell(record.wish, &response);
    if (ended) {
      response.set_stop(true);
      GRAFT_RETURN_IF_ERROR(StoreEnd(record, std::move(news.events), *std::move(news.end)));
    } else if (news.events.empty()) {
      return response;
    } else {
      GRAFT_RETURN_IF_ERROR(AppendEvents(record, std::move(news.events)));
    }
  }
  subscriptions_.Notify(number);
  if (ended) {
    StartNext();
  }
  return response;
}

}  // namespace graft
