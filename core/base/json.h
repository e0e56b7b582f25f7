// Sealed JSON files: descriptions that we write (manifests, models, reports) carry a SHA-256 of their own content, so
// that a flipped byte is an error and never a wrong answer.
#ifndef GRAFT_CORE_BASE_JSON_H_
#define GRAFT_CORE_BASE_JSON_H_

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/status.h"
#include "nlohmann/json.hpp"

namespace graft {

// SHA-256 of the object's compact dump (keys sorted) without its member "sha256".
std::string JsonFingerprint(nlohmann::json object);

// Writes `object` with "sha256" added, atomically.
absl::Status WriteSealedJson(const std::filesystem::path& path, nlohmann::json object);

// NOT_FOUND, or DATA_LOSS when the content isn't what was written.
absl::StatusOr<nlohmann::json> ReadSealedJson(const std::filesystem::path& path);

// Runs `fn`, which reads members of a document, and turns nlohmann's exceptions (a member is missing or of another
// type) into DATA_LOSS with `what` in front.
template <typename Fn>
auto ParseJson(absl::string_view what, Fn&& fn) -> decltype(fn()) {
  try {
    return std::forward<Fn>(fn)();
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(std::string(what) + ": " + error.what());
  }
}

}  // namespace graft

#endif  // GRAFT_CORE_BASE_JSON_H_
