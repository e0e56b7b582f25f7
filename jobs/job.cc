#include "jobs/job.h"

#include <array>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<JobState, absl::string_view>, 7> kStates = {{{JobState::kQueued, "queued"},
                                                                            {JobState::kRunning, "running"},
                                                                            {JobState::kPublishing, "publishing"},
                                                                            {JobState::kSucceeded, "succeeded"},
                                                                            {JobState::kFailed, "failed"},
                                                                            {JobState::kCancelled, "cancelled"},
                                                                            {JobState::kPaused, "paused"}}};

constexpr std::array<std::pair<Wish, absl::string_view>, 5> kWishes = {{{Wish::kNone, "none"},
                                                                        {Wish::kKeepBest, "keep_best"},
                                                                        {Wish::kPause, "pause"},
                                                                        {Wish::kRestart, "restart"},
                                                                        {Wish::kCancel, "cancel"}}};

constexpr std::array<std::pair<Resource::Type, absl::string_view>, 3> kResourceTypes = {
    {{Resource::Type::kDataset, "dataset"}, {Resource::Type::kModel, "model"}, {Resource::Type::kUpload, "upload"}}};

template <typename Table, typename Enum>
absl::string_view NameOf(const Table& table, Enum value) {
  for (const auto& [known, name] : table) {
    if (known == value) {
      return name;
    }
  }
  return "unknown";
}

template <typename Table>
absl::StatusOr<typename Table::value_type::first_type> FromName(const Table& table, absl::string_view field,
                                                                absl::string_view name) {
  for (const auto& [value, known] : table) {
    if (known == name) {
      return value;
    }
  }
  return InvalidField(field, absl::StrCat("'", name, "' is unknown"));
}

// JSON has no NaN and no infinities: both are written as null.
double Number(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

json ErrorToJson(const absl::Status& error) {
  return {{"code", static_cast<int>(error.code())}, {"message", std::string(error.message())}};
}

absl::Status ErrorFromJson(const json& value) {
  return absl::Status(static_cast<absl::StatusCode>(value.at("code").get<int>()),
                      value.at("message").get<std::string>());
}

json ToJson(const Resource& resource) {
  for (const auto& [type, name] : kResourceTypes) {
    if (type == resource.type) {
      return {{"type", std::string(name)}, {"name", resource.name}, {"version", resource.version}};
    }
  }
  return nullptr;
}

absl::StatusOr<Resource> ResourceFromJson(const json& value) {
  const std::string type_name = value.at("type");
  for (const auto& [type, name] : kResourceTypes) {
    if (name == type_name) {
      return Resource{type, value.at("name"), value.at("version")};
    }
  }
  return absl::DataLossError(absl::StrCat("'", type_name, "' is no type of resource"));
}

json ToJson(const JobStateChange& change) {
  json value = {{"state", std::string(JobStateName(change.state))}};
  if (!change.error.ok()) {
    value["error"] = ErrorToJson(change.error);
  }
  if (!change.result.is_null()) {
    value["result"] = change.result;
  }
  return value;
}

absl::StatusOr<JobEventBody> StateChangeFromJson(const json& value) {
  JobStateChange change;
  GRAFT_ASSIGN_OR_RETURN(change.state, JobStateFromName(value.at("state").get<std::string>()));
  if (value.contains("error")) {
    change.error = ErrorFromJson(value["error"]);
  }
  if (value.contains("result")) {
    change.result = value["result"];
  }
  return change;
}

json ToJson(const JobProgress& progress) {
  json steps = json::array();
  for (const StepMetrics& step : progress.steps) {
    steps.push_back({step.step, step.loss, step.accuracy});
  }
  json value = {{"phase", progress.phase},   {"done", progress.done},
                {"total", progress.total},   {"unit", progress.unit},
                {"epoch", progress.epoch},   {"epochs", progress.epochs},
                {"steps", std::move(steps)}, {"images_per_second", progress.images_per_second}};
  if (progress.eta_seconds.has_value()) {
    value["eta_seconds"] = *progress.eta_seconds;
  }
  return value;
}

JobEventBody ProgressFromJson(const json& value) {
  JobProgress progress;
  progress.phase = value.at("phase");
  progress.done = value.at("done");
  progress.total = value.at("total");
  progress.unit = value.at("unit");
  progress.epoch = value.at("epoch");
  progress.epochs = value.at("epochs");
  progress.images_per_second = Number(value.at("images_per_second"));
  if (value.contains("eta_seconds")) {
    progress.eta_seconds = Number(value["eta_seconds"]);
  }
  for (const json& step : value.at("steps")) {
    progress.steps.push_back({step.at(0).get<int>(), Number(step.at(1)), Number(step.at(2))});
  }
  return progress;
}

json ToJson(const JobLogLine& line) { return {{"text", line.text}, {"warning", line.warning}}; }

JobEventBody LogLineFromJson(const json& value) { return JobLogLine{value.at("text"), value.at("warning")}; }

}  // namespace

absl::string_view JobStateName(JobState state) { return NameOf(kStates, state); }

absl::StatusOr<JobState> JobStateFromName(absl::string_view name) { return FromName(kStates, "state", name); }

bool IsTerminal(JobState state) {
  return state == JobState::kSucceeded || state == JobState::kFailed || state == JobState::kCancelled;
}

absl::string_view WishName(Wish wish) { return NameOf(kWishes, wish); }

absl::StatusOr<Wish> WishFromName(absl::string_view name) { return FromName(kWishes, "wish", name); }

bool StopsWorker(Wish wish) { return wish == Wish::kPause || wish == Wish::kRestart || wish == Wish::kCancel; }

json ToJson(const JobEventBody& body) {
  struct Visitor {
    json operator()(const JobStateChange& change) const { return {{"state", ToJson(change)}}; }
    json operator()(const JobProgress& progress) const { return {{"progress", ToJson(progress)}}; }
    json operator()(const EpochMetrics& epoch) const { return {{"epoch", graft::ToJson(epoch)}}; }
    json operator()(const JobLogLine& line) const { return {{"log", ToJson(line)}}; }
  };
  return std::visit(Visitor{}, body);
}

absl::StatusOr<JobEventBody> JobEventBodyFromJson(const json& document) {
  return ParseJson("a job's event", [&]() -> absl::StatusOr<JobEventBody> {
    if (document.contains("state")) {
      return StateChangeFromJson(document["state"]);
    }
    if (document.contains("progress")) {
      return ProgressFromJson(document["progress"]);
    }
    if (document.contains("epoch")) {
      return EpochMetricsFromJson(document["epoch"]);
    }
    return LogLineFromJson(document.at("log"));
  });
}

std::string DocumentText(const json& document) { return document.dump(-1, ' ', false, json::error_handler_t::replace); }

absl::StatusOr<json> ParseDocument(absl::string_view text) {
  constexpr int kMaxDepth = 64;  // deeper ones would cost the stack when they are copied
  bool deep = false;
  const auto shallow = [&](int depth, json::parse_event_t, json&) {
    deep = deep || depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  json document = json::parse(text.begin(), text.end(), shallow, /*allow_exceptions=*/false);
  if (deep || document.is_discarded()) {
    return absl::DataLossError("a document is no JSON of ours");
  }
  return document;
}

json ToJson(const JobRecord& record) {
  json reads = json::array();
  for (const Resource& resource : record.job.reads) {
    reads.push_back(ToJson(resource));
  }
  json value = {{"number", record.number},
                {"kind", record.job.kind},
                {"spec", record.job.spec},
                {"dataset", record.job.dataset},
                {"model", record.job.model},
                {"reads", std::move(reads)},
                {"model_version", record.model_version},
                {"request_id", record.request_id},
                {"submitted_sha256", record.submitted_sha256},
                {"state", std::string(JobStateName(record.state))},
                {"create_time_ms", record.create_time_ms},
                {"start_time_ms", record.start_time_ms},
                {"end_time_ms", record.end_time_ms},
                {"attempt", record.attempt},
                {"losses", record.losses},
                {"epochs", record.epochs},
                {"incarnation", record.incarnation},
                {"wish", std::string(WishName(record.wish))},
                {"last_sequence", record.last_sequence}};
  if (record.job.makes.has_value()) {
    value["makes"] = ToJson(*record.job.makes);
  }
  if (!record.error.ok()) {
    value["error"] = ErrorToJson(record.error);
  }
  if (!record.result.is_null()) {
    value["result"] = record.result;
  }
  return value;
}

absl::StatusOr<JobRecord> JobRecordFromJson(const json& document) {
  return ParseJson("a job", [&]() -> absl::StatusOr<JobRecord> {
    JobRecord record;
    record.number = document.at("number");
    record.job.kind = document.at("kind");
    record.job.spec = document.at("spec");
    record.job.dataset = document.at("dataset");
    record.job.model = document.at("model");
    for (const json& resource : document.at("reads")) {
      GRAFT_ASSIGN_OR_RETURN(Resource read, ResourceFromJson(resource));
      record.job.reads.push_back(std::move(read));
    }
    if (document.contains("makes")) {
      GRAFT_ASSIGN_OR_RETURN(record.job.makes, ResourceFromJson(document["makes"]));
    }
    record.model_version = document.at("model_version");
    record.request_id = document.at("request_id");
    record.submitted_sha256 = document.at("submitted_sha256");
    GRAFT_ASSIGN_OR_RETURN(record.state, JobStateFromName(document.at("state").get<std::string>()));
    if (document.contains("error")) {
      record.error = ErrorFromJson(document["error"]);
    }
    if (document.contains("result")) {
      record.result = document["result"];
    }
    record.create_time_ms = document.at("create_time_ms");
    record.start_time_ms = document.at("start_time_ms");
    record.end_time_ms = document.at("end_time_ms");
    record.attempt = document.at("attempt");
    record.losses = document.at("losses");
    record.epochs = document.at("epochs");
    record.incarnation = document.at("incarnation");
    GRAFT_ASSIGN_OR_RETURN(record.wish, WishFromName(document.at("wish").get<std::string>()));
    record.last_sequence = document.at("last_sequence");
    return record;
  });
}

std::string JobRecord::id() const { return absl::StrCat("job-", number); }

absl::StatusOr<int64_t> ParseJobId(absl::string_view id) {
  absl::string_view digits = id;
  int64_t number = 0;
  if (!absl::ConsumePrefix(&digits, "job-") || !absl::SimpleAtoi(digits, &number) || number < 1 ||
      id != absl::StrCat("job-", number)) {
    return InvalidField("id", absl::StrCat("'", Printable(id, 100), "' isn't a job's; they look like job-12"));
  }
  return number;
}

}  // namespace graft
