#include "core/eval/label_errors.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

absl::Status Check(absl::Span<const int> labels, absl::Span<const float> probabilities, size_t classes) {
  if (classes < 2) {
    return InvalidField("classes", absl::StrCat("there are ", classes, "; a label can be wrong where there are two"));
  }
  if (probabilities.size() != labels.size() * classes) {
    return InvalidField("probabilities", absl::StrCat("there are ", probabilities.size(), " for ", labels.size(),
                                                      " images and ", classes, " classes"));
  }
  for (const int label : labels) {
    if (label < 0 || static_cast<size_t>(label) >= classes) {
      return InvalidField("labels", absl::StrCat(label, " is none of the ", classes, " classes"));
    }
  }
  for (const float probability : probabilities) {
    if (!(probability >= 0 && probability <= 1)) {
      return InvalidField("probabilities", absl::StrCat(probability, " isn't in [0, 1]"));
    }
  }
  return absl::OkStatus();
}

std::vector<double> Thresholds(absl::Span<const int> labels, absl::Span<const float> probabilities, size_t classes) {
  std::vector<double> sums(classes);
  std::vector<double> counts(classes);
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto label = static_cast<size_t>(labels[i]);
    sums[label] += probabilities[i * classes + label];
    ++counts[label];
  }
  for (size_t c = 0; c < classes; ++c) {
    sums[c] = counts[c] > 0 ? sums[c] / counts[c] : 1;
  }
  return sums;
}

}  // namespace

absl::StatusOr<LabelErrors> FindLabelErrors(absl::Span<const int> labels, absl::Span<const float> probabilities,
                                            size_t classes) {
  GRAFT_RETURN_IF_ERROR(Check(labels, probabilities, classes));
  LabelErrors found;
  found.thresholds = Thresholds(labels, probabilities, classes);
  for (size_t i = 0; i < labels.size(); ++i) {
    const absl::Span<const float> row = probabilities.subspan(i * classes, classes);
    LabelError error{.image = i, .label = labels[i], .suggested = labels[i]};
    error.probability = row[static_cast<size_t>(labels[i])];
    error.suggested_probability = error.probability;
    for (size_t c = 0; c < classes; ++c) {
      if (row[c] >= found.thresholds[c] && row[c] > error.suggested_probability) {
        error.suggested = static_cast<int>(c);
        error.suggested_probability = row[c];
      }
    }
    if (error.suggested != error.label) {
      found.errors.push_back(error);
    }
  }
  std::stable_sort(found.errors.begin(), found.errors.end(),
                   [](const LabelError& a, const LabelError& b) { return a.margin() > b.margin(); });
  return found;
}

}  // namespace graft
