#include "core/heads/head.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/heads/dense.h"
#include "core/heads/knn.h"
#include "core/heads/linear_svm.h"

namespace graft {
namespace {

struct Kind {
  absl::string_view name;  // as in Heads()
  std::unique_ptr<Head> (*make)(HeadPlan plan, const std::string& device);
};
constexpr Kind kKinds[] = {
    {"dense", &MakeDenseHead},
    {"linear_svm", &MakeLinearSvmHead},
    {"knn", &MakeKnnHead},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Head>> MakeHead(HeadPlan plan, const std::string& device) {
  for (const Kind& kind : kKinds) {
    if (kind.name == plan.kind) {
      return CatchExceptions("making the head", [&]() -> absl::StatusOr<std::unique_ptr<Head>> {
        return kind.make(std::move(plan), device);
      });
    }
  }
  return absl::InternalError(absl::StrCat("nobody computes heads of the kind '", plan.kind, "'"));
}

}  // namespace graft
