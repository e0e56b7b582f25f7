// Training options in messages and back, by the table of options and the message's descriptor: an option is the field
// of its name.
#ifndef GRAFT_CONVERT_OPTIONS_H_
#define GRAFT_CONVERT_OPTIONS_H_

#include "absl/status/statusor.h"
#include "core/model/options.h"
#include "core/model/variants.h"
#include "graft/v1/jobs.pb.h"
#include "graft/v1/models.pb.h"

namespace graft {

// Fields that are unset (or an enum's UNSPECIFIED) keep those of `defaults`. INVALID_ARGUMENT as Validate(), and for an
// enum's unknown number.
absl::StatusOr<TrainingOptions> FromProto(const v1::TrainingOptions& options, const TrainingOptions& defaults);
// Every field set.
v1::TrainingOptions ToProto(const TrainingOptions& options);
// For people, with what the variant's presets set.
v1::OptionInfo ToProto(const OptionField& field, const Variant& variant);

}  // namespace graft

#endif  // GRAFT_CONVERT_OPTIONS_H_
