#include "jobs/checks.h"

#include <filesystem>
#include <system_error>

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

absl::Status CheckWeights(const ResolveContext& context, absl::string_view trunk) {
  std::error_code error;
  if (std::filesystem::exists(context.weights_dir / absl::StrCat(trunk, ".safetensors"), error)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the weights of ", trunk,
                   " are missing on the server; run deploy/fetch-weights there (`graft status` says how)"));
}

}  // namespace graft
