// What a classifier said of each image of a part.
#ifndef GRAFT_CORE_EVAL_PREDICTIONS_H_
#define GRAFT_CORE_EVAL_PREDICTIONS_H_

#include <algorithm>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace graft {

// The most probable class, the first of equals; of two classes it is the second when its probability is above 0.5.
inline int PredictedClass(absl::Span<const float> row) {
  if (row.size() == 2) {
    return row[1] > 0.5f ? 1 : 0;
  }
  return static_cast<int>(std::max_element(row.begin(), row.end()) - row.begin());
}

struct Predictions {
  std::vector<std::string> labels;   // class names; a class is its index here
  std::vector<std::string> files;    // below the part's folder, in the manifest's order
  std::vector<int> truth;            // as many as files
  std::vector<float> probabilities;  // files x labels, row-major

  absl::Span<const float> row(size_t image) const {
    return absl::MakeConstSpan(probabilities).subspan(image * labels.size(), labels.size());
  }
  int predicted(size_t image) const { return PredictedClass(row(image)); }
  // Of the predicted class.
  float confidence(size_t image) const { return row(image)[static_cast<size_t>(predicted(image))]; }
  bool right(size_t image) const { return predicted(image) == truth[image]; }

  // The images that are wrong, the most confident first; of equals in their order.
  std::vector<size_t> Mistakes() const {
    std::vector<size_t> wrong;
    for (size_t i = 0; i < truth.size(); ++i) {
      if (!right(i)) {
        wrong.push_back(i);
      }
    }
    std::stable_sort(wrong.begin(), wrong.end(), [&](size_t a, size_t b) { return confidence(a) > confidence(b); });
    return wrong;
  }
};

}  // namespace graft

#endif  // GRAFT_CORE_EVAL_PREDICTIONS_H_
