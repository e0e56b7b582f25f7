#include "server/jobs/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

bool Reads(const ResolvedJob& job, const Resource& resource) {
  return std::any_of(job.reads.begin(), job.reads.end(), [&](const Resource& read) { return read.Overlaps(resource); });
}

bool Makes(const ResolvedJob& job, const Resource& resource) {
  return job.makes.has_value() && job.makes->Overlaps(resource);
}

}  // namespace

std::string Describe(const Resource& resource) {
  switch (resource.type) {
    case Resource::Type::kDataset:
      return absl::StrCat("the data set '", resource.name, "'");
    case Resource::Type::kModel:
      return resource.version == 0 ? absl::StrCat("the model '", resource.name, "'")
                                   : absl::StrCat("the model ", resource.name, "@", resource.version);
    case Resource::Type::kUpload:
      return absl::StrCat("the upload '", resource.name, "'");
  }
  return "";
}

bool Owes(const ActiveJob& job) {
  switch (job.record.state) {
    case JobState::kQueued:
    case JobState::kPaused:
      return job.wish_owed.has_value();
    case JobState::kRunning:
      return job.wish_owed.has_value() || job.ended.has_value();
    case JobState::kPublishing:
      return job.published.has_value();
    default:
      return false;
  }
}

namespace {

// Of a job that no worker is at.
Outcome DecideIdle(const ActiveJob& job) {
  Outcome outcome;
  outcome.state = job.record.state;
  switch (job.wish()) {
    case Wish::kNone:
    case Wish::kRestart:
      outcome.state = JobState::kQueued;
      break;
    case Wish::kKeepBest:  // takes a worker, which puts the weights into a model
      outcome.state = JobState::kQueued;
      outcome.wish = Wish::kKeepBest;
      break;
    case Wish::kPause:
      outcome.state = JobState::kPaused;
      break;
    case Wish::kCancel:
      outcome.state = JobState::kCancelled;
      break;
  }
  return outcome;
}

absl::string_view Asked(Wish wish) {
  switch (wish) {
    case Wish::kKeepBest:
      return "an end with the best weights so far was asked for";
    case Wish::kPause:
      return "a pause was asked for";
    case Wish::kRestart:
      return "the pause was taken back; the job goes on as soon as its worker has ended";
    case Wish::kCancel:
      return "cancel was asked for";
    case Wish::kNone:
      break;
  }
  return "";
}

// Of a job whose worker has ended, and that is to go on if it can.
Outcome DecideEnded(const ActiveJob& job, int max_losses) {
  Outcome outcome;
  outcome.wish = job.wish();
  if (!job.ended->again) {
    outcome.state = JobState::kFailed;
    outcome.error = job.ended->reason;
    return outcome;
  }
  outcome.state = JobState::kQueued;
  if (job.ended->reason.ok()) {
    return outcome;  // the server shuts down
  }
  outcome.loss = true;
  const std::string reason(job.ended->reason.message());
  if (job.record.losses + 1 < max_losses) {
    outcome.line = {absl::StrCat("attempt ", job.record.attempt, ": ", reason, "; the job starts again"),
                    /*warning=*/true};
  } else {
    outcome.state = JobState::kFailed;
    outcome.error = absl::AbortedError(
        absl::StrCat(reason, "; that was so ", job.record.losses + 1, " times, and the job isn't started again"));
  }
  return outcome;
}

}  // namespace

Outcome Decide(const ActiveJob& job, int max_losses) {
  Outcome outcome;
  switch (job.record.state) {
    case JobState::kPublishing:
      outcome.state = job.published->ok() ? JobState::kSucceeded : JobState::kFailed;
      outcome.error = Annotate(*job.published, "the job's result could not be put in its place");
      return outcome;
    case JobState::kRunning:
      if (!job.ended.has_value()) {
        outcome.state = JobState::kRunning;
        outcome.wish = job.wish();
        outcome.line = {std::string(Asked(job.wish())), /*warning=*/false};
        return outcome;
      }
      return StopsWorker(job.wish()) ? DecideIdle(job) : DecideEnded(job, max_losses);
    default:
      return DecideIdle(job);
  }
}

ActiveJob* Scheduler::Find(int64_t number) {
  const auto it = jobs_.find(number);
  return it == jobs_.end() ? nullptr : &it->second;
}

const ActiveJob* Scheduler::Find(int64_t number) const {
  const auto it = jobs_.find(number);
  return it == jobs_.end() ? nullptr : &it->second;
}

void Scheduler::Add(ActiveJob job) {
  const int64_t number = job.record.number;
  jobs_.insert_or_assign(number, std::move(job));
}

int Scheduler::Count(JobState state) const {
  return static_cast<int>(
      std::count_if(jobs_.begin(), jobs_.end(), [&](const auto& job) { return job.second.record.state == state; }));
}

int Scheduler::QueuePosition(int64_t number) const {
  int position = 0;
  for (const auto& [other, job] : jobs_) {
    if (job.record.state == JobState::kQueued && other <= number) {
      ++position;
      if (other == number) {
        return position;
      }
    }
  }
  return 0;
}

std::optional<int64_t> Scheduler::Next(int max_running) const {
  if (Count(JobState::kRunning) >= max_running) {
    return std::nullopt;
  }
  for (const auto& [number, job] : jobs_) {
    if (job.record.state == JobState::kQueued && !StopsWorker(job.wish())) {
      return number;
    }
  }
  return std::nullopt;
}

std::string Scheduler::UserOf(const Resource& resource) const {
  for (const auto& [number, job] : jobs_) {
    if (Reads(job.record.job, resource) || Makes(job.record.job, resource)) {
      return job.record.id();
    }
  }
  return "";
}

std::string Scheduler::MakerOf(const Resource& resource) const {
  for (const auto& [number, job] : jobs_) {
    if (Makes(job.record.job, resource)) {
      return job.record.id();
    }
  }
  return "";
}

absl::Status Scheduler::Admit(const ResolvedJob& job) const {
  for (const Resource& reserved : reserved_) {
    if (Reads(job, reserved) || Makes(job, reserved)) {
      return absl::FailedPreconditionError(absl::StrCat(Describe(reserved), " is being deleted"));
    }
  }
  if (job.makes.has_value()) {
    if (const std::string maker = MakerOf(*job.makes); !maker.empty()) {
      return absl::AlreadyExistsError(absl::StrCat(maker, " is making ", Describe(*job.makes), " already"));
    }
  }
  for (const Resource& read : job.reads) {
    // A job takes its upload away: what is left for a second one is nothing.
    if (read.type == Resource::Type::kUpload) {
      if (const std::string user = UserOf(read); !user.empty()) {
        return absl::FailedPreconditionError(
            absl::StrCat(Describe(read), " is taken by ", user, " already; upload the images again"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Scheduler::Reserve(const Resource& resource) {
  if (const std::string user = UserOf(resource); !user.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(resource), " is needed by ", user, ", which hasn't ended; wait for it or cancel it"));
  }
  if (submission_.has_value() && (Reads(*submission_, resource) || Makes(*submission_, resource))) {
    return absl::FailedPreconditionError(absl::StrCat(Describe(resource), " is needed by a job that is being queued"));
  }
  for (const Resource& reserved : reserved_) {
    if (reserved.Overlaps(resource)) {
      return absl::FailedPreconditionError(absl::StrCat(Describe(reserved), " is being deleted already"));
    }
  }
  reserved_.push_back(resource);
  return absl::OkStatus();
}

void Scheduler::Release(const Resource& resource) {
  const auto it = std::find_if(reserved_.begin(), reserved_.end(), [&](const Resource& reserved) {
    return reserved.type == resource.type && reserved.name == resource.name && reserved.version == resource.version;
  });
  if (it != reserved_.end()) {
    reserved_.erase(it);
  }
}

void Scheduler::Forgive(absl::Duration now) {
  for (auto& [number, job] : jobs_) {
    job.heard = std::max(job.heard, now);
  }
}

std::vector<int64_t> Scheduler::Quiet(absl::Duration now, absl::Duration timeout) const {
  std::vector<int64_t> quiet;
  for (const auto& [number, job] : jobs_) {
    if (job.record.state == JobState::kRunning && !job.ended.has_value() && now - job.heard > timeout) {
      quiet.push_back(number);
    }
  }
  return quiet;
}

std::vector<int64_t> Scheduler::Unresponsive(absl::Duration now, absl::Duration timeout,
                                             absl::Duration busy_timeout) const {
  std::vector<int64_t> unresponsive = Quiet(now, timeout);
  std::erase_if(unresponsive, [&](int64_t number) {
    const ActiveJob& job = jobs_.at(number);
    return !job.lost && now - job.computed <= timeout && now - job.heard <= busy_timeout;
  });
  return unresponsive;
}

}  // namespace graft
