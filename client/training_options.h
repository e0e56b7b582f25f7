// --set KEY=VALUE, and sizes of a split.
#ifndef GRAFT_CLIENT_TRAINING_OPTIONS_H_
#define GRAFT_CLIENT_TRAINING_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "graft/v1/jobs.pb.h"

namespace graft {

// Sets the field of `options` that "KEY=VALUE" names. Enums by their short name: optimizer=adam. INVALID_ARGUMENT lists
// the keys or values that there are.
absl::Status SetTrainingOption(const std::string& assignment, v1::TrainingOptions* options);
// The same for "rotation=40", which stands for augment_rotation=40. INVALID_ARGUMENT for options that change no image.
absl::Status SetAugmentation(const std::string& assignment, v1::TrainingOptions* options);
// "epochs", "batch_size", ...
std::vector<std::string> TrainingOptionKeys();
// "learning_rate 0.0001", a line each; only fields that are set.
std::vector<std::pair<std::string, std::string>> TrainingOptionValues(const v1::TrainingOptions& options);

// The value of a proto enum by its short name ("caffe" for PREPROCESSING_CAFFE), and back.
absl::StatusOr<int> EnumByShortName(const google::protobuf::EnumDescriptor& type, const std::string& name);
std::vector<std::string> ShortNames(const google::protobuf::EnumDescriptor& type);
std::string ShortName(const google::protobuf::EnumDescriptor& type, int value);

// Three counts ("1500") or three fractions ("0.6", "60%"); INVALID_ARGUMENT for a mix.
absl::Status SetSplitSizes(const std::string& train, const std::string& validation, const std::string& test,
                           v1::SplitSpec* split);

}  // namespace graft

#endif  // GRAFT_CLIENT_TRAINING_OPTIONS_H_
