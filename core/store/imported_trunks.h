// Trunks whose weights users brought: a folder with a description, NAME.json, and the weights, NAME.safetensors, of
// each.
#ifndef GRAFT_CORE_STORE_IMPORTED_TRUNKS_H_
#define GRAFT_CORE_STORE_IMPORTED_TRUNKS_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "core/model/trunks.h"

namespace graft {

inline constexpr int64_t kMostTrunkBytes = int64_t{1} << 30;  // VGG16 with its own classifier has half of it

// Adds what lies in the folder to Trunks(): when a process starts. Returns what is wrong with those that it leaves out,
// a line each. Nothing when there is no such folder.
std::vector<std::string> AddImportedTrunks(const std::filesystem::path& folder);

// Removes from the folder what came in part, before anything is imported.
void SweepTrunks(const std::filesystem::path& folder);

// Takes a safetensors file piece by piece, from anybody. Nothing in it is run. One caller at a time.
class TrunkSink {
 public:
  // INVALID_ARGUMENT: a bad name; NOT_FOUND: `like`; ALREADY_EXISTS. `imported.file` is the sink's to choose.
  static absl::StatusOr<std::unique_ptr<TrunkSink>> Open(const std::filesystem::path& folder, ImportedTrunk imported);
  TrunkSink(const TrunkSink&) = delete;
  TrunkSink& operator=(const TrunkSink&) = delete;
  // Drops what came.
  ~TrunkSink();

  // RESOURCE_EXHAUSTED: more than kMostTrunkBytes came, or the disk is full.
  absl::Status Write(absl::string_view chunk);
  // Checks every tensor that the architecture has, by name, type, shape and for numbers that aren't finite; keeps these
  // tensors alone, durably, and adds the trunk to Trunks(). INVALID_ARGUMENT that names what is wrong with the file.
  absl::StatusOr<const TrunkInfo*> Finish();

 private:
  TrunkSink(std::filesystem::path folder, ImportedTrunk imported, const TrunkInfo* like, std::filesystem::path incoming,
            AtomicFile file);

  // The same status with names relative to the data folder: it goes to callers.
  absl::Status Relative(const absl::Status& status) const;

  const std::filesystem::path folder_;
  ImportedTrunk imported_;
  const TrunkInfo* const like_;
  const std::filesystem::path incoming_;
  AtomicFile file_;
  int64_t bytes_ = 0;
};

}  // namespace graft

#endif  // GRAFT_CORE_STORE_IMPORTED_TRUNKS_H_
