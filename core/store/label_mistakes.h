// Probable label errors in the training part of a model's data set: mistakes/ in the model's folder, with mistakes.json
// and a contact sheet.
#ifndef GRAFT_CORE_STORE_LABEL_MISTAKES_H_
#define GRAFT_CORE_STORE_LABEL_MISTAKES_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/data/image.h"
#include "core/model/options.h"

namespace graft {

// As many parts as a training part may be dealt to.
inline constexpr int kLeastFolds = 2;
inline constexpr int kMostFolds = 20;

// How labels are judged: by heads on a trunk's features, each fitted without the images that it judges.
struct LabelJudge {
  std::string trunk;
  Preprocessing preprocessing = Preprocessing::kAuto;  // resolved
  Interpolation interpolation = Interpolation::kNearest;
  int image_size = 0;
  int folds = 0;
  uint64_t seed = 0;
};
nlohmann::json ToJson(const LabelJudge& judge);
absl::StatusOr<LabelJudge> LabelJudgeFromJson(const nlohmann::json& json);  // DATA_LOSS

struct LabelMistake {
  std::string file;  // below the training part's folder
  std::string label;
  std::string suggested;
  double probability = 0;  // of the label
  double suggested_probability = 0;
};

struct LabelMistakes {
  struct Class {
    std::string label;
    int64_t images = 0;
    double threshold = 0;   // see LabelErrors
    int64_t suspected = 0;  // of these images
  };

  std::string model;
  int version = 0;
  std::string dataset;
  std::string dataset_fingerprint;
  std::string job_id;  // that made it
  LabelJudge judge;
  int64_t images = 0;   // of the training part
  double accuracy = 0;  // of the heads, each on the images that it wasn't fitted on
  std::vector<Class> classes;
  int64_t suspected = 0;
  std::vector<LabelMistake> mistakes;  // the most probable first; at most kMostListedMistakes
};

inline constexpr size_t kMostListedMistakes = 1000;

nlohmann::json ToJson(const LabelMistakes& mistakes);
absl::StatusOr<LabelMistakes> LabelMistakesFromJson(const nlohmann::json& json);  // DATA_LOSS

inline constexpr char kMistakesFile[] = "mistakes.json";
inline constexpr char kMistakesPicture[] = "mistakes.png";

// Sealed. Load: NOT_FOUND or DATA_LOSS.
absl::Status SaveLabelMistakes(const LabelMistakes& mistakes, const std::filesystem::path& folder);
absl::StatusOr<LabelMistakes> LoadLabelMistakes(const std::filesystem::path& folder);

}  // namespace graft

#endif  // GRAFT_CORE_STORE_LABEL_MISTAKES_H_
