#include "core/base/text.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"

namespace graft {
namespace {

// Characters to insert, remove or exchange until one is the other.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // from what is read of a to each start of b
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t exchanged = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, exchanged});
    }
  }
  return row.back();
}

}  // namespace

CodePoint DecodeUtf8(absl::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[i])); };
  const uint32_t first = byte(at);
  if (first < 0x80) {
    return {first, 1};
  }
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + bytes > text.size()) {
    return {};
  }
  uint32_t value = first & (0x7FU >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      return {};
    }
    value = value << 6 | (byte(at + i) & 0x3F);
  }
  const uint32_t smallest = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  return value < smallest || value > 0x10FFFF || surrogate ? CodePoint{} : CodePoint{value, bytes};
}

bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = DecodeUtf8(text, i);
    if (point.bytes == 0) {
      return false;
    }
    i += point.bytes;
  }
  return true;
}

bool IsHarmful(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E || code == 0x200F ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

bool IsCleanText(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = DecodeUtf8(text, i);
    if (point.bytes == 0 || IsHarmful(point.value)) {
      return false;
    }
    i += point.bytes;
  }
  return true;
}

absl::string_view Clipped(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) {
    return text;
  }
  size_t end = max_bytes;
  // Back to the start of the code point that the cut would split; at most three bytes belong to one.
  while (end > 0 && max_bytes - end < 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return text.substr(0, end);
}

std::string Printable(absl::string_view text, size_t max_bytes) {
  const absl::string_view shown = Clipped(text, max_bytes);
  std::string out;
  out.reserve(shown.size());
  for (size_t i = 0; i < shown.size();) {
    const CodePoint point = DecodeUtf8(shown, i);
    const size_t bytes = std::max(point.bytes, size_t{1});
    if (point.bytes > 0 && !IsHarmful(point.value)) {
      absl::StrAppend(&out, shown.substr(i, bytes));
    } else if (shown[i] == '\n') {
      out += "\\n";
    } else {
      for (size_t j = i; j < i + bytes; ++j) {
        absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(shown[j]));
      }
    }
    i += bytes;
  }
  if (shown.size() < text.size()) {
    out += "...";
  }
  return out;
}

absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max_bytes) {
  constexpr size_t kShown = 100;
  if (text.size() > max_bytes) {
    return InvalidField(field, absl::StrCat("'", Printable(text, kShown), "' has ", text.size(), " bytes; at most ",
                                            max_bytes, " are taken"));
  }
  if (!IsCleanText(text)) {
    return InvalidField(field, absl::StrCat("'", Printable(text, kShown),
                                            "' holds control or direction characters, or isn't UTF-8; leave them out"));
  }
  return absl::OkStatus();
}

std::vector<std::string> NearNames(absl::string_view name, const std::vector<std::string>& names) {
  constexpr size_t kSlips = 2;
  std::vector<std::string> near;
  size_t least = std::min(kSlips, name.size() / 2);
  for (const std::string& candidate : names) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < least) {
      near.clear();
      least = distance;
    }
    if (distance == least) {
      near.push_back(candidate);
    }
  }
  return near;
}

}  // namespace graft
