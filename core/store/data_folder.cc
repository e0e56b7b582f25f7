#include "core/store/data_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/base/dir.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/store/imported_trunks.h"
#include "core/store/names.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr char kPublishedBy[] = "published-by";
constexpr mode_t kFolderMode = 0700;

// Names of the folders in `folder`, sorted; none when it isn't there.
std::vector<std::string> Folders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code gone;
    if (it->is_directory(gone)) {
      names.push_back(it->path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The versions of a model in its folder, newest first.
std::vector<int> Versions(const fs::path& folder) {
  std::vector<int> versions;
  for (const std::string& text : Folders(folder)) {
    int version = 0;
    if (absl::SimpleAtoi(text, &version) && version > 0 && absl::StrCat(version) == text) {
      versions.push_back(version);
    }
  }
  std::sort(versions.rbegin(), versions.rend());
  return versions;
}

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

// The job that published what lies here; empty: nobody did.
std::string PublisherOf(const fs::path& folder) {
  constexpr int64_t kMaxId = 100;
  const absl::StatusOr<std::vector<uint8_t>> id = ReadFile(folder / kPublishedBy, kMaxId);
  return id.ok() ? std::string(absl::StripAsciiWhitespace(std::string(id->begin(), id->end()))) : "";
}

// Where an older result waits until the newer one is in its place for good.
fs::path Replaced(const fs::path& staging) { return staging.parent_path() / "replaced"; }

std::string RandomName() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

absl::Status NoDataset(absl::string_view name) {
  return absl::NotFoundError(
      absl::StrCat("dataset: there is no '", name, "'; `graft dataset list` shows what there is"));
}

// What a damaged file's error is to callers: what they asked for is there, so it isn't NOT_FOUND.
absl::Status Damaged(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::DataLossError(status.message()) : status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataFolder>> DataFolder::Open(Options options) {
  std::unique_ptr<DataFolder> data(new DataFolder(std::move(options)));
  std::error_code error;
  fs::create_directories(data->root(), error);
  if (error) {
    return ErrnoStatus(error.value(), "create", data->root());
  }
  // What is trained and on whose pictures is nobody else's business on this machine. A folder that belongs to somebody
  // else stays as they set it.
  if (chmod(data->root().c_str(), kFolderMode) != 0 && errno != EPERM) {
    return ErrnoStatus(errno, "change the mode of", data->root());
  }
  for (const char* name : {"datasets", "models", "trunks", "incoming", "uploads", "trash", "jobs"}) {
    GRAFT_RETURN_IF_ERROR(data->Create(data->root() / name));
  }
  GRAFT_RETURN_IF_ERROR(SyncFolder(data->root()));
  // Nobody has the id of an upload that isn't whole.
  for (const std::string& id : Folders(data->root() / "incoming")) {
    GRAFT_RETURN_IF_ERROR(data->MoveToTrash(data->root() / "incoming" / id));
  }
  // Workers that outlived the last server keep theirs.
  SweepTemporaries(data->root());
  SweepTrunks(data->Trunks());
  for (const std::string& name : Folders(data->root() / "datasets")) {
    SweepTemporaries(data->Dataset(name) / "cache");
  }
  {
    // The only use of the wall clock: how old an upload is that another process took.
    const MutexLock lock(&data->uploads_mutex_);
    const Clock::time_point now = data->options_.now();
    for (const std::string& id : Folders(data->root() / "uploads")) {
      const auto written = fs::last_write_time(data->Upload(id), error);
      const auto age = error ? Clock::duration::zero()
                             : std::chrono::duration_cast<Clock::duration>(fs::file_time_type::clock::now() - written);
      data->uploads_[id] = now - std::clamp(age, Clock::duration::zero(), data->options_.upload_kept);
    }
  }
  {
    const MutexLock lock(&data->sweep_mutex_);
    ++data->trashed_;  // an earlier server may have left something
  }
  data->sweeper_ = std::thread([folder = data.get()] { folder->SweepLoop(); });
  return data;
}

DataFolder::~DataFolder() {
  {
    const MutexLock lock(&sweep_mutex_);
    stop_ = true;
  }
  if (sweeper_.joinable()) {
    sweeper_.join();
  }
}

absl::Status DataFolder::Relative(const absl::Status& status) const {
  return absl::Status(status.code(), absl::StrReplaceAll(status.message(), {{root().string() + "/", ""}}));
}

absl::Status DataFolder::Create(const fs::path& folder) const {
  if (mkdir(folder.c_str(), kFolderMode) != 0 && errno != EEXIST) {
    return Relative(ErrnoStatus(errno, "create", folder));
  }
  return absl::OkStatus();
}

absl::Status DataFolder::Rename(const fs::path& from, const fs::path& to) const {
  return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus() : Relative(ErrnoStatus(errno, "move to", to));
}

// Publishing.

PublishTarget DataFolder::DatasetTarget(absl::string_view name) {
  return {fs::path("datasets") / std::string(name), /*replace=*/false};
}

PublishTarget DataFolder::ModelTarget(absl::string_view name, int version) {
  return {fs::path("models") / std::string(name) / absl::StrCat(version), /*replace=*/false};
}

PublishTarget DataFolder::EvaluationTarget(absl::string_view model, int version, absl::string_view dataset, Part part) {
  return {ModelTarget(model, version).path / "evaluations" / absl::StrCat(dataset, "-", PartName(part)),
          /*replace=*/true};
}

PublishTarget DataFolder::MistakesTarget(absl::string_view model, int version) {
  return {ModelTarget(model, version).path / "mistakes", /*replace=*/true};
}

absl::Status DataFolder::Publish(absl::string_view job_id, const fs::path& staging, const PublishTarget& target) {
  const bool placed = PublisherOf(root() / target.path) == job_id;
  if (!placed) {
    if (!Exists(staging)) {
      return absl::NotFoundError(absl::StrCat("the job left no result that could become ", target.path.string()));
    }
    GRAFT_RETURN_IF_ERROR(Failpoint("publish.mark"));
    GRAFT_RETURN_IF_ERROR(Relative(WriteFileAtomic(staging / kPublishedBy, absl::StrCat(job_id, "\n"))));
    GRAFT_RETURN_IF_ERROR(Failpoint("publish.sync"));
    GRAFT_RETURN_IF_ERROR(Relative(SyncFileSystem(staging)));
  }
  const MutexLock lock(&layout_);
  if (!placed) {
    GRAFT_RETURN_IF_ERROR(Place(job_id, staging, target));
  }
  // Also when it was there already: whoever put it there may not have come this far.
  GRAFT_RETURN_IF_ERROR(Failpoint("publish.sync_parent"));
  fs::path folder = root();
  for (const fs::path& part : target.path) {
    GRAFT_RETURN_IF_ERROR(Relative(SyncFolder(folder)));
    folder /= part;
  }
  GRAFT_RETURN_IF_ERROR(Failpoint("publish.trash"));
  if (Exists(Replaced(staging))) {
    GRAFT_RETURN_IF_ERROR(MoveToTrash(Replaced(staging)));
  }
  return Failpoint("publish.done");
}

absl::Status DataFolder::Place(absl::string_view job_id, const fs::path& staging, const PublishTarget& target) {
  const fs::path to = root() / target.path;
  fs::path folder = root();
  for (const fs::path& part : target.path.parent_path()) {
    folder /= part;
    GRAFT_RETURN_IF_ERROR(Create(folder));
  }
  const bool occupied = Exists(to);
  if (occupied) {
    if (!target.replace) {
      return absl::AlreadyExistsError(absl::StrCat("there is a ", target.path.string(), " already, which ", job_id,
                                                   " didn't make; delete it and try again"));
    }
    GRAFT_RETURN_IF_ERROR(Failpoint("publish.replace"));
    GRAFT_RETURN_IF_ERROR(Rename(to, Replaced(staging)));
  }
  absl::Status status = Failpoint("publish.rename");
  status.Update(status.ok() ? Rename(staging, to) : absl::OkStatus());
  if (!status.ok()) {
    if (occupied) {
      status.Update(Rename(Replaced(staging), to));  // as it was
    }
    return status;
  }
  return Failpoint("publish.renamed");
}

// Data sets and models.

bool DataFolder::HasDataset(const std::string& name) const { return Exists(Dataset(name)); }

absl::StatusOr<DatasetInfo> DataFolder::GetDataset(const std::string& name) const {
  GRAFT_RETURN_IF_ERROR(CheckName("dataset", name));
  absl::StatusOr<DatasetInfo> info = LoadDatasetInfo(Dataset(name));
  if (info.ok()) {
    return info;
  }
  return HasDataset(name) ? Damaged(Relative(info.status())) : NoDataset(name);
}

absl::StatusOr<DatasetQuality> DataFolder::GetQuality(const std::string& name) const {
  GRAFT_RETURN_IF_ERROR(CheckName("dataset", name));
  absl::StatusOr<DatasetQuality> quality = LoadQuality(Dataset(name));
  return quality.ok() ? std::move(quality) : Relative(quality.status());
}

absl::StatusOr<DatasetEntry> DataFolder::ShowDataset(const std::string& name) const {
  absl::StatusOr<DatasetInfo> info = GetDataset(name);
  if (absl::IsNotFound(info.status()) || absl::IsInvalidArgument(info.status())) {
    return info.status();
  }
  DatasetEntry entry;
  if (info.ok()) {
    entry.info = *std::move(info);
  } else {
    entry.damaged = std::string(info.status().message());
  }
  entry.info.name = name;
  entry.folder = Dataset(name);
  return entry;
}

std::vector<std::string> DataFolder::DatasetNames() const {
  std::vector<std::string> names = Folders(root() / "datasets");
  // What else lies there isn't ours and could not be named in any call.
  names.erase(
      std::remove_if(names.begin(), names.end(), [](const std::string& name) { return !CheckName("", name).ok(); }),
      names.end());
  return names;
}

std::vector<std::pair<std::string, int>> DataFolder::ModelVersions() const {
  std::vector<std::pair<std::string, int>> all;
  for (const std::string& name : Folders(root() / "models")) {
    if (CheckName("", name).ok()) {
      for (const int version : Versions(root() / "models" / name)) {
        all.emplace_back(name, version);
      }
    }
  }
  return all;
}

int DataFolder::NewestVersion(const std::string& name) const {
  const std::vector<int> versions = Versions(root() / "models" / name);
  return versions.empty() ? 0 : versions.front();
}

absl::StatusOr<int> DataFolder::ResolveVersion(const ModelRef& ref) const {
  GRAFT_RETURN_IF_ERROR(CheckName("model.name", ref.name));
  if (!ref.alias.empty()) {
    GRAFT_RETURN_IF_ERROR(CheckName("model.alias", ref.alias));
    return absl::NotFoundError(absl::StrCat("model.alias: '", ref.name, "' has no alias '", ref.alias,
                                            "'; use a version, or neither for the newest"));
  }
  if (ref.version < 0) {
    return InvalidField("model.version",
                        absl::StrCat(ref.version, " is out of range; use 1 or more, or 0 for the newest"));
  }
  const int version = ref.version == 0 ? NewestVersion(ref.name) : ref.version;
  if (version == 0 || (ref.version != 0 && NewestVersion(ref.name) == 0)) {
    return absl::NotFoundError(
        absl::StrCat("model: there is no '", ref.name, "'; `graft model list` shows what there is"));
  }
  if (!Exists(Model(ref.name, version))) {
    return absl::NotFoundError(absl::StrCat("model.version: '", ref.name, "' has no version ", version,
                                            "; `graft model list` shows what there is"));
  }
  return version;
}

absl::StatusOr<fs::path> DataFolder::ModelFolder(const ModelRef& ref) const {
  GRAFT_ASSIGN_OR_RETURN(const int version, ResolveVersion(ref));
  return Model(ref.name, version);
}

absl::StatusOr<std::vector<TreeFile>> DataFolder::Tree(const ModelRef& ref, const fs::path& folder) const {
  // An evaluation may be replaced while its folder is being listed.
  constexpr int kTries = 10;
  absl::StatusOr<std::vector<TreeFile>> files = ListTree(folder);
  for (int tries = 1; absl::IsNotFound(files.status()) && tries < kTries; ++tries) {
    GRAFT_RETURN_IF_ERROR(ResolveVersion(ref).status());  // deleted meanwhile
    files = ListTree(folder);
  }
  if (!files.ok()) {
    return Relative(files.status());
  }
  return files;
}

absl::StatusOr<std::vector<std::string>> DataFolder::ModelFiles(const ModelRef& ref) const {
  GRAFT_ASSIGN_OR_RETURN(const fs::path folder, ModelFolder(ref));
  GRAFT_ASSIGN_OR_RETURN(std::vector<TreeFile> files, Tree(ref, folder));
  std::vector<std::string> paths;
  for (TreeFile& file : files) {
    if (fs::path(file.path).filename() != kPublishedBy) {
      paths.push_back(std::move(file.path));
    }
  }
  return paths;
}

absl::StatusOr<ModelDescription> DataFolder::GetModel(const ModelRef& ref) const {
  GRAFT_ASSIGN_OR_RETURN(const fs::path folder, ModelFolder(ref));
  absl::StatusOr<ModelDescription> description = LoadModel(folder);
  if (description.ok()) {
    return description;
  }
  GRAFT_RETURN_IF_ERROR(ResolveVersion(ref).status());  // deleted meanwhile
  return Damaged(Relative(description.status()));
}

absl::StatusOr<ScoredPart> DataFolder::GetEvaluation(const ModelRef& ref, const std::string& dataset, Part part) const {
  GRAFT_RETURN_IF_ERROR(CheckName("dataset", dataset));
  GRAFT_ASSIGN_OR_RETURN(const int version, ResolveVersion(ref));
  const fs::path folder = root() / EvaluationTarget(ref.name, version, dataset, part).path;
  // A newer one may take its place between the two files.
  constexpr int kTries = 10;
  absl::Status status;
  for (int tries = 0; tries < kTries; ++tries) {
    const std::string job_id = PublisherOf(folder);
    absl::StatusOr<Evaluation> evaluation = LoadEvaluation(folder);
    absl::StatusOr<Predictions> predictions = LoadPredictions(folder);
    if (PublisherOf(folder) != job_id) {
      continue;
    }
    status = evaluation.ok() ? predictions.status() : evaluation.status();
    if (status.ok()) {
      return ScoredPart{*std::move(evaluation), *std::move(predictions)};
    }
    break;
  }
  return Relative(status);
}

absl::StatusOr<LabelMistakes> DataFolder::GetMistakes(const ModelRef& ref, std::string* picture) const {
  constexpr int64_t kMaxPicture = 64 << 20;
  GRAFT_ASSIGN_OR_RETURN(const int version, ResolveVersion(ref));
  const fs::path folder = root() / MistakesTarget(ref.name, version).path;
  if (!Exists(folder)) {
    return absl::NotFoundError(absl::StrCat("model: nobody has looked for label errors in the data set of ", ref.name,
                                            "@", version, " yet; run: graft model mistakes ", ref.name, "@", version));
  }
  // Newer ones may take their place between the two files.
  constexpr int kTries = 10;
  absl::Status status;
  for (int tries = 0; tries < kTries; ++tries) {
    const std::string job_id = PublisherOf(folder);
    absl::StatusOr<LabelMistakes> mistakes = LoadLabelMistakes(folder);
    absl::StatusOr<std::vector<uint8_t>> png = std::vector<uint8_t>();
    if (picture != nullptr) {
      png = ReadFile(folder / kMistakesPicture, kMaxPicture);
    }
    if (PublisherOf(folder) != job_id) {
      continue;
    }
    status = mistakes.ok() ? png.status() : mistakes.status();
    if (status.ok()) {
      if (picture != nullptr) {
        picture->assign(png->begin(), png->end());
      }
      return mistakes;
    }
    break;
  }
  GRAFT_RETURN_IF_ERROR(ResolveVersion(ref).status());  // deleted meanwhile
  return Damaged(Relative(status));
}

absl::StatusOr<ModelEntry> DataFolder::ShowModel(const ModelRef& ref) const {
  GRAFT_ASSIGN_OR_RETURN(const int version, ResolveVersion(ref));
  absl::StatusOr<ModelDescription> description = GetModel({ref.name, version, ""});
  if (absl::IsNotFound(description.status())) {
    return description.status();
  }
  ModelEntry entry;
  if (description.ok()) {
    entry.description = *std::move(description);
  } else {
    entry.damaged = std::string(description.status().message());
  }
  entry.description.name = ref.name;
  entry.description.version = version;
  entry.folder = Model(ref.name, version);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<TreeFile> files, Tree(ref, entry.folder));
  for (const TreeFile& file : files) {
    entry.size_bytes += file.bytes;
    if (fs::path(file.path).extension() == ".png") {
      entry.pictures.push_back(file.path);
    }
  }
  for (const std::string& name : Folders(entry.folder / "evaluations")) {
    absl::StatusOr<Evaluation> evaluation = LoadEvaluation(entry.folder / "evaluations" / name);
    if (evaluation.ok()) {
      entry.evaluations.push_back(*std::move(evaluation));
    } else if (entry.damaged.empty()) {
      entry.damaged = std::string(Relative(evaluation.status()).message());
    }
  }
  return entry;
}

absl::Status DataFolder::DeleteDataset(const std::string& name) {
  GRAFT_RETURN_IF_ERROR(CheckName("dataset", name));
  const MutexLock lock(&layout_);
  if (!HasDataset(name)) {
    return NoDataset(name);
  }
  GRAFT_RETURN_IF_ERROR(MoveToTrash(Dataset(name)));
  return Relative(SyncFolder(root() / "datasets"));
}

absl::StatusOr<int> DataFolder::DeleteModel(const std::string& name, int version) {
  const MutexLock lock(&layout_);
  GRAFT_ASSIGN_OR_RETURN(const int found, ResolveVersion({name, version, ""}));
  const fs::path all = root() / "models" / name;
  const auto count = version == 0 ? static_cast<int>(Versions(all).size()) : 1;
  if (version == 0) {
    GRAFT_RETURN_IF_ERROR(MoveToTrash(all));
  } else {
    GRAFT_RETURN_IF_ERROR(MoveToTrash(Model(name, found)));
    GRAFT_RETURN_IF_ERROR(Relative(SyncFolder(all)));
    rmdir(all.c_str());  // when that was the last
  }
  GRAFT_RETURN_IF_ERROR(Relative(SyncFolder(root() / "models")));
  return count;
}

void DataFolder::DropStaging(absl::string_view job_id, int attempt) {
  MoveToTrash(Staging(job_id, attempt)).IgnoreError();  // it isn't there, or goes with the next start
}

// Uploads.

std::unique_ptr<UploadSink> DataFolder::NewUpload() { return std::unique_ptr<UploadSink>(new UploadSink(this)); }

absl::Status DataFolder::KeepUpload(const std::string& id, const fs::path& incoming) {
  GRAFT_RETURN_IF_ERROR(Failpoint("upload.sync"));
  GRAFT_RETURN_IF_ERROR(Relative(SyncFileSystem(incoming)));
  GRAFT_RETURN_IF_ERROR(Failpoint("upload.rename"));
  GRAFT_RETURN_IF_ERROR(Rename(incoming, Upload(id)));
  absl::Status status = Failpoint("upload.sync_parent");
  status.Update(status.ok() ? Relative(SyncFolder(root() / "uploads")) : absl::OkStatus());
  if (!status.ok()) {
    MoveToTrash(Upload(id)).IgnoreError();  // the caller won't learn its id
    return status;
  }
  const MutexLock lock(&uploads_mutex_);
  uploads_[id] = options_.now();
  return absl::OkStatus();
}

void DataFolder::DropIncoming(const fs::path& incoming) {
  MoveToTrash(incoming).IgnoreError();  // what stays goes with the next start
}

absl::StatusOr<fs::path> DataFolder::FindUpload(absl::string_view field, const std::string& id) const {
  GRAFT_RETURN_IF_ERROR(CheckName(field, id));
  const MutexLock lock(&uploads_mutex_);
  const auto found = uploads_.find(id);
  if (found == uploads_.end()) {
    return absl::NotFoundError(absl::StrCat(field, ": there is no upload '", id,
                                            "'; it is kept for a day and goes when a job has used it; upload again"));
  }
  found->second = options_.now();
  return Upload(id);
}

void DataFolder::GuardUploads(UploadGuard guard) {
  const MutexLock lock(&guard_mutex_);
  guard_ = std::move(guard);
}

void DataFolder::DropUpload(const std::string& id) {
  const MutexLock guard_lock(&guard_mutex_);
  if (guard_) {
    guard_(id, [&] {
      const MutexLock lock(&uploads_mutex_);
      if (uploads_.erase(id) > 0) {
        MoveToTrash(Upload(id)).IgnoreError();  // what stays is found, and old one day, after the next start
      }
    });
  }
}

void DataFolder::DropOldUploads() {
  const Clock::time_point now = options_.now();
  const auto old = [&](Clock::time_point used) { return now - used >= options_.upload_kept; };
  std::vector<std::string> candidates;
  {
    const MutexLock lock(&uploads_mutex_);
    for (const auto& [id, used] : uploads_) {
      if (old(used)) {
        candidates.push_back(id);
      }
    }
  }
  const MutexLock guard_lock(&guard_mutex_);
  if (!guard_) {
    return;
  }
  for (const std::string& id : candidates) {
    const bool unused = guard_(id, [&] {
      const MutexLock lock(&uploads_mutex_);
      const auto found = uploads_.find(id);
      // Unless somebody has just found it.
      if (found != uploads_.end() && old(found->second) && (MoveToTrash(Upload(id)).ok() || !Exists(Upload(id)))) {
        uploads_.erase(found);
      }
    });
    const MutexLock lock(&uploads_mutex_);
    const auto found = uploads_.find(id);
    if (!unused && found != uploads_.end()) {
      found->second = now;
    }
  }
}

// Trash.

absl::Status DataFolder::MoveToTrash(const fs::path& path) {
  const fs::path trash = root() / "trash";
  GRAFT_RETURN_IF_ERROR(Create(trash));
  const fs::path to = trash / RandomName();
  GRAFT_RETURN_IF_ERROR(Failpoint("trash.rename"));
  if (rename(path.c_str(), to.c_str()) != 0) {
    return Relative(ErrnoStatus(errno, "delete", path));
  }
  const MutexLock lock(&sweep_mutex_);
  ++trashed_;
  return absl::OkStatus();
}

void DataFolder::SweepLoop() {
  constexpr absl::Duration kInterval = absl::Minutes(10);  // between looks for old uploads
  for (;;) {
    int64_t trashed = 0;
    {
      const MutexLock lock(&sweep_mutex_);
      sweep_mutex_.AwaitWithTimeout(absl::Condition(this, &DataFolder::SweepIsDue), kInterval);
      if (stop_) {
        return;
      }
      trashed = trashed_;
    }
    DropOldUploads();
    std::error_code error;
    for (fs::directory_iterator it(root() / "trash", error), end; !error && it != end; it.increment(error)) {
      RemoveTree(it->path());
    }
    const MutexLock lock(&sweep_mutex_);
    swept_ = trashed;
  }
}

// As fs::remove_all, but a shutdown doesn't wait for it.
void DataFolder::RemoveTree(const fs::path& path) {
  std::error_code error;
  if (fs::symlink_status(path, error).type() == fs::file_type::directory) {
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
      if (Stopping()) {
        return;
      }
      RemoveTree(it->path());
    }
  }
  fs::remove(path, error);  // what can't be removed stays for the next start
}

bool DataFolder::Stopping() {
  const MutexLock lock(&sweep_mutex_);
  return stop_;
}

void DataFolder::WaitUntilSwept() {
  const MutexLock lock(&sweep_mutex_);
  sweep_mutex_.Await(absl::Condition(this, &DataFolder::IsSwept));
}

}  // namespace graft
