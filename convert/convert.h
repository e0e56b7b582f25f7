// Messages to core's structs and back: the only place where both meet.
#ifndef GRAFT_CONVERT_CONVERT_H_
#define GRAFT_CONVERT_CONVERT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "convert/enums.h"
#include "convert/options.h"
#include "core/data/quality.h"
#include "core/data/split.h"
#include "core/eval/report.h"
#include "core/model/artifact.h"
#include "core/model/model_ref.h"
#include "core/model/variants.h"
#include "core/store/data_folder.h"
#include "core/store/dataset_info.h"
#include "core/store/evaluation.h"
#include "core/store/label_mistakes.h"
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
absl::StatusOr<ModelRef> FromProto(const v1::ModelRef& ref);

v1::EpochMetrics ToProto(const EpochMetrics& epoch);
v1::EvaluationReport ToProto(const EvaluationReport& report);
v1::Layer ToProto(const LayerInfo& layer);
v1::Variant ToProto(const Variant& variant);
v1::Trunk ToProto(const TrunkInfo& trunk, const std::filesystem::path& weights_dir);
v1::SplitSpec ToProto(const SplitRecipe& recipe, const std::string& dataset);
v1::EvaluateResult ToProto(const Evaluation& evaluation);
v1::FindMistakesResult ToProto(const LabelMistakes& mistakes);
v1::Dataset ToProto(const DatasetEntry& entry);
v1::DatasetQuality ToProto(const DatasetQuality& quality, const std::string& dataset);
// A model whose variant isn't known any more is shown as damaged, too.
v1::Model ToProto(const ModelEntry& entry);

}  // namespace graft

#endif  // GRAFT_CONVERT_CONVERT_H_
