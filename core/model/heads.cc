#include "core/model/heads.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace graft {

namespace {

using Description = absl::StatusOr<std::vector<LayerInfo>>;

Description DescribeNetwork(const HeadPlan& plan) { return DescribeLayers(plan.layers, plan.input); }

// A weight for each feature and a bias; then the two numbers of the curve that makes scores probabilities.
Description DescribeLinearSvm(const HeadPlan& plan) {
  const int64_t outputs = OutputUnits(plan.classes);
  return std::vector<LayerInfo>{{"linear_svm", "LinearSVM", {outputs}, outputs * (ElementCount(plan.input) + 1), true},
                                {"calibration", "Sigmoid", {outputs}, 2 * outputs, true}};
}

// What it keeps are images, not parameters.
Description DescribeKnn(const HeadPlan& plan) {
  return std::vector<LayerInfo>{{"knn", "NearestNeighbors", {plan.classes}, 0, false}};
}

}  // namespace

absl::Span<const HeadInfo> Heads() {
  static constexpr HeadInfo kHeads[] = {
      // Layers trained by gradient descent: dense ones on features, or a whole network on images.
      {"dense", &DescribeNetwork},
      {"linear_svm", &DescribeLinearSvm},
      {"knn", &DescribeKnn},
  };
  return kHeads;
}

absl::StatusOr<const HeadInfo*> FindHead(absl::string_view kind) {
  for (const HeadInfo& head : Heads()) {
    if (head.kind == kind) {
      return &head;
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "head: there is no '", kind, "'; use one of ",
      absl::StrJoin(Heads(), ", ", [](std::string* out, const HeadInfo& head) { absl::StrAppend(out, head.kind); })));
}

}  // namespace graft
