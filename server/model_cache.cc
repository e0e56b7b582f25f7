#include "server/model_cache.h"

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {

ModelCache::ModelCache(Engine* engine, Locate locate, size_t capacity)
    : engine_(engine),
      locate_(std::move(locate)),
      models_(capacity, [this](std::function<void()> load) { loader_->Post(std::move(load)); }),
      extractors_(capacity, [this](std::function<void()> load) { loader_->Post(std::move(load)); }),
      loader_(std::make_unique<ThreadPool>(1)) {}

ModelCache::~ModelCache() { Stop(); }

void ModelCache::GetModel(const ModelRef& ref, std::function<bool()> abandoned, Done<LoadedModel> done) {
  absl::StatusOr<Located> located = locate_(ref);
  if (!located.ok()) {
    done(located.status());
    return;
  }
  models_.Get(
      {ref.name, located->version},
      [this, folder = std::move(located->folder)]() -> absl::StatusOr<std::shared_ptr<const LoadedModel>> {
        GRAFT_ASSIGN_OR_RETURN(LoadedModel model, engine_->Load(folder));
        return std::make_shared<const LoadedModel>(std::move(model));
      },
      std::move(abandoned), std::move(done));
}

void ModelCache::GetExtractor(const ExtractorKey& key, std::function<bool()> abandoned, Done<BatchRunner> done) {
  extractors_.Get(
      key, [this, key] { return engine_->Extractor(key.trunk, key.image_size, key.preprocessing, key.interpolation); },
      std::move(abandoned), std::move(done));
}

void ModelCache::Drop(const std::string& name, int version) {
  models_.Drop([&](const ModelKey& key) { return key.first == name && (version == 0 || key.second == version); });
}

std::vector<std::string> ModelCache::names() const {
  std::vector<std::string> names;
  for (const auto& [name, version] : models_.keys()) {
    names.push_back(absl::StrCat(name, "@", version));
  }
  return names;
}

void ModelCache::Stop() {
  models_.Stop();
  extractors_.Stop();
}

}  // namespace graft
