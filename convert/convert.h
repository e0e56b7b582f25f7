// Messages to core's structs and back: the only place where both meet.
#ifndef GRAFT_CONVERT_CONVERT_H_
#define GRAFT_CONVERT_CONVERT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "convert/enums.h"
#include "convert/options.h"
#include "core/base/json.h"
#include "core/data/manifest.h"
#include "core/data/split.h"
#include "core/eval/report.h"
#include "core/model/artifact.h"
#include "core/model/variants.h"
#include "google/protobuf/timestamp.pb.h"
#include "graft/v1/common.pb.h"
#include "graft/v1/datasets.pb.h"
#include "graft/v1/jobs.pb.h"
#include "graft/v1/models.pb.h"

namespace graft {

// Milliseconds since 1970, UTC.
google::protobuf::Timestamp ToTimestamp(int64_t ms);

// INVALID_ARGUMENT names the field. Unset enums take the documented default.
absl::StatusOr<SplitOptions> FromProto(const v1::SplitSpec& spec);
v1::EpochMetrics ToProto(const EpochMetrics& epoch);
v1::EvaluationReport ToProto(const EvaluationReport& report);
v1::Layer ToProto(const LayerInfo& layer);
v1::Variant ToProto(const Variant& variant);
// Name, classes, skipped files and fingerprint.
v1::Dataset ToProto(const Manifest& manifest, absl::string_view name);
// All but folder, pictures, evaluations and size.
absl::StatusOr<v1::Model> ToProto(const ModelDescription& model);

// A job's kind: "split", "train", "extract_features", "evaluate"; empty when the spec has none.
std::string KindOf(const v1::JobSpec& spec);
// What it makes or uses; empty when nothing.
std::string DatasetOf(const v1::JobSpec& spec);
std::string ModelOf(const v1::JobSpec& spec);

// A message as a JSON object with proto field names, and back (DATA_LOSS).
nlohmann::json MessageToJson(const google::protobuf::Message& message);
absl::Status JsonToMessage(const nlohmann::json& json, google::protobuf::Message* message);

}  // namespace graft

#endif  // GRAFT_CONVERT_CONVERT_H_
