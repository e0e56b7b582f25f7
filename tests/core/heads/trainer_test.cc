// Training, on small pictures whose class shows in their colour.
#include "core/heads/trainer.h"

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/safetensors.h"
#include "core/data/packed_images.h"
#include "core/infer/evaluate.h"
#include "core/infer/predictor.h"
#include "core/kernels/conv3x3.h"
#include "core/nn/runtime.h"
#include "core/train/features.h"
#include "tests/testing/files.h"
#include "tests/testing/pictures.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

absl::Status Nothing(const ProgressUpdate&) { return absl::OkStatus(); }

TrainHooks QuietHooks() {
  return {&Nothing, [](const StepUpdate&) { return absl::OkStatus(); },
          [](const EpochMetrics&) { return absl::OkStatus(); }};
}

// The smallest image that a variant takes.
int SmallestSize(const Variant& variant) {
  TrainingOptions options = variant.recommended;
  options.image_size = 1;
  while (!DescribeVariant(variant, options, 2).ok()) {
    ++options.image_size;
  }
  return options.image_size;
}

class TrainerTest : public ::testing::Test {
 protected:
  // As jobs do: a choice by timing could differ from one training to the next.
  void SetUp() override { SetConvolutionAlgorithm(ConvolutionAlgorithm::kWinograd); }
  void TearDown() override { SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest); }

  void MakeDataset(const std::vector<std::string>& labels, int per_class) {
    ASSERT_OK_AND_ASSIGN(manifest_, testing::MakePictures(dir_.path(), labels, per_class));
  }

  std::filesystem::path dataset() const { return dir_ / "dataset"; }

  TrainRequest Request(const std::string& variant, const std::string& out) {
    std::filesystem::create_directories(dir_ / out);
    TrainRequest request;
    request.variant = *FindVariant(variant);
    request.options = request.variant->recommended;
    request.options.steps_per_epoch = 0;
    request.options.head_epochs = request.variant->trunk_use == TrunkUse::kNetwork ? 2 : 0;
    request.options.head = HeadKind::kDense;
    request.options.augmentation = {};
    request.options.image_size = SmallestSize(*request.variant);
    request.options.batch_size = 8;
    request.options.dense_units = 16;
    request.options.epochs = 3;
    request.options.threads = 2;
    request.options.device = "cpu";
    request.dataset = dataset();
    request.manifest = &manifest_;
    request.weights_dir = std::filesystem::path(GRAFT_BINARY_DIR) / "share" / "graft" / "weights";
    request.out = dir_ / out;
    return request;
  }

  // Saves a description beside the weights, as a job does, and loads both.
  absl::StatusOr<std::shared_ptr<const Predictor>> LoadTrained(const TrainRequest& request,
                                                               const TrainOutcome& outcome) {
    ModelDescription model;
    model.name = "model";
    model.version = 1;
    model.variant = std::string(request.variant->name);
    model.labels = manifest_.labels;
    model.options = outcome.options;
    model.trunk_fingerprint = outcome.trunk_fingerprint;
    model.history = outcome.history;
    model.temperature = outcome.temperature;
    if (absl::Status status = SaveModel(model, request.out); !status.ok()) {
      return status;
    }
    return Predictor::Load(
        request.out, [&](absl::string_view name) { return Trunk::Load(name, request.weights_dir, "cpu"); }, "cpu");
  }

  const testing::TempDir dir_;
  Manifest manifest_;
};

TEST_F(TrainerTest, EveryVariantLearnsSavesAndLoads) {
  MakeDataset({"blue", "green"}, 40);
  for (const Variant& variant : Variants()) {
    SCOPED_TRACE(variant.name);
    TrainRequest request = Request(variant.name, "learn-" + variant.name);
    if (variant.trunk != nullptr && variant.trunk->name != "vgg16" && variant.trunk->name != "efficientnet_lite0") {
      continue;  // the others' variants differ by their trunk alone
    }
    request.options.epochs = variant.trunk_use == TrunkUse::kNetwork ? 4 : 12;
    request.options.dense_units = 128;
    request.options.dropout = 0;
    if (variant.reference.dense_units == 0) {
      request.options.dense_units = 0;
      // Nothing is hidden, so that there is less to start from; and where features have length one, they are small.
      request.options.image_size = 64;
      request.options.head_learning_rate = 0.02;
      if (variant.trunk_use == TrunkUse::kFeatures) {
        request.options.learning_rate = 0.02;
      }
    }
    ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
    EXPECT_EQ(outcome.history.back().epoch, request.options.head_epochs + request.options.epochs);
    EXPECT_LT(outcome.history.back().loss, outcome.history.front().loss);
    EXPECT_NE(outcome.options.preprocessing, Preprocessing::kAuto);
    ASSERT_OK_AND_ASSIGN(const auto predictor, LoadTrained(request, outcome));
    ASSERT_OK_AND_ASSIGN(const EvaluationReport report,
                         EvaluateModel(*predictor, dataset(), manifest_, Part::kTest, 2, &Nothing));
    EXPECT_EQ(report.images, 20);
    EXPECT_GT(report.accuracy, 0.8);
    // What was scored on the validation part while training is what the saved model scores.
    ASSERT_OK_AND_ASSIGN(const EvaluationReport validation,
                         EvaluateModel(*predictor, dataset(), manifest_, Part::kValidation, 2, &Nothing));
    const EpochMetrics& kept = outcome.history[static_cast<size_t>(outcome.kept_epoch) - 1];
    EXPECT_NEAR(validation.accuracy, kept.validation_accuracy, 1e-9);
    EXPECT_NEAR(validation.log_loss, kept.validation_loss, 1e-4);
    for (const EpochMetrics& epoch : outcome.history) {
      EXPECT_TRUE(epoch.stage != kept.stage || epoch.validation_accuracy <= kept.validation_accuracy) << epoch.epoch;
    }
    // And trained once more, it is the same model, byte by byte.
    TrainRequest again = request;
    again.out = dir_ / "again";
    std::filesystem::create_directories(again.out);
    ASSERT_THAT(Train(again, QuietHooks()), IsOk());
    EXPECT_EQ(testing::ReadBytes(WeightsFile(again.out)), testing::ReadBytes(WeightsFile(request.out)));
  }
}

// On the features of one extraction: what is trained on rows as they are gathered is what predicts from features and
// from images alike.
TEST_F(TrainerTest, EveryHeadAndTreatmentLearnsSavesLoadsAndServesTheSame) {
  MakeDataset({"blue", "green", "red"}, 24);
  int extractions = 0;
  TrainHooks hooks = QuietHooks();
  hooks.on_progress = [&](const ProgressUpdate& update) {
    extractions += update.phase == "features" ? 1 : 0;
    return absl::OkStatus();
  };
  TrainRequest request = Request("vgg16_features", "head");
  request.options.image_size = 64;  // a grid of 2x2
  request.options.epochs = 8;
  request.options.dense_units = 64;
  request.options.neighbors = 5;
  for (const HeadKind head : {HeadKind::kDense, HeadKind::kLinearSvm, HeadKind::kKnn}) {
    for (const Pooling pooling : {Pooling::kNone, Pooling::kAverage, Pooling::kMax}) {
      SCOPED_TRACE(absl::StrCat(HeadKindName(head), ", ", PoolingName(pooling)));
      request.options.head = head;
      request.options.pooling = pooling;
      request.options.feature_scaling = pooling == Pooling::kMax ? FeatureScaling::kNone : FeatureScaling::kL2;
      request.options.learning_rate = request.options.feature_scaling == FeatureScaling::kL2 ? 3e-3 : 1e-4;
      ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, hooks));
      EXPECT_EQ(outcome.history.size(), head == HeadKind::kDense ? 8U : 1U);
      ASSERT_OK_AND_ASSIGN(const auto predictor, LoadTrained(request, outcome));
      ASSERT_OK_AND_ASSIGN(const EvaluationReport report,
                           EvaluateModel(*predictor, dataset(), manifest_, Part::kTest, 2, &Nothing));
      EXPECT_GT(report.accuracy, 0.8);
      EXPECT_GT(report.log_loss, 0);

      ASSERT_OK_AND_ASSIGN(const auto images,
                           PackedImages::OpenOrBuild(dataset(), manifest_, request.options.image_size,
                                                     request.options.interpolation, 1, &Nothing));
      ASSERT_OK_AND_ASSIGN(
          const auto features,
          Features::OpenOrExtract(
              dataset(), manifest_, *predictor->trunk(),
              {outcome.options.preprocessing, outcome.options.interpolation, outcome.options.image_size, 1}, &Nothing));
      std::vector<float> from_image(3);
      std::vector<float> from_features(3);
      ASSERT_THAT(predictor->Run(images->image(0), 1, absl::MakeSpan(from_image)), IsOk());
      ASSERT_THAT(predictor->RunOnFeatures(features->values().first(static_cast<size_t>(features->dimension())), 1,
                                           absl::MakeSpan(from_features)),
                  IsOk());
      for (size_t c = 0; c < from_image.size(); ++c) {
        EXPECT_NEAR(from_image[c], from_features[c], 1e-3);
      }
    }
  }
  EXPECT_EQ(extractions, 3) << "72 images in batches of 32, once";
}

// The same weights, once asked of an image alone and once of its mirror image too; by a network and on features.
TEST_F(TrainerTest, AModelAsksItsMirrorImageWhenItIsToldTo) {
  MakeDataset({"blue", "green", "red"}, 12);
  for (const absl::string_view variant : {"basic_cnn", "vgg16_features"}) {
    SCOPED_TRACE(std::string(variant));
    TrainRequest request = Request(std::string(variant), absl::StrCat(variant, "-plain"));
    request.options.epochs = 1;
    ASSERT_OK_AND_ASSIGN(const TrainOutcome plain_outcome, Train(request, QuietHooks()));
    ASSERT_OK_AND_ASSIGN(const auto plain, LoadTrained(request, plain_outcome));
    request = Request(std::string(variant), absl::StrCat(variant, "-mirrored"));
    request.options.epochs = 1;
    request.options.predict_mirrored = true;
    ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
    ASSERT_OK_AND_ASSIGN(const auto mirrored, LoadTrained(request, outcome));

    const auto side = static_cast<size_t>(plain->image_size());
    std::vector<uint8_t> image(side * side * 3);
    for (size_t i = 0; i < image.size(); ++i) {
      image[i] = static_cast<uint8_t>(i * i % 251);
    }
    std::vector<uint8_t> mirror(image.size());
    for (size_t pixel = 0; pixel < side * side; ++pixel) {
      const size_t other = pixel / side * side + side - 1 - pixel % side;
      std::copy_n(image.begin() + static_cast<std::ptrdiff_t>(3 * other), 3,
                  mirror.begin() + static_cast<std::ptrdiff_t>(3 * pixel));
    }
    const auto says = [](const Predictor& model, const std::vector<uint8_t>& pixels) {
      std::vector<float> out(3);
      EXPECT_THAT(model.Run(pixels, 1, absl::MakeSpan(out)), IsOk());
      return out;
    };
    const std::vector<float> of_image = says(*plain, image);
    const std::vector<float> of_mirror = says(*plain, mirror);
    const std::vector<float> found = says(*mirrored, image);
    float apart = 0;
    for (size_t c = 0; c < found.size(); ++c) {
      EXPECT_NEAR(found[c], (of_image[c] + of_mirror[c]) / 2, 1e-5);
      apart = std::max(apart, std::abs(of_image[c] - of_mirror[c]));
    }
    EXPECT_GT(apart, 1e-4) << "else the test says nothing";
    // Scores are of what the model says, not of its image's cached features alone.
    ASSERT_OK_AND_ASSIGN(const Predictions predicted,
                         PredictPart(*mirrored, dataset(), manifest_, Part::kTest, 2, &Nothing));
    ASSERT_OK_AND_ASSIGN(const auto images, PackedImages::OpenOrBuild(dataset(), manifest_, request.options.image_size,
                                                                      request.options.interpolation, 1, &Nothing));
    int64_t first = 0;
    while (manifest_.entries[static_cast<size_t>(first)].part != Part::kTest) {
      ++first;
    }
    std::vector<float> of_first(3);
    ASSERT_THAT(mirrored->Run(images->image(first), 1, absl::MakeSpan(of_first)), IsOk());
    for (size_t c = 0; c < of_first.size(); ++c) {
      EXPECT_NEAR(predicted.probabilities[c], of_first[c], 1e-4);
    }
  }
}

TEST_F(TrainerTest, MoreThanTwoClassesEndInSoftmax) {
  MakeDataset({"blue", "green", "red"}, 24);
  TrainRequest request = Request("basic_cnn", "three");
  request.options.epochs = 10;
  ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
  ASSERT_OK_AND_ASSIGN(const auto predictor, LoadTrained(request, outcome));
  EXPECT_EQ(predictor->output_shape(), std::vector<int64_t>{3});
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report,
                       EvaluateModel(*predictor, dataset(), manifest_, Part::kTest, 2, &Nothing));
  EXPECT_GT(report.accuracy, 0.8);
}

TEST_F(TrainerTest, AugmentationChangesTheTrainingAndRepeats) {
  MakeDataset({"blue", "green"}, 16);
  TrainRequest plain = Request("basic_cnn", "plain");
  TrainRequest first = Request("basic_cnn", "augmented");
  first.options.augmentation.rotation = 50;
  first.options.augmentation.zoom = 0.3;
  first.options.augmentation.flip = true;
  TrainRequest second = first;
  second.out = dir_ / "again";
  for (const TrainRequest* request : {&plain, &first, &second}) {
    std::filesystem::create_directories(request->out);
    ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(*request, QuietHooks()));
    for (const EpochMetrics& epoch : outcome.history) {
      EXPECT_GE(epoch.input_wait_seconds, 0);
      EXPECT_LT(epoch.input_wait_seconds, epoch.seconds);
    }
  }
  const auto bytes = [](const TrainRequest& request) { return testing::ReadBytes(WeightsFile(request.out)); };
  EXPECT_EQ(bytes(first), bytes(second));
  EXPECT_NE(bytes(first), bytes(plain));
}

// Features of both forms of an image come to what the network comes to on images that are mirrored anew each time: the
// same images are, for a change of brightness too small to matter changes no draw.
TEST_F(TrainerTest, MirrorImagesFeaturesAreComputedOnce) {
  MakeDataset({"blue", "green"}, 24);
  const auto train = [&](double brightness) {
    TrainRequest request = Request("vgg16_frozen", absl::StrCat("mirrored-", brightness));
    request.options.augmentation.flip = true;
    request.options.augmentation.brightness = brightness;
    int64_t extracted = 0;
    TrainHooks hooks = QuietHooks();
    hooks.on_progress = [&](const ProgressUpdate& update) {
      extracted += update.phase == "mirrored features" ? 1 : 0;
      return absl::OkStatus();
    };
    const TrainOutcome outcome = Train(request, hooks).value();
    EXPECT_EQ(extracted > 0, brightness == 0);
    return outcome.history;
  };
  const std::vector<EpochMetrics> once = train(0);
  const std::vector<EpochMetrics> each_time = train(1e-9);
  ASSERT_EQ(once.size(), each_time.size());
  for (size_t i = 0; i < once.size(); ++i) {
    EXPECT_NEAR(once[i].loss, each_time[i].loss, 1e-3 * each_time[i].loss) << i;
  }
  TrainRequest plain = Request("vgg16_frozen", "plain");
  ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(plain, QuietHooks()));
  EXPECT_GT(std::abs(outcome.history.back().loss - once.back().loss), 1e-2 * once.back().loss);
}

// What frozen blocks make of the validation part is kept where all of it has room; a last, smaller batch alone isn't.
TEST_F(TrainerTest, WhatValidationKeepsChangesNothing) {
  MakeDataset({"blue", "green"}, 20);
  const int64_t images = manifest_.Count(Part::kValidation);
  ASSERT_GT(images, 3);
  std::vector<std::vector<EpochMetrics>> histories;
  TrainRequest request = Request("vgg16_finetuned", "kept");
  request.options.batch_size = static_cast<int>(images) - 1;
  const size_t all =
      static_cast<size_t>(images * ElementCount(PlanHead(*request.variant, request.options, 2)->input)) * sizeof(float);
  for (const size_t bytes : {size_t{0}, all - 1, all}) {
    request.most_kept_bytes = bytes;
    ASSERT_OK_AND_ASSIGN(TrainOutcome outcome, Train(request, QuietHooks()));
    histories.push_back(std::move(outcome.history));
  }
  for (const std::vector<EpochMetrics>& history : histories) {
    ASSERT_EQ(history.size(), histories[0].size());
    for (size_t i = 0; i < history.size(); ++i) {
      EXPECT_EQ(history[i].validation_loss, histories[0][i].validation_loss) << i;
    }
  }
}

TEST_F(TrainerTest, HeadsThatLearnAtOnceLearnFromMirrorImagesToo) {
  MakeDataset({"blue", "green"}, 16);
  const size_t images = std::count_if(manifest_.entries.begin(), manifest_.entries.end(),
                                      [](const ManifestEntry& entry) { return entry.part == Part::kTrain; });
  for (const HeadKind head : {HeadKind::kLinearSvm, HeadKind::kKnn}) {
    TrainRequest request = Request("vgg16_features", absl::StrCat("mirrored-", HeadKindName(head)));
    request.options.head = head;
    request.options.augmentation.flip = true;
    ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
    EXPECT_GT(outcome.history.back().validation_accuracy, 0.8);
    if (head == HeadKind::kKnn) {
      ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::OpenSealed(WeightsFile(request.out)));
      const TensorView& features = *file.Find("features");
      ASSERT_EQ(features.shape[0], static_cast<int64_t>(2 * images));
      const size_t half = features.data.size() / 2;
      EXPECT_NE(features.data.first(half), features.data.subspan(half));
    }
  }
}

TEST_F(TrainerTest, OtherAugmentationNeedsAVariantThatTrainsOnImages) {
  MakeDataset({"blue", "green"}, 16);
  TrainRequest request = Request("vgg16_features", "refused");
  request.options.augmentation.flip = true;
  request.options.augmentation.rotation = 5;
  EXPECT_THAT(Train(request, QuietHooks()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("options.augment_*: not possible")));
}

TEST_F(TrainerTest, Bfloat16TrainsWhereTheCpuIsMadeForItAndSaysSoElsewhere) {
  MakeDataset({"blue", "green"}, 16);
  TrainRequest request = Request("basic_cnn", "bfloat16");
  request.options.precision = Precision::kBfloat16;
  const auto outcome = Train(request, QuietHooks());
  if (kernels::BestIsa() == kernels::Isa::kAvx512) {
    ASSERT_THAT(outcome, IsOk());
    EXPECT_EQ(outcome->options.precision, Precision::kBfloat16);
  } else {
    EXPECT_THAT(outcome,
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("options.precision: bfloat16 needs")));
  }
}

TEST_F(TrainerTest, SameRequestSameBytesOtherSeedOtherBytes) {
  MakeDataset({"blue", "green"}, 16);
  TrainRequest first = Request("basic_cnn", "first");
  TrainRequest second = Request("basic_cnn", "second");
  TrainRequest third = Request("basic_cnn", "third");
  third.options.seed = 43;
  for (const TrainRequest* request : {&first, &second, &third}) {
    ASSERT_THAT(Train(*request, QuietHooks()), IsOk());
  }
  EXPECT_EQ(testing::ReadText(WeightsFile(first.out)), testing::ReadText(WeightsFile(second.out)));
  EXPECT_NE(testing::ReadText(WeightsFile(first.out)), testing::ReadText(WeightsFile(third.out)));
}

TEST_F(TrainerTest, EveryOptimizerLearns) {
  MakeDataset({"blue", "green"}, 24);
  for (const auto& [kind, rate] : {std::pair{OptimizerKind::kRmsprop, 1e-3},
                                   {OptimizerKind::kSgd, 1e-2},
                                   {OptimizerKind::kAdam, 1e-3},
                                   {OptimizerKind::kAdamW, 1e-3}}) {
    TrainRequest request = Request("basic_cnn", "optimizer");
    request.options.optimizer = kind;
    request.options.learning_rate = rate;
    request.options.momentum = 0.9;
    request.options.epochs = 6;
    ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
    EXPECT_LT(outcome.history.back().loss, outcome.history.front().loss) << OptimizerName(kind);
  }
}

TEST_F(TrainerTest, HooksSeeEveryStepAndEpochAndCanStop) {
  MakeDataset({"blue", "green"}, 20);  // 20 training images: 3 steps of 8, 8 and 4
  TrainHooks hooks = QuietHooks();
  std::vector<std::string> seen;
  hooks.on_step = [&](const StepUpdate& u) {
    seen.push_back(std::to_string(u.epoch) + "." + std::to_string(u.step) + "/" + std::to_string(u.steps) + ":" +
                   std::to_string(u.images));
    return u.epoch == 2 && u.step == 2 ? absl::CancelledError("enough") : absl::OkStatus();
  };
  hooks.on_epoch = [&](const EpochMetrics& e) {
    seen.push_back("epoch " + std::to_string(e.epoch));
    return absl::OkStatus();
  };
  EXPECT_THAT(Train(Request("basic_cnn", "hooks"), hooks), StatusIs(absl::StatusCode::kCancelled, "enough"));
  EXPECT_THAT(seen, ::testing::ElementsAre("1.1/3:8", "1.2/3:8", "1.3/3:4", "epoch 1", "2.1/3:8", "2.2/3:8"));
}

// The process dies at any step, in either stage; the next one goes on from the last checkpoint.
TEST_F(TrainerTest, AnInterruptedTrainingEndsWithTheSameBytes) {
  MakeDataset({"blue", "green"}, 20);
  for (const char* variant : {"regularized_cnn", "vgg16_finetuned", "efficientnet_lite0_finetuned"}) {
    SCOPED_TRACE(variant);
    TrainRequest straight = Request(variant, absl::StrCat(variant, "-straight"));
    straight.options.head_epochs = straight.variant->trunk == nullptr ? 0 : 2;
    straight.options.augmentation.flip = true;
    ASSERT_OK_AND_ASSIGN(const TrainOutcome whole, Train(straight, QuietHooks()));
    TrainRequest request = straight;
    request.out = dir_ / absl::StrCat(variant, "-interrupted");
    request.checkpoints = dir_ / absl::StrCat(variant, "-checkpoints");
    request.checkpoint_least = std::chrono::milliseconds(0);
    std::filesystem::create_directories(request.out);
    int heard = 0;  // epochs, of which each comes again after a restart
    for (int stop_after = 1;; stop_after += 2) {
      ASSERT_LT(stop_after, 50) << "it never ends";
      int steps = 0;
      heard = 0;
      TrainHooks hooks = QuietHooks();
      hooks.on_step = [&](const StepUpdate&) {
        return ++steps == stop_after ? absl::AbortedError("killed") : absl::OkStatus();
      };
      hooks.on_epoch = [&](const EpochMetrics& epoch) {
        EXPECT_EQ(epoch.epoch, ++heard);
        return absl::OkStatus();
      };
      const auto outcome = Train(request, hooks);
      if (outcome.ok()) {
        EXPECT_EQ(outcome->history.size(), whole.history.size());
        EXPECT_EQ(outcome->kept_epoch, whole.kept_epoch);
        EXPECT_LT(steps, static_cast<int>(whole.history.size()) * 3) << "it began at its beginning";
        double seconds = 0;
        for (const EpochMetrics& epoch : outcome->history) {
          seconds += epoch.seconds;
        }
        EXPECT_DOUBLE_EQ(outcome->seconds, seconds) << "of all runs, not of the last one";
        break;
      }
      ASSERT_THAT(outcome, StatusIs(absl::StatusCode::kAborted, "killed"));
    }
    EXPECT_EQ(heard, static_cast<int>(whole.history.size()));
    EXPECT_EQ(testing::ReadBytes(WeightsFile(request.out)), testing::ReadBytes(WeightsFile(straight.out)));
  }
}

TEST_F(TrainerTest, ACheckpointThatIsDamagedIsPassedOver) {
  MakeDataset({"blue", "green"}, 20);
  TrainRequest request = Request("basic_cnn", "damaged-checkpoint");
  ASSERT_THAT(Train(request, QuietHooks()), IsOk());
  const auto expected = testing::ReadBytes(WeightsFile(request.out));
  request.checkpoints = dir_ / "checkpoints";
  request.checkpoint_least = std::chrono::milliseconds(0);
  TrainHooks hooks = QuietHooks();
  hooks.on_step = [](const StepUpdate& update) {
    return update.epoch == 3 ? absl::CancelledError("killed") : absl::OkStatus();
  };
  ASSERT_FALSE(Train(request, hooks).ok());
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(request.checkpoints)) {
    files.push_back(entry.path());
  }
  ASSERT_EQ(files.size(), 2U) << "the last two are kept";
  std::filesystem::resize_file(std::max(files[0], files[1]), 1000);
  ASSERT_THAT(Train(request, QuietHooks()), IsOk());
  EXPECT_EQ(testing::ReadBytes(WeightsFile(request.out)), expected);
}

// Memory that doesn't suffice for a batch: it runs in halves, and the gradients are those of the whole.
TEST_F(TrainerTest, OutOfMemoryHalvesWhatRunsAtOnce) {
  MakeDataset({"blue", "green"}, 20);
  TrainRequest request = Request("basic_cnn", "memory");
  request.options.keep = Keep::kLast;
  ASSERT_OK_AND_ASSIGN(const TrainOutcome whole, Train(request, QuietHooks()));
  std::vector<std::string> warnings;
  TrainHooks hooks = QuietHooks();
  hooks.on_warning = [&](const std::string& text) { warnings.push_back(text); };
  ASSERT_THAT(SetFailpoints("train.memory=error:2"), IsOk());
  ASSERT_OK_AND_ASSIGN(const TrainOutcome halved, Train(request, hooks));
  ASSERT_THAT(SetFailpoints(""), IsOk());
  EXPECT_THAT(warnings, ::testing::ElementsAre(HasSubstr("out of memory with 8 images at once; going on with 4")));
  for (size_t i = 0; i < whole.history.size(); ++i) {
    EXPECT_NEAR(halved.history[i].loss, whole.history[i].loss, 1e-3) << i;
  }
  // When not even one image fits, it says so.
  ASSERT_THAT(SetFailpoints("train.memory=error"), IsOk());
  EXPECT_THAT(Train(request, hooks), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("out of memory")));
  ASSERT_THAT(SetFailpoints(""), IsOk());
}

TEST_F(TrainerTest, TrainingStartsFromAnothersWeights) {
  MakeDataset({"blue", "green"}, 20);
  TrainRequest first = Request("regularized_cnn", "first");
  ASSERT_THAT(Train(first, QuietHooks()), IsOk());
  TrainRequest second = Request("regularized_cnn", "second");
  second.init_from = WeightsFile(first.out);
  second.options.epochs = 1;
  second.options.learning_rate = 1e-9;  // stays where it starts
  second.options.seed = 7;
  ASSERT_THAT(Train(second, QuietHooks()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Safetensors a, Safetensors::OpenSealed(WeightsFile(first.out)));
  ASSERT_OK_AND_ASSIGN(const Safetensors b, Safetensors::OpenSealed(WeightsFile(second.out)));
  for (const TensorView& tensor : a.tensors()) {
    const auto* const x = reinterpret_cast<const float*>(tensor.data.data());
    const auto* const y = reinterpret_cast<const float*>(b.Find(tensor.name)->data.data());
    for (size_t i = 0; i < tensor.data.size() / sizeof(float); i += 101) {
      ASSERT_NEAR(x[i], y[i], 1e-5) << tensor.name;
    }
  }
}

TEST_F(TrainerTest, AStartOfWhichNothingFitsIsRefused) {
  MakeDataset({"blue", "green"}, 20);
  const TrainRequest first = Request("vgg16_features", "first");
  ASSERT_THAT(Train(first, QuietHooks()), IsOk());
  TrainRequest second = Request("basic_cnn", "second");
  second.options.dense_units = 24;
  second.init_from = WeightsFile(first.out);
  EXPECT_THAT(Train(second, QuietHooks()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("init_from")));
}

// A class that counts nothing isn't learnt.
TEST_F(TrainerTest, ClassWeightsChangeWhatIsLearnt) {
  MakeDataset({"blue", "green"}, 20);
  TrainRequest request = Request("basic_cnn", "weights");
  request.options.epochs = 6;
  request.options.class_weights = "blue=0";
  ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
  ASSERT_OK_AND_ASSIGN(const auto predictor, LoadTrained(request, outcome));
  ASSERT_OK_AND_ASSIGN(const EvaluationReport report,
                       EvaluateModel(*predictor, dataset(), manifest_, Part::kTest, 2, &Nothing));
  EXPECT_EQ(report.classes[1].recall, 1);
  EXPECT_LT(report.classes[0].recall, 0.5);
  request.options.class_weights = "blue=1,yellow=2";
  EXPECT_THAT(Train(request, QuietHooks()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no class 'yellow'; it has blue, green")));
}

TEST_F(TrainerTest, PatienceEndsItAndTheBestEpochIsKept) {
  MakeDataset({"blue", "green"}, 20);
  TrainRequest request = Request("basic_cnn", "patience");
  request.options.epochs = 60;
  request.options.patience = 3;
  request.options.keep = Keep::kBestLoss;
  request.options.learning_rate = 0.02;  // beyond the best before long
  ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
  EXPECT_LT(outcome.history.size(), 60U);
  EXPECT_EQ(static_cast<int>(outcome.history.size()), outcome.kept_epoch + 3);
}

TEST_F(TrainerTest, ATemperatureMakesTheValidationPartsProbabilitiesFitBetter) {
  MakeDataset({"blue", "green", "red"}, 24);
  for (const auto& [variant, head] : {std::pair{"basic_cnn", HeadKind::kDense},
                                      {"vgg16_features", HeadKind::kLinearSvm},
                                      {"vgg16_frozen", HeadKind::kDense}}) {
    SCOPED_TRACE(variant);
    TrainRequest request = Request(variant, "temperature");
    request.options.head = head;
    const auto train = [&](bool scaled) -> std::pair<double, EvaluationReport> {
      request.options.temperature_scaling = scaled;
      const TrainOutcome outcome = Train(request, QuietHooks()).value();
      const auto predictor = LoadTrained(request, outcome).value();
      return {outcome.temperature,
              EvaluateModel(*predictor, dataset(), manifest_, Part::kValidation, 2, &Nothing).value()};
    };
    const auto [none, plain] = train(false);
    const auto [temperature, scaled] = train(true);
    EXPECT_EQ(none, 1);
    EXPECT_NE(temperature, 1);
    EXPECT_LT(scaled.log_loss, plain.log_loss);
    EXPECT_EQ(scaled.confusion, plain.confusion);
  }
}

// Told to end while the head is trained alone, it makes a model of that head and the trunk as it was.
TEST_F(TrainerTest, AnEarlyFinishIsAWholeModelInEachStage) {
  MakeDataset({"blue", "green"}, 20);
  for (const int until : {2, 4}) {
    SCOPED_TRACE(until);
    TrainRequest request = Request("vgg16_finetuned", absl::StrCat("finish-", until));
    request.options.head_epochs = 3;
    request.options.epochs = 3;
    int told = 0;
    TrainHooks hooks = QuietHooks();
    hooks.on_epoch = [&](const EpochMetrics& epoch) {
      told = epoch.epoch;
      return absl::OkStatus();
    };
    hooks.finish = [&] { return told >= until; };
    ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, hooks));
    ASSERT_EQ(outcome.history.size(), static_cast<size_t>(until));
    const EpochMetrics& kept = outcome.history[static_cast<size_t>(outcome.kept_epoch) - 1];
    EXPECT_EQ(kept.stage, until == 2 ? "head" : "");
    ASSERT_OK_AND_ASSIGN(const auto predictor, LoadTrained(request, outcome));
    ASSERT_OK_AND_ASSIGN(const EvaluationReport report,
                         EvaluateModel(*predictor, dataset(), manifest_, Part::kValidation, 2, &Nothing));
    EXPECT_NEAR(report.log_loss, kept.validation_loss, 1e-4);
  }
}

TEST_F(TrainerTest, ALossThatExplodesIsAnErrorWithTheRemedy) {
  MakeDataset({"blue", "green"}, 16);
  TrainRequest request = Request("basic_cnn", "explode");
  request.options.optimizer = OptimizerKind::kSgd;
  request.options.learning_rate = 10;
  request.options.preprocessing = Preprocessing::kCaffe;  // large inputs
  request.options.epochs = 50;
  EXPECT_THAT(Train(request, QuietHooks()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("learning_rate")));
}

TEST_F(TrainerTest, DamagedWeightsAreNeverServed) {
  MakeDataset({"blue", "green"}, 16);
  const TrainRequest request = Request("basic_cnn", "damage");
  ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
  ASSERT_THAT(LoadTrained(request, outcome), IsOk());
  testing::ForEachDamage(WeightsFile(request.out), 60, 20, [&](const std::string& what) {
    EXPECT_THAT(LoadTrained(request, outcome), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
}

TEST_F(TrainerTest, ASecondHeadUsesTheCachedFeatures) {
  MakeDataset({"blue", "green"}, 12);
  TrainHooks hooks = QuietHooks();
  int extractions = 0;
  hooks.on_progress = [&](const ProgressUpdate& update) {
    extractions += update.phase == "features" ? 1 : 0;
    return absl::OkStatus();
  };
  ASSERT_THAT(Train(Request("vgg16_features", "head1"), hooks), IsOk());
  EXPECT_GT(extractions, 0);
  extractions = 0;
  ASSERT_THAT(Train(Request("vgg16_features", "head2"), hooks), IsOk());
  EXPECT_EQ(extractions, 0);
}

TEST_F(TrainerTest, EvaluatingOnOtherClassesIsRefused) {
  MakeDataset({"blue", "green"}, 16);
  const TrainRequest request = Request("basic_cnn", "other");
  ASSERT_OK_AND_ASSIGN(const TrainOutcome outcome, Train(request, QuietHooks()));
  ASSERT_OK_AND_ASSIGN(const auto predictor, LoadTrained(request, outcome));
  Manifest other = manifest_;
  other.labels = {"blue", "yellow"};
  EXPECT_THAT(EvaluateModel(*predictor, dataset(), other, Part::kTest, 1, &Nothing),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("yellow")));
}

TEST(DeviceTest, UnknownDevicesAreRefused) {
  EXPECT_THAT(ResolveDevice("cpu"), IsOk());
  EXPECT_THAT(ResolveDevice("auto"), IsOk());
  EXPECT_THAT(ResolveDevice("cuda:99"), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("cuda:99")));
}

}  // namespace
}  // namespace graft
