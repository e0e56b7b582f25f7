#include "core/data/manifest.h"

#include <algorithm>

#include "core/base/json.h"
#include "core/base/status.h"

namespace graft {
namespace {

constexpr char kFileName[] = "manifest.json";

absl::StatusOr<Part> ParsePart(absl::string_view name) {
  for (Part part : kParts) {
    if (PartName(part) == name) {
      return part;
    }
  }
  return absl::DataLossError("manifest.json: an unknown part");
}

}  // namespace

absl::string_view PartName(Part part) {
  switch (part) {
    case Part::kTrain:
      return "train";
    case Part::kValidation:
      return "validation";
    case Part::kTest:
      return "test";
  }
  return "";
}

absl::string_view PartFolder(Part part) {
  switch (part) {
    case Part::kTrain:
      return "training_data";
    case Part::kValidation:
      return "validation_data";
    case Part::kTest:
      return "test_data";
  }
  return "";
}

int64_t Manifest::Count(Part part) const {
  return std::count_if(entries.begin(), entries.end(), [&](const ManifestEntry& e) { return e.part == part; });
}

int64_t Manifest::Count(Part part, int label) const {
  return std::count_if(entries.begin(), entries.end(),
                       [&](const ManifestEntry& e) { return e.part == part && e.label == label; });
}

absl::StatusOr<std::string> SaveManifest(const Manifest& manifest, const std::filesystem::path& dataset) {
  nlohmann::json files = nlohmann::json::array();
  for (const ManifestEntry& entry : manifest.entries) {
    files.push_back({{"file", entry.path},
                     {"label", manifest.labels[static_cast<size_t>(entry.label)]},
                     {"part", std::string(PartName(entry.part))},
                     {"sha256", entry.sha256},
                     {"bytes", entry.bytes}});
  }
  nlohmann::json skipped = nlohmann::json::array();
  for (const SkippedEntry& entry : manifest.skipped) {
    skipped.push_back({{"file", entry.path}, {"reason", entry.reason}});
  }
  const nlohmann::json object = {
      {"labels", manifest.labels}, {"files", files}, {"skipped", skipped}, {"unused", manifest.unused}};
  GRAFT_RETURN_IF_ERROR(WriteSealedJson(dataset / kFileName, object));
  return JsonFingerprint(object);
}

absl::StatusOr<Manifest> LoadManifest(const std::filesystem::path& dataset) {
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json object, ReadSealedJson(dataset / kFileName));
  return ParseJson("manifest.json", [&]() -> absl::StatusOr<Manifest> {
    Manifest manifest;
    object.at("labels").get_to(manifest.labels);
    for (const auto& file : object.at("files")) {
      ManifestEntry entry;
      file.at("file").get_to(entry.path);
      const auto label =
          std::lower_bound(manifest.labels.begin(), manifest.labels.end(), file.at("label").get<std::string>());
      if (label == manifest.labels.end() || *label != file.at("label").get<std::string>()) {
        return absl::DataLossError("manifest.json: an unknown label");
      }
      entry.label = static_cast<int>(label - manifest.labels.begin());
      GRAFT_ASSIGN_OR_RETURN(entry.part, ParsePart(file.at("part").get<std::string>()));
      file.at("sha256").get_to(entry.sha256);
      file.at("bytes").get_to(entry.bytes);
      manifest.entries.push_back(std::move(entry));
    }
    for (const auto& file : object.at("skipped")) {
      manifest.skipped.push_back({file.at("file").get<std::string>(), file.at("reason").get<std::string>()});
    }
    object.at("unused").get_to(manifest.unused);
    manifest.fingerprint = object.at("sha256").get<std::string>();
    return manifest;
  });
}

}  // namespace graft
