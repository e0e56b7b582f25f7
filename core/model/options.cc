#include "core/model/options.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

// What in the options holds the members of a class.
template <typename Class, typename Options>
auto& Holder(Options& options) {
  if constexpr (std::is_same_v<Class, Augmentation>) {
    return options.augmentation;
  } else {
    return options;
  }
}

// A caller's text is shown up to here.
constexpr size_t kShownBytes = 64;

absl::Status Refused(absl::string_view name, const OptionValue& value, absl::string_view values) {
  const std::string text = Printable(OptionText(value), kShownBytes);
  return InvalidField(absl::StrCat("options.", name), std::holds_alternative<std::string>(value)
                                                          ? absl::StrCat("'", text, "' is unknown; use ", values)
                                                          : absl::StrCat(text, " is out of range; use ", values));
}

// A row but for what its option may be.
template <typename T, typename Class>
OptionField Row(absl::string_view name, T Class::*member, absl::string_view meaning) {
  OptionField field;
  field.name = name;
  field.meaning = meaning;
  field.get = [member](const TrainingOptions& options) { return OptionValue(Holder<Class>(options).*member); };
  field.set = [name, member](const OptionValue& value, TrainingOptions* options) {
    const T* const typed = std::get_if<T>(&value);
    if (typed == nullptr) {
      return InvalidField(absl::StrCat("options.", name), absl::StrCat(OptionText(value), " is of another type"));
    }
    Holder<Class>(*options).*member = *typed;
    return absl::OkStatus();
  };
  field.accepts = [](const OptionValue&) { return true; };
  return field;
}

template <typename T, typename Class>
OptionField Number(absl::string_view name, T Class::*member, OptionRange range, absl::string_view meaning) {
  OptionField field = Row(name, member, meaning);
  field.values = range.Text();
  field.range = range;
  field.accepts = [range](const OptionValue& value) { return range.Contains(static_cast<double>(std::get<T>(value))); };
  return field;
}

template <typename Class>
OptionField Seed(absl::string_view name, uint64_t Class::*member, absl::string_view meaning) {
  OptionField field = Row(name, member, meaning);
  field.values = "0 to 2^64 - 1";
  return field;
}

template <typename Class>
OptionField Flag(absl::string_view name, bool Class::*member, absl::string_view meaning) {
  OptionField field = Row(name, member, meaning);
  field.values = "true or false";
  return field;
}

template <typename Class>
OptionField FreeText(absl::string_view name, std::string Class::*member, bool (*accepts)(absl::string_view),
                     absl::string_view values, absl::string_view meaning) {
  OptionField field = Row(name, member, meaning);
  field.values = std::string(values);
  field.accepts = [accepts](const OptionValue& value) { return accepts(std::get<std::string>(value)); };
  return field;
}

template <typename Enum, typename Class>
OptionField Choice(absl::string_view name, Enum Class::*member, absl::string_view (*enum_name)(Enum),
                   absl::string_view meaning) {
  OptionField field;
  field.name = name;
  field.meaning = meaning;
  field.names = EnumNames(enum_name);
  field.values = absl::StrJoin(field.names, ", ");
  field.get = [member, enum_name](const TrainingOptions& options) {
    return OptionValue(std::string(enum_name(Holder<Class>(options).*member)));
  };
  field.set = [name, member, names = field.names, values = field.values](const OptionValue& value,
                                                                         TrainingOptions* options) {
    const auto found = std::find(names.begin(), names.end(), OptionText(value));
    if (found == names.end()) {
      return Refused(name, OptionText(value), values);
    }
    Holder<Class>(*options).*member = static_cast<Enum>(found - names.begin());
    return absl::OkStatus();
  };
  field.accepts = [names = field.names](const OptionValue& value) {
    return std::find(names.begin(), names.end(), std::get<std::string>(value)) != names.end();
  };
  return field;
}

bool IsDevice(absl::string_view device) {
  int index = 0;
  return device == "auto" || device == "cpu" || device == "cuda" ||
         (absl::ConsumePrefix(&device, "cuda:") && absl::SimpleAtoi(device, &index) && index >= 0);
}

bool IsClassWeights(absl::string_view text) {
  return text == "none" || text == "balanced" || ParseClassWeights(text).ok();
}

}  // namespace

absl::StatusOr<std::map<std::string, double>> ParseClassWeights(absl::string_view text) {
  std::map<std::string, double> weights;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const size_t equals = part.rfind('=');  // a class's name may hold one
    double weight = 0;
    if (equals == absl::string_view::npos || equals == 0 || !absl::SimpleAtod(part.substr(equals + 1), &weight) ||
        !std::isfinite(weight) || weight < 0 || !weights.emplace(part.substr(0, equals), weight).second) {
      return InvalidField("options.class_weights", absl::StrCat("'", Printable(part, kShownBytes),
                                                                "' isn't CLASS=WEIGHT with a weight from 0 on, each "
                                                                "class once"));
    }
  }
  return weights;
}

absl::Span<const OptionField> TrainingOptionFields() {
  using O = TrainingOptions;
  using A = Augmentation;
  static const auto* const kFields = new std::vector<OptionField>{
      Number("epochs", &O::epochs, {.low = 1, .high = 10'000}, "Passes over the training images."),
      Number("batch_size", &O::batch_size, {.low = 1, .high = 4096}, "Images a step."),
      Number("steps_per_epoch", &O::steps_per_epoch, {.low = 0, .high = 1'000'000},
             "Steps until the next validation, the images drawn in turn; 0: all training images once."),
      Number("learning_rate", &O::learning_rate, {.low = 0, .high = 10, .low_open = true}, "Length of a step."),
      Choice("schedule", &O::schedule, &ScheduleName, "What becomes of the learning rate after its warm-up."),
      Number("schedule_factor", &O::schedule_factor, {.low = 0, .high = 1, .low_open = true},
             "Schedules step and plateau: what the learning rate is multiplied by."),
      Number("schedule_epochs", &O::schedule_epochs, {.low = 1, .high = 10'000},
             "Schedule step: epochs between two changes; plateau: epochs without a lower validation loss."),
      Number("warmup_epochs", &O::warmup_epochs, {.low = 0, .high = 1'000},
             "Epochs, also parts of one, in which the learning rate rises from near zero."),
      Choice("keep", &O::keep, &KeepName, "Which epoch's weights the model gets, judged on the validation part."),
      Number("patience", &O::patience, {.low = 0, .high = 10'000},
             "Ends after so many epochs without a better one, by what `keep` names; 0: never."),
      Choice("optimizer", &O::optimizer, &OptimizerName, "How weights follow their gradients."),
      Number("rho", &O::rho, {.low = 0, .high = 1, .high_open = true}, "RMSprop: decay of the squared gradient."),
      Number("epsilon", &O::epsilon, {.low = 0, .high = 1, .low_open = true},
             "Added under the root (RMSprop) or to it (Adam, AdamW)."),
      Number("momentum", &O::momentum, {.low = 0, .high = 1, .high_open = true}, "SGD: share of the last step kept."),
      Number("weight_decay", &O::weight_decay, {.low = 0, .high = 1}, "SGD, Adam, AdamW: pull of weights to zero."),
      Number("clip_norm", &O::clip_norm, {.low = 0, .high = 1e6},
             "Gradients are shortened to this length, all weights together; 0: never."),
      Number("label_smoothing", &O::label_smoothing, {.low = 0, .high = 1, .high_open = true},
             "Share of each label that is spread evenly over all classes."),
      Flag("temperature_scaling", &O::temperature_scaling,
           "Fits one number on the validation part, after training, by which probabilities become softer or sharper so "
           "that they mean what they say."),
      FreeText("class_weights", &O::class_weights, &IsClassWeights, "none, balanced, or CLASS=WEIGHT,CLASS=WEIGHT...",
               "How much an image of a class counts; balanced: each class as much as the others."),
      Number("micro_batch", &O::micro_batch, {.low = 0, .high = 4096},
             "Images that run at once; a step adds up its batch's gradients. 0: the whole batch."),
      Number("trainable_blocks", &O::trainable_blocks, {.low = 0, .high = 64},
             "Blocks of the trunk, from its end, that are trained too."),
      Number("block_rate_factor", &O::block_rate_factor, {.low = 0, .high = 1, .low_open = true},
             "Learning rate of each trained block of the trunk, as a share of the one behind it."),
      Number("head_epochs", &O::head_epochs, {.low = 0, .high = 10'000},
             "Epochs in which the head is trained alone, on features, before the trunk's blocks are; 0: at once "
             "together."),
      Number("head_learning_rate", &O::head_learning_rate, {.low = 0, .high = 10, .low_open = true},
             "Length of a step in these."),
      Number(
          "norm_momentum", &O::norm_momentum, {.low = 0, .high = 1},
          "Batch norms of trained blocks: share of each batch's mean and variance that goes into the running ones; 0: "
          "these stand still, and train as they are."),
      Number("dropout", &O::dropout, {.low = 0, .high = 1, .high_open = true},
             "Share of units dropped after each hidden dense layer; without one, of what the output is made of."),
      Number("dense_units", &O::dense_units, {.low = 0, .high = 16'384},
             "Units of each hidden dense layer; 0: there is none."),
      Seed("seed", &O::seed, "Draws starting weights, order of images, dropout, augmentation."),
      Number("image_size", &O::image_size, {.low = 32, .high = 512}, "Side of the network's square input, in pixels."),
      Choice("interpolation", &O::interpolation, &InterpolationName, "How images are brought to that size."),
      Choice("preprocessing", &O::preprocessing, &PreprocessingName, "How pixels become the network's input."),
      Number("threads", &O::threads, {.low = 0, .high = 256}, "Threads of the network; 0: the server's setting."),
      FreeText("device", &O::device, &IsDevice, "auto, cpu or cuda:N", "What the network runs on."),
      Choice("precision", &O::precision, &PrecisionName, "What convolutions and dense layers compute in."),
      Choice(
          "head", &O::head, &HeadKindName,
          "What is trained on a trunk's features: dense layers by gradient descent, a linear support vector machine, "
          "or nothing (the nearest training images decide)."),
      Choice("pooling", &O::pooling, &PoolingName,
             "Of a trunk's features, which form a grid: all numbers, or each channel's mean or maximum over the grid."),
      Choice("feature_scaling", &O::feature_scaling, &FeatureScalingName,
             "l2: each image's features are scaled to length one, so that only their direction counts. linear_svm and "
             "knn need it to do well."),
      Number("svm_c", &O::svm_c, {.low = 0, .high = 100'000},
             "linear_svm: weight of errors on training images against simple weights; larger fits closer. 0: 0.1, 1, "
             "10 or "
             "100, by cross-validation on the training images."),
      Number("neighbors", &O::neighbors, {.low = 1, .high = 1000}, "knn: how many nearest training images vote."),
      Flag("predict_mirrored", &O::predict_mirrored,
           "The model says of an image the mean of what it says of it and of its mirror image: more accurate, in twice "
           "the "
           "time."),
      Number("augment_zoom", &A::zoom, {.low = 0, .high = 1, .high_open = true},
             "Height and width each scaled by 1 - x to 1 + x."),
      Number("augment_rotation", &A::rotation, {.low = 0, .high = 180}, "Turned by up to x degrees, either way."),
      Number("augment_width_shift", &A::width_shift, {.low = 0, .high = 1},
             "Moved by up to x of the width, either way."),
      Number("augment_height_shift", &A::height_shift, {.low = 0, .high = 1},
             "Moved by up to x of the height, either way."),
      Number("augment_shear", &A::shear, {.low = 0, .high = 90, .high_open = true},
             "Sheared by up to x degrees, either way."),
      Flag("augment_flip", &A::flip, "Every other image mirrored."),
      Flag("augment_vertical_flip", &A::vertical_flip, "Every other image upside down."),
      Number("augment_brightness", &A::brightness, {.low = 0, .high = 1}, "Brightness times 1 - x to 1 + x."),
      Number("augment_contrast", &A::contrast, {.low = 0, .high = 1},
             "Contrast about the image's mean grey times 1 - x to 1 + x."),
      Choice("augment_fill", &A::fill, &FillName, "What is beyond the edges of an image that is moved or turned."),
  };
  return *kFields;
}

absl::Status TrainingOptions::Validate() const {
  for (const OptionField& field : TrainingOptionFields()) {
    const OptionValue value = field.get(*this);
    if (!field.accepts(value)) {
      return Refused(field.name, value, field.values);
    }
  }
  return absl::OkStatus();
}

std::string OptionText(const OptionValue& value) {
  struct Visitor {
    std::string operator()(const std::string& text) const { return text; }
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(int number) const { return absl::StrCat(number); }
    std::string operator()(uint64_t number) const { return absl::StrCat(number); }
    std::string operator()(double number) const { return absl::StrCat(number); }
  };
  return std::visit(Visitor(), value);
}

bool OptionRange::Contains(double value) const {
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string OptionRange::Text() const {
  return absl::StrFormat("%s%.10g to %s%.10g", low_open ? "above " : "", low, high_open ? "below " : "", high);
}

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
    case Preprocessing::kCenter:
      return "center";
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

absl::string_view ScheduleName(Schedule schedule) {
  switch (schedule) {
    case Schedule::kConstant:
      return "constant";
    case Schedule::kStep:
      return "step";
    case Schedule::kCosine:
      return "cosine";
    case Schedule::kPlateau:
      return "plateau";
  }
  return "";
}

absl::string_view KeepName(Keep keep) {
  switch (keep) {
    case Keep::kLast:
      return "last";
    case Keep::kBestAccuracy:
      return "best_accuracy";
    case Keep::kBestLoss:
      return "best_loss";
  }
  return "";
}

absl::string_view HeadKindName(HeadKind head) {
  switch (head) {
    case HeadKind::kDense:
      return "dense";
    case HeadKind::kLinearSvm:
      return "linear_svm";
    case HeadKind::kKnn:
      return "knn";
  }
  return "";
}

absl::string_view PoolingName(Pooling pooling) {
  switch (pooling) {
    case Pooling::kNone:
      return "none";
    case Pooling::kAverage:
      return "average";
    case Pooling::kMax:
      return "max";
  }
  return "";
}

absl::string_view FeatureScalingName(FeatureScaling scaling) {
  switch (scaling) {
    case FeatureScaling::kNone:
      return "none";
    case FeatureScaling::kL2:
      return "l2";
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

}  // namespace graft
