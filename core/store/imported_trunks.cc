#include "core/store/imported_trunks.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/base/json.h"
#include "core/base/mutex.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/model/parse_enum.h"
#include "core/store/names.h"

namespace graft {
namespace fs = std::filesystem;
namespace {

constexpr absl::string_view kIncoming = ".incoming-";
constexpr absl::string_view kDescription = ".json";

fs::path WeightsOf(const fs::path& folder, const std::string& name) {
  return folder / absl::StrCat(name, ".safetensors");
}

absl::StatusOr<ImportedTrunk> Read(const fs::path& folder, const std::string& name) {
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(folder / absl::StrCat(name, kDescription)));
  return ParseJson("the trunk's description", [&]() -> absl::StatusOr<ImportedTrunk> {
    ImportedTrunk trunk;
    trunk.name = name;
    json.at("like").get_to(trunk.like);
    json.at("source").get_to(trunk.source);
    GRAFT_ASSIGN_OR_RETURN(trunk.preprocessing,
                           ParseEnum("preprocessing", json.at("preprocessing").get<std::string>(), &PreprocessingName));
    trunk.file = WeightsOf(folder, name);
    return trunk;
  });
}

bool IsFinite(const TensorView& tensor) {
  for (size_t i = 0; i < tensor.data.size(); i += sizeof(float)) {
    float value = 0;
    std::memcpy(&value, tensor.data.data() + i, sizeof(value));
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

// The tensors of the architecture, in its order.
absl::StatusOr<std::vector<TensorView>> Check(const Safetensors& file, const TrunkInfo& like) {
  std::vector<TensorView> tensors;
  Shape shape = {like.stride, like.stride, 3};
  for (const LayerSpec& layer : like.layers()) {
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      const std::string name = layer.FileName(parameter);
      const TensorView* const found = file.Find(name);
      if (found == nullptr) {
        return InvalidField("file", absl::StrCat("it has no tensor ", name, ", as ", like.name, " has"));
      }
      const Shape wanted = parameter.ShapeIn(found->shape);
      if (found->dtype != DType::kF32 || found->shape != wanted) {
        return InvalidField(
            "file", absl::StrCat("tensor ", name, " is ", DTypeName(found->dtype), " ", ShapeText(found->shape), "; ",
                                 like.name, " has F32 ", ShapeText(wanted)));
      }
      if (!IsFinite(*found)) {
        return InvalidField("file", absl::StrCat("tensor ", name, " holds NaN or infinite weights"));
      }
      tensors.push_back(*found);
    }
    shape = layer.Output(shape);
  }
  return tensors;
}

}  // namespace

std::vector<std::string> AddImportedTrunks(const fs::path& folder) {
  std::vector<std::string> wrong;
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    if (absl::EndsWith(file, kDescription)) {
      names.push_back(file.substr(0, file.size() - kDescription.size()));
    }
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    absl::StatusOr<ImportedTrunk> trunk = Read(folder, name);
    const absl::Status status = trunk.ok() ? AddTrunk(*trunk).status() : trunk.status();
    if (!status.ok() && !absl::IsAlreadyExists(status)) {
      wrong.push_back(absl::StrCat("trunk ", name, " is left out: ", status.message()));
    }
  }
  return wrong;
}

void SweepTrunks(const fs::path& folder) {
  SweepTemporaries(folder);
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (absl::StartsWith(entry->path().filename().string(), kIncoming)) {
      std::error_code ignored;
      fs::remove(entry->path(), ignored);
    }
  }
}

TrunkSink::TrunkSink(fs::path folder, ImportedTrunk imported, const TrunkInfo* like, fs::path incoming, AtomicFile file)
    : folder_(std::move(folder)),
      imported_(std::move(imported)),
      like_(like),
      incoming_(std::move(incoming)),
      file_(std::move(file)) {}

TrunkSink::~TrunkSink() {
  std::error_code error;
  fs::remove(incoming_, error);
}

absl::StatusOr<std::unique_ptr<TrunkSink>> TrunkSink::Open(const fs::path& folder, ImportedTrunk imported) {
  GRAFT_RETURN_IF_ERROR(CheckName("name", imported.name));
  if (FindTrunk(imported.name).ok()) {
    return absl::AlreadyExistsError(absl::StrCat("name: there is a trunk '", imported.name, "' already"));
  }
  const absl::StatusOr<const TrunkInfo*> like = FindTrunk(imported.like);
  GRAFT_RETURN_IF_ERROR(like.ok() ? absl::OkStatus() : Annotate(like.status(), "like"));
  if ((*like)->like != nullptr) {
    return InvalidField("like", absl::StrCat("'", imported.like, "' was imported itself; use ", (*like)->like->name));
  }
  static std::atomic<int64_t> next = 0;
  fs::path incoming = folder / absl::StrCat(kIncoming, next++);
  GRAFT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(incoming));
  return std::unique_ptr<TrunkSink>(
      new TrunkSink(folder, std::move(imported), *like, std::move(incoming), std::move(file)));
}

absl::Status TrunkSink::Write(absl::string_view chunk) {
  bytes_ += static_cast<int64_t>(chunk.size());
  if (bytes_ > kMostTrunkBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("file: it is larger than ", kMostTrunkBytes >> 20, " MiB, the most that is taken"));
  }
  return Relative(file_.Write(chunk));
}

absl::Status TrunkSink::Relative(const absl::Status& status) const {
  return absl::Status(status.code(),
                      absl::StrReplaceAll(status.message(), {{folder_.parent_path().string() + "/", ""}}));
}

absl::StatusOr<const TrunkInfo*> TrunkSink::Finish() {
  GRAFT_RETURN_IF_ERROR(Relative(file_.Commit()));
  const absl::StatusOr<Safetensors> file = Safetensors::Open(incoming_, Safetensors::Access::kMap);
  if (!file.ok()) {
    absl::string_view reason = file.status().message();
    absl::ConsumePrefix(&reason, absl::StrCat(incoming_.string(), ": "));
    return InvalidField("file", absl::StrCat("not a safetensors file that can be read: ", reason));
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<TensorView> tensors, Check(*file, *like_));
  // One at a time from here on: the name is free, or it is taken.
  static auto* const publishing = new Mutex;
  const MutexLock lock(publishing);
  if (FindTrunk(imported_.name).ok()) {
    return absl::AlreadyExistsError(absl::StrCat("name: there is a trunk '", imported_.name, "' already"));
  }
  imported_.preprocessing = ResolvePreprocessing(imported_.preprocessing, like_);
  imported_.file = WeightsOf(folder_, imported_.name);
  GRAFT_RETURN_IF_ERROR(
      Relative(WriteSafetensors(imported_.file, tensors, {{"format", "pt"}, {"architecture", imported_.like}})));
  // With its description it is there.
  GRAFT_RETURN_IF_ERROR(
      Relative(WriteSealedJson(folder_ / absl::StrCat(imported_.name, kDescription),
                               {{"like", imported_.like},
                                {"preprocessing", std::string(PreprocessingName(imported_.preprocessing))},
                                {"source", imported_.source}})));
  return AddTrunk(imported_);
}

}  // namespace graft
