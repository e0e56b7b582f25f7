#include "server/jobs/job_manager.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "server/jobs/job_state.h"

namespace graft {
namespace {

constexpr int kEventPage = 64;

std::string Fingerprint(const v1::JobSpec& spec) { return Sha256Hex(absl::string_view(spec.SerializeAsString())); }

void FillError(const absl::Status& status, v1::JobError* error) {
  error->set_code(static_cast<int>(status.code()));
  error->set_message(std::string(status.message()));
}

}  // namespace

JobManager::JobManager(JobManagerOptions options, Executor* executor, Publish publish, std::unique_ptr<JobStore> store)
    : options_(std::move(options)), executor_(executor), publish_(std::move(publish)), store_(std::move(store)) {}

absl::StatusOr<std::unique_ptr<JobManager>> JobManager::Open(JobManagerOptions options, Executor* executor,
                                                             Publish publish) {
  GRAFT_ASSIGN_OR_RETURN(auto store, JobStore::Open(options.data_dir / "jobs.sqlite"));
  std::unique_ptr<JobManager> manager(
      new JobManager(std::move(options), executor, std::move(publish), std::move(store)));
  JobFilter filter;
  filter.states = {v1::JOB_STATE_QUEUED, v1::JOB_STATE_RUNNING};
  filter.limit = -1;  // SQLite: no limit
  GRAFT_ASSIGN_OR_RETURN(std::vector<StoredJob> jobs, manager->store_->List(filter));
  Notifications nobody;
  const std::lock_guard lock(manager->mutex_);
  for (StoredJob& job : jobs) {
    if (job.job.state() == v1::JOB_STATE_RUNNING) {
      if (job.job.cancel_requested()) {
        GRAFT_RETURN_IF_ERROR(manager->SetState(&job, v1::JOB_STATE_CANCELLED, absl::OkStatus(), nullptr, &nobody));
      } else if (job.job.attempt() >= manager->options_.max_attempts) {
        GRAFT_RETURN_IF_ERROR(
            manager->SetState(&job, v1::JOB_STATE_FAILED,
                              absl::AbortedError(absl::StrCat("the server ended while the job was running, ",
                                                              job.job.attempt(), " times; it isn't started again")),
                              nullptr, &nobody));
      } else {
        GRAFT_RETURN_IF_ERROR(manager->SetState(&job, v1::JOB_STATE_QUEUED, absl::OkStatus(), nullptr, &nobody));
      }
    }
    if (!IsTerminal(job.job.state())) {
      manager->active_.emplace(job.number, std::move(job));
    }
  }
  return manager;
}

void JobManager::Start() {
  Notifications notifications;
  {
    const std::lock_guard lock(mutex_);
    started_ = true;
    StartNext(&notifications);
  }
  Notify(notifications);
}

void JobManager::Shutdown() {
  std::vector<std::pair<std::string, int>> running;
  Notifications notifications;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [number, job] : active_) {
      if (job.job.state() == v1::JOB_STATE_RUNNING) {
        running.emplace_back(job.job.id(), job.job.attempt());
        const v1::JobState state = job.job.cancel_requested() ? v1::JOB_STATE_CANCELLED : v1::JOB_STATE_QUEUED;
        // If the store fails here, Open does the same at the next start.
        SetState(&job, state, absl::OkStatus(), nullptr, &notifications).IgnoreError();
      }
    }
  }
  Notify(notifications);
  for (const auto& [id, attempt] : running) {
    executor_->Stop(id, attempt);
  }
}

std::filesystem::path JobManager::AttemptFolder(const StoredJob& job) const {
  return options_.data_dir / "jobs" / job.job.id() / absl::StrCat("attempt-", job.job.attempt());
}

absl::Status JobManager::Append(StoredJob* job, std::vector<v1::JobEvent> events, Notifications* notifications) {
  GRAFT_RETURN_IF_ERROR(store_->Update(job, &events, options_.now_ms()));
  for (const auto& [id, subscription] : subscriptions_) {
    if (subscription.number == job->number) {
      notifications->push_back(subscription.notify);
    }
  }
  return absl::OkStatus();
}

absl::Status JobManager::SetState(StoredJob* stored, v1::JobState state, const absl::Status& error,
                                  const v1::JobResult* result, Notifications* notifications) {
  GRAFT_RETURN_IF_ERROR(CheckTransition(stored->job.state(), state));
  StoredJob changed = *stored;
  v1::JobEvent event;
  event.mutable_state()->set_state(state);
  changed.job.set_state(state);
  const auto now = ToTimestamp(options_.now_ms());
  if (state == v1::JOB_STATE_RUNNING) {
    changed.job.set_attempt(changed.job.attempt() + 1);
    changed.worker_sequence = 0;
    *changed.job.mutable_start_time() = now;
  } else {
    changed.job.clear_progress();
    if (state == v1::JOB_STATE_QUEUED) {
      changed.job.clear_start_time();
    }
  }
  if (IsTerminal(state)) {
    *changed.job.mutable_end_time() = now;
    changed.job.set_cancel_requested(false);
  }
  if (!error.ok()) {
    FillError(error, changed.job.mutable_error());
    *event.mutable_state()->mutable_error() = changed.job.error();
  }
  if (result != nullptr) {
    *changed.job.mutable_result() = *result;
    *event.mutable_state()->mutable_result() = *result;
  }
  GRAFT_RETURN_IF_ERROR(Append(&changed, {std::move(event)}, notifications));
  *stored = std::move(changed);
  return absl::OkStatus();
}

void JobManager::Notify(const Notifications& notifications) {
  for (const auto& notify : notifications) {
    (*notify)();
  }
}

absl::StatusOr<std::optional<v1::Job>> JobManager::FindRequest(const std::string& request_id,
                                                               const v1::JobSpec& submitted) {
  if (request_id.empty()) {
    return std::nullopt;
  }
  GRAFT_ASSIGN_OR_RETURN(const std::optional<StoredJob> found, store_->FindRequest(request_id));
  if (!found.has_value()) {
    return std::nullopt;
  }
  if (found->submitted_sha256 != Fingerprint(submitted)) {
    return absl::AlreadyExistsError(absl::StrCat("request_id: '", request_id, "' was used for ", found->job.id(),
                                                 " with another spec; use a new one"));
  }
  const std::lock_guard lock(mutex_);
  return Public(*found);
}

absl::StatusOr<v1::Job> JobManager::Submit(const std::string& request_id, const v1::JobSpec& submitted,
                                           const v1::JobSpec& spec, int newest_version) {
  Notifications notifications;
  v1::Job answer;
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return absl::UnavailableError("the server is shutting down; try again");
    }
    // Two equal requests at the same time both found nothing before; under the lock only the first creates.
    if (!request_id.empty()) {
      GRAFT_ASSIGN_OR_RETURN(const auto found, store_->FindRequest(request_id));
      if (found.has_value()) {
        if (found->submitted_sha256 != Fingerprint(submitted)) {
          return absl::AlreadyExistsError(absl::StrCat("request_id: '", request_id, "' was used with another spec"));
        }
        return Public(*found);
      }
    }
    const auto queued = std::count_if(active_.begin(), active_.end(),
                                      [](const auto& j) { return j.second.job.state() == v1::JOB_STATE_QUEUED; });
    if (queued >= options_.max_queued) {
      return absl::ResourceExhaustedError(
          absl::StrCat(queued, " jobs are queued already, the most that this server takes; try again later"));
    }
    if (spec.has_split()) {
      for (const auto& [number, other] : active_) {
        if (other.job.spec().has_split() && other.job.spec().split().dataset() == spec.split().dataset()) {
          return absl::AlreadyExistsError(
              absl::StrCat("split.dataset: ", other.job.id(), " is making '", spec.split().dataset(), "' already"));
        }
      }
    }
    StoredJob job;
    job.request_id = request_id;
    job.submitted_sha256 = Fingerprint(submitted);
    *job.job.mutable_spec() = spec;
    job.job.set_state(v1::JOB_STATE_QUEUED);
    *job.job.mutable_create_time() = ToTimestamp(options_.now_ms());
    if (spec.has_train()) {
      GRAFT_ASSIGN_OR_RETURN(job.model_version, store_->NextModelVersion(spec.train().model(), newest_version));
    }
    v1::JobEvent first;
    first.mutable_state()->set_state(v1::JOB_STATE_QUEUED);
    GRAFT_RETURN_IF_ERROR(store_->Create(&job, &first));
    const int64_t number = job.number;
    active_.emplace(number, std::move(job));
    StartNext(&notifications);
    const auto it = active_.find(number);
    // Not there: it could not even be started, and has failed.
    if (it == active_.end()) {
      GRAFT_ASSIGN_OR_RETURN(const StoredJob failed, store_->Get(number));
      answer = Public(failed);
    } else {
      answer = Public(it->second);
    }
  }
  Notify(notifications);
  return answer;
}

void JobManager::StartNext(Notifications* notifications) {
  if (!started_ || stopping_) {
    return;
  }
  int running = 0;
  for (const auto& [number, job] : active_) {
    running += job.job.state() == v1::JOB_STATE_RUNNING ? 1 : 0;
  }
  for (auto it = active_.begin(); it != active_.end() && running < options_.max_running;) {
    StoredJob& job = it->second;
    if (job.job.state() != v1::JOB_STATE_QUEUED) {
      ++it;
      continue;
    }
    absl::Status status = SetState(&job, v1::JOB_STATE_RUNNING, absl::OkStatus(), nullptr, notifications);
    if (!status.ok()) {
      return;  // the store can't be written; the next event tries again
    }
    const std::filesystem::path folder = AttemptFolder(job);
    std::error_code error;
    std::filesystem::create_directories(folder / "out", error);
    status = error ? ErrnoStatus(error.value(), "create", folder) : absl::OkStatus();
    if (status.ok()) {
      const int64_t number = job.number;
      const int attempt = job.job.attempt();
      status = executor_->Start({job.job.id(), attempt, folder}, [this, number, attempt](const absl::Status& exit) {
        OnWorkerExit(number, attempt, exit);
      });
    }
    if (!status.ok()) {
      if (!SetState(&job, v1::JOB_STATE_FAILED, Annotate(status, "the worker could not be started"), nullptr,
                    notifications)
               .ok()) {
        return;
      }
      it = active_.erase(it);
      continue;
    }
    ++running;
    ++it;
  }
}

void JobManager::OnWorkerExit(int64_t number, int attempt, const absl::Status& exit) {
  Notifications notifications;
  {
    const std::lock_guard lock(mutex_);
    const auto it = active_.find(number);
    if (it != active_.end() && it->second.job.attempt() == attempt && it->second.job.state() == v1::JOB_STATE_RUNNING) {
      // It ended without a result: cancelled, or dead.
      StoredJob& job = it->second;
      absl::Status stored;
      if (job.job.cancel_requested()) {
        stored = SetState(&job, v1::JOB_STATE_CANCELLED, absl::OkStatus(), nullptr, &notifications);
      } else {
        const absl::Status reason = exit.ok() ? absl::AbortedError("the worker process ended without a result") : exit;
        stored = SetState(&job, v1::JOB_STATE_FAILED, reason, nullptr, &notifications);
      }
      if (stored.ok()) {
        std::error_code ignored;  // the log stays, what it wrote goes
        std::filesystem::remove_all(AttemptFolder(job) / "out", ignored);
        active_.erase(it);
      }
    }
    StartNext(&notifications);
  }
  Notify(notifications);
}

v1::Job JobManager::Public(const StoredJob& stored) const {
  v1::Job job = stored.job;
  if (job.state() == v1::JOB_STATE_QUEUED) {
    int position = 0;
    for (const auto& [number, other] : active_) {
      position += other.job.state() == v1::JOB_STATE_QUEUED && number <= stored.number ? 1 : 0;
    }
    job.set_queue_position(position);
  }
  return job;
}

absl::StatusOr<v1::Job> JobManager::Get(const std::string& id) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  GRAFT_ASSIGN_OR_RETURN(const StoredJob job, store_->Get(number));
  const std::lock_guard lock(mutex_);
  return Public(job);
}

absl::StatusOr<std::vector<v1::Job>> JobManager::List(const JobFilter& filter) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<StoredJob> stored, store_->List(filter));
  const std::lock_guard lock(mutex_);
  std::vector<v1::Job> jobs;
  for (const StoredJob& job : stored) {
    jobs.push_back(Public(job));
  }
  return jobs;
}

absl::StatusOr<v1::Job> JobManager::Cancel(const std::string& id) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  GRAFT_ASSIGN_OR_RETURN(const StoredJob stored, store_->Get(number));
  Notifications notifications;
  v1::Job answer;
  std::optional<std::pair<std::string, int>> to_stop;
  {
    const std::lock_guard lock(mutex_);
    const auto it = active_.find(number);
    if (it == active_.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("id: ", id, " has ended already: ", StateName(stored.job.state())));
    }
    StoredJob& job = it->second;
    if (job.job.state() == v1::JOB_STATE_QUEUED) {
      GRAFT_RETURN_IF_ERROR(SetState(&job, v1::JOB_STATE_CANCELLED, absl::OkStatus(), nullptr, &notifications));
      answer = Public(job);
      active_.erase(it);
    } else {
      if (!job.job.cancel_requested()) {
        StoredJob changed = job;
        changed.job.set_cancel_requested(true);
        v1::JobEvent event;
        event.mutable_log()->set_text("cancel was asked for");
        GRAFT_RETURN_IF_ERROR(Append(&changed, {event}, &notifications));
        job = std::move(changed);
      }
      to_stop.emplace(job.job.id(), job.job.attempt());
      answer = Public(job);
    }
  }
  Notify(notifications);
  if (to_stop.has_value()) {
    executor_->Stop(to_stop->first, to_stop->second);
  }
  return answer;
}

int JobManager::running() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(active_.begin(), active_.end(),
                                        [](const auto& j) { return j.second.job.state() == v1::JOB_STATE_RUNNING; }));
}

int JobManager::queued() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::count_if(active_.begin(), active_.end(),
                                        [](const auto& j) { return j.second.job.state() == v1::JOB_STATE_QUEUED; }));
}

std::string JobManager::UserOfDataset(const std::string& dataset) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, job] : active_) {
    if (DatasetOf(job.job.spec()) == dataset) {
      return job.job.id();
    }
  }
  return "";
}

std::string JobManager::UserOfModel(const std::string& model, int version) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, job] : active_) {
    const v1::JobSpec& spec = job.job.spec();
    if (spec.has_evaluate() && spec.evaluate().model().name() == model &&
        (version == 0 || spec.evaluate().model().version() == version)) {
      return job.job.id();
    }
  }
  return "";
}

std::string JobManager::MakerOfDataset(const std::string& dataset) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [number, job] : active_) {
    if (job.job.spec().has_split() && job.job.spec().split().dataset() == dataset) {
      return job.job.id();
    }
  }
  return "";
}

absl::StatusOr<JobManager::EventPage> JobManager::Events(const std::string& id, int64_t after) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  // The state first: when it is terminal, its event is in what is read next.
  GRAFT_ASSIGN_OR_RETURN(const StoredJob job, store_->Get(number));
  if (after < 0 || after > job.job.last_sequence()) {
    return absl::OutOfRangeError(
        absl::StrCat("after_sequence: ", after, " was never given out; ", id, " is at ", job.job.last_sequence()));
  }
  EventPage page;
  GRAFT_ASSIGN_OR_RETURN(page.events, store_->Events(number, after, kEventPage));
  const int64_t last = page.events.empty() ? after : page.events.back().sequence();
  page.ended = IsTerminal(job.job.state()) && last >= job.job.last_sequence();
  return page;
}

absl::StatusOr<int64_t> JobManager::Subscribe(const std::string& id, std::function<void()> notify) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(id));
  GRAFT_RETURN_IF_ERROR(store_->Get(number).status());
  const std::lock_guard lock(mutex_);
  subscriptions_[next_subscription_] = {number, std::make_shared<const std::function<void()>>(std::move(notify))};
  return next_subscription_++;
}

void JobManager::Unsubscribe(int64_t subscription) {
  const std::lock_guard lock(mutex_);
  subscriptions_.erase(subscription);
}

absl::StatusOr<v1::Assignment> JobManager::FetchAssignment(const v1::FetchAssignmentRequest& request) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(request.job_id()));
  const std::lock_guard lock(mutex_);
  const auto it = active_.find(number);
  if (it == active_.end() || it->second.job.attempt() != request.attempt() ||
      it->second.job.state() != v1::JOB_STATE_RUNNING) {
    return absl::FailedPreconditionError(
        absl::StrCat("attempt ", request.attempt(), " of ", request.job_id(), " isn't the current one"));
  }
  const StoredJob& job = it->second;
  v1::Assignment assignment;
  *assignment.mutable_spec() = job.job.spec();
  assignment.set_data_dir(options_.data_dir.string());
  assignment.set_weights_dir(options_.weights_dir.string());
  assignment.set_staging_dir((AttemptFolder(job) / "out").string());
  assignment.set_threads(options_.threads);
  assignment.set_device(options_.device);
  assignment.set_convolution(options_.convolution);
  assignment.set_model_version(job.model_version);
  return assignment;
}

absl::StatusOr<v1::ReportResponse> JobManager::Report(const v1::ReportRequest& request) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t number, ParseJobId(request.job_id()));
  v1::ReportResponse response;
  Notifications notifications;
  {
    const std::lock_guard lock(mutex_);
    const auto it = active_.find(number);
    if (it == active_.end() || it->second.job.attempt() != request.attempt() ||
        it->second.job.state() != v1::JOB_STATE_RUNNING) {
      // Another attempt has taken over, or this one's end was stored and the answer got lost.
      response.set_acknowledged(request.first_sequence() + request.events_size() - 1);
      response.set_stop(true);
      return response;
    }
    StoredJob job = it->second;
    if (request.events_size() > 0 && request.first_sequence() > job.worker_sequence + 1) {
      return absl::InvalidArgumentError(absl::StrCat("first_sequence: ", request.first_sequence(),
                                                     " leaves a gap; the next is ", job.worker_sequence + 1));
    }
    std::vector<v1::JobEvent> fresh;
    std::optional<v1::StateChange> end;
    for (int i = 0; i < request.events_size(); ++i) {
      if (request.first_sequence() + i <= job.worker_sequence) {
        continue;  // resent, and there already
      }
      const v1::JobEvent& event = request.events(i);
      ++job.worker_sequence;
      if (event.has_state()) {
        end = event.state();
        break;
      }
      if (event.has_progress()) {
        *job.job.mutable_progress() = event.progress();
        job.job.mutable_progress()->clear_steps();
      }
      fresh.push_back(event);
    }
    if (!fresh.empty()) {
      GRAFT_RETURN_IF_ERROR(Append(&job, std::move(fresh), &notifications));
      it->second = job;
    }
    if (end.has_value()) {
      absl::Status error;
      if (end->state() == v1::JOB_STATE_FAILED) {
        error = absl::Status(static_cast<absl::StatusCode>(end->error().code()), end->error().message());
      } else {
        error = publish_(job, AttemptFolder(job) / "out");
      }
      const bool succeeded = error.ok() && end->state() == v1::JOB_STATE_SUCCEEDED;
      GRAFT_RETURN_IF_ERROR(SetState(&job, succeeded ? v1::JOB_STATE_SUCCEEDED : v1::JOB_STATE_FAILED, error,
                                     succeeded ? &end->result() : nullptr, &notifications));
      std::error_code ignored;
      std::filesystem::remove_all(AttemptFolder(job) / "out", ignored);
      response.set_acknowledged(job.worker_sequence);
      response.set_stop(true);
      active_.erase(it);
      StartNext(&notifications);
    } else {
      response.set_acknowledged(job.worker_sequence);
      response.set_stop(job.job.cancel_requested());
    }
  }
  Notify(notifications);
  return response;
}

}  // namespace graft
