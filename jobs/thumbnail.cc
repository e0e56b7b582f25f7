#include "jobs/thumbnail.h"

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/data/image.h"

namespace graft {
namespace {

absl::StatusOr<RgbImage> Thumbnail(const std::filesystem::path& file) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(file, ImageLimits().max_bytes));
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes));
  return DecodeThumbnail(bytes, info, kMistakeSide);
}

}  // namespace

void AddPhotograph(const std::filesystem::path& folder, Mistake* mistake) {
  if (absl::StatusOr<RgbImage> photograph = Thumbnail(folder / mistake->file); photograph.ok()) {
    mistake->width = photograph->width;
    mistake->height = photograph->height;
    mistake->pixels = std::move(photograph->pixels);
  }
}

}  // namespace graft
