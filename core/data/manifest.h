// A data set's manifest: every image with its label, part, SHA-256 and size, in a fixed order.
#ifndef GRAFT_CORE_DATA_MANIFEST_H_
#define GRAFT_CORE_DATA_MANIFEST_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace graft {

enum class Part { kTrain, kValidation, kTest };
inline constexpr std::array<Part, 3> kParts = {Part::kTrain, Part::kValidation, Part::kTest};

// "train", "validation", "test".
absl::string_view PartName(Part part);
// "training_data", "validation_data", "test_data": as the reference write-up names them.
absl::string_view PartFolder(Part part);

struct ManifestEntry {
  std::string path;  // below the part's folder, with forward slashes
  int label = 0;     // index into Manifest::labels
  Part part = Part::kTrain;
  std::string sha256;
  int64_t bytes = 0;
};

struct SkippedEntry {
  std::string path;
  std::string reason;
};

struct Manifest {
  std::vector<std::string> labels;     // sorted
  std::vector<ManifestEntry> entries;  // by part, then by path
  std::vector<SkippedEntry> skipped;   // by path
  int64_t unused = 0;                  // images that no part needed
  std::string fingerprint;             // SHA-256 over the above; set by Load and Save

  int64_t Count(Part part) const;
  // Of one class.
  int64_t Count(Part part, int label) const;
};

// Writes manifest.json into the data set's folder, sealed; returns its fingerprint.
absl::StatusOr<std::string> SaveManifest(const Manifest& manifest, const std::filesystem::path& dataset);

// NOT_FOUND or DATA_LOSS.
absl::StatusOr<Manifest> LoadManifest(const std::filesystem::path& dataset);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_MANIFEST_H_
