#include <algorithm>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "server/handlers/handlers.h"
#include "server/rpc/reactors.h"

namespace graft {
namespace {

absl::Status CheckDataset(const Deps& deps, const std::string& name) {
  absl::Status status = deps.catalog->GetDataset(name).status();
  if (absl::IsNotFound(status)) {
    if (const std::string maker = deps.jobs->MakerOfDataset(name); !maker.empty()) {
      return absl::NotFoundError(
          absl::StrCat("dataset: '", name, "' isn't ready: ", maker, " is making it; wait for that"));
    }
  }
  return status;
}

absl::Status ResolveSplit(const Deps& deps, v1::SplitSpec* split) {
  GRAFT_RETURN_IF_ERROR(CheckName("split.dataset", split->dataset()));
  GRAFT_RETURN_IF_ERROR(FromProto(*split).status());
  switch (split->source_case()) {
    case v1::SplitSpec::kFolder: {
      GRAFT_ASSIGN_OR_RETURN(const std::filesystem::path folder,
                             CheckAllowedFolder("split.folder", split->folder(), deps.options->allow_dirs));
      split->set_folder(folder.string());
      break;
    }
    case v1::SplitSpec::kUploadId:
      GRAFT_RETURN_IF_ERROR(deps.catalog->UploadFolder(split->upload_id()).status());
      break;
    case v1::SplitSpec::SOURCE_NOT_SET:
      return InvalidField("split.source", "not set; give a folder on the server or an upload_id");
  }
  if (deps.catalog->HasDataset(split->dataset())) {
    return absl::AlreadyExistsError(
        absl::StrCat("split.dataset: there is a '", split->dataset(), "' already; delete it or choose another name"));
  }
  if (split->label_rule() == v1::LABEL_RULE_UNSPECIFIED) {
    split->set_label_rule(v1::LABEL_RULE_FILENAME);
  }
  if (split->copy_mode() == v1::COPY_MODE_UNSPECIFIED) {
    split->set_copy_mode(v1::COPY_MODE_COPY);
  }
  return absl::OkStatus();
}

absl::Status ResolveTrain(const Deps& deps, v1::TrainSpec* train) {
  GRAFT_RETURN_IF_ERROR(CheckName("train.model", train->model()));
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(train->variant()));
  GRAFT_ASSIGN_OR_RETURN(TrainingOptions options, FromProto(train->options(), variant->defaults));
  GRAFT_RETURN_IF_ERROR(CheckDataset(deps, train->dataset()));
  GRAFT_ASSIGN_OR_RETURN(const v1::Dataset dataset, deps.catalog->GetDataset(train->dataset()));
  GRAFT_RETURN_IF_ERROR(DescribeVariant(*variant, options, dataset.classes_size()).status());
  if (variant->trunk != nullptr) {
    GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(deps.options->weights_dir, variant->trunk->name));
  }
  GRAFT_ASSIGN_OR_RETURN(options, ResolveOptions(*variant, options));
  if (options.threads == 0) {
    options.threads = deps.options->threads;
  }
  *train->mutable_options() = ToProto(options);
  return absl::OkStatus();
}

absl::Status ResolveExtractFeatures(const Deps& deps, v1::ExtractFeaturesSpec* extract) {
  GRAFT_RETURN_IF_ERROR(CheckDataset(deps, extract->dataset()));
  if (extract->trunk().empty()) {
    extract->set_trunk(std::string(DefaultTrunk().name));
  }
  GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, FindTrunk(extract->trunk()));
  GRAFT_RETURN_IF_ERROR(CheckTrunkWeights(deps.options->weights_dir, extract->trunk()));
  TrainingOptions options;  // for their ranges
  options.image_size = extract->image_size() == 0 ? options.image_size : extract->image_size();
  GRAFT_RETURN_IF_ERROR(options.Validate());
  GRAFT_ASSIGN_OR_RETURN(const Preprocessing preprocessing, FromProto(extract->preprocessing()));
  GRAFT_RETURN_IF_ERROR(FromProto(extract->interpolation()).status());
  extract->set_image_size(options.image_size);
  extract->set_preprocessing(ToProto(ResolvePreprocessing(preprocessing, trunk)));
  return absl::OkStatus();
}

absl::Status ResolveEvaluate(const Deps& deps, v1::EvaluateSpec* evaluate) {
  GRAFT_ASSIGN_OR_RETURN(const int version, deps.catalog->ResolveVersion(evaluate->model(), evaluate->version()));
  GRAFT_ASSIGN_OR_RETURN(const v1::Model model, deps.catalog->GetModel(evaluate->model(), version));
  evaluate->set_version(version);
  if (evaluate->dataset().empty()) {
    evaluate->set_dataset(model.dataset());
  }
  GRAFT_ASSIGN_OR_RETURN(const Part part, FromProto(evaluate->part()));
  evaluate->set_part(ToProto(part));
  return CheckDataset(deps, evaluate->dataset());
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
    *out = std::move(page_.events[next_++]);
    after_ = out->sequence();
    return State::kItem;
  }

  absl::Status Aborted() const override {
    return absl::UnavailableError(
        absl::StrCat("the server is shutting down; watch again with after_sequence ", after_, " when it is back"));
  }

 private:
  JobManager* const jobs_;
  const std::string id_;
  int64_t after_;
  int64_t subscription_ = 0;
  JobManager::EventPage page_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<int> PageSize(int requested) {
  constexpr int kDefault = 50;
  constexpr int kMost = 1000;
  if (requested < 0) {
    return InvalidField("page_size", absl::StrCat(requested, " is negative; use 1 to 1,000, or 0 for 50"));
  }
  return requested == 0 ? kDefault : std::min(requested, kMost);
}

absl::StatusOr<int64_t> PageToken(const std::string& token) {
  int64_t value = 0;
  if (!token.empty() && (!absl::SimpleAtoi(token, &value) || value < 1)) {
    return InvalidField("page_token", "isn't one that this server gave out; take next_page_token from the last answer");
  }
  return value;
}

absl::Status SubmitJob(const Deps& deps, const v1::SubmitJobRequest& request, v1::Job* response) {
  constexpr size_t kMaxRequestId = 128;
  const std::string& id = request.request_id();
  if (id.size() > kMaxRequestId ||
      !std::all_of(id.begin(), id.end(), [](unsigned char c) { return absl::ascii_isprint(c); })) {
    return InvalidField("request_id", "longer than 128 characters or not printable; a UUID is a good one");
  }
  GRAFT_ASSIGN_OR_RETURN(const std::optional<v1::Job> earlier, deps.jobs->FindRequest(id, request.spec()));
  if (earlier.has_value()) {
    *response = *earlier;
    return absl::OkStatus();
  }
  v1::JobSpec spec = request.spec();
  int newest_version = 0;
  switch (spec.kind_case()) {
    case v1::JobSpec::kSplit:
      GRAFT_RETURN_IF_ERROR(ResolveSplit(deps, spec.mutable_split()));
      break;
    case v1::JobSpec::kTrain:
      GRAFT_RETURN_IF_ERROR(ResolveTrain(deps, spec.mutable_train()));
      newest_version = deps.catalog->NewestVersion(spec.train().model());
      break;
    case v1::JobSpec::kExtractFeatures:
      GRAFT_RETURN_IF_ERROR(ResolveExtractFeatures(deps, spec.mutable_extract_features()));
      break;
    case v1::JobSpec::kEvaluate:
      GRAFT_RETURN_IF_ERROR(ResolveEvaluate(deps, spec.mutable_evaluate()));
      break;
    case v1::JobSpec::KIND_NOT_SET:
      return InvalidField("spec", "not set; give split, train, extract_features or evaluate");
  }
  if (request.validate_only()) {
    *response->mutable_spec() = spec;
    return absl::OkStatus();
  }
  GRAFT_ASSIGN_OR_RETURN(*response, deps.jobs->Submit(id, request.spec(), spec, newest_version));
  return absl::OkStatus();
}

absl::Status GetJob(const Deps& deps, const v1::GetJobRequest& request, v1::Job* response) {
  GRAFT_ASSIGN_OR_RETURN(*response, deps.jobs->Get(request.id()));
  return absl::OkStatus();
}

absl::Status ListJobs(const Deps& deps, const v1::ListJobsRequest& request, v1::ListJobsResponse* response) {
  JobFilter filter;
  GRAFT_ASSIGN_OR_RETURN(const int page_size, PageSize(request.page_size()));
  // The token is the number of the last job shown: new jobs don't shift the pages.
  GRAFT_ASSIGN_OR_RETURN(filter.before, PageToken(request.page_token()));
  for (const int state : request.states()) {
    filter.states.push_back(static_cast<v1::JobState>(state));
  }
  if (!request.kind().empty() && request.kind() != "split" && request.kind() != "train" &&
      request.kind() != "extract_features" && request.kind() != "evaluate") {
    return InvalidField(
        "kind", absl::StrCat("'", request.kind(), "' is unknown; use split, train, extract_features or evaluate"));
  }
  filter.kind = request.kind();
  filter.dataset = request.dataset();
  filter.model = request.model();
  filter.limit = page_size + 1;
  GRAFT_ASSIGN_OR_RETURN(std::vector<v1::Job> jobs, deps.jobs->List(filter));
  if (static_cast<int>(jobs.size()) > page_size) {
    jobs.pop_back();
    GRAFT_ASSIGN_OR_RETURN(const int64_t last, ParseJobId(jobs.back().id()));
    response->set_next_page_token(absl::StrCat(last));
  }
  for (v1::Job& job : jobs) {
    *response->add_jobs() = std::move(job);
  }
  return absl::OkStatus();
}

absl::Status CancelJob(const Deps& deps, const v1::CancelJobRequest& request, v1::Job* response) {
  GRAFT_ASSIGN_OR_RETURN(*response, deps.jobs->Cancel(request.id()));
  return absl::OkStatus();
}

std::unique_ptr<StreamSource<v1::JobEvent>> WatchJob(const Deps& deps, const v1::WatchJobRequest& request) {
  return std::make_unique<JobEventSource>(deps.jobs, request.id(), request.after_sequence());
}

}  // namespace graft
