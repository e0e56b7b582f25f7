// A kind of job, on the server's side: how a submitted spec is checked and completed, and where its result goes. What a
// worker does for it is in jobs/run.h. A kind is a pair of files, NAME_resolve.cc and NAME_run.cc, and a line in each
// of the two registries; nothing else lists the kinds.
#ifndef GRAFT_JOBS_KIND_H_
#define GRAFT_JOBS_KIND_H_

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "core/store/data_folder.h"
#include "graft/v1/jobs.pb.h"
#include "jobs/job.h"

namespace graft {

// What resolving may ask. All outlive the call.
struct ResolveContext {
  const DataFolder* data = nullptr;
  absl::Span<const std::filesystem::path> allow_dirs;
  std::filesystem::path weights_dir;
  int threads = 1;
  // The queued or running job that makes the resource, to tell "isn't ready yet" from "isn't there"; empty: none.
  std::function<std::string(const Resource&)> maker;
};

// Stateless.
class JobKind {
 public:
  virtual ~JobKind() = default;

  // "train": the field's name in v1.JobSpec and v1.JobResult.
  virtual absl::string_view name() const = 0;
  // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION: the message names the field.
  virtual absl::StatusOr<ResolvedJob> Resolve(const ResolveContext& context, const v1::JobSpec& spec) const = 0;
  // Where the worker's result goes; nullopt: it has none to publish.
  virtual absl::StatusOr<std::optional<PublishTarget>> Target(const nlohmann::json& spec, int model_version) const = 0;
  // The kind's own documents as public messages; DATA_LOSS when they aren't the kind's.
  virtual absl::Status SpecToProto(const nlohmann::json& spec, v1::JobSpec* out) const = 0;
  virtual absl::Status ResultToProto(const nlohmann::json& result, v1::JobResult* out) const = 0;
};

// Every kind that there is.
absl::Span<const JobKind* const> JobKinds();
// NOT_FOUND; the message lists them.
absl::StatusOr<const JobKind*> FindJobKind(absl::string_view name);
// Of a submitted spec; INVALID_ARGUMENT when none is set.
absl::StatusOr<const JobKind*> KindOf(const v1::JobSpec& spec);

}  // namespace graft

#endif  // GRAFT_JOBS_KIND_H_
