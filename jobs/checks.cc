#include "jobs/checks.h"

#include "absl/strings/str_cat.h"

namespace graft {

absl::StatusOr<DatasetInfo> FindDataset(const ResolveContext& context, const std::string& name) {
  absl::StatusOr<DatasetInfo> info = context.data->GetDataset(name);
  if (absl::IsNotFound(info.status())) {
    if (const std::string maker = context.maker({Resource::Type::kDataset, name}); !maker.empty()) {
      return absl::NotFoundError(
          absl::StrCat("dataset: '", name, "' isn't ready: ", maker, " is making it; wait for that"));
    }
  }
  return info;
}

}  // namespace graft
