// What is to be known of a data set before its figures are believed: pictures that stand in more than one part, classes
// of very different sizes, files that couldn't be used. Made when a folder is split; quality.json in the data set's
// folder.
#ifndef GRAFT_CORE_DATA_QUALITY_H_
#define GRAFT_CORE_DATA_QUALITY_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/manifest.h"
#include "core/data/split.h"

namespace graft {

// Training images of the largest class to those of the smallest; beyond it there is a warning: of two classes, the
// smaller one then has less than a fifth of the images.
inline constexpr double kMaxImbalance = 4;

struct DatasetQuality {
  struct Image {
    std::string path;  // below the part's folder
    std::string label;
    Part part = Part::kTrain;
  };
  // Images that show the same (near_duplicates.h).
  struct Pair {
    Image first;
    Image second;
    int bits = 0;              // in which their hashes differ
    bool same_pixels = false;  // every pixel is the same, though the files' bytes aren't

    bool CrossesParts() const { return first.part != second.part; }
    bool CrossesLabels() const { return first.label != second.label; }
  };

  // Those that cross parts first, then those that cross labels; at most kListedPairs.
  std::vector<Pair> pairs;
  int64_t crossing_pairs = 0;    // of all that were found: pairs in two parts
  int64_t pairs_in_a_part = 0;   // and in one
  bool pairs_cut_short = false;  // there may be more of both

  int64_t exact_copies = 0;  // files that were left out: their bytes are another file's, their label too
  int64_t conflicting = 0;   // files that were left out: their bytes are another file's, their label isn't
  int64_t unreadable = 0;    // files that were left out for any other reason

  // The largest and the smallest class's training images, and their ratio.
  std::string largest;
  std::string smallest;
  double imbalance = 1;
};

inline constexpr size_t kListedPairs = 1000;

// `dataset`: the folder with the parts, whose files are read again where they may be the same in every pixel.
DatasetQuality InspectDataset(const std::filesystem::path& dataset, const Manifest& manifest,
                              const SplitFindings& findings, int threads);

// What a person should see to, a sentence each. `dataset`: its name, for the command that shows more.
std::vector<std::string> QualityWarnings(const DatasetQuality& quality, absl::string_view dataset);

// Sealed. Load: NOT_FOUND (data sets of older versions have none) or DATA_LOSS.
absl::Status SaveQuality(const DatasetQuality& quality, const std::filesystem::path& dataset);
absl::StatusOr<DatasetQuality> LoadQuality(const std::filesystem::path& dataset);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_QUALITY_H_
