#include "core/model/variants.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/model/cost.h"
#include "core/model/treatment.h"

namespace graft {
namespace {

// Conv2D(filters, 3x3, valid) + ReLU, then 2x2 max-pooling, each; the write-up's stack.
std::vector<LayerSpec> SmallCnn(std::initializer_list<int64_t> filters) {
  std::vector<LayerSpec> layers;
  int i = 0;
  for (int64_t n : filters) {
    ++i;
    layers.push_back({absl::StrCat("conv2d_", i), Conv2D{n}});
    layers.push_back({absl::StrCat("max_pooling2d_", i), MaxPool2D{}});
  }
  return layers;
}

// Flatten, `hidden` dense layers with dropout behind each where its rate isn't zero, and the output.
void AddDenseHead(int hidden, const TrainingOptions& options, int64_t outputs, std::vector<LayerSpec>* layers) {
  layers->push_back({"flatten", Flatten{}});
  for (int i = 1; i <= hidden; ++i) {
    layers->push_back({absl::StrCat("dense_", i), Dense{options.dense_units}});
    if (options.dropout > 0) {
      layers->push_back({absl::StrCat("dropout_", i), Dropout{options.dropout}});
    }
  }
  layers->push_back({"output", Dense{outputs, Activation::kNone}});
}

std::vector<LayerSpec> BasicCnn(const TrainingOptions& options, int64_t outputs) {
  std::vector<LayerSpec> layers = SmallCnn({16, 64, 128});
  AddDenseHead(1, options, outputs, &layers);
  return layers;
}

std::vector<LayerSpec> DenseHead(const TrainingOptions& options, int64_t outputs) {
  std::vector<LayerSpec> layers;
  AddDenseHead(2, options, outputs, &layers);
  return layers;
}

// INVALID_ARGUMENT: the first option that is for heads on a trunk's features, and set.
absl::Status CheckNoFeatures(const Variant& variant, const TrainingOptions& options) {
  const TrainingOptions none;
  for (const OptionField& field : TrainingOptionFields()) {
    if ((field.name == "head" || field.name == "pooling" || field.name == "feature_scaling") &&
        field.get(options) != field.get(none)) {
      return InvalidField(
          absl::StrCat("options.", field.name),
          absl::StrCat(OptionText(field.get(options)), " isn't possible with ", variant.name,
                       ", which trains on images and has no features of a trunk; use ", OptionText(field.get(none)),
                       ", or a variant on features, such as vgg16_features"));
    }
  }
  return absl::OkStatus();
}

// What features go through before the head.
std::vector<LayerInfo> DescribeTreatment(const HeadPlan& plan) {
  std::vector<LayerInfo> layers;
  if (plan.options.pooling != Pooling::kNone) {
    layers.push_back({"pooling",
                      plan.options.pooling == Pooling::kMax ? "GlobalMaxPooling2D" : "GlobalAveragePooling2D",
                      plan.input});
  }
  if (plan.options.feature_scaling != FeatureScaling::kNone) {
    layers.push_back({"feature_scaling", "UnitNormalization", plan.input});
  }
  return layers;
}

TrainingOptions Defaults(double learning_rate, double dropout) {
  TrainingOptions options;
  options.learning_rate = learning_rate;
  options.dropout = dropout;
  return options;
}

}  // namespace

absl::Span<const Variant> Variants() {
  static const auto* const kVariants = new std::vector<Variant>{
      {"basic_cnn", "A small convolutional network trained from scratch: the baseline to beat.", nullptr, "dense",
       &BasicCnn, Defaults(1e-3, 0), 19'024'513, 19'024'513},
      {"vgg16_features", "A head on features of VGG16, which run once per image and are cached: quick and accurate.",
       *FindTrunk("vgg16"), "dense", &DenseHead, Defaults(1e-4, 0.3), 4'457'985, 4'457'985},
  };
  return *kVariants;
}

absl::StatusOr<const Variant*> FindVariant(absl::string_view name) {
  for (const Variant& variant : Variants()) {
    if (variant.name == name) {
      return &variant;
    }
  }
  return absl::NotFoundError(absl::StrCat("variant: there is no '", name, "'; use one of ",
                                          absl::StrJoin(Variants(), ", ", [](std::string* out, const Variant& variant) {
                                            absl::StrAppend(out, variant.name);
                                          })));
}

absl::StatusOr<TrainingOptions> ResolveOptions(const Variant& variant, const TrainingOptions& options) {
  GRAFT_RETURN_IF_ERROR(options.Validate());
  if (variant.trunk != nullptr && options.augmentation.any()) {
    return InvalidField("options.augment_*", absl::StrCat("not possible with ", variant.name,
                                                          ", which computes the features of each image once; use a "
                                                          "variant that trains on images, such as basic_cnn"));
  }
  if (variant.trunk == nullptr) {
    GRAFT_RETURN_IF_ERROR(CheckNoFeatures(variant, options));
  }
  TrainingOptions resolved = options;
  resolved.preprocessing = ResolvePreprocessing(options.preprocessing, variant.trunk);
  return resolved;
}

absl::StatusOr<HeadPlan> PlanHead(const Variant& variant, const TrainingOptions& options, int64_t classes) {
  HeadPlan plan;
  GRAFT_ASSIGN_OR_RETURN(plan.options, ResolveOptions(variant, options));
  const bool dense = options.head == HeadKind::kDense;
  plan.kind = dense ? variant.head : HeadKindName(options.head);
  plan.input = variant.trunk == nullptr
                   ? Shape{options.image_size, options.image_size, 3}
                   : TreatedShape(FeatureShape(*variant.trunk, options.image_size), options.pooling);
  plan.classes = classes;
  if (dense && variant.layers != nullptr) {
    plan.layers = variant.layers(options, OutputUnits(classes));
  }
  GRAFT_ASSIGN_OR_RETURN(const HeadInfo* head, FindHead(plan.kind));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerInfo> layers, head->describe(plan));
  GRAFT_RETURN_IF_ERROR(CheckCost(layers, options));
  return plan;
}

absl::StatusOr<std::vector<LayerInfo>> DescribeVariant(const Variant& variant, const TrainingOptions& options,
                                                       int64_t classes) {
  GRAFT_ASSIGN_OR_RETURN(const HeadPlan plan, PlanHead(variant, options, classes));
  GRAFT_ASSIGN_OR_RETURN(const HeadInfo* head, FindHead(plan.kind));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerInfo> own, head->describe(plan));
  std::vector<LayerInfo> layers = DescribeTreatment(plan);
  layers.insert(layers.end(), own.begin(), own.end());
  return layers;
}

}  // namespace graft
