#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/model/keep.h"
#include "core/viz/charts.h"
#include "jobs/kind.h"
#include "jobs/learning_curves.h"
#include "jobs/recommend.h"
#include "jobs/to_proto.h"
#include "jobs/train.h"
#include "server/handlers/handlers.h"
#include "server/handlers/paging.h"

namespace graft {
namespace {

constexpr size_t kMaxId = 128;

absl::StatusOr<JobState> FromProto(v1::JobState state) {
  for (const JobState known : {JobState::kQueued, JobState::kRunning, JobState::kSucceeded, JobState::kFailed,
                               JobState::kCancelled, JobState::kPaused}) {
    if (ToProto(known) == state) {
      return known;
    }
  }
  return InvalidField("states", absl::StrCat(static_cast<int>(state), " is no state of a job"));
}

absl::StatusOr<JobFilter> ToFilter(const v1::ListJobsRequest& request) {
  JobFilter filter;
  for (const int number : request.states()) {
    GRAFT_ASSIGN_OR_RETURN(const JobState state, FromProto(static_cast<v1::JobState>(number)));
    filter.states.push_back(state);
  }
  if (!request.kind().empty()) {
    const absl::StatusOr<const JobKind*> kind = FindJobKind(request.kind());
    if (!kind.ok()) {
      return absl::InvalidArgumentError(kind.status().message());
    }
    filter.kind = request.kind();
  }
  GRAFT_RETURN_IF_ERROR(CheckText("dataset", request.dataset(), kMaxId));
  GRAFT_RETURN_IF_ERROR(CheckText("model", request.model(), kMaxId));
  filter.dataset = request.dataset();
  filter.model = request.model();
  return filter;
}

class JobEventSource : public StreamSource<v1::JobEvent> {
 public:
  JobEventSource(JobManager* jobs, std::string id, int64_t after) : jobs_(jobs), id_(std::move(id)), after_(after) {}
  ~JobEventSource() override {
    if (subscription_ != 0) {
      jobs_->Unsubscribe(subscription_);
    }
  }

  absl::StatusOr<State> Next(const std::function<void()>& wake, v1::JobEvent* out) override {
    if (subscription_ == 0) {
      if (after_ < 0) {
        return InvalidField("after_sequence", absl::StrCat(after_, " is negative; use 0 for all events"));
      }
      GRAFT_ASSIGN_OR_RETURN(const JobRecord record, jobs_->Get(id_));
      kind_ = record.job.kind;
      GRAFT_ASSIGN_OR_RETURN(subscription_, jobs_->Subscribe(id_, wake));
    }
    if (next_ == page_.events.size()) {
      if (page_.ended) {
        return State::kEnd;
      }
      GRAFT_ASSIGN_OR_RETURN(page_, jobs_->Events(id_, after_));
      next_ = 0;
      if (page_.events.empty()) {
        return page_.ended ? State::kEnd : State::kWait;
      }
    }
    const JobEvent& event = page_.events[next_++];
    *out = ToProto(id_, kind_, event);
    after_ = event.sequence;
    return State::kItem;
  }

  absl::Status Aborted() const override {
    return absl::UnavailableError(
        absl::StrCat("the server is shutting down; watch again with after_sequence ", after_, " when it is back"));
  }

 private:
  JobManager* const jobs_;
  const std::string id_;
  std::string kind_;
  int64_t after_;
  int64_t subscription_ = 0;
  JobManager::EventPage page_;
  size_t next_ = 0;
};

// What a training's events by now say of its epochs.
struct Epochs {
  std::vector<EpochMetrics> history;
  int planned = 0;  // 0: it isn't trained in epochs, or hasn't said yet
};

absl::StatusOr<Epochs> ReadEpochs(JobManager& jobs, const Call& call, const std::string& id) {
  Epochs epochs;
  JobManager::EventPage page;
  int64_t after = 0;
  do {
    if (call.Cancelled()) {
      return absl::CancelledError("the caller has gone");
    }
    GRAFT_ASSIGN_OR_RETURN(page, jobs.Events(id, after));
    for (const JobEvent& event : page.events) {
      after = event.sequence;
      if (const auto* epoch = std::get_if<EpochMetrics>(&event.body); epoch != nullptr) {
        epochs.history.push_back(*epoch);
      } else if (const auto* progress = std::get_if<JobProgress>(&event.body); progress != nullptr) {
        epochs.planned = std::max(epochs.planned, progress->epochs);
      }
    }
  } while (!page.events.empty() && !page.ended);
  return epochs;
}

}  // namespace

absl::Status SubmitJob(const Deps& deps, const Call&, const v1::SubmitJobRequest& request, v1::Job* response) {
  GRAFT_RETURN_IF_ERROR(CheckText("request_id", request.request_id(), kMaxId));
  const std::string submitted = Sha256Hex(absl::string_view(request.spec().SerializeAsString()));
  GRAFT_ASSIGN_OR_RETURN(const std::optional<JobRecord> earlier,
                         deps.jobs->FindRequest(request.request_id(), submitted));
  if (earlier.has_value()) {
    *response = ToProto(*earlier);
    return absl::OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(const JobKind* kind, KindOf(request.spec()));
  ResolveContext context;
  context.data = deps.data;
  context.allow_dirs = deps.options->allow_dirs;
  context.weights_dir = deps.options->weights_dir;
  context.threads = deps.options->threads;
  context.maker = [&](const Resource& resource) { return deps.jobs->MakerOf(resource); };
  GRAFT_ASSIGN_OR_RETURN(ResolvedJob job, kind->Resolve(context, request.spec()));
  if (request.validate_only()) {
    return kind->SpecToProto(job.spec, response->mutable_spec());
  }
  const bool makes_model = job.makes.has_value() && job.makes->type == Resource::Type::kModel;
  const int newest_version = makes_model ? deps.data->NewestVersion(job.makes->name) : 0;
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record,
                         deps.jobs->Submit(request.request_id(), submitted, std::move(job), newest_version));
  *response = ToProto(record);
  return absl::OkStatus();
}

absl::Status GetJob(const Deps& deps, const Call&, const v1::GetJobRequest& request, v1::Job* response) {
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record, deps.jobs->Get(request.id()));
  *response = ToProto(record);
  return absl::OkStatus();
}

absl::Status ListJobs(const Deps& deps, const Call&, const v1::ListJobsRequest& request,
                      v1::ListJobsResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(JobFilter filter, ToFilter(request));
  GRAFT_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  // The token is the number of the last job shown: new jobs don't shift the pages.
  GRAFT_ASSIGN_OR_RETURN(filter.before, PageToken(request.page_token()));
  filter.limit = page_size + 1;
  GRAFT_ASSIGN_OR_RETURN(std::vector<JobRecord> jobs, deps.jobs->List(filter));
  if (static_cast<int>(jobs.size()) > page_size) {
    jobs.pop_back();
    response->set_next_page_token(absl::StrCat(jobs.back().number));
  }
  for (const JobRecord& job : jobs) {
    *response->add_jobs() = ToProto(job);
  }
  return absl::OkStatus();
}

absl::Status CancelJob(const Deps& deps, const Call&, const v1::CancelJobRequest& request, v1::Job* response) {
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record,
                         request.keep_best() ? deps.jobs->KeepBest(request.id()) : deps.jobs->Cancel(request.id()));
  *response = ToProto(record);
  return absl::OkStatus();
}

absl::Status PauseJob(const Deps& deps, const Call&, const v1::PauseJobRequest& request, v1::Job* response) {
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record, deps.jobs->Pause(request.id()));
  *response = ToProto(record);
  return absl::OkStatus();
}

absl::Status ResumeJob(const Deps& deps, const Call&, const v1::ResumeJobRequest& request, v1::Job* response) {
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record, deps.jobs->Resume(request.id()));
  *response = ToProto(record);
  return absl::OkStatus();
}

std::unique_ptr<StreamSource<v1::JobEvent>> WatchJob(const Deps& deps, const Call&,
                                                     const v1::WatchJobRequest& request) {
  return std::make_unique<JobEventSource>(deps.jobs, request.id(), request.after_sequence());
}

absl::Status GetLearningCurves(const Deps& deps, const Call& call, const v1::GetLearningCurvesRequest& request,
                               v1::GetLearningCurvesResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record, deps.jobs->Get(request.id()));
  if (record.job.kind.empty()) {
    return record.error;  // its row is damaged
  }
  if (record.job.kind != TrainKind().name()) {
    return absl::FailedPreconditionError(
        absl::StrCat(record.id(), " is of the kind ", record.job.kind, "; only trainings have learning curves"));
  }
  GRAFT_ASSIGN_OR_RETURN(const TrainJobSpec spec, TrainJobSpecFromJson(record.job.spec));
  GRAFT_ASSIGN_OR_RETURN(const Epochs epochs, ReadEpochs(*deps.jobs, call, record.id()));
  if (epochs.history.empty()) {
    return absl::FailedPreconditionError(
        IsTerminal(record.state) ? absl::StrCat(record.id(), " ended before its first epoch did")
                                 : absl::StrCat("no epoch of ", record.id(), " has ended yet; ask again later"));
  }
  const int epoch = epochs.history.back().epoch;
  return CatchExceptions("drawing the learning curves", [&]() -> absl::Status {
    GRAFT_ASSIGN_OR_RETURN(
        *response->mutable_png(),
        DrawLearningCurves(
            absl::StrCat(spec.model, "@", record.model_version, " (", spec.variant, "), ", record.id(), ", epoch ",
                         epoch, epochs.planned > 0 ? absl::StrCat(" of ", epochs.planned) : ""),
            epochs.history, KeptEpoch(spec.options.keep, epochs.history)));
    response->set_epoch(epoch);
    return absl::OkStatus();
  });
}

absl::Status DrawRecommendation(const Deps& deps, const Call&, const v1::DrawRecommendationRequest& request,
                                v1::DrawRecommendationResponse* response) {
  GRAFT_ASSIGN_OR_RETURN(const JobRecord record, deps.jobs->Get(request.id()));
  if (record.job.kind.empty()) {
    return record.error;  // its row is damaged
  }
  if (record.job.kind != RecommendKind().name()) {
    return absl::FailedPreconditionError(
        absl::StrCat(record.id(), " is of the kind ", record.job.kind, "; only a recommend job can be drawn so"));
  }
  if (record.state != JobState::kSucceeded) {
    return absl::FailedPreconditionError(IsTerminal(record.state)
                                             ? absl::StrCat(record.id(), " found nothing")
                                             : absl::StrCat(record.id(), " hasn't ended yet; ask again later"));
  }
  GRAFT_ASSIGN_OR_RETURN(const RecommendJobResult result, RecommendJobResultFromJson(record.result));
  return CatchExceptions("drawing the recommendation", [&]() -> absl::Status {
    std::vector<TimedModel> models;
    for (const TrunkCandidate& candidate : result.candidates) {
      if (!candidate.over_budget) {
        models.push_back({candidate.trunk, candidate.accuracy, candidate.interval, candidate.milliseconds,
                          candidate.variant == result.variant});
      }
    }
    GRAFT_ASSIGN_OR_RETURN(
        *response->mutable_png(),
        AccuracyByTime(absl::StrCat("Trunks for ", result.dataset, ", ", result.images, " images"), models));
    return absl::OkStatus();
  });
}

}  // namespace graft
