// What a training job may set, and the one table of it. A new option is a member of TrainingOptions, its row in
// options.cc and its field in v1.TrainingOptions: Validate(), the JSON of models, the conversion of messages and what
// `graft variant show` prints all read the table.
#ifndef GRAFT_CORE_MODEL_OPTIONS_H_
#define GRAFT_CORE_MODEL_OPTIONS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/data/augment.h"
#include "core/data/image.h"

namespace graft {

enum class Preprocessing {
  kAuto,         // the one that the trunk's weights were trained with; without a trunk, kRescale
  kRescale,      // RGB / 255
  kCaffe,        // BGR - (103.939, 116.779, 123.68)
  kTorchvision,  // (RGB / 255 - mean) / deviation
  kCenter,       // (RGB - 127) / 128
};
absl::string_view PreprocessingName(Preprocessing preprocessing);

enum class OptimizerKind { kRmsprop, kSgd, kAdam, kAdamW };
absl::string_view OptimizerName(OptimizerKind optimizer);

// What becomes of the learning rate in the course of a training, after its warm-up.
enum class Schedule {
  kConstant,
  kStep,     // times schedule_factor each schedule_epochs
  kCosine,   // along half a cosine to zero at the last step
  kPlateau,  // times schedule_factor when the validation loss hasn't fallen for schedule_epochs
};
absl::string_view ScheduleName(Schedule schedule);

// Which epoch's weights a training keeps.
enum class Keep {
  kLast,
  kBestAccuracy,  // on the validation part; of equals the one with the lower loss
  kBestLoss,      // on the validation part
};
absl::string_view KeepName(Keep keep);

// What convolutions and dense layers compute in; weights, losses and optimizers are always float32.
enum class Precision { kFloat32, kBfloat16 };
absl::string_view PrecisionName(Precision precision);

// What is trained on a trunk's features; a head's name is that of its row in Heads().
enum class HeadKind { kDense, kLinearSvm, kKnn };
absl::string_view HeadKindName(HeadKind head);

// What becomes of a trunk's features, height x width x channels, before a head sees them.
enum class Pooling {
  kNone,     // all numbers
  kAverage,  // each channel's mean over height and width
  kMax,      // its maximum
};
absl::string_view PoolingName(Pooling pooling);

enum class FeatureScaling {
  kNone,
  kL2,  // each image's features, after pooling, divided by the square root of the sum of their squares
};
absl::string_view FeatureScalingName(FeatureScaling scaling);

// Names of an enum whose values count from 0, in that order. `name` answers "" for what is none of them.
template <typename Enum>
std::vector<absl::string_view> EnumNames(absl::string_view (*name)(Enum)) {
  std::vector<absl::string_view> names;
  for (int i = 0; !name(static_cast<Enum>(i)).empty(); ++i) {
    names.push_back(name(static_cast<Enum>(i)));
  }
  return names;
}

// Hyper-parameters. The table says what each means and may be.
struct TrainingOptions {
  int epochs = 30;
  int batch_size = 30;
  int steps_per_epoch = 0;  // 0: as many as the training part has batches
  double learning_rate = 1e-3;
  Schedule schedule = Schedule::kConstant;
  double schedule_factor = 0.1;
  int schedule_epochs = 10;
  double warmup_epochs = 0;
  Keep keep = Keep::kBestAccuracy;
  int patience = 0;  // 0: no early stopping
  OptimizerKind optimizer = OptimizerKind::kRmsprop;
  double rho = 0.9;
  double epsilon = 1e-7;
  double momentum = 0;
  double weight_decay = 0;
  double clip_norm = 0;  // 0: not at all
  double label_smoothing = 0;
  bool temperature_scaling = false;
  std::string class_weights = "none";
  int micro_batch = 0;  // 0: the whole batch
  int trainable_blocks = 0;
  double block_rate_factor = 1;
  int head_epochs = 0;
  double head_learning_rate = 1e-4;
  double norm_momentum = 0.1;
  double dropout = 0;
  int dense_units = 512;
  uint64_t seed = 42;
  int image_size = 150;
  Interpolation interpolation = Interpolation::kNearest;
  Preprocessing preprocessing = Preprocessing::kAuto;
  int threads = 0;  // 0: the server's setting
  std::string device = "auto";
  Precision precision = Precision::kFloat32;
  HeadKind head = HeadKind::kDense;
  Pooling pooling = Pooling::kNone;
  FeatureScaling feature_scaling = FeatureScaling::kNone;
  double svm_c = 1;  // 0: by cross-validation
  int neighbors = 15;
  bool predict_mirrored = false;
  Augmentation augmentation;

  // INVALID_ARGUMENT that names the first option that may not have its value, the value and what it may be.
  absl::Status Validate() const;
};

// "cat=1,dog=2.5". INVALID_ARGUMENT; "none" and "balanced" too.
absl::StatusOr<std::map<std::string, double>> ParseClassWeights(absl::string_view text);

// Any option's value; an enum's is its name.
using OptionValue = std::variant<int, uint64_t, double, bool, std::string>;

// As a person reads it: "0.0001", "true", "adamw".
std::string OptionText(const OptionValue& value);

// From low to high; an open end lies outside. NaN lies in no range.
struct OptionRange {
  double low = 0;
  double high = 0;
  bool low_open = false;
  bool high_open = false;

  bool Contains(double value) const;
  // "1 to 10000", "above 0 to 10", "0 to below 1".
  std::string Text() const;
};

// A row of the table.
struct OptionField {
  absl::string_view name;                // of the option everywhere: JSON, messages, --set
  absl::string_view meaning;             // a sentence, with its unit
  std::string values;                    // what it may be, as a person reads it
  std::optional<OptionRange> range;      // of a number that has one
  std::vector<absl::string_view> names;  // of an enum's values

  // Always of the same type.
  std::function<OptionValue(const TrainingOptions& options)> get;
  // INVALID_ARGUMENT: the value is of another type than get's, or no name of the enum. Whether an option may have it,
  // Validate() says.
  std::function<absl::Status(const OptionValue& value, TrainingOptions* options)> set;
  std::function<bool(const OptionValue& value)> accepts;
};

// Every option, in the order in which people read them. Lives as long as the program.
absl::Span<const OptionField> TrainingOptionFields();

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_OPTIONS_H_
