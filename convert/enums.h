// Enums of messages to core's and back. Both call a value by the same short name: PREPROCESSING_CAFFE is "caffe".
#ifndef GRAFT_CONVERT_ENUMS_H_
#define GRAFT_CONVERT_ENUMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/data/image.h"
#include "core/data/manifest.h"
#include "core/data/split.h"
#include "core/model/options.h"
#include "google/protobuf/descriptor.h"
#include "graft/v1/common.pb.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

// By its short name. Null: `type` has none of this name, or it is UNSPECIFIED.
const google::protobuf::EnumValueDescriptor* EnumValue(const google::protobuf::EnumDescriptor& type,
                                                       absl::string_view name);
// The short name; the number itself where `type` doesn't have it.
std::string EnumName(const google::protobuf::EnumDescriptor& type, int number);

// UNSPECIFIED is the default that the proto names. INVALID_ARGUMENT names the field, the unknown number and the values
// that there are.
absl::StatusOr<Preprocessing> FromProto(v1::Preprocessing preprocessing);
absl::StatusOr<Interpolation> FromProto(v1::Interpolation interpolation, Interpolation unset = Interpolation::kNearest);
absl::StatusOr<Pooling> FromProto(v1::Pooling pooling);
absl::StatusOr<Part> FromProto(v1::Part part);
absl::StatusOr<LabelRule> FromProto(v1::LabelRule rule);
// Whether to make hard links.
absl::StatusOr<bool> FromProto(v1::CopyMode mode);

v1::Preprocessing ToProto(Preprocessing preprocessing);
v1::Interpolation ToProto(Interpolation interpolation);
v1::LabelRule ToProto(LabelRule rule);
v1::Part ToProto(Part part);

}  // namespace graft

#endif  // GRAFT_CONVERT_ENUMS_H_
