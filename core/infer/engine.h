// What serving needs of the networks, without LibTorch in sight: things that turn batches of images into rows of
// numbers.
#ifndef GRAFT_CORE_INFER_ENGINE_H_
#define GRAFT_CORE_INFER_ENGINE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/data/image.h"
#include "core/model/artifact.h"
#include "core/model/variants.h"

namespace graft {

// Runs a network on batches. Immutable; Run may be called from any thread.
class BatchRunner {
 public:
  virtual ~BatchRunner() = default;

  // What an image must be brought to.
  virtual int image_size() const = 0;
  virtual Interpolation interpolation() const = 0;
  // Of one image: {classes}, or height, width, channels.
  virtual std::vector<int64_t> output_shape() const = 0;

  // images: count x image_size x image_size x 3 bytes, RGB. out: count x product(output_shape) floats.
  virtual absl::Status Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const = 0;
};

class Explainer;  // core/infer/explanation.h

// A trained model in memory.
struct LoadedModel {
  ModelDescription description;
  std::shared_ptr<const BatchRunner> classifier;
  std::shared_ptr<const Explainer> explainer;
};

// Loads models and trunks. Thread-safe. A trunk is loaded once, whoever uses it.
class Engine {
 public:
  virtual ~Engine() = default;

  // `folder` holds model.json and model.safetensors. NOT_FOUND, DATA_LOSS; FAILED_PRECONDITION: the trunk's weights are
  // missing or aren't those that the model was trained on.
  virtual absl::StatusOr<LoadedModel> Load(const std::filesystem::path& folder) = 0;

  // Features of a trunk. `preprocessing` isn't kAuto.
  virtual absl::StatusOr<std::shared_ptr<const BatchRunner>> Extractor(absl::string_view trunk, int image_size,
                                                                       Preprocessing preprocessing,
                                                                       Interpolation interpolation) = 0;

  // "cpu", "cuda:0".
  virtual std::string device() const = 0;
  // Of LibTorch.
  virtual std::string version() const = 0;
  // Called once on each thread that will call Run.
  virtual void PrepareThread() = 0;
  // Gives what batches have left behind back to the system; the next one is a little slower.
  virtual void ReleaseMemory() = 0;
  // Trunks in memory.
  virtual std::vector<std::string> loaded_trunks() const = 0;
};

struct EngineOptions {
  std::filesystem::path weights_dir;
  std::string device = "auto";
  int threads = 1;
};

// The one on LibTorch.
absl::StatusOr<std::unique_ptr<Engine>> MakeTorchEngine(const EngineOptions& options);

}  // namespace graft

#endif  // GRAFT_CORE_INFER_ENGINE_H_
