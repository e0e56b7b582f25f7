#include <malloc.h>

#include <functional>
#include <map>
#include <tuple>
#include <utility>

#include "core/base/mutex.h"
#include "core/base/status.h"
#include "core/infer/engine.h"
#include "core/infer/predictor.h"
#include "core/nn/runtime.h"
#include "core/trunks/trunk.h"

namespace graft {
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
  std::vector<int64_t> output_shape() const override { return FeatureShape(trunk_->info(), image_size_); }
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
  std::vector<float> out(static_cast<size_t>(ElementCount(runner.output_shape())));
  return runner.Run(image, 1, absl::MakeSpan(out));
}

class TorchEngine : public Engine {
 public:
  TorchEngine(EngineOptions options, std::string device) : options_(std::move(options)), device_(std::move(device)) {}

  absl::StatusOr<LoadedModel> Load(const std::filesystem::path& folder) override {
    PrepareThread();
    GRAFT_ASSIGN_OR_RETURN(auto predictor, Predictor::Load(
                                               folder,
                                               [this](absl::string_view name) {
                                                 const MutexLock loading(&loading_);
                                                 return LoadTrunk(name);
                                               },
                                               device_));
    GRAFT_RETURN_IF_ERROR(WarmUp(*predictor));
    malloc_trim(0);  // the files' bytes, which KeepFreedMemory would keep for ever
    return LoadedModel{predictor->description(), predictor, predictor};
  }

  absl::StatusOr<std::shared_ptr<const BatchRunner>> Extractor(absl::string_view trunk, int image_size,
                                                               Preprocessing preprocessing,
                                                               Interpolation interpolation) override {
    // Equal settings get the same runner, so that their images run in one batch. Runners are small and their settings
    // few.
    const std::tuple key(std::string(trunk), image_size, preprocessing, interpolation);
    const auto known = [&]() -> std::shared_ptr<const BatchRunner> {
      const MutexLock lock(&mutex_);
      const auto found = extractors_.find(key);
      return found == extractors_.end() ? nullptr : found->second;
    };
    if (auto runner = known(); runner != nullptr) {
      return runner;
    }
    const MutexLock loading(&loading_);
    if (auto runner = known(); runner != nullptr) {  // another caller's, whom this one waited for
      return runner;
    }
    PrepareThread();
    GRAFT_ASSIGN_OR_RETURN(auto loaded, LoadTrunk(trunk));
    auto runner = std::make_shared<TrunkRunner>(std::move(loaded), image_size, preprocessing, interpolation);
    GRAFT_RETURN_IF_ERROR(WarmUp(*runner));
    const MutexLock lock(&mutex_);
    extractors_[key] = runner;
    return runner;
  }

  std::string device() const override { return device_; }
  std::string version() const override { return TorchVersion(); }
  void PrepareThread() override { SetTorchThreads(options_.threads); }
  void ReleaseMemory() override { malloc_trim(0); }

  std::vector<std::string> loaded_trunks() const override {
    const MutexLock lock(&mutex_);
    std::vector<std::string> names;
    names.reserve(trunks_.size());
    for (const auto& [name, trunk] : trunks_) {
      names.push_back(name);
    }
    return names;
  }

 private:
  absl::StatusOr<std::shared_ptr<const Trunk>> LoadTrunk(absl::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(loading_) {
    {
      const MutexLock lock(&mutex_);
      if (const auto known = trunks_.find(name); known != trunks_.end()) {
        return known->second;
      }
    }
    GRAFT_ASSIGN_OR_RETURN(auto trunk, Trunk::Load(name, options_.weights_dir, device_));
    const MutexLock lock(&mutex_);
    trunks_.emplace(name, trunk);
    return trunk;
  }

  const EngineOptions options_;
  const std::string device_;
  // Held over a load, so that whoever asks for the same waits for it, and nobody else does.
  Mutex loading_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable Mutex mutex_;
  std::map<std::string, std::shared_ptr<const Trunk>, std::less<>> trunks_ ABSL_GUARDED_BY(mutex_);
  std::map<std::tuple<std::string, int, Preprocessing, Interpolation>, std::shared_ptr<const BatchRunner>> extractors_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> MakeTorchEngine(const EngineOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(std::string device, ResolveDevice(options.device));
  return std::make_unique<TorchEngine>(options, std::move(device));
}

}  // namespace graft
