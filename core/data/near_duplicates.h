// Images that show the same picture: copies that were compressed again, scaled, brightened or cropped a little.
//
// An image's print is a 64-bit perceptual hash (the signs of the lowest 8 x 8 frequencies of its grey 32 x 32 thumbnail
// about their median, as Zauner 2010 has it) and its colour at 16 x 16. Two images are near-duplicates when at most
// kNearBits bits of the hashes differ and the thumbnails correlate by at least kNearCorrelation.
//
// Measured on 6,000 photographs of cats and dogs (18 million pairs): two pairs lie at 0 and 2 bits, all others at 10
// and more; of 937 of these that were looked at, none correlates by more than 0.82. What is within 8 bits of its
// original: JPEG at quality 10 (100 % of 250 photographs), half the size (100 %), brightness 0.6 (100 %) or 1.3 (98 %),
// a turn by a degree (100 %), 2 % cut off on each side (97 %); 4 % cut off is often too much (50 %). Mirror images
// aren't looked for.
#ifndef GRAFT_CORE_DATA_NEAR_DUPLICATES_H_
#define GRAFT_CORE_DATA_NEAR_DUPLICATES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace graft {

inline constexpr int kNearBits = 8;
inline constexpr double kNearCorrelation = 0.9;

struct ImagePrint {
  static constexpr int kSide = 32;  // of the thumbnail that a print is made of

  uint64_t hash = 0;
  std::array<uint8_t, 16 * 16 * 3> colors{};  // RGB
  // Hardly anything is to be seen, so that the hash is of noise. Such an image is like no other.
  bool flat = false;
};

// thumbnail: kSide x kSide x 3 bytes, RGB, each the mean of the pixels that it stands for.
ImagePrint PrintOf(absl::Span<const uint8_t> thumbnail);

// Of the thumbnails' colours about their means, -1 to 1.
double Correlation(const ImagePrint& a, const ImagePrint& b);

struct NearPair {
  size_t first = 0;  // below second
  size_t second = 0;
  int bits = 0;  // in which the hashes differ
};

struct NearPairs {
  std::vector<NearPair> pairs;  // sorted by first, then by second
  bool cut_short = false;       // there may be more
};

// All pairs, or the first `max_pairs` that are met. The time is about linear in the number of images: hashes within
// kNearBits have a quarter in which at most kNearBits / 4 bits differ, and so each image is compared with those only
// whose quarter is so near (multi-index hashing, Norouzi et al. 2012).
NearPairs FindNearPairs(absl::Span<const ImagePrint> prints, size_t max_pairs);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_NEAR_DUPLICATES_H_
