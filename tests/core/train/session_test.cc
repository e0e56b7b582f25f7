// A training that is left at any step, kept in a file and taken up by another session, ends as if it had never stopped.
#include <cmath>

#include "core/nn/runtime.h"
#include "core/train/loss_torch.h"
#include "core/train/session_torch.h"
#include "tests/testing/files.h"
#include "tests/testing/pictures.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kEpochs = 3;
constexpr int kBatch = 8;
constexpr int kSide = 16;
const std::vector<std::string>& Labels() {
  static const std::vector<std::string> labels = {"blue", "green", "red"};
  return labels;
}

absl::Status Nothing(const ProgressUpdate&) { return absl::OkStatus(); }

TrainHooks QuietHooks() {
  return {&Nothing, [](const StepUpdate&) { return absl::OkStatus(); },
          [](const EpochMetrics&) { return absl::OkStatus(); }};
}

TrainHooks StopAfter(int epoch, int step) {
  TrainHooks hooks = QuietHooks();
  hooks.on_step = [=](const StepUpdate& update) {
    return update.epoch == epoch && update.step == step ? absl::CancelledError("stop here") : absl::OkStatus();
  };
  return hooks;
}

// Rows of numbers, without a data set.
class MadeInputs : public Inputs {
 public:
  MadeInputs(int64_t count, int64_t dimension) {
    at::manual_seed(11);
    rows_ = torch::randn({count, dimension});
  }
  torch::Tensor Gather(absl::Span<const int64_t> rows, int /*epoch*/) const override {
    std::vector<torch::Tensor> picked;
    for (const int64_t row : rows) {
      picked.push_back(rows_[row]);
    }
    return torch::stack(picked);
  }

 private:
  torch::Tensor rows_;
};

class SessionTest : public ::testing::TestWithParam<OptimizerKind> {
 protected:
  static void SetUpTestSuite() {
    SetTorchThreads(2);
    SetConvolutionAlgorithm(ConvolutionAlgorithm::kWinograd);
    dir_ = new testing::TempDir;
    ASSERT_OK_AND_ASSIGN(Manifest manifest, testing::MakePictures(dir_->path(), Labels(), 18));
    manifest_ = new Manifest(std::move(manifest));
  }
  static void TearDownTestSuite() {
    SetConvolutionAlgorithm(ConvolutionAlgorithm::kFastest);
    delete manifest_;
    delete dir_;
  }

  static TrainingOptions Options() {
    TrainingOptions options;
    options.epochs = kEpochs;
    options.batch_size = kBatch;
    options.optimizer = GetParam();
    options.momentum = 0.9;
    options.weight_decay = 0.01;
    options.learning_rate = 1e-2;
    options.image_size = kSide;
    options.preprocessing = Preprocessing::kRescale;
    options.device = "cpu";
    options.threads = 2;
    return options;
  }

  // What a test trains, and how: a network of a few thousand weights with dropout.
  struct Subject {
    TrainingOptions options;
    std::vector<LayerSpec> layers;
    Shape input;
    Examples examples;

    Network NewNetwork() const { return Network(layers, input, torch::kCPU); }
    at::Generator Start(Network* network, uint64_t seed) const {
      at::Generator generator = NewGenerator(torch::kCPU, seed);
      network->Initialize(generator);
      return generator;
    }
  };

  static Subject Images() {
    Subject subject;
    subject.options = Options();
    subject.options.augmentation.rotation = 30;
    subject.options.augmentation.zoom = 0.2;
    subject.options.augmentation.flip = true;
    subject.layers = {{"conv", Conv2D{8}},  {"pool", MaxPool2D{}},     {"flatten", Flatten{}},
                      {"dense", Dense{16}}, {"dropout", Dropout{0.3}}, {"output", Dense{3, Activation::kNone}}};
    subject.input = {kSide, kSide, 3};
    auto images =
        PackedImages::OpenOrBuild(dir_->path() / "dataset", *manifest_, kSide, Interpolation::kBilinear, 2, &Nothing);
    subject.examples = MakeExamples(*manifest_, MakeImageInputs(images.value(), subject.options), torch::kCPU);
    return subject;
  }

  static Subject Rows() {
    Subject subject;
    subject.options = Options();
    subject.layers = {{"dense", Dense{24}}, {"dropout", Dropout{0.5}}, {"output", Dense{3, Activation::kNone}}};
    subject.input = {20};
    subject.examples =
        MakeExamples(*manifest_, std::make_unique<MadeInputs>(manifest_->entries.size(), 20), torch::kCPU);
    return subject;
  }

  static testing::TempDir* dir_;
  static Manifest* manifest_;
};
testing::TempDir* SessionTest::dir_ = nullptr;
Manifest* SessionTest::manifest_ = nullptr;

INSTANTIATE_TEST_SUITE_P(Optimizers, SessionTest,
                         ::testing::Values(OptimizerKind::kRmsprop, OptimizerKind::kSgd, OptimizerKind::kAdam,
                                           OptimizerKind::kAdamW),
                         [](const auto& param) { return std::string(OptimizerName(param.param)); });

void ExpectSame(const Network& found, const Network& expected) {
  const auto a = found.parameters();
  const auto b = expected.parameters();
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(a[i].tensor.equal(b[i].tensor)) << a[i].name;
  }
}

void ExpectSameFigures(const std::vector<EpochMetrics>& found, const std::vector<EpochMetrics>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].epoch, expected[i].epoch);
    EXPECT_EQ(found[i].loss, expected[i].loss) << i;
    EXPECT_EQ(found[i].accuracy, expected[i].accuracy) << i;
    EXPECT_EQ(found[i].validation_loss, expected[i].validation_loss) << i;
    EXPECT_EQ(found[i].validation_accuracy, expected[i].validation_accuracy) << i;
    EXPECT_EQ(found[i].learning_rate, expected[i].learning_rate) << i;
    EXPECT_GT(found[i].seconds, 0) << i;
  }
}

TEST_P(SessionTest, TakenUpAtAnyStepItEndsAsIfItHadNeverStopped) {
  for (const bool rows : {false, true}) {
    const Subject subject = rows ? Rows() : Images();
    Network straight = subject.NewNetwork();
    TrainingSession whole(&straight, subject.examples, subject.options, subject.Start(&straight, 42));
    ASSERT_THAT(whole.Run(QuietHooks()), IsOk());
    ASSERT_EQ(whole.history().size(), size_t{kEpochs});
    EXPECT_LT(whole.history().back().loss, whole.history().front().loss);

    // 27 images to train on: four steps an epoch. The first step, in the middle, the last of an epoch, the very last.
    for (const auto& [epoch, step] : {std::pair{1, 1}, {2, 2}, {2, 4}, {kEpochs, 4}}) {
      SCOPED_TRACE(absl::StrCat(rows ? "rows" : "images", ", stopped after ", epoch, ".", step));
      const std::filesystem::path file = *dir_ / absl::StrCat("state-", OptimizerName(GetParam()));
      {
        Network network = subject.NewNetwork();
        TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
        ASSERT_THAT(session.Run(StopAfter(epoch, step)), StatusIs(absl::StatusCode::kCancelled, "stop here"));
        const SessionState state = session.Save();
        ASSERT_THAT(WriteSafetensors(file, ViewsOf(state.tensors), state.metadata), IsOk());
      }
      ASSERT_OK_AND_ASSIGN(const Safetensors kept, Safetensors::OpenSealed(file));
      Network network = subject.NewNetwork();
      TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 7));
      ASSERT_THAT(session.Restore(SessionState::Of(kept)), IsOk());
      EXPECT_EQ(session.history().size(), static_cast<size_t>(epoch - 1));
      ASSERT_THAT(session.Run(QuietHooks()), IsOk());
      ExpectSame(network, straight);
      ExpectSameFigures(session.history(), whole.history());
    }
  }
}

// Epochs that are no passes, a rate that changes, parts of a batch, an end that comes early: all of it is in the state.
TEST_P(SessionTest, WhatATrainingRemembersIsInItsState) {
  Subject subject = Rows();
  subject.options.steps_per_epoch = 3;
  subject.options.epochs = 30;
  subject.options.learning_rate = 0.05;
  subject.options.schedule = Schedule::kPlateau;
  subject.options.schedule_epochs = 1;
  subject.options.schedule_factor = 0.5;
  subject.options.warmup_epochs = 1.5;
  subject.options.keep = Keep::kBestLoss;
  subject.options.patience = 4;
  subject.options.micro_batch = 3;
  subject.options.clip_norm = 0.5;
  subject.options.label_smoothing = 0.1;
  subject.examples.class_weights = {1, 2, 0.5};
  Network straight = subject.NewNetwork();
  TrainingSession whole(&straight, subject.examples, subject.options, subject.Start(&straight, 42));
  ASSERT_THAT(whole.Run(QuietHooks()), IsOk());
  const int epochs = static_cast<int>(whole.history().size());
  ASSERT_LT(whole.history().back().learning_rate, subject.options.learning_rate) << "no drop that could be forgotten";
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    SCOPED_TRACE(epoch);
    Network network = subject.NewNetwork();
    TrainingSession first(&network, subject.examples, subject.options, subject.Start(&network, 42));
    ASSERT_THAT(first.Run(StopAfter(epoch, 2)), StatusIs(absl::StatusCode::kCancelled, "stop here"));
    Network other = subject.NewNetwork();
    TrainingSession second(&other, subject.examples, subject.options, subject.Start(&other, 7));
    ASSERT_THAT(second.Restore(first.Save()), IsOk());
    ASSERT_THAT(second.Run(QuietHooks()), IsOk());
    ExpectSame(other, straight);
    ExpectSameFigures(second.history(), whole.history());
    EXPECT_EQ(second.kept_epoch(), whole.kept_epoch());
  }
}

// Numbers without a pattern can only be learnt by heart, which the validation part punishes.
TEST_P(SessionTest, TheWeightsOfTheKeptEpochAreWhatIsLeft) {
  Subject subject = Rows();
  subject.options.learning_rate = 0.05;
  subject.options.epochs = 20;
  subject.options.keep = Keep::kBestLoss;
  Network network = subject.NewNetwork();
  TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
  ASSERT_THAT(session.Run(QuietHooks()), IsOk());
  ASSERT_LT(session.kept_epoch(), 20);
  for (const EpochMetrics& epoch : session.history()) {
    EXPECT_GE(epoch.validation_loss, session.history()[static_cast<size_t>(session.kept_epoch()) - 1].validation_loss);
  }
  TrainingOptions shorter = subject.options;
  shorter.keep = Keep::kLast;
  shorter.epochs = session.kept_epoch();
  Network expected = subject.NewNetwork();
  TrainingSession until_then(&expected, subject.examples, shorter, subject.Start(&expected, 42));
  ASSERT_THAT(until_then.Run(QuietHooks()), IsOk());
  ExpectSame(network, expected);
}

// Told to finish at any step behind the first epoch, it leaves what a training that ends with the best epoch leaves.
TEST_P(SessionTest, AnEarlyFinishKeepsTheBestSoFar) {
  for (const Keep keep : {Keep::kBestLoss, Keep::kLast}) {
    Subject subject = Rows();
    subject.options.keep = keep;
    bool asked = false;
    TrainHooks hooks = QuietHooks();
    hooks.finish = [&] { return asked; };
    hooks.on_step = [&](const StepUpdate& update) {
      asked = asked || (update.epoch == 2 && update.step == 2);  // of four
      return absl::OkStatus();
    };
    Network network = subject.NewNetwork();
    TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
    ASSERT_THAT(session.Run(hooks), IsOk());
    EXPECT_EQ(session.history().size(), keep == Keep::kLast ? 2U : 1U);
    TrainingOptions shorter = subject.options;
    shorter.epochs = session.kept_epoch();
    Network expected = subject.NewNetwork();
    TrainingSession until_then(&expected, subject.examples, shorter, subject.Start(&expected, 42));
    ASSERT_THAT(until_then.Run(QuietHooks()), IsOk());
    ExpectSame(network, expected);
  }
}

// How far each layer's weights went in a training.
std::vector<double> Ways(const Network& start, const Network& end) {
  std::vector<double> ways;
  const auto before = start.parameters();
  const auto after = end.parameters();
  for (size_t i = 0; i < before.size(); ++i) {
    ways.push_back((after[i].tensor - before[i].tensor).abs().max().item<double>());
  }
  return ways;
}

TEST_P(SessionTest, GradientsAreClippedAndLayersKeepTheirRates) {
  Subject subject = Rows();
  subject.options.weight_decay = 0;
  const auto ways = [&] {
    Network start = subject.NewNetwork();
    subject.Start(&start, 42);
    Network network = subject.NewNetwork();
    TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
    EXPECT_THAT(session.Run(QuietHooks()), IsOk());
    return Ways(start, network);  // dense: weight and bias; output: likewise
  };
  const std::vector<double> plain = ways();
  EXPECT_THAT(plain, ::testing::Each(::testing::Gt(1e-4)));
  subject.options.clip_norm = 1e-10;  // far below what the optimizers add to a root
  const std::vector<double> clipped = ways();
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_LT(clipped[i], plain[i] / 100) << i;
  }
  subject.options.clip_norm = 0;
  subject.layers.front().rate = 1e-4;
  const std::vector<double> slow = ways();
  EXPECT_LT(slow[0], plain[0] / 100);
  EXPECT_LT(slow[1], plain[1] / 100);
  EXPECT_GT(slow[2], plain[2] / 10);
  EXPECT_GT(slow[3], plain[3] / 10);
}

TEST_P(SessionTest, LearningRatesFollowTheirSchedule) {
  Subject subject = Rows();
  subject.options.epochs = 6;
  subject.options.learning_rate = 1e-3;
  const auto rates = [&] {
    Network network = subject.NewNetwork();
    TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
    EXPECT_THAT(session.Run(QuietHooks()), IsOk());
    std::vector<double> found;
    for (const EpochMetrics& epoch : session.history()) {
      found.push_back(epoch.learning_rate);
    }
    return found;
  };
  const auto near = [](double value) { return ::testing::DoubleNear(value, 1e-12); };
  EXPECT_THAT(rates(), ::testing::Each(near(1e-3)));
  subject.options.schedule = Schedule::kStep;
  subject.options.schedule_epochs = 2;
  EXPECT_THAT(rates(), ::testing::ElementsAre(near(1e-3), near(1e-3), near(1e-4), near(1e-4), near(1e-5), near(1e-5)));
  subject.options.schedule = Schedule::kCosine;
  subject.options.warmup_epochs = 1;  // of four steps, the last of which has four fifths
  const std::vector<double> cosine = rates();
  EXPECT_NEAR(cosine[0], 0.8e-3, 1e-12);
  EXPECT_NEAR(cosine[5], 1e-3 * (1 + std::cos(M_PI * 19 / 20)) / 2, 1e-12);
  for (size_t i = 2; i < cosine.size(); ++i) {
    EXPECT_LT(cosine[i], cosine[i - 1]);
  }
}

// Parts of a batch give the gradients of the whole, where nothing is drawn.
TEST_P(SessionTest, PartsOfABatchAddUpToIt) {
  Subject subject = Rows();
  subject.layers = {{"dense", Dense{24}}, {"output", Dense{3, Activation::kNone}}};
  const auto losses = [&](int micro_batch) {
    subject.options.micro_batch = micro_batch;
    Network network = subject.NewNetwork();
    TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
    EXPECT_THAT(session.Run(QuietHooks()), IsOk());
    return session.history().back().loss;
  };
  EXPECT_NEAR(losses(3), losses(0), 1e-3);
}

TEST_P(SessionTest, TheSameSessionGoesOnAfterAHookStoppedIt) {
  const Subject subject = Rows();
  Network straight = subject.NewNetwork();
  TrainingSession whole(&straight, subject.examples, subject.options, subject.Start(&straight, 42));
  ASSERT_THAT(whole.Run(QuietHooks()), IsOk());
  Network network = subject.NewNetwork();
  TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
  EXPECT_FALSE(session.Run(StopAfter(2, 3)).ok());
  // While it validates, too.
  TrainHooks hooks = QuietHooks();
  hooks.on_progress = [](const ProgressUpdate&) { return absl::CancelledError("validating"); };
  EXPECT_THAT(session.Run(hooks), StatusIs(absl::StatusCode::kCancelled, "validating"));
  hooks = QuietHooks();
  hooks.on_epoch = [](const EpochMetrics&) { return absl::CancelledError("an epoch"); };
  EXPECT_THAT(session.Run(hooks), StatusIs(absl::StatusCode::kCancelled, "an epoch"));
  ASSERT_THAT(session.Run(QuietHooks()), IsOk());
  ExpectSame(network, straight);
  ExpectSameFigures(session.history(), whole.history());
  // It has ended: nothing is left to do.
  ASSERT_THAT(session.Run(QuietHooks()), IsOk());
  ExpectSame(network, straight);
}

TEST_P(SessionTest, FrozenLayersStayBitForBit) {
  Subject subject = Images();
  subject.layers.front().trainable = false;
  Network network = subject.NewNetwork();
  const at::Generator generator = subject.Start(&network, 42);
  std::vector<torch::Tensor> before;
  for (const NamedTensor& parameter : network.parameters()) {
    before.push_back(parameter.tensor.detach().clone());
  }
  TrainingSession session(&network, subject.examples, subject.options, generator);
  ASSERT_THAT(session.Run(QuietHooks()), IsOk());
  const auto after = network.parameters();
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].tensor.equal(before[i]), i < 2) << after[i].name;  // the convolution's weight and bias
  }
  for (const NamedTensor& entry : session.Save().tensors) {
    EXPECT_FALSE(entry.name == "moment1.conv.weight") << "nothing is kept for what doesn't train";
  }
}

TEST_P(SessionTest, StatesThatAreNotItsOwnOrNotWholeChangeNothing) {
  const Subject subject = Rows();
  Network network = subject.NewNetwork();
  TrainingSession session(&network, subject.examples, subject.options, subject.Start(&network, 42));
  ASSERT_FALSE(session.Run(StopAfter(2, 1)).ok());
  const SessionState state = session.Save();

  Subject other = Rows();
  other.options.learning_rate = 2e-2;
  Network other_network = other.NewNetwork();
  TrainingSession other_session(&other_network, other.examples, other.options, other.Start(&other_network, 42));
  EXPECT_THAT(other_session.Restore(state),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("learning_rate")));
  other = Rows();
  other.examples.fingerprint = "another";
  TrainingSession third(&other_network, other.examples, other.options, NewGenerator(torch::kCPU, 42));
  EXPECT_THAT(third.Restore(state), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("data set")));

  for (size_t i = 0; i < state.tensors.size(); ++i) {
    SessionState damaged = state;
    damaged.tensors.erase(damaged.tensors.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_THAT(session.Restore(damaged), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(state.tensors[i].name)));
    damaged = state;
    damaged.tensors[i].tensor = torch::zeros({5, 4, 3});
    EXPECT_THAT(session.Restore(damaged), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(state.tensors[i].name)));
  }
  for (const auto& [key, value] : state.metadata) {
    SessionState damaged = state;
    damaged.metadata.erase(key);
    EXPECT_THAT(session.Restore(damaged), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(key)));
    damaged.metadata[key] = "damaged";
    EXPECT_FALSE(session.Restore(damaged).ok()) << key;
  }
  SessionState twice = state;
  for (NamedTensor& entry : twice.tensors) {
    if (entry.name == "order") {
      entry.tensor = torch::zeros_like(entry.tensor);
    }
  }
  EXPECT_THAT(session.Restore(twice), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("order")));

  // After all of these it stands where it stood.
  ASSERT_THAT(session.Run(QuietHooks()), IsOk());
  Network straight = subject.NewNetwork();
  TrainingSession whole(&straight, subject.examples, subject.options, subject.Start(&straight, 42));
  ASSERT_THAT(whole.Run(QuietHooks()), IsOk());
  ExpectSame(network, straight);
}

}  // namespace
}  // namespace graft
