// Text from outside: UTF-8 read, checked, cut and made safe to show. The one place that knows UTF-8.
#ifndef GRAFT_CORE_BASE_TEXT_H_
#define GRAFT_CORE_BASE_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace graft {

// A code point and how many bytes it takes. `bytes` is 0 when what stands there isn't UTF-8.
struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;
};

// The code point that starts at `at`, which is below text.size(). Overlong forms, surrogates and what lies above
// U+10FFFF aren't UTF-8.
CodePoint DecodeUtf8(absl::string_view text, size_t at);

bool IsUtf8(absl::string_view text);

// C0 and C1 controls (a terminal takes U+009B as the start of a sequence), and marks that turn the direction of text
// round, which make a name look like another.
bool IsHarmful(uint32_t code_point);

// UTF-8 without harmful code points: what may be stored as a name.
bool IsCleanText(absl::string_view text);

// The longest start of `text` with at most `max_bytes` that doesn't end inside of a code point.
absl::string_view Clipped(absl::string_view text, size_t max_bytes);

// For people and logs: harmful code points and bytes that aren't UTF-8 are escaped ("\n", "\x9b"), and "..." follows
// what is longer than `max_bytes`. The result is UTF-8.
std::string Printable(absl::string_view text, size_t max_bytes = SIZE_MAX);

// INVALID_ARGUMENT that names the field: longer than `max_bytes`, or not clean.
absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max_bytes);

// Of names, those that a slip of the fingers turned into `name`: at the least number of characters to insert, remove or
// exchange, two at most. Takes name.size() times the bytes of all names.
std::vector<std::string> NearNames(absl::string_view name, const std::vector<std::string>& names);

}  // namespace graft

#endif  // GRAFT_CORE_BASE_TEXT_H_
