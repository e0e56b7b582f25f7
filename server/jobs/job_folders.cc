#include "server/jobs/job_folders.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "server/jobs/scheduler.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

fs::path JobsFolder(const DataFolder& data) { return data.root() / "jobs"; }

// N of "PREFIX-N"; nullopt: the name isn't of that form.
std::optional<int64_t> Suffix(const fs::path& name, absl::string_view prefix) {
  const std::string text = name.string();
  absl::string_view digits = text;
  int64_t number = 0;
  if (!absl::ConsumePrefix(&digits, prefix) || !absl::SimpleAtoi(digits, &number)) {
    return std::nullopt;
  }
  return number;
}

fs::path PathOf(const DataFolder& data, const Resource& resource) {
  switch (resource.type) {
    case Resource::Type::kDataset:
      return data.Dataset(resource.name);
    case Resource::Type::kModel:
      return data.Model(resource.name, resource.version);
    case Resource::Type::kUpload:
      return data.Upload(resource.name);
  }
  return {};
}

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

int64_t FirstJobNumber(const DataFolder& data) {
  int64_t first = 1;
  std::error_code error;
  for (fs::directory_iterator it(JobsFolder(data), error), end; !error && it != end; it.increment(error)) {
    first = std::max(first, Suffix(it->path().filename(), "job-").value_or(0) + 1);
  }
  return first;
}

absl::Status MakeStaging(const DataFolder& data, const JobRecord& record) {
  const fs::path staging = data.Staging(record.id(), record.attempt);
  GRAFT_RETURN_IF_ERROR(Failpoint("attempt.create"));
  std::error_code error;
  fs::remove_all(staging, error);  // of a start that was never stored
  if (!error) {
    fs::create_directories(staging, error);
  }
  return error ? ErrnoStatus(error.value(), "create", staging) : absl::OkStatus();
}

void RemoveStaging(const DataFolder& data, int64_t number, int attempt) {
  JobRecord record;
  record.number = number;
  std::error_code ignored;
  fs::remove_all(data.Staging(record.id(), attempt), ignored);
}

void RemoveCheckpoints(const DataFolder& data, int64_t number) {
  JobRecord record;
  record.number = number;
  std::error_code ignored;
  fs::remove_all(data.Checkpoints(record.id()), ignored);
}

void SweepStaging(const DataFolder& data, const std::function<bool(int64_t number, int attempt)>& needed,
                  const std::function<bool(int64_t number)>& ended) {
  std::error_code error;
  for (fs::directory_iterator jobs(JobsFolder(data), error), end; !error && jobs != end; jobs.increment(error)) {
    const std::optional<int64_t> number = Suffix(jobs->path().filename(), "job-");
    if (!number.has_value()) {
      continue;
    }
    if (ended(*number)) {
      RemoveCheckpoints(data, *number);
    }
    std::error_code inner;
    for (fs::directory_iterator it(jobs->path(), inner); !inner && it != end; it.increment(inner)) {
      const auto attempt = static_cast<int>(Suffix(it->path().filename(), "attempt-").value_or(0));
      if (attempt > 0 && !needed(*number, attempt)) {
        RemoveStaging(data, *number, attempt);
      }
    }
  }
}

absl::Status CheckPresence(const DataFolder& data, const ResolvedJob& job) {
  for (const Resource& read : job.reads) {
    if (!Exists(PathOf(data, read))) {
      return absl::NotFoundError(absl::StrCat(Describe(read), " isn't there any more"));
    }
  }
  if (job.makes.has_value() && job.makes->type == Resource::Type::kDataset && Exists(PathOf(data, *job.makes))) {
    return absl::AlreadyExistsError(absl::StrCat(Describe(*job.makes), " is there already"));
  }
  return absl::OkStatus();
}

}  // namespace graft
