// Small data sets of pictures whose class shows in their colour. Needs OpenCV.
#ifndef GRAFT_TESTS_TESTING_PICTURES_H_
#define GRAFT_TESTS_TESTING_PICTURES_H_

#include <filesystem>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "core/data/split.h"
#include "tests/testing/files.h"

namespace graft::testing {

// Makes DIR/in of noisy pictures, brighter in one channel per class, and splits it into DIR/dataset: half of it to
// train on, a quarter each to validate and to test.
inline absl::StatusOr<Manifest> MakePictures(const std::filesystem::path& dir, const std::vector<std::string>& labels,
                                             int per_class) {
  constexpr int kSide = 40;
  cv::RNG rng(7);
  for (size_t label = 0; label < labels.size(); ++label) {
    for (int i = 0; i < per_class; ++i) {
      cv::Mat image(kSide, kSide, CV_8UC3);
      rng.fill(image, cv::RNG::UNIFORM, 0, 160);
      std::vector<cv::Mat> channels;
      cv::split(image, channels);
      channels[label % 3] += 60;
      cv::merge(channels, image);
      std::vector<uint8_t> png;
      cv::imencode(".png", image, png);
      WriteText(dir / "in" / (labels[label] + "." + std::to_string(i) + ".png"), std::string(png.begin(), png.end()));
    }
  }
  SplitOptions options;
  options.sizes = SplitFractions{0.5, 0.25, 0.25};
  std::filesystem::create_directories(dir / "dataset");
  return SplitFolder(dir / "in", dir / "dataset", options, [](const ProgressUpdate&) { return absl::OkStatus(); });
}

}  // namespace graft::testing

#endif  // GRAFT_TESTS_TESTING_PICTURES_H_
