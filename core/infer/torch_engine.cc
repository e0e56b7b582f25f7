#include <malloc.h>
#include <torch/torch.h>

#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/infer/engine.h"
#include "core/infer/predictor.h"
#include "core/nn/internal/network_torch.h"
#include "core/nn/runtime.h"
#include "core/trunks/trunk.h"

namespace graft {

struct Predictor::Impl {
  internal::Network head;
  torch::Device device;
};

Predictor::Predictor(ModelDescription description, std::shared_ptr<const Trunk> trunk, std::unique_ptr<Impl> impl)
    : description_(std::move(description)), trunk_(std::move(trunk)), impl_(std::move(impl)) {}
Predictor::~Predictor() = default;

absl::StatusOr<std::shared_ptr<const Predictor>> Predictor::Load(const std::filesystem::path& folder,
                                                                 const TrunkLoader& load_trunk,
                                                                 const std::string& device) {
  GRAFT_ASSIGN_OR_RETURN(ModelDescription description, LoadModel(folder));
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(description.variant));
  std::shared_ptr<const Trunk> trunk;
  std::array<int64_t, 3> input = {description.options.image_size, description.options.image_size, 3};
  if (variant->trunk != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(trunk, load_trunk(variant->trunk->name));
    if (trunk->fingerprint() != description.trunk_fingerprint) {
      return absl::FailedPreconditionError(
          absl::StrCat("model ", description.name, "@", description.version, " was trained on other ",
                       variant->trunk->name, " weights than this server has; restore them or train it again"));
    }
    input = FeatureShape(*variant->trunk, description.options.image_size);
  }
  GRAFT_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenSealed(WeightsFile(folder)));
  return CatchExceptions("loading the model", [&]() -> absl::StatusOr<std::shared_ptr<const Predictor>> {
    const int64_t outputs = OutputUnits(static_cast<int64_t>(description.labels.size()));
    auto impl = std::make_unique<Impl>(
        Impl{internal::Network(variant->layers(description.options, outputs), input), torch::Device(device)});
    GRAFT_RETURN_IF_ERROR(Annotate(impl->head.Load(file), WeightsFile(folder).string()));
    impl->head.to(impl->device);
    impl->head.eval();
    return std::shared_ptr<const Predictor>(new Predictor(std::move(description), std::move(trunk), std::move(impl)));
  });
}

int Predictor::image_size() const { return description_.options.image_size; }
Interpolation Predictor::interpolation() const { return description_.options.interpolation; }
std::vector<int64_t> Predictor::output_shape() const { return {static_cast<int64_t>(description_.labels.size())}; }

absl::Status Predictor::Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const {
  if (trunk_ != nullptr) {
    std::vector<float> features(static_cast<size_t>(count * trunk_->dimension(image_size())));
    GRAFT_RETURN_IF_ERROR(
        trunk_->Extract(images, count, image_size(), description_.options.preprocessing, absl::MakeSpan(features)));
    return RunOnFeatures(features, count, out);
  }
  return CatchExceptions("classifying", [&]() -> absl::Status {
    c10::InferenceMode inference;
    const torch::Tensor input =
        internal::InputTensor(images, count, image_size(), description_.options.preprocessing, impl_->device);
    const torch::Tensor probabilities = internal::Probabilities(impl_->head.Forward(input));
    std::memcpy(out.data(), probabilities.data_ptr<float>(), out.size() * sizeof(float));
    return absl::OkStatus();
  });
}

absl::Status Predictor::RunOnFeatures(absl::Span<const float> features, int64_t count, absl::Span<float> out) const {
  return CatchExceptions("classifying", [&]() -> absl::Status {
    c10::InferenceMode inference;
    const torch::Tensor input =
        torch::from_blob(const_cast<float*>(features.data()), {count, static_cast<int64_t>(features.size()) / count})
            .to(impl_->device);
    const torch::Tensor probabilities = internal::Probabilities(impl_->head.Forward(input));
    std::memcpy(out.data(), probabilities.data_ptr<float>(), out.size() * sizeof(float));
    return absl::OkStatus();
  });
}

namespace {

class TrunkRunner : public BatchRunner {
 public:
  TrunkRunner(std::shared_ptr<const Trunk> trunk, int image_size, Preprocessing preprocessing,
              Interpolation interpolation)
      : trunk_(std::move(trunk)),
        image_size_(image_size),
        preprocessing_(preprocessing),
        interpolation_(interpolation) {}

  int image_size() const override { return image_size_; }
  Interpolation interpolation() const override { return interpolation_; }
  std::vector<int64_t> output_shape() const override {
    const auto shape = FeatureShape(trunk_->info(), image_size_);
    return {shape.begin(), shape.end()};
  }
  absl::Status Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const override {
    return trunk_->Extract(images, count, image_size_, preprocessing_, out);
  }

 private:
  const std::shared_ptr<const Trunk> trunk_;
  const int image_size_;
  const Preprocessing preprocessing_;
  const Interpolation interpolation_;
};

// Runs an image through, so that the layers choose their algorithms and transform their weights now and not while the
// first caller waits.
absl::Status WarmUp(const BatchRunner& runner) {
  const auto side = static_cast<size_t>(runner.image_size());
  const std::vector<uint8_t> image(side * side * 3, 128);
  int64_t outputs = 1;
  for (const int64_t size : runner.output_shape()) {
    outputs *= size;
  }
  std::vector<float> out(static_cast<size_t>(outputs));
  return runner.Run(image, 1, absl::MakeSpan(out));
}

class TorchEngine : public Engine {
 public:
  TorchEngine(EngineOptions options, std::string device) : options_(std::move(options)), device_(std::move(device)) {}

  absl::StatusOr<LoadedModel> Load(const std::filesystem::path& folder) override {
    PrepareThread();
    GRAFT_ASSIGN_OR_RETURN(auto predictor,
                           Predictor::Load(
                               folder, [this](absl::string_view name) { return LoadTrunk(name); }, device_));
    GRAFT_RETURN_IF_ERROR(WarmUp(*predictor));
    malloc_trim(0);  // the files' bytes, which KeepFreedMemory would keep for ever
    return LoadedModel{predictor->description(), predictor};
  }

  absl::StatusOr<std::shared_ptr<const BatchRunner>> Extractor(absl::string_view trunk, int image_size,
                                                               Preprocessing preprocessing,
                                                               Interpolation interpolation) override {
    // Equal settings get the same runner, so that their images run in one batch. Runners are small and their settings
    // few.
    const std::tuple key(std::string(trunk), image_size, preprocessing, interpolation);
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = extractors_.find(key); known != extractors_.end()) {
        return known->second;
      }
    }
    PrepareThread();
    GRAFT_ASSIGN_OR_RETURN(auto loaded, LoadTrunk(trunk));
    auto runner = std::make_shared<TrunkRunner>(std::move(loaded), image_size, preprocessing, interpolation);
    GRAFT_RETURN_IF_ERROR(WarmUp(*runner));
    const std::lock_guard lock(mutex_);
    return extractors_.emplace(key, std::move(runner)).first->second;  // another caller's, if that was quicker
  }

  std::string device() const override { return device_; }
  std::string version() const override { return TorchVersion(); }
  void PrepareThread() override { SetTorchThreads(options_.threads); }
  void ReleaseMemory() override { malloc_trim(0); }

  std::vector<std::string> loaded_trunks() const override {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, trunk] : trunks_) {
      names.push_back(name);
    }
    return names;
  }

 private:
  // One load at a time, and not under mutex_: who asks what is loaded doesn't wait for it.
  absl::StatusOr<std::shared_ptr<const Trunk>> LoadTrunk(absl::string_view name) {
    const std::lock_guard loading(loading_mutex_);
    {
      const std::lock_guard lock(mutex_);
      if (const auto known = trunks_.find(std::string(name)); known != trunks_.end()) {
        return known->second;
      }
    }
    GRAFT_ASSIGN_OR_RETURN(auto trunk, Trunk::Load(name, options_.weights_dir, device_));
    const std::lock_guard lock(mutex_);
    return trunks_[std::string(name)] = std::move(trunk);
  }

  const EngineOptions options_;
  const std::string device_;
  std::mutex loading_mutex_;  // before mutex_
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, std::shared_ptr<const Trunk>> trunks_;
  std::map<std::tuple<std::string, int, Preprocessing, Interpolation>, std::shared_ptr<const BatchRunner>> extractors_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeTorchEngine(const EngineOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(std::string device, ResolveDevice(options.device));
  return std::make_unique<TorchEngine>(options, std::move(device));
}

}  // namespace graft
