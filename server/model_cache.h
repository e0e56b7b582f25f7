// Models and extractors in memory, for serving.
#ifndef GRAFT_SERVER_MODEL_CACHE_H_
#define GRAFT_SERVER_MODEL_CACHE_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/infer/engine.h"
#include "core/model/model_ref.h"
#include "server/loading_cache.h"
#include "server/rpc/thread_pool.h"

namespace graft {

// Thread-safe. Nobody waits in it: what isn't in memory is loaded on a thread of its own, once however many ask, and
// one after the other, since a load takes all cores.
class ModelCache {
 public:
  struct Located {
    int version = 0;
    std::filesystem::path folder;
  };
  // Finds a model's version on the disk. NOT_FOUND.
  using Locate = std::function<absl::StatusOr<Located>(const ModelRef& ref)>;
  // `Get...` calls it once: at once, or on the loading thread; it must be quick and may not throw.
  template <typename T>
  using Done = std::function<void(absl::StatusOr<std::shared_ptr<const T>>)>;

  struct ExtractorKey {
    std::string trunk;
    int image_size = 0;
    Preprocessing preprocessing = Preprocessing::kAuto;  // resolved: not kAuto
    Interpolation interpolation = Interpolation::kNearest;

    bool operator==(const ExtractorKey&) const = default;
  };

  // Keeps `capacity` models and as many extractors; `engine` must live longer.
  ModelCache(Engine* engine, Locate locate, size_t capacity = 8);
  // Stops, and waits for the load that runs.
  ~ModelCache();
  ModelCache(const ModelCache&) = delete;
  ModelCache& operator=(const ModelCache&) = delete;

  // Errors are those of Locate and of Engine; CANCELLED: `abandoned`, which may be empty, was true before the load
  // began; UNAVAILABLE: stopped.
  void GetModel(const ModelRef& ref, std::function<bool()> abandoned, Done<LoadedModel> done);
  // Equal keys get the same runner, so that their images share batches.
  void GetExtractor(const ExtractorKey& key, std::function<bool()> abandoned, Done<BatchRunner> done);

  // Forgets deleted ones (0: all versions); calls that run finish.
  void Drop(const std::string& name, int version);
  // "pets@3", newest use first.
  std::vector<std::string> names() const;
  // Answers whoever waits, from here on, with UNAVAILABLE.
  void Stop();

 private:
  using ModelKey = std::pair<std::string, int>;

  Engine* const engine_;
  const Locate locate_;
  LoadingCache<ModelKey, LoadedModel> models_;
  LoadingCache<ExtractorKey, BatchRunner> extractors_;
  // Last: it uses all of the above.
  std::unique_ptr<ThreadPool> loader_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_MODEL_CACHE_H_
