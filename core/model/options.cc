#include "core/model/options.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"

namespace graft {

absl::string_view PreprocessingName(Preprocessing preprocessing) {
  switch (preprocessing) {
    case Preprocessing::kAuto:
      return "auto";
    case Preprocessing::kRescale:
      return "rescale";
    case Preprocessing::kCaffe:
      return "caffe";
    case Preprocessing::kTorchvision:
      return "torchvision";
  }
  return "";
}

absl::string_view OptimizerName(OptimizerKind optimizer) {
  switch (optimizer) {
    case OptimizerKind::kRmsprop:
      return "rmsprop";
    case OptimizerKind::kSgd:
      return "sgd";
    case OptimizerKind::kAdam:
      return "adam";
    case OptimizerKind::kAdamW:
      return "adamw";
  }
  return "";
}

absl::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kBfloat16:
      return "bfloat16";
  }
  return "";
}

absl::Status TrainingOptions::Validate() const {
  struct Range {
    absl::string_view name;
    double value, low, high;
    bool low_open, high_open;
  };
  const Range ranges[] = {
      {"epochs", static_cast<double>(epochs), 1, 10'000, false, false},
      {"batch_size", static_cast<double>(batch_size), 1, 4096, false, false},
      {"learning_rate", learning_rate, 0, 10, true, false},
      {"rho", rho, 0, 1, false, true},
      {"epsilon", epsilon, 0, 1, true, false},
      {"momentum", momentum, 0, 1, false, true},
      {"weight_decay", weight_decay, 0, 1, false, false},
      {"dropout", dropout, 0, 1, false, true},
      {"dense_units", static_cast<double>(dense_units), 1, 16'384, false, false},
      {"image_size", static_cast<double>(image_size), 32, 512, false, false},
      {"threads", static_cast<double>(threads), 0, 256, false, false},
  };
  for (const Range& r : ranges) {
    const bool low_ok = r.low_open ? r.value > r.low : r.value >= r.low;
    const bool high_ok = r.high_open ? r.value < r.high : r.value <= r.high;
    if (!(low_ok && high_ok)) {  // written so that NaN fails
      return InvalidField(absl::StrCat("options.", r.name),
                          absl::StrCat(r.value, " is out of range; use ", r.low_open ? "above " : "", r.low, " to ",
                                       r.high_open ? "below " : "", r.high));
    }
  }
  GRAFT_RETURN_IF_ERROR(augmentation.Validate());
  absl::string_view number = device;
  int index = 0;
  if (device != "auto" && device != "cpu" && device != "cuda" &&
      !(absl::ConsumePrefix(&number, "cuda:") && absl::SimpleAtoi(number, &index) && index >= 0)) {
    return InvalidField("options.device", absl::StrCat("'", device, "' is unknown; use auto, cpu or cuda:N"));
  }
  return absl::OkStatus();
}

}  // namespace graft
