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

absl::StatusOr<int> ResolveModel(const ResolveContext& context, const ModelRef& ref) {
  absl::StatusOr<int> version = context.data->ResolveVersion(ref);
  if (absl::IsNotFound(version.status())) {
    const Resource model{Resource::Type::kModel, ref.name, ref.version};
    if (const std::string maker = context.maker(model); !maker.empty()) {
      return absl::NotFoundError(
          absl::StrCat("model: '", ref.name, "' isn't ready: ", maker, " is making it; wait for that"));
    }
  }
  return version;
}

absl::StatusOr<const Variant*> FindFeaturesVariant(absl::string_view trunk) {
  for (const Variant& variant : Variants()) {
    if (variant.trunk_use == TrunkUse::kFeatures && variant.trunk->name == trunk) {
      return &variant;
    }
  }
  return absl::NotFoundError(absl::StrCat("variant: there is none on features of the trunk '", trunk, "'"));
}

}  // namespace graft
