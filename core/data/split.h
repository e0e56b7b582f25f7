// Splitting a folder of labelled images into training, validation and test parts.
//
// The order inside of a class is that of SHA-256(seed, path), so the same folder, sizes and seed give the same split on
// every machine, and a new file changes little. The first images go to training, the next to validation, the next to
// test.
//
// Exact copies never cross parts: of files with equal bytes only the first (by path) is used, and none when their
// labels differ.
#ifndef GRAFT_CORE_DATA_SPLIT_H_
#define GRAFT_CORE_DATA_SPLIT_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/dir.h"
#include "core/base/progress.h"
#include "core/data/image.h"
#include "core/data/manifest.h"
#include "core/data/near_duplicates.h"

namespace graft {

enum class LabelRule {
  kFilename,  // up to the first dot: cat.123.jpg is a cat
  kFolder,    // the folder that holds the file
};

// Images of each class.
struct SplitCounts {
  int64_t train = 0;
  int64_t validation = 0;
  int64_t test = 0;
};

// Shares of each class, at most 1 in sum. Rounded to whole images by the largest remainder.
struct SplitFractions {
  double train = 0;
  double validation = 0;
  double test = 0;
};

struct SplitOptions {
  LabelRule label_rule = LabelRule::kFilename;
  std::variant<SplitCounts, SplitFractions> sizes = SplitFractions{0.6, 0.2, 0.2};
  uint64_t seed = 42;
  bool hard_link = false;
  int threads = 1;
  ImageLimits limits;
  int64_t max_files = 100'000;

  // INVALID_ARGUMENT with the field's name.
  absl::Status Validate() const;
};

// One readable image.
struct Candidate {
  std::string path;
  std::string label;
  std::string sha256;
  int64_t bytes = 0;
  ImagePrint print = {};
};

// What a split learns of the images on the way.
struct SplitFindings {
  std::vector<ImagePrint> prints;  // of the manifest's entries
  int64_t unreadable = 0;          // files that are no image that can be used
  int64_t exact_copies = 0;        // left out: another file has the same bytes and the same label
  int64_t conflicting = 0;         // left out: another file has the same bytes and another label
};

// INVALID_ARGUMENT when the path has none: no dot in the name, or no folder.
absl::StatusOr<std::string> LabelOf(absl::string_view path, LabelRule rule);

// The pure part: who goes where. INVALID_ARGUMENT: fewer than two classes, or a class is too small (says how many it
// has and how many it needs).
absl::StatusOr<Manifest> AssignParts(std::vector<Candidate> candidates, std::vector<SkippedEntry> skipped,
                                     const SplitOptions& options);

// The whole of it: lists `root`, reads and decodes each file, assigns parts, and fills the empty folder `dataset` with
// training_data/, validation_data/, test_data/ and manifest.json. Hidden files and folders are left out and symbolic
// links not followed, nor any that is put in a folder's place meanwhile. What can't be decoded, or has a name that
// isn't clean text, is skipped and named in the manifest.
//
// When it returns, all of it is durable, but for the name of `dataset` itself. The manifest comes last: after an error
// there is none. `findings` may be null.
absl::StatusOr<Manifest> SplitFolder(const SourceFolder& root, const std::filesystem::path& dataset,
                                     const SplitOptions& options, const ProgressFn& progress,
                                     SplitFindings* findings = nullptr);
// The same for a folder whose every part is trusted.
absl::StatusOr<Manifest> SplitFolder(const std::filesystem::path& root, const std::filesystem::path& dataset,
                                     const SplitOptions& options, const ProgressFn& progress,
                                     SplitFindings* findings = nullptr);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_SPLIT_H_
