// CRC-32C, of TFRecord files.
#ifndef GRAFT_CORE_BASE_CRC32C_H_
#define GRAFT_CORE_BASE_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace graft {

// The checksum with Castagnoli's polynomial (RFC 3720, section 12.1). A byte a step: for files of megabytes.
uint32_t Crc32c(absl::string_view bytes);

}  // namespace graft

#endif  // GRAFT_CORE_BASE_CRC32C_H_
