#ifndef GRAFT_CORE_TRUNKS_SEQUENCE_H_
#define GRAFT_CORE_TRUNKS_SEQUENCE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/safetensors.h"
#include "core/trunks/trunk.h"

namespace graft {

// A trunk whose layers run one behind the other, as VGG16's do.
absl::StatusOr<std::shared_ptr<const Trunk>> MakeSequenceTrunk(const TrunkInfo& info, const Safetensors& file,
                                                               std::string fingerprint, const std::string& device);

}  // namespace graft

#endif  // GRAFT_CORE_TRUNKS_SEQUENCE_H_
