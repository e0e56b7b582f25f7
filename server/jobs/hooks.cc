#include "server/jobs/hooks.h"

#include <optional>

#include "core/base/status.h"
#include "jobs/kind.h"

namespace graft {

JobHooks HooksOf(DataFolder* data) {
  JobHooks hooks;
  hooks.publish = [data](const JobRecord& record, const std::filesystem::path& staging) -> absl::Status {
    GRAFT_ASSIGN_OR_RETURN(const JobKind* const kind, FindJobKind(record.job.kind));
    GRAFT_ASSIGN_OR_RETURN(const std::optional<PublishTarget> target,
                           kind->Target(record.job.spec, record.model_version));
    return target.has_value() ? data->Publish(record.id(), staging, *target) : absl::OkStatus();
  };
  hooks.published = [data](const JobRecord& record) {
    for (const Resource& read : record.job.reads) {
      if (read.type == Resource::Type::kUpload) {
        data->DropUpload(read.name);
      }
    }
  };
  return hooks;
}

}  // namespace graft
