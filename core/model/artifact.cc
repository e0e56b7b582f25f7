#include "core/model/artifact.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

// JSON has no NaN; a loss that isn't finite is kept as null.
nlohmann::json Number(double value) { return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr); }
double Number(const nlohmann::json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

// Whether `json` is a T as it stands: nlohmann's get() would cut numbers to size and take flags for numbers.
template <typename T>
bool Is(const nlohmann::json& json) {
  if constexpr (std::is_same_v<T, bool>) {
    return json.is_boolean();
  } else if constexpr (std::is_same_v<T, std::string>) {
    return json.is_string();
  } else if constexpr (std::is_same_v<T, double>) {
    return json.is_number();
  } else if constexpr (std::is_same_v<T, uint64_t>) {
    return json.is_number_integer() && json.get<double>() >= 0;
  } else {
    static_assert(std::is_same_v<T, int>);
    return json.is_number_integer() && json.get<double>() >= std::numeric_limits<int>::min() &&
           json.get<double>() <= std::numeric_limits<int>::max();
  }
}

nlohmann::json ToJson(const Provenance& made_with) {
  return {{"graft", made_with.graft},
          {"libtorch", made_with.libtorch},
          {"instruction_set", made_with.instruction_set},
          {"convolution", made_with.convolution},
          {"processor", made_with.processor}};
}

Provenance ProvenanceFromJson(const nlohmann::json& json) {
  return {json.at("graft"), json.at("libtorch"), json.at("instruction_set"), json.at("convolution"),
          json.at("processor")};
}

}  // namespace

std::filesystem::path ModelFile(const std::filesystem::path& folder) { return folder / "model.json"; }
std::filesystem::path WeightsFile(const std::filesystem::path& folder) { return folder / "model.safetensors"; }

nlohmann::json ToJson(const EpochMetrics& epoch) {
  return {{"epoch", epoch.epoch},
          {"loss", Number(epoch.loss)},
          {"accuracy", Number(epoch.accuracy)},
          {"validation_loss", Number(epoch.validation_loss)},
          {"validation_accuracy", Number(epoch.validation_accuracy)},
          {"seconds", epoch.seconds},
          {"input_wait_seconds", epoch.input_wait_seconds},
          {"learning_rate", epoch.learning_rate},
          {"stage", epoch.stage}};
}

EpochMetrics EpochMetricsFromJson(const nlohmann::json& json) {
  EpochMetrics epoch;
  json.at("epoch").get_to(epoch.epoch);
  epoch.loss = Number(json.at("loss"));
  epoch.accuracy = Number(json.at("accuracy"));
  epoch.validation_loss = Number(json.at("validation_loss"));
  epoch.validation_accuracy = Number(json.at("validation_accuracy"));
  json.at("seconds").get_to(epoch.seconds);
  json.at("input_wait_seconds").get_to(epoch.input_wait_seconds);
  json.at("learning_rate").get_to(epoch.learning_rate);
  json.at("stage").get_to(epoch.stage);
  return epoch;
}

nlohmann::json ToJson(const TrainingOptions& options) {
  nlohmann::json json = nlohmann::json::object();
  for (const OptionField& field : TrainingOptionFields()) {
    std::visit([&](const auto& value) { json[std::string(field.name)] = value; }, field.get(options));
  }
  return json;
}

absl::StatusOr<TrainingOptions> TrainingOptionsFromJson(const nlohmann::json& json) {
  const auto damaged = [](absl::string_view key, absl::string_view problem) {
    return absl::DataLossError(absl::StrCat("options.", key, ": ", problem));
  };
  if (!json.is_object()) {
    return absl::DataLossError("options: not an object");
  }
  TrainingOptions options;
  for (const OptionField& field : TrainingOptionFields()) {
    const auto member = json.find(field.name);
    if (member == json.end()) {
      continue;  // written before there was such an option
    }
    OptionValue value = field.get(options);
    const auto read = [&](auto& typed) {
      const bool is = Is<std::decay_t<decltype(typed)>>(*member);
      if (is) {
        member->get_to(typed);
      }
      return is;
    };
    if (!std::visit(read, value)) {
      return damaged(field.name, "of another type");
    }
    if (const absl::Status status = field.set(value, &options); !status.ok()) {
      return absl::DataLossError(status.message());
    }
  }
  const auto fields = TrainingOptionFields();
  for (const auto& member : json.items()) {
    const std::string& key = member.key();
    if (std::none_of(fields.begin(), fields.end(), [&](const OptionField& field) { return field.name == key; })) {
      return damaged(Printable(key, 64), "unknown");
    }
  }
  if (const absl::Status status = options.Validate(); !status.ok()) {
    return absl::DataLossError(status.message());
  }
  return options;
}

absl::Status SaveModel(const ModelDescription& model, const std::filesystem::path& folder) {
  nlohmann::json history = nlohmann::json::array();
  for (const EpochMetrics& epoch : model.history) {
    history.push_back(ToJson(epoch));
  }
  return WriteSealedJson(ModelFile(folder), {{"name", model.name},
                                             {"version", model.version},
                                             {"variant", model.variant},
                                             {"labels", model.labels},
                                             {"options", ToJson(model.options)},
                                             {"dataset", model.dataset},
                                             {"dataset_fingerprint", model.dataset_fingerprint},
                                             {"trunk_fingerprint", model.trunk_fingerprint},
                                             {"job_id", model.job_id},
                                             {"create_time_ms", model.create_time_ms},
                                             {"history", history},
                                             {"kept_epoch", model.kept_epoch},
                                             {"training_seconds", model.training_seconds},
                                             {"temperature", model.temperature},
                                             {"made_with", ToJson(model.made_with)}});
}

absl::StatusOr<ModelDescription> LoadModel(const std::filesystem::path& folder) {
  GRAFT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadSealedJson(ModelFile(folder)));
  return ParseJson(ModelFile(folder).string(), [&]() -> absl::StatusOr<ModelDescription> {
    ModelDescription model;
    json.at("name").get_to(model.name);
    json.at("version").get_to(model.version);
    json.at("variant").get_to(model.variant);
    json.at("labels").get_to(model.labels);
    GRAFT_ASSIGN_OR_RETURN(model.options, TrainingOptionsFromJson(json.at("options")));
    json.at("dataset").get_to(model.dataset);
    json.at("dataset_fingerprint").get_to(model.dataset_fingerprint);
    json.at("trunk_fingerprint").get_to(model.trunk_fingerprint);
    json.at("job_id").get_to(model.job_id);
    json.at("create_time_ms").get_to(model.create_time_ms);
    for (const auto& epoch : json.at("history")) {
      model.history.push_back(EpochMetricsFromJson(epoch));
    }
    json.at("kept_epoch").get_to(model.kept_epoch);
    json.at("training_seconds").get_to(model.training_seconds);
    json.at("temperature").get_to(model.temperature);
    if (!(model.temperature > 0)) {
      return absl::DataLossError(absl::StrCat("temperature: ", model.temperature, " isn't above 0"));
    }
    model.made_with = ProvenanceFromJson(json.at("made_with"));
    return model;
  });
}

}  // namespace graft
