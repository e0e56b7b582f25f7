// What a training job may set.
#ifndef GRAFT_CORE_MODEL_OPTIONS_H_
#define GRAFT_CORE_MODEL_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/data/augment.h"
#include "core/data/image.h"

namespace graft {

enum class Preprocessing {
  kAuto,         // the one that the trunk's weights were trained with; without a trunk, kRescale
  kRescale,      // RGB / 255
  kCaffe,        // BGR - (103.939, 116.779, 123.68)
  kTorchvision,  // (RGB / 255 - mean) / deviation
};
absl::string_view PreprocessingName(Preprocessing preprocessing);

enum class OptimizerKind { kRmsprop, kSgd, kAdam, kAdamW };
absl::string_view OptimizerName(OptimizerKind optimizer);

// What convolutions and dense layers compute in; weights, losses and optimizers are always float32.
enum class Precision { kFloat32, kBfloat16 };
absl::string_view PrecisionName(Precision precision);

// Hyper-parameters. Ranges are checked by Validate().
struct TrainingOptions {
  int epochs = 30;
  int batch_size = 30;
  double learning_rate = 1e-3;
  OptimizerKind optimizer = OptimizerKind::kRmsprop;
  double rho = 0.9;
  double epsilon = 1e-7;
  double momentum = 0;
  double weight_decay = 0;
  double dropout = 0;
  int dense_units = 512;
  uint64_t seed = 42;
  int image_size = 150;
  Interpolation interpolation = Interpolation::kNearest;
  Preprocessing preprocessing = Preprocessing::kAuto;
  int threads = 0;  // 0: the server's setting
  std::string device = "auto";
  Precision precision = Precision::kFloat32;
  Augmentation augmentation;

  // INVALID_ARGUMENT that names the option, its value and its range.
  absl::Status Validate() const;
};

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_OPTIONS_H_
