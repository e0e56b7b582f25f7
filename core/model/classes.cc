#include "core/model/classes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

std::string Shown(const std::vector<std::string>& labels) {
  constexpr size_t kMost = 8;
  constexpr size_t kLongest = 30;  // bytes of each
  std::string text;
  for (size_t i = 0; i < std::min(kMost, labels.size()); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ", ", Printable(labels[i], kLongest));
  }
  if (labels.size() > kMost) {
    absl::StrAppend(&text, " and ", labels.size() - kMost, " more");
  }
  return text;
}

// The first of `some` that `others`, which is sorted, doesn't have; null: none.
const std::string* FirstMissing(const std::vector<std::string>& some, const std::vector<std::string>& others) {
  const auto missing = std::find_if(some.begin(), some.end(), [&](const std::string& label) {
    return !std::binary_search(others.begin(), others.end(), label);
  });
  return missing == some.end() ? nullptr : &*missing;
}

}  // namespace

absl::Status CheckSameClasses(const std::vector<std::string>& dataset, const std::vector<std::string>& model) {
  if (dataset == model) {
    return absl::OkStatus();
  }
  std::string difference;
  if (const std::string* label = FirstMissing(dataset, model)) {
    absl::StrAppend(&difference, "; the model has no '", Printable(*label, 60), "'");
  }
  if (const std::string* label = FirstMissing(model, dataset)) {
    absl::StrAppend(&difference, "; the data set has no '", Printable(*label, 60), "'");
  }
  return InvalidField("dataset", absl::StrCat("its classes (", Shown(dataset), ") aren't the model's (", Shown(model),
                                              ")", difference, "; use a data set whose classes have the same names"));
}

}  // namespace graft
