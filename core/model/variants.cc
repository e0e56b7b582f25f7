#include "core/model/variants.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/base/mutex.h"
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

// Flatten, `hidden` dense layers unless there are to be none, with dropout behind each where its rate isn't zero, and
// the output.
void AddDenseHead(int hidden, const TrainingOptions& options, int64_t outputs, std::vector<LayerSpec>* layers) {
  layers->push_back({"flatten", Flatten{}});
  if (options.dense_units == 0 && options.dropout > 0) {
    layers->push_back({"dropout", Dropout{options.dropout}});
  }
  for (int i = 1; i <= hidden && options.dense_units > 0; ++i) {
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

// Conv16-64-128-128 and two hidden dense layers.
std::vector<LayerSpec> RegularizedCnn(const TrainingOptions& options, int64_t outputs) {
  std::vector<LayerSpec> layers = SmallCnn({16, 64, 128, 128});
  AddDenseHead(2, options, outputs, &layers);
  return layers;
}

// INVALID_ARGUMENT: the first option that is for heads on a trunk's features, and set. The mean over a grid is possible
// behind a trunk in the network too.
absl::Status CheckNoFeatures(const Variant& variant, const TrainingOptions& options) {
  const TrainingOptions none;
  for (const OptionField& field : TrainingOptionFields()) {
    const bool pools =
        field.name == "pooling" && !(variant.trunk_use == TrunkUse::kNetwork && options.pooling == Pooling::kAverage);
    if ((field.name == "head" || pools || field.name == "feature_scaling") && field.get(options) != field.get(none)) {
      return InvalidField(absl::StrCat("options.", field.name),
                          absl::StrCat(OptionText(field.get(options)), " isn't possible with ", variant.name,
                                       ", which trains on images; use ", OptionText(field.get(none)),
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

// The write-up's: what is fixed in the table of options, and the end of the last epoch.
TrainingOptions Reference(double learning_rate, double dropout) {
  TrainingOptions options;
  options.learning_rate = learning_rate;
  options.dropout = dropout;
  options.keep = Keep::kLast;
  return options;
}

// 100 epochs of 100 steps on images that change each time.
TrainingOptions AugmentedReference(double learning_rate) {
  TrainingOptions options = Reference(learning_rate, 0.3);
  options.epochs = 100;
  options.steps_per_epoch = 100;
  options.augmentation = {
      .zoom = 0.3, .rotation = 50, .width_shift = 0.2, .height_shift = 0.2, .shear = 0.2, .flip = true};
  return options;
}

// The same with the best epoch's weights.
TrainingOptions Best(TrainingOptions options) {
  options.keep = Keep::kBestAccuracy;
  return options;
}

TrainingOptions AdamWWithCosine(TrainingOptions options) {
  options.optimizer = OptimizerKind::kAdamW;
  options.epsilon = 1e-8;
  options.weight_decay = 0.01;
  options.schedule = Schedule::kCosine;
  return options;
}

constexpr Augmentation kGentle = {.zoom = 0.15, .rotation = 15, .width_shift = 0.1, .height_shift = 0.1, .flip = true};

// Whole passes, however many images there are; larger steps that die away, on images that change less.
TrainingOptions AugmentedRecommended() {
  TrainingOptions options = AdamWWithCosine(Best(Reference(1e-3, 0.3)));
  options.warmup_epochs = 1;
  options.epochs = 60;
  options.augmentation = kGentle;
  return options;
}

// A linear machine on what each channel of the grid sees on average, at the size that the weights were trained at.
TrainingOptions FeaturesRecommended(const TrunkInfo& trunk) {
  TrainingOptions options = Best(Reference(1e-4, 0.3));
  options.image_size = trunk.image_size;
  options.interpolation = Interpolation::kBilinear;
  options.head = HeadKind::kLinearSvm;
  options.svm_c = 0;  // as strong as suits so many images
  options.pooling = Pooling::kAverage;
  options.feature_scaling = FeatureScaling::kL2;
  return options;
}

// The staged recipe: the head on features, then with the trainable blocks on images that change a little each time.
TrainingOptions Staged(int image_size, double head_learning_rate, double learning_rate, int epochs) {
  TrainingOptions options = AdamWWithCosine(Best(Reference(learning_rate, 0.3)));
  options.image_size = image_size;
  options.interpolation = Interpolation::kBilinear;
  options.epochs = epochs;
  options.warmup_epochs = 0.5;
  options.head_epochs = 10;
  options.head_learning_rate = head_learning_rate;
  options.augmentation = kGentle;
  return options;
}

// Nothing hidden between each channel's mean and the output: for features that weights were trained to be averaged, and
// where a dense layer on the whole grid would learn the training images by heart.
TrainingOptions Linear(TrainingOptions options) {
  options.pooling = Pooling::kAverage;
  options.dense_units = 0;
  return options;
}

// What is a trunk's own in the three variants that it gives.
struct TrunkVariants {
  absl::string_view trunk;
  bool linear;              // its head, by the reference
  Preprocessing reference;  // the write-up feeds VGG16 RGB / 255, which isn't what its weights were trained with
  int64_t head;             // parameters, for two classes and the reference's options
  int64_t last_two_blocks;  // those of them that learn
  TrainingOptions frozen;   // recommended
  TrainingOptions finetuned;
};

void AddTrunkVariants(const TrunkVariants& row, std::vector<Variant>* variants) {
  const TrunkInfo& trunk = **FindTrunk(row.trunk);
  const auto with = [&](TrainingOptions options, int trainable_blocks) {
    options.preprocessing = row.reference;
    options.trainable_blocks = trainable_blocks;
    return row.linear ? Linear(options) : options;
  };
  variants->push_back({.name = absl::StrCat(row.trunk, "_features"),
                       .summary = absl::StrCat("A head on features of ", trunk.title,
                                               ", which run once per image and are cached: quick and accurate."),
                       .trunk = &trunk,
                       .trunk_use = TrunkUse::kFeatures,
                       .head = "dense",
                       .layers = &DenseHead,
                       .reference = with(Reference(1e-4, 0.3), 0),
                       .recommended = row.linear ? Linear(FeaturesRecommended(trunk)) : FeaturesRecommended(trunk),
                       .parameters = row.head,
                       .trainable_parameters = row.head});
  variants->push_back({.name = absl::StrCat(row.trunk, "_frozen"),
                       .summary = absl::StrCat(trunk.title,
                                               ", frozen, and a dense head in one network, on augmented images: each "
                                               "step runs all of it."),
                       .trunk = &trunk,
                       .trunk_use = TrunkUse::kNetwork,
                       .head = "dense",
                       .layers = &DenseHead,
                       .reference = with(AugmentedReference(2e-5), 0),
                       .recommended = row.frozen,
                       .parameters = trunk.parameters + row.head,
                       .trainable_parameters = row.head});
  variants->push_back({.name = absl::StrCat(row.trunk, "_finetuned"),
                       .summary = absl::StrCat("The last two blocks of ", trunk.title,
                                               " are trained with the head, after the head alone: the slowest use "
                                               "of it."),
                       .trunk = &trunk,
                       .trunk_use = TrunkUse::kNetwork,
                       .head = "dense",
                       .layers = &DenseHead,
                       .reference = with(AugmentedReference(1e-5), 2),
                       .recommended = row.finetuned,
                       .parameters = trunk.parameters + row.head,
                       .trainable_parameters = row.last_two_blocks + row.head});
  variants->back().recommended.trainable_blocks = 2;
}

const std::vector<Variant>& OwnVariants() {
  static const auto* const kVariants = [] {
    auto* const rows = new std::vector<Variant>{
        {.name = "basic_cnn",
         .summary = "A small convolutional network trained from scratch: the baseline to beat.",
         .trunk = nullptr,
         .trunk_use = TrunkUse::kNone,
         .head = "dense",
         .layers = &BasicCnn,
         .reference = Reference(1e-3, 0),
         .recommended = Best(Reference(1e-3, 0)),
         .parameters = 19'024'513,
         .trainable_parameters = 19'024'513},
        {.name = "regularized_cnn",
         .summary = "One convolution more, two dense layers with dropout: learns by heart later than basic_cnn does.",
         .trunk = nullptr,
         .trunk_use = TrunkUse::kNone,
         .head = "dense",
         .layers = &RegularizedCnn,
         .reference = Reference(1e-3, 0.3),
         .recommended = Best(Reference(1e-3, 0.3)),
         .parameters = 3'706'113,
         .trainable_parameters = 3'706'113},
        {.name = "augmented_cnn",
         .summary = "regularized_cnn on images that are turned, moved, scaled and mirrored anew each time.",
         .trunk = nullptr,
         .trunk_use = TrunkUse::kNone,
         .head = "dense",
         .layers = &RegularizedCnn,
         .reference = AugmentedReference(1e-4),
         .recommended = AugmentedRecommended(),
         .parameters = 3'706'113,
         .trainable_parameters = 3'706'113},
    };
    const auto add = [rows](const TrunkVariants& row) { AddTrunkVariants(row, rows); };
    add({"vgg16", false, Preprocessing::kRescale, 4'457'985, 12'979'200, Staged(150, 1e-4, 1e-4, 5),
         Linear(Staged(224, 3e-3, 3e-5, 4))});
    add({"efficientnet_lite0", true, Preprocessing::kAuto, 1'281, 2'670'240, Linear(Staged(224, 1e-3, 1e-3, 5)),
         Linear(Staged(224, 1e-3, 1e-4, 6))});
    add({"efficientnet_lite2", true, Preprocessing::kAuto, 1'281, 3'649'488, Linear(Staged(260, 1e-3, 1e-3, 5)),
         Linear(Staged(260, 1e-3, 1e-4, 6))});
    add({"resnet50", true, Preprocessing::kAuto, 2'049, 22'063'104, Linear(Staged(224, 1e-3, 1e-3, 5)),
         Linear(Staged(224, 1e-3, 1e-4, 6))});
    add({"dinov2_vits14", true, Preprocessing::kAuto, 769, 3'551'232, Linear(Staged(224, 1e-3, 1e-3, 5)),
         Linear(Staged(224, 1e-3, 1e-5, 6))});
    return rows;
  }();
  return *kVariants;
}

// Whether its trunk has batch norms: numbers that no gradient changes.
bool HasNorms(const Variant& variant) {
  if (variant.trunk == nullptr) {
    return false;
  }
  Shape shape = {variant.trunk->stride, variant.trunk->stride, 3};
  for (const LayerSpec& layer : variant.trunk->layers()) {
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      if (!parameter.learned) {
        return true;
      }
    }
    shape = layer.Output(shape);
  }
  return false;
}

// The variant that imported weights give where the trunk that they are like gives this one.
Variant WithTrunk(Variant variant, const TrunkInfo& trunk) {
  variant.name = absl::StrCat(trunk.name, absl::StripPrefix(variant.name, trunk.like->name));
  variant.summary = absl::StrReplaceAll(variant.summary, {{trunk.like->title, trunk.title}});
  variant.trunk = &trunk;
  return variant;
}

}  // namespace

absl::string_view PresetName(Preset preset) {
  switch (preset) {
    case Preset::kRecommended:
      return "recommended";
    case Preset::kReference:
      return "reference";
  }
  return "";
}

absl::StatusOr<Preset> FindPreset(absl::string_view name) {
  const std::vector<absl::string_view> names = EnumNames(&PresetName);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    return InvalidField("preset", absl::StrCat("there is no '", name, "'; use ", absl::StrJoin(names, " or ")));
  }
  return static_cast<Preset>(found - names.begin());
}

std::vector<std::reference_wrapper<const Variant>> Variants() {
  static auto* const mutex = new Mutex;
  static auto* const imported = new std::map<const TrunkInfo*, std::vector<Variant>>;  // never gets smaller
  std::vector<std::reference_wrapper<const Variant>> variants(OwnVariants().begin(), OwnVariants().end());
  const MutexLock lock(mutex);
  for (const TrunkInfo& trunk : Trunks()) {
    if (trunk.like == nullptr) {
      continue;
    }
    std::vector<Variant>& of_trunk = (*imported)[&trunk];
    if (of_trunk.empty()) {
      for (const Variant& variant : OwnVariants()) {
        if (variant.trunk == trunk.like) {
          of_trunk.push_back(WithTrunk(variant, trunk));
        }
      }
    }
    variants.insert(variants.end(), of_trunk.begin(), of_trunk.end());
  }
  return variants;
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

TrainingOptions TreatmentOf(const Variant& variant, TrainingOptions options) {
  if (variant.trunk_use == TrunkUse::kNetwork) {
    options.pooling = Pooling::kNone;
  }
  return options;
}

const Variant& RecommendedVariant(const std::filesystem::path& weights_dir) {
  // By their accuracy on the test part in docs/results.md; without any weights the best of those from scratch there.
  for (const absl::string_view trunk : {"efficientnet_lite2", "efficientnet_lite0", "vgg16"}) {
    if (CheckTrunkWeights(weights_dir, trunk).ok()) {
      return **FindVariant(absl::StrCat(trunk, "_features"));
    }
  }
  return **FindVariant("augmented_cnn");
}

int FrozenBlocks(const Variant& variant, const TrainingOptions& options) {
  if (variant.trunk == nullptr) {
    return 0;
  }
  return static_cast<int>(variant.trunk->blocks.size()) - options.trainable_blocks;
}

std::string WhyUnused(const Variant& variant, const TrainingOptions& options, absl::string_view name) {
  const auto only_for = [](bool used, absl::string_view what) {
    return used ? std::string() : absl::StrCat("is only for ", what);
  };
  const OptimizerKind optimizer = options.optimizer;
  if (name == "svm_c") {
    return only_for(options.head == HeadKind::kLinearSvm, "head=linear_svm");
  }
  if (name == "neighbors") {
    return only_for(options.head == HeadKind::kKnn, "head=knn");
  }
  constexpr absl::string_view kOfDescent[] = {"epochs",          "batch_size",      "steps_per_epoch",
                                              "learning_rate",   "schedule",        "schedule_factor",
                                              "schedule_epochs", "warmup_epochs",   "keep",
                                              "patience",        "optimizer",       "rho",
                                              "epsilon",         "momentum",        "weight_decay",
                                              "clip_norm",       "label_smoothing", "class_weights",
                                              "micro_batch",     "dropout",         "dense_units"};
  if (options.head != HeadKind::kDense && std::count(std::begin(kOfDescent), std::end(kOfDescent), name) > 0) {
    return "is only for head=dense";
  }
  if (name == "rho") {
    return only_for(optimizer == OptimizerKind::kRmsprop, "optimizer=rmsprop");
  }
  if (name == "epsilon") {
    return only_for(optimizer != OptimizerKind::kSgd, "the optimizers rmsprop, adam and adamw");
  }
  if (name == "momentum") {
    return only_for(optimizer == OptimizerKind::kSgd, "optimizer=sgd");
  }
  if (name == "weight_decay") {
    return only_for(optimizer != OptimizerKind::kRmsprop, "the optimizers sgd, adam and adamw");
  }
  if (name == "schedule_factor" || name == "schedule_epochs") {
    return only_for(options.schedule == Schedule::kStep || options.schedule == Schedule::kPlateau,
                    "schedule=step and schedule=plateau");
  }
  if (name == "trainable_blocks" || name == "head_epochs") {
    return only_for(variant.trunk_use == TrunkUse::kNetwork, "variants whose trunk is a part of the network");
  }
  if (name == "norm_momentum") {
    return only_for(options.trainable_blocks > 0 && HasNorms(variant), "trained blocks with batch norms");
  }
  if (name == "block_rate_factor") {
    return only_for(options.trainable_blocks > 0, "trainable_blocks above 0");
  }
  if (name == "head_learning_rate") {
    return only_for(options.head_epochs > 0, "head_epochs above 0");
  }
  return "";
}

absl::StatusOr<TrainingOptions> ResolveOptions(const Variant& variant, const TrainingOptions& options) {
  GRAFT_RETURN_IF_ERROR(options.Validate());
  if (variant.trunk_use == TrunkUse::kFeatures && options.augmentation.any() && !options.augmentation.only_flip()) {
    return InvalidField(
        "options.augment_*",
        absl::StrCat("not possible with ", variant.name,
                     ", which computes the features of each image once; augment_flip alone is, for then "
                     "they are computed of each image and its mirror image; or use a variant that trains "
                     "on images, such as vgg16_frozen"));
  }
  const int blocks = variant.trunk_use == TrunkUse::kNetwork ? static_cast<int>(variant.trunk->blocks.size()) : 0;
  if (options.trainable_blocks > blocks) {
    return InvalidField("options.trainable_blocks",
                        absl::StrCat(options.trainable_blocks, " is above ", blocks, ", what ", variant.name,
                                     blocks == 0 ? " can train of a trunk" : " has"));
  }
  if (options.head_epochs > 0 && blocks == 0) {
    return InvalidField("options.head_epochs",
                        absl::StrCat(variant.name, " has no trunk in its network, so the head is trained at once"));
  }
  if (options.patience > 0 && options.keep == Keep::kLast) {
    return InvalidField("options.patience",
                        absl::StrCat(options.patience,
                                     " waits for a better epoch, and keep=last calls none better; use "
                                     "keep=best_accuracy or keep=best_loss"));
  }
  if (variant.trunk_use != TrunkUse::kFeatures) {
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
  plan.input = {options.image_size, options.image_size, 3};
  plan.classes = classes;
  if (variant.trunk != nullptr) {
    const int frozen = FrozenBlocks(variant, options);
    plan.input = FeatureShape(*variant.trunk, options.image_size, frozen);
    if (variant.trunk_use == TrunkUse::kFeatures) {
      plan.input = TreatedShape(plan.input, options.pooling);
    }
    for (size_t i = static_cast<size_t>(frozen); i < variant.trunk->blocks.size(); ++i) {
      for (LayerSpec layer : variant.trunk->blocks[i].layers) {
        layer.trainable = true;
        // The head's rate, times the factor for each block that lies between.
        layer.rate = std::pow(options.block_rate_factor, static_cast<double>(variant.trunk->blocks.size() - i));
        plan.layers.push_back(std::move(layer));
      }
    }
  }
  if (dense && variant.layers != nullptr) {
    for (LayerSpec& layer : variant.layers(options, OutputUnits(classes))) {
      const bool pools = variant.trunk_use == TrunkUse::kNetwork && options.pooling == Pooling::kAverage;
      if (pools && std::holds_alternative<Flatten>(layer.layer)) {
        layer = {"global_average_pooling2d", GlobalAveragePool2D{}};
      }
      plan.layers.push_back(std::move(layer));
    }
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
  std::vector<LayerInfo> all = DescribeTreatment(plan);
  if (variant.trunk_use == TrunkUse::kNetwork) {
    std::vector<LayerSpec> frozen;
    for (int i = 0; i < FrozenBlocks(variant, plan.options); ++i) {
      const std::vector<LayerSpec>& block = variant.trunk->blocks[static_cast<size_t>(i)].layers;
      frozen.insert(frozen.end(), block.begin(), block.end());
    }
    GRAFT_ASSIGN_OR_RETURN(all, DescribeLayers(frozen, {options.image_size, options.image_size, 3}));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerInfo> own, head->describe(plan));
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

}  // namespace graft
