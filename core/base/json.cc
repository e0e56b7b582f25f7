#include "core/base/json.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace graft {
namespace {

constexpr int64_t kMaxJsonBytes = int64_t{1} << 30;
constexpr int kMaxDepth = 64;

// File names need not be UTF-8; what isn't is replaced rather than thrown at.
std::string Dump(const nlohmann::json& object, int indent) {
  return object.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string JsonFingerprint(nlohmann::json object) {
  object.erase("sha256");
  return Sha256Hex(Dump(object, -1));
}

absl::Status WriteSealedJson(const std::filesystem::path& path, nlohmann::json object) {
  object["sha256"] = JsonFingerprint(object);
  return WriteFileAtomic(path, Dump(object, 1) + "\n");
}

absl::StatusOr<nlohmann::json> ReadSealedJson(const std::filesystem::path& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(path, kMaxJsonBytes));
  // What nests deeper is left out, so that it fails the check below: copying and dumping it would cost the stack.
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) { return depth <= kMaxDepth; };
  nlohmann::json object = nlohmann::json::parse(bytes.begin(), bytes.end(), shallow, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("sha256") || object["sha256"] != JsonFingerprint(object)) {
    return absl::DataLossError(absl::StrCat(path.string(), " is damaged: its content doesn't match its SHA-256"));
  }
  return object;
}

}  // namespace graft
