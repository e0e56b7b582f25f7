#include "jobs/checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/store/label_mistakes.h"

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

absl::Status CheckFolds(absl::string_view field, int folds, const DatasetInfo& dataset) {
  if (folds < kLeastFolds || folds > kMostFolds) {
    return InvalidField(field, absl::StrCat(folds, " is out of range; use ", kLeastFolds, " to ", kMostFolds));
  }
  const auto smallest =
      std::min_element(dataset.classes.begin(), dataset.classes.end(),
                       [](const DatasetInfo::Class& a, const DatasetInfo::Class& b) { return a.train < b.train; });
  if (smallest == dataset.classes.end() || smallest->train >= folds) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(field, ": ", folds, " folds need as many training images of each class, and '",
                   Printable(smallest->label, 60), "' has ", smallest->train, "; ",
                   smallest->train >= kLeastFolds ? absl::StrCat("use ", smallest->train, " folds at most, or ") : "",
                   "split the images again with more of it to train on"));
}

}  // namespace graft
