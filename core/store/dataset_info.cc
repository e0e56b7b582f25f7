#include "core/store/dataset_info.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

std::filesystem::path DatasetFile(const std::filesystem::path& folder) { return folder / "dataset.json"; }

absl::StatusOr<LabelRule> ParseLabelRule(const std::string& name) {
  if (name == "filename") {
    return LabelRule::kFilename;
  }
  if (name == "folder") {
    return LabelRule::kFolder;
  }
  return absl::DataLossError(absl::StrCat("label_rule: '", name, "' is unknown"));
}

// Images a class, or shares of it.
template <typename Sizes>
nlohmann::json SizesToJson(const Sizes& sizes) {
  return {{"train", sizes.train}, {"validation", sizes.validation}, {"test", sizes.test}};
}
template <typename Sizes>
Sizes SizesFromJson(const nlohmann::json& json) {
  Sizes sizes;
  json.at("train").get_to(sizes.train);
  json.at("validation").get_to(sizes.validation);
  json.at("test").get_to(sizes.test);
  return sizes;
}

}  // namespace

nlohmann::json ToJson(const SplitRecipe& recipe) {
  nlohmann::json json = {{"label_rule", recipe.label_rule == LabelRule::kFolder ? "folder" : "filename"},
                         {"seed", recipe.seed},
                         {"hard_link", recipe.hard_link}};
  if (const auto* folder = std::get_if<AllowedFolder>(&recipe.source)) {
    json["root"] = folder->root.string();
    json["folder"] = folder->relative;
  } else {
    json["upload_id"] = recipe.upload_id();
  }
  if (const auto* counts = std::get_if<SplitCounts>(&recipe.sizes)) {
    json["counts"] = SizesToJson(*counts);
  } else {
    json["fractions"] = SizesToJson(std::get<SplitFractions>(recipe.sizes));
  }
  return json;
}

absl::StatusOr<SplitRecipe> SplitRecipeFromJson(const nlohmann::json& json) {
  return ParseJson("split", [&]() -> absl::StatusOr<SplitRecipe> {
    SplitRecipe recipe;
    if (json.contains("upload_id")) {
      recipe.source = json.at("upload_id").get<std::string>();
    } else {
      recipe.source = AllowedFolder{json.at("root").get<std::string>(), json.at("folder").get<std::string>()};
    }
    GRAFT_ASSIGN_OR_RETURN(recipe.label_rule, ParseLabelRule(json.at("label_rule").get<std::string>()));
    if (json.contains("counts")) {
      recipe.sizes = SizesFromJson<SplitCounts>(json.at("counts"));
    } else {
      recipe.sizes = SizesFromJson<SplitFractions>(json.at("fractions"));
    }
    json.at("seed").get_to(recipe.seed);
    json.at("hard_link").get_to(recipe.hard_link);
    return recipe;
  });
}

DatasetInfo DescribeDataset(const Manifest& manifest) {
  constexpr size_t kListed = 1000;
  DatasetInfo info;
  for (const std::string& label : manifest.labels) {
    info.classes.push_back({label});
  }
  for (const ManifestEntry& entry : manifest.entries) {
    DatasetInfo::Class& of = info.classes[static_cast<size_t>(entry.label)];
    switch (entry.part) {
      case Part::kTrain:
        ++of.train;
        break;
      case Part::kValidation:
        ++of.validation;
        break;
      case Part::kTest:
        ++of.test;
        break;
    }
    info.size_bytes += entry.bytes;
  }
  const size_t listed = std::min(manifest.skipped.size(), kListed);
  info.skipped.assign(manifest.skipped.begin(), manifest.skipped.begin() + static_cast<std::ptrdiff_t>(listed));
  info.skipped_total = static_cast<int64_t>(manifest.skipped.size());
  info.unused = manifest.unused;
  info.fingerprint = manifest.fingerprint;
  return info;
}

absl::Status SaveDatasetInfo(const DatasetInfo& info, const std::filesystem::path& folder) {
  nlohmann::json classes = nlohmann::json::array();
  for (const DatasetInfo::Class& of : info.classes) {
    nlohmann::json counts = SizesToJson(of);
    counts["label"] = of.label;
    classes.push_back(std::move(counts));
  }
  nlohmann::json skipped = nlohmann::json::array();
  for (const SkippedEntry& entry : info.skipped) {
    skipped.push_back({{"path", entry.path}, {"reason", entry.reason}});
  }
  return WriteSealedJson(DatasetFile(folder), {{"name", info.name},
                                               {"create_time_ms", info.create_time_ms},
                                               {"job_id", info.job_id},
                                               {"split", ToJson(info.recipe)},
                                               {"classes", classes},
                                               {"skipped", skipped},
                                               {"skipped_total", info.skipped_total},
                                               {"unused", info.unused},
                                               {"size_bytes", info.size_bytes},
                                               {"fingerprint", info.fingerprint}});
}

absl::StatusOr<DatasetInfo> LoadDatasetInfo(const std::filesystem::path& folder) {
  const std::filesystem::path file = DatasetFile(folder);
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(file));
  return ParseJson(file.string(), [&]() -> absl::StatusOr<DatasetInfo> {
    DatasetInfo info;
    json.at("name").get_to(info.name);
    json.at("create_time_ms").get_to(info.create_time_ms);
    json.at("job_id").get_to(info.job_id);
    GRAFT_ASSIGN_OR_RETURN(info.recipe, SplitRecipeFromJson(json.at("split")));
    for (const auto& of : json.at("classes")) {
      info.classes.push_back({of.at("label").get<std::string>(), of.at("train").get<int64_t>(),
                              of.at("validation").get<int64_t>(), of.at("test").get<int64_t>()});
    }
    for (const auto& entry : json.at("skipped")) {
      info.skipped.push_back({entry.at("path").get<std::string>(), entry.at("reason").get<std::string>()});
    }
    json.at("skipped_total").get_to(info.skipped_total);
    json.at("unused").get_to(info.unused);
    json.at("size_bytes").get_to(info.size_bytes);
    json.at("fingerprint").get_to(info.fingerprint);
    return info;
  });
}

}  // namespace graft
