// Many small pictures on one page.
#ifndef GRAFT_CORE_VIZ_CONTACT_SHEET_H_
#define GRAFT_CORE_VIZ_CONTACT_SHEET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace graft {

struct SheetPicture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // width x height x 3
  // Below the picture, a line each, shortened to its width.
  std::vector<std::string> caption = {};
};

struct SheetRow {
  // Above the row; empty: it follows the one before.
  std::string heading = "";
  // On the left: a name and, smaller, what is said of it.
  std::string label = "";
  std::string note = "";
  std::vector<SheetPicture> pictures = {};
};

struct Sheet {
  std::string title;
  std::string subtitle = "";
  std::vector<std::string> columns = {};  // headings; empty: none
  int picture_side = 80;                  // points; pictures of another shape are centred in the square
  std::vector<SheetRow> rows = {};
};

// The bytes of a PNG file, two pixels a point. Names of any length and in any script. INVALID_ARGUMENT without rows, or
// when the page would be larger than 16384 pixels.
absl::StatusOr<std::string> ContactSheet(const Sheet& sheet);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_CONTACT_SHEET_H_
