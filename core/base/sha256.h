// SHA-256, of OpenSSL.
#ifndef GRAFT_CORE_BASE_SHA256_H_
#define GRAFT_CORE_BASE_SHA256_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(absl::Span<const uint8_t> bytes);
  void Update(absl::string_view text);
  // 64 lower-case hexadecimal digits. Once; nothing may follow.
  std::string Hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string Sha256Hex(absl::Span<const uint8_t> bytes);
std::string Sha256Hex(absl::string_view text);

}  // namespace graft

#endif  // GRAFT_CORE_BASE_SHA256_H_
