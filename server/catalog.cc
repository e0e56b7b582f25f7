#include "server/catalog.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "convert/convert.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/model/artifact.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

std::string RandomHex() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(), random());
}

// Names of the folders in `folder`, sorted.
std::vector<std::string> Folders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory(error)) {
      names.push_back(it->path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

int64_t FolderBytes(const fs::path& folder) {
  int64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file(error)) {
      bytes += static_cast<int64_t>(it->file_size(error));
    }
  }
  return bytes;
}

std::string PartOf(v1::Part part) {
  return part == v1::PART_TRAIN ? "train" : part == v1::PART_VALIDATION ? "validation" : "test";
}

}  // namespace

absl::Status CheckName(absl::string_view field, absl::string_view name) {
  constexpr size_t kMaxName = 63;
  bool good = !name.empty() && name.size() <= kMaxName && absl::ascii_isalnum(static_cast<unsigned char>(name[0]));
  for (const char c : name) {
    good = good && (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-');
  }
  if (!good) {
    return InvalidField(field,
                        absl::StrCat("'", absl::Utf8SafeCEscape(name.substr(0, 100)),
                                     "' can't be a name; use 1 to 63 letters, digits, '.', '_' or '-', a letter or "
                                     "digit first"));
  }
  return absl::OkStatus();
}

absl::Status CheckRelativePath(absl::string_view field, absl::string_view path) {
  constexpr size_t kMaxPath = 4096;
  constexpr size_t kMaxPart = 255;
  bool good = !path.empty() && path.size() <= kMaxPath;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    good = good && !part.empty() && part != "." && part != ".." && part.size() <= kMaxPart;
  }
  for (const char c : path) {
    good = good && !absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\\';
  }
  if (!good) {
    return InvalidField(field,
                        absl::StrCat("'", absl::Utf8SafeCEscape(path.substr(0, 100)),
                                     "' isn't a relative path like cat/1.jpg, without '..' or control characters"));
  }
  return absl::OkStatus();
}

absl::StatusOr<fs::path> CheckAllowedFolder(absl::string_view field, const std::string& folder,
                                            const std::vector<fs::path>& allowed) {
  const fs::path path(folder);
  if (!path.is_absolute() || folder.find('\0') != std::string::npos) {
    return InvalidField(field, absl::StrCat("'", absl::Utf8SafeCEscape(folder), "' isn't an absolute path"));
  }
  const auto below = [](const fs::path& inner, const fs::path& outer) {
    return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
  };
  const auto denied = [&] {
    return absl::PermissionDeniedError(absl::StrCat(
        field, ": '", absl::Utf8SafeCEscape(folder),
        "' lies in no folder that this server may read; start graftd with --allow-dir for it, or upload the images"));
  };
  std::error_code error;
  const fs::path resolved = fs::canonical(path, error);
  // Whether something exists outside of the allowed folders is nobody's business.
  const fs::path& judged = error ? path.lexically_normal() : resolved;
  bool inside = false;
  for (const fs::path& root : allowed) {
    inside = inside || below(judged, root);
  }
  if (!inside) {
    return denied();
  }
  if (error || !fs::is_directory(resolved, error)) {
    return absl::NotFoundError(absl::StrCat(field, ": there is no folder '", absl::Utf8SafeCEscape(folder), "'"));
  }
  return resolved;
}

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(const fs::path& data_dir) {
  std::unique_ptr<Catalog> catalog(new Catalog(data_dir));
  for (const char* name : {"datasets", "models", "uploads", "trash", "jobs"}) {
    std::error_code error;
    fs::create_directories(data_dir / name, error);
    if (error) {
      return ErrnoStatus(error.value(), "create", data_dir / name);
    }
  }
  for (const std::string& name : Folders(data_dir / "trash")) {
    std::error_code ignored;
    fs::remove_all(data_dir / "trash" / name, ignored);
  }
  catalog->DeleteOldUploads();
  return catalog;
}

fs::path Catalog::DatasetFolder(const std::string& name) const { return data_dir_ / "datasets" / name; }

bool Catalog::HasDataset(const std::string& name) const {
  std::error_code error;
  return fs::exists(DatasetFolder(name) / "dataset.json", error);
}

absl::StatusOr<v1::Dataset> Catalog::GetDataset(const std::string& name) const {
  GRAFT_RETURN_IF_ERROR(CheckName("dataset", name));
  const absl::StatusOr<nlohmann::json> json = ReadSealedJson(DatasetFolder(name) / "dataset.json");
  if (absl::IsNotFound(json.status())) {
    return absl::NotFoundError(
        absl::StrCat("dataset: there is no '", name, "'; `graft dataset list` shows what there is"));
  }
  GRAFT_RETURN_IF_ERROR(json.status());
  v1::Dataset dataset;
  GRAFT_RETURN_IF_ERROR(JsonToMessage(*json, &dataset));
  dataset.set_folder(DatasetFolder(name).string());
  return dataset;
}

std::vector<std::string> Catalog::DatasetNames() const {
  std::vector<std::string> names = Folders(data_dir_ / "datasets");
  names.erase(std::remove_if(names.begin(), names.end(), [&](const std::string& n) { return !HasDataset(n); }),
              names.end());
  return names;
}

std::vector<std::pair<std::string, int>> Catalog::ModelVersions() const {
  std::vector<std::pair<std::string, int>> versions;
  for (const std::string& name : Folders(data_dir_ / "models")) {
    for (const std::string& text : Folders(data_dir_ / "models" / name)) {
      int version = 0;
      if (absl::SimpleAtoi(text, &version) && version > 0) {
        versions.emplace_back(name, version);
      }
    }
  }
  std::sort(versions.begin(), versions.end(),
            [](const auto& a, const auto& b) { return a.first != b.first ? a.first < b.first : a.second > b.second; });
  return versions;
}

int Catalog::NewestVersion(const std::string& name) const {
  int newest = 0;
  for (const std::string& text : Folders(data_dir_ / "models" / name)) {
    int version = 0;
    if (absl::SimpleAtoi(text, &version)) {
      newest = std::max(newest, version);
    }
  }
  return newest;
}

absl::StatusOr<int> Catalog::ResolveVersion(const std::string& name, int version) const {
  GRAFT_RETURN_IF_ERROR(CheckName("model", name));
  if (version < 0) {
    return InvalidField("version", absl::StrCat(version, " is out of range; use 1 or more, or 0 for the newest"));
  }
  const int resolved = version == 0 ? NewestVersion(name) : version;
  std::error_code error;
  if (resolved == 0) {
    return absl::NotFoundError(absl::StrCat("model: there is no '", name, "'; `graft model list` shows what there is"));
  }
  if (!fs::exists(ModelFile(data_dir_ / "models" / name / absl::StrCat(resolved)), error)) {
    return absl::NotFoundError(absl::StrCat("version: model '", name, "' has no version ", resolved,
                                            "; `graft model list` shows what there is"));
  }
  return resolved;
}

absl::StatusOr<fs::path> Catalog::ModelFolder(const std::string& name, int version) const {
  GRAFT_ASSIGN_OR_RETURN(const int resolved, ResolveVersion(name, version));
  return data_dir_ / "models" / name / absl::StrCat(resolved);
}

absl::StatusOr<v1::Model> Catalog::GetModel(const std::string& name, int version) const {
  GRAFT_ASSIGN_OR_RETURN(const fs::path folder, ModelFolder(name, version));
  GRAFT_ASSIGN_OR_RETURN(const ModelDescription description, LoadModel(folder));
  GRAFT_ASSIGN_OR_RETURN(v1::Model model, ToProto(description));
  model.set_folder(folder.string());
  model.set_size_bytes(FolderBytes(folder));
  std::vector<fs::path> pictures;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".png") {
      pictures.push_back(it->path().lexically_relative(folder));
    }
  }
  std::sort(pictures.begin(), pictures.end());
  for (const fs::path& picture : pictures) {
    model.add_pictures(picture.generic_string());
  }
  for (const std::string& evaluation : Folders(folder / "evaluations")) {
    const auto json = ReadSealedJson(folder / "evaluations" / evaluation / "report.json");
    if (json.ok() && json->contains("evaluation")) {
      GRAFT_RETURN_IF_ERROR(JsonToMessage((*json)["evaluation"], model.add_evaluations()));
    }
  }
  return model;
}

absl::Status Catalog::MoveToTrash(const fs::path& folder) {
  const fs::path trash = data_dir_ / "trash" / RandomHex();
  std::error_code error;
  fs::rename(folder, trash, error);
  if (error) {
    return ErrnoStatus(error.value(), "delete", folder);
  }
  fs::remove_all(trash, error);  // what stays is removed at the next start
  return absl::OkStatus();
}

absl::Status Catalog::DeleteDataset(const std::string& name) {
  GRAFT_RETURN_IF_ERROR(GetDataset(name).status());
  return MoveToTrash(DatasetFolder(name));
}

absl::StatusOr<int> Catalog::DeleteModel(const std::string& name, int version) {
  GRAFT_ASSIGN_OR_RETURN(const fs::path folder, ModelFolder(name, version));
  if (version != 0) {
    GRAFT_RETURN_IF_ERROR(MoveToTrash(folder));
    std::error_code ignored;
    fs::remove(folder.parent_path(), ignored);  // when it was the last
    return 1;
  }
  const int count = static_cast<int>(Folders(folder.parent_path()).size());
  GRAFT_RETURN_IF_ERROR(MoveToTrash(folder.parent_path()));
  return count;
}

absl::Status Catalog::Publish(const v1::JobSpec& spec, int model_version, const fs::path& staging) {
  fs::path target;
  switch (spec.kind_case()) {
    case v1::JobSpec::kSplit:
      target = DatasetFolder(spec.split().dataset());
      break;
    case v1::JobSpec::kTrain:
      target = data_dir_ / "models" / spec.train().model() / absl::StrCat(model_version);
      break;
    case v1::JobSpec::kEvaluate: {
      const v1::EvaluateSpec& evaluate = spec.evaluate();
      GRAFT_ASSIGN_OR_RETURN(const fs::path model, ModelFolder(evaluate.model().name(), evaluate.model().version()));
      target = model / "evaluations" / absl::StrCat(evaluate.dataset(), "-", PartOf(evaluate.part()));
      break;
    }
    default:
      return absl::OkStatus();  // features went straight to the data set's cache
  }
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (fs::exists(target, error)) {
    // An older evaluation, or what this job published before the server died in between: names and versions are the
    // job's own.
    GRAFT_RETURN_IF_ERROR(MoveToTrash(target));
  }
  fs::rename(staging, target, error);
  if (error) {
    return ErrnoStatus(error.value(), "publish", target);
  }
  GRAFT_RETURN_IF_ERROR(SyncFolder(target));
  GRAFT_RETURN_IF_ERROR(SyncFolder(target.parent_path()));
  if (spec.has_split() && spec.split().has_upload_id()) {
    DeleteUpload(spec.split().upload_id());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::pair<std::string, fs::path>> Catalog::NewUpload() {
  DeleteOldUploads();
  const std::string id = RandomHex();
  const fs::path folder = data_dir_ / "uploads" / id;
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) {
    return ErrnoStatus(error.value(), "create", folder);
  }
  return std::make_pair(id, folder);
}

absl::StatusOr<fs::path> Catalog::UploadFolder(const std::string& upload_id) const {
  GRAFT_RETURN_IF_ERROR(CheckName("split.upload_id", upload_id));
  const fs::path folder = data_dir_ / "uploads" / upload_id;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("split.upload_id: there is no upload '", upload_id,
                                            "'; it is kept for a day and goes when a job has used it; upload again"));
  }
  return folder;
}

void Catalog::DeleteUpload(const std::string& upload_id) {
  std::error_code ignored;
  fs::remove_all(data_dir_ / "uploads" / upload_id, ignored);
}

void Catalog::DeleteOldUploads() {
  constexpr auto kKept = std::chrono::hours(24);
  for (const std::string& id : Folders(data_dir_ / "uploads")) {
    std::error_code error;
    const auto written = fs::last_write_time(data_dir_ / "uploads" / id, error);
    if (!error && fs::file_time_type::clock::now() - written > kKept) {
      DeleteUpload(id);
    }
  }
}

}  // namespace graft
