#include "core/data/quality.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/memory_budget.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/data/image.h"

namespace graft {
namespace {

constexpr char kFileName[] = "quality.json";

// Of so many images even the pairs are more than anybody looks at.
constexpr size_t kMaxPairs = 10'000;

absl::StatusOr<RgbImage> Decode(const std::filesystem::path& dataset, const DatasetQuality::Image& image,
                                MemoryBudget* memory) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes,
                         ReadFile(dataset / std::string(PartFolder(image.part)) / image.path, ImageLimits().max_bytes));
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes));
  const MemoryBudget::Share share = memory->Take(info.decoded_bytes);
  return DecodeImage(bytes);
}

// False also when one of them can't be read: then what is known is that they are near.
bool SamePixels(const std::filesystem::path& dataset, const DatasetQuality::Pair& pair, MemoryBudget* memory) {
  const absl::StatusOr<RgbImage> first = Decode(dataset, pair.first, memory);
  const absl::StatusOr<RgbImage> second = Decode(dataset, pair.second, memory);
  return first.ok() && second.ok() && first->width == second->width && first->height == second->height &&
         first->pixels == second->pixels;
}

void FindImbalance(const Manifest& manifest, DatasetQuality* quality) {
  std::vector<int64_t> counts(manifest.labels.size());
  for (const ManifestEntry& entry : manifest.entries) {
    counts[static_cast<size_t>(entry.label)] += entry.part == Part::kTrain ? 1 : 0;
  }
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  if (counts.empty() || *least == 0) {
    return;
  }
  quality->largest = manifest.labels[static_cast<size_t>(most - counts.begin())];
  quality->smallest = manifest.labels[static_cast<size_t>(least - counts.begin())];
  quality->imbalance = static_cast<double>(*most) / static_cast<double>(*least);
}

absl::StatusOr<Part> PartOf(const std::string& name) {
  for (const Part part : kParts) {
    if (PartName(part) == name) {
      return part;
    }
  }
  return absl::DataLossError(absl::StrCat("part: '", Printable(name), "' is unknown"));
}

nlohmann::json ToJson(const DatasetQuality::Image& image) {
  return {{"file", image.path}, {"label", image.label}, {"part", std::string(PartName(image.part))}};
}

absl::StatusOr<DatasetQuality::Image> ImageFromJson(const nlohmann::json& json) {
  DatasetQuality::Image image;
  json.at("file").get_to(image.path);
  json.at("label").get_to(image.label);
  GRAFT_ASSIGN_OR_RETURN(image.part, PartOf(json.at("part").get<std::string>()));
  return image;
}

std::string Count(int64_t count, absl::string_view one, absl::string_view many) {
  return absl::StrCat(count, " ", count == 1 ? one : many);
}

}  // namespace

DatasetQuality InspectDataset(const std::filesystem::path& dataset, const Manifest& manifest,
                              const SplitFindings& findings, int threads) {
  DatasetQuality quality;
  quality.exact_copies = findings.exact_copies;
  quality.conflicting = findings.conflicting;
  quality.unreadable = findings.unreadable;
  FindImbalance(manifest, &quality);

  const NearPairs near = FindNearPairs(findings.prints, kMaxPairs);
  quality.pairs_cut_short = near.cut_short;
  const auto image_of = [&](size_t i) {
    const ManifestEntry& entry = manifest.entries[i];
    return DatasetQuality::Image{entry.path, manifest.labels[static_cast<size_t>(entry.label)], entry.part};
  };
  for (const NearPair& pair : near.pairs) {
    quality.pairs.push_back({image_of(pair.first), image_of(pair.second), pair.bits, false});
    ++(quality.pairs.back().CrossesParts() ? quality.crossing_pairs : quality.pairs_in_a_part);
  }
  // Stable: what is equal stays in the manifest's order.
  std::stable_sort(quality.pairs.begin(), quality.pairs.end(), [](const auto& a, const auto& b) {
    return std::tuple(!a.CrossesParts(), !a.CrossesLabels(), a.bits) <
           std::tuple(!b.CrossesParts(), !b.CrossesLabels(), b.bits);
  });
  quality.pairs.resize(std::min(quality.pairs.size(), kListedPairs));
  MemoryBudget memory(kDecodingBytes);
  ParallelFor(static_cast<int64_t>(quality.pairs.size()), threads, [&](int64_t i) {
    DatasetQuality::Pair& pair = quality.pairs[static_cast<size_t>(i)];
    pair.same_pixels = pair.bits == 0 && SamePixels(dataset, pair, &memory);
  });
  return quality;
}

std::vector<std::string> QualityWarnings(const DatasetQuality& quality, absl::string_view dataset) {
  std::vector<std::string> warnings;
  const absl::string_view at_least = quality.pairs_cut_short ? "at least " : "";
  if (quality.crossing_pairs > 0) {
    warnings.push_back(absl::StrCat(
        at_least, Count(quality.crossing_pairs, "pair of images shows", "pairs of images show"),
        " the same in two parts; scores on validation and test images that were trained on are too good. Look at ",
        quality.crossing_pairs == 1 ? "it" : "them", " with: graft dataset preview ", dataset,
        " --duplicates --out pairs.png"));
  }
  const int64_t other_labels = std::count_if(quality.pairs.begin(), quality.pairs.end(),
                                             [](const DatasetQuality::Pair& pair) { return pair.CrossesLabels(); });
  if (other_labels > 0) {
    warnings.push_back(
        absl::StrCat(at_least, Count(other_labels, "pair of images shows", "pairs of images show"),
                     " the same under two labels, one of which must be wrong; correct the label and split again"));
  }
  if (quality.conflicting > 0) {
    warnings.push_back(
        absl::StrCat(Count(quality.conflicting, "file was", "files were"),
                     " left out because the same bytes have two labels; keep the one that is right and split again"));
  }
  if (quality.imbalance > kMaxImbalance) {
    warnings.push_back(absl::StrFormat(
        "%s has %.1f times as many training images as %s (more than %g); accuracy says little then: look at each "
        "class's recall, and add images or train with class weights",
        Printable(quality.largest, 64), quality.imbalance, Printable(quality.smallest, 64), kMaxImbalance));
  }
  return warnings;
}

absl::Status SaveQuality(const DatasetQuality& quality, const std::filesystem::path& dataset) {
  nlohmann::json pairs = nlohmann::json::array();
  for (const DatasetQuality::Pair& pair : quality.pairs) {
    pairs.push_back({{"first", ToJson(pair.first)},
                     {"second", ToJson(pair.second)},
                     {"bits", pair.bits},
                     {"same_pixels", pair.same_pixels}});
  }
  return WriteSealedJson(dataset / kFileName, {{"pairs", pairs},
                                               {"crossing_pairs", quality.crossing_pairs},
                                               {"pairs_in_a_part", quality.pairs_in_a_part},
                                               {"pairs_cut_short", quality.pairs_cut_short},
                                               {"exact_copies", quality.exact_copies},
                                               {"conflicting", quality.conflicting},
                                               {"unreadable", quality.unreadable},
                                               {"largest", quality.largest},
                                               {"smallest", quality.smallest},
                                               {"imbalance", quality.imbalance}});
}

absl::StatusOr<DatasetQuality> LoadQuality(const std::filesystem::path& dataset) {
  const std::filesystem::path file = dataset / kFileName;
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(file));
  return ParseJson(file.string(), [&]() -> absl::StatusOr<DatasetQuality> {
    DatasetQuality quality;
    for (const auto& of : json.at("pairs")) {
      DatasetQuality::Pair pair;
      GRAFT_ASSIGN_OR_RETURN(pair.first, ImageFromJson(of.at("first")));
      GRAFT_ASSIGN_OR_RETURN(pair.second, ImageFromJson(of.at("second")));
      of.at("bits").get_to(pair.bits);
      of.at("same_pixels").get_to(pair.same_pixels);
      quality.pairs.push_back(std::move(pair));
    }
    json.at("crossing_pairs").get_to(quality.crossing_pairs);
    json.at("pairs_in_a_part").get_to(quality.pairs_in_a_part);
    json.at("pairs_cut_short").get_to(quality.pairs_cut_short);
    json.at("exact_copies").get_to(quality.exact_copies);
    json.at("conflicting").get_to(quality.conflicting);
    json.at("unreadable").get_to(quality.unreadable);
    json.at("largest").get_to(quality.largest);
    json.at("smallest").get_to(quality.smallest);
    json.at("imbalance").get_to(quality.imbalance);
    return quality;
  });
}

}  // namespace graft
