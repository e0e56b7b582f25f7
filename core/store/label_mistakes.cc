#include "core/store/label_mistakes.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/model/parse_enum.h"

namespace graft {
namespace {

nlohmann::json ToJson(const LabelMistake& mistake) {
  return {{"file", mistake.file},
          {"label", mistake.label},
          {"suggested", mistake.suggested},
          {"probability", mistake.probability},
          {"suggested_probability", mistake.suggested_probability}};
}

nlohmann::json ToJson(const LabelMistakes::Class& of) {
  return {{"label", of.label}, {"images", of.images}, {"threshold", of.threshold}, {"suspected", of.suspected}};
}

}  // namespace

nlohmann::json ToJson(const LabelJudge& judge) {
  return {{"trunk", judge.trunk},
          {"preprocessing", std::string(PreprocessingName(judge.preprocessing))},
          {"interpolation", std::string(InterpolationName(judge.interpolation))},
          {"image_size", judge.image_size},
          {"folds", judge.folds},
          {"seed", judge.seed}};
}

absl::StatusOr<LabelJudge> LabelJudgeFromJson(const nlohmann::json& json) {
  return ParseJson("judge", [&]() -> absl::StatusOr<LabelJudge> {
    LabelJudge judge;
    json.at("trunk").get_to(judge.trunk);
    GRAFT_ASSIGN_OR_RETURN(judge.preprocessing,
                           ParseEnum("preprocessing", json.at("preprocessing").get<std::string>(), &PreprocessingName));
    GRAFT_ASSIGN_OR_RETURN(judge.interpolation,
                           ParseEnum("interpolation", json.at("interpolation").get<std::string>(), &InterpolationName));
    json.at("image_size").get_to(judge.image_size);
    json.at("folds").get_to(judge.folds);
    json.at("seed").get_to(judge.seed);
    return judge;
  });
}

nlohmann::json ToJson(const LabelMistakes& mistakes) {
  nlohmann::json classes = nlohmann::json::array();
  for (const LabelMistakes::Class& of : mistakes.classes) {
    classes.push_back(ToJson(of));
  }
  nlohmann::json listed = nlohmann::json::array();
  for (const LabelMistake& mistake : mistakes.mistakes) {
    listed.push_back(ToJson(mistake));
  }
  return {{"model", mistakes.model},     {"version", mistakes.version},
          {"dataset", mistakes.dataset}, {"dataset_fingerprint", mistakes.dataset_fingerprint},
          {"job_id", mistakes.job_id},   {"judge", ToJson(mistakes.judge)},
          {"images", mistakes.images},   {"accuracy", mistakes.accuracy},
          {"classes", classes},          {"suspected", mistakes.suspected},
          {"mistakes", listed}};
}

absl::StatusOr<LabelMistakes> LabelMistakesFromJson(const nlohmann::json& json) {
  return ParseJson("mistakes", [&]() -> absl::StatusOr<LabelMistakes> {
    LabelMistakes mistakes;
    json.at("model").get_to(mistakes.model);
    json.at("version").get_to(mistakes.version);
    json.at("dataset").get_to(mistakes.dataset);
    json.at("dataset_fingerprint").get_to(mistakes.dataset_fingerprint);
    json.at("job_id").get_to(mistakes.job_id);
    GRAFT_ASSIGN_OR_RETURN(mistakes.judge, LabelJudgeFromJson(json.at("judge")));
    json.at("images").get_to(mistakes.images);
    json.at("accuracy").get_to(mistakes.accuracy);
    for (const auto& of : json.at("classes")) {
      mistakes.classes.push_back({of.at("label").get<std::string>(), of.at("images").get<int64_t>(),
                                  of.at("threshold").get<double>(), of.at("suspected").get<int64_t>()});
    }
    json.at("suspected").get_to(mistakes.suspected);
    for (const auto& mistake : json.at("mistakes")) {
      mistakes.mistakes.push_back({mistake.at("file").get<std::string>(), mistake.at("label").get<std::string>(),
                                   mistake.at("suggested").get<std::string>(), mistake.at("probability").get<double>(),
                                   mistake.at("suggested_probability").get<double>()});
    }
    if (mistakes.mistakes.size() > kMostListedMistakes) {
      return absl::DataLossError(absl::StrCat("mistakes: ", mistakes.mistakes.size(), " are listed; at most ",
                                              kMostListedMistakes, " may be"));
    }
    return mistakes;
  });
}

absl::Status SaveLabelMistakes(const LabelMistakes& mistakes, const std::filesystem::path& folder) {
  return WriteSealedJson(folder / kMistakesFile, ToJson(mistakes));
}

absl::StatusOr<LabelMistakes> LoadLabelMistakes(const std::filesystem::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(folder / kMistakesFile));
  absl::StatusOr<LabelMistakes> mistakes = LabelMistakesFromJson(json);
  return mistakes.ok() ? std::move(mistakes) : Annotate(mistakes.status(), (folder / kMistakesFile).string());
}

}  // namespace graft
