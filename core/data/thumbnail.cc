#include "core/data/thumbnail.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "core/base/status.h"

namespace graft {

absl::StatusOr<RgbImage> DecodeThumbnail(absl::Span<const uint8_t> bytes, int side) {
  GRAFT_ASSIGN_OR_RETURN(RgbImage image, DecodeImage(bytes));
  const int longer = std::max(image.width, image.height);
  if (longer <= side) {
    return image;
  }
  const double scale = static_cast<double>(side) / longer;
  RgbImage small;
  small.width = std::max(1, static_cast<int>(std::lround(image.width * scale)));
  small.height = std::max(1, static_cast<int>(std::lround(image.height * scale)));
  small.pixels.resize(static_cast<size_t>(small.width) * static_cast<size_t>(small.height) * 3);
  GRAFT_RETURN_IF_ERROR(CatchExceptions("shrinking an image", [&] {
    const cv::Mat from(image.height, image.width, CV_8UC3, image.pixels.data());
    cv::Mat to(small.height, small.width, CV_8UC3, small.pixels.data());
    cv::resize(from, to, to.size(), 0, 0, cv::INTER_AREA);
    return absl::OkStatus();
  }));
  return small;
}

}  // namespace graft
