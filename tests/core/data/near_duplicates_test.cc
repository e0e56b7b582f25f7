#include "core/data/near_duplicates.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <set>
#include <utility>

#include "core/data/image.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

constexpr size_t kBytes = size_t{ImagePrint::kSide} * ImagePrint::kSide * 3;

std::vector<uint8_t> Thumbnail(const std::string& sample) {
  const std::vector<uint8_t> bytes = testing::ReadBytes(testing::Sample(sample));
  std::vector<uint8_t> thumbnail(kBytes);
  EXPECT_THAT(DecodeImageTo(bytes, ImagePrint::kSide, Interpolation::kArea, absl::MakeSpan(thumbnail)),
              testing::IsOk());
  return thumbnail;
}

bool AreNear(const ImagePrint& a, const ImagePrint& b) { return FindNearPairs({{a, b}}, 10).pairs.size() == 1; }

// Prints whose colours are all alike, so that the hash alone decides.
std::vector<ImagePrint> WithHashes(const std::vector<uint64_t>& hashes) {
  ImagePrint like = PrintOf(Thumbnail("cat.0.jpg"));
  std::vector<ImagePrint> prints;
  for (const uint64_t hash : hashes) {
    like.hash = hash;
    prints.push_back(like);
  }
  return prints;
}

TEST(NearDuplicatesTest, APhotographIsNearItsBrighterNoisierAndShiftedSelf) {
  const std::vector<uint8_t> original = Thumbnail("cat.0.jpg");
  const ImagePrint print = PrintOf(original);
  EXPECT_FALSE(print.flat);
  EXPECT_EQ(PrintOf(original).hash, print.hash);
  EXPECT_DOUBLE_EQ(Correlation(print, print), 1);
  std::vector<uint8_t> darker(original);
  for (uint8_t& value : darker) {
    value = static_cast<uint8_t>(value * 0.7);
  }
  EXPECT_TRUE(AreNear(print, PrintOf(darker)));
  std::mt19937 random(1);
  std::vector<uint8_t> noisy(original);
  for (uint8_t& value : noisy) {
    value = static_cast<uint8_t>(std::clamp(int{value} + static_cast<int>(random() % 13) - 6, 0, 255));
  }
  EXPECT_TRUE(AreNear(print, PrintOf(noisy)));
}

TEST(NearDuplicatesTest, OtherPhotographsAreNotNear) {
  std::vector<ImagePrint> prints;
  for (const char* name : {"cat.0.jpg", "cat.1.jpg", "cat.2.jpg", "dog.0.jpg", "dog.1.jpg", "dog.2.jpg"}) {
    prints.push_back(PrintOf(Thumbnail(name)));
  }
  EXPECT_TRUE(FindNearPairs(prints, 100).pairs.empty());
}

TEST(NearDuplicatesTest, TheSameShapeInOtherColoursIsNotNear) {
  const std::vector<uint8_t> photograph = Thumbnail("cat.0.jpg");
  std::vector<uint8_t> red(photograph);
  std::vector<uint8_t> blue(photograph);
  for (size_t i = 0; i < kBytes; i += 3) {
    red[i + 1] = red[i + 2] = 0;
    blue[i] = blue[i + 1] = 0;
    blue[i + 2] = photograph[i];
  }
  EXPECT_EQ(PrintOf(red).hash, PrintOf(blue).hash);
  EXPECT_FALSE(AreNear(PrintOf(red), PrintOf(blue)));
}

TEST(NearDuplicatesTest, WhatShowsNothingIsLikeNothing) {
  std::vector<uint8_t> flat(kBytes, 200);
  for (size_t i = 0; i < kBytes; i += 5) {
    ++flat[i];
  }
  EXPECT_TRUE(PrintOf(flat).flat);
  EXPECT_FALSE(AreNear(PrintOf(flat), PrintOf(flat)));
}

TEST(NearDuplicatesTest, TheThresholdIsExact) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 300; ++round) {
    const uint64_t hash = random();
    uint64_t other = hash;
    const int wanted = kNearBits + static_cast<int>(random() % 3) - 1;
    while (std::popcount(hash ^ other) < wanted) {
      other ^= uint64_t{1} << (random() % 64);
    }
    const int bits = std::popcount(hash ^ other);
    const NearPairs found = FindNearPairs(WithHashes({hash, other}), 10);
    EXPECT_EQ(found.pairs.size(), bits <= kNearBits ? 1U : 0U);
    if (!found.pairs.empty()) {
      EXPECT_EQ(found.pairs[0].bits, bits);
    }
  }
}

// Against all pairs compared one by one: hashes in clusters, so that there are many at every distance.
TEST(NearDuplicatesTest, FindsEachPairOnceHoweverItsBitsLie) {
  std::mt19937_64 random(5);
  std::vector<uint64_t> hashes;
  for (int cluster = 0; cluster < 40; ++cluster) {
    const uint64_t centre = random();
    for (int i = 0; i < 15; ++i) {
      uint64_t hash = centre;
      for (auto flips = random() % 8; flips > 0; --flips) {
        hash ^= uint64_t{1} << (random() % 64);
      }
      hashes.push_back(hash);
    }
  }
  std::set<std::pair<size_t, size_t>> expected;
  for (size_t i = 0; i < hashes.size(); ++i) {
    for (size_t j = i + 1; j < hashes.size(); ++j) {
      if (std::popcount(hashes[i] ^ hashes[j]) <= kNearBits) {
        expected.emplace(i, j);
      }
    }
  }
  ASSERT_GT(expected.size(), 1000U);
  const NearPairs found = FindNearPairs(WithHashes(hashes), 1'000'000);
  EXPECT_FALSE(found.cut_short);
  std::vector<std::pair<size_t, size_t>> pairs;
  for (const NearPair& pair : found.pairs) {
    pairs.emplace_back(pair.first, pair.second);
  }
  EXPECT_EQ(pairs, (std::vector<std::pair<size_t, size_t>>(expected.begin(), expected.end())));
}

TEST(NearDuplicatesTest, StopsAtTheMostThatIsAskedFor) {
  const std::vector<ImagePrint> prints = WithHashes(std::vector<uint64_t>(100, 77));
  EXPECT_EQ(FindNearPairs(prints, 4950).pairs.size(), 4950U);
  EXPECT_FALSE(FindNearPairs(prints, 4950).cut_short);
  EXPECT_EQ(FindNearPairs(prints, 4949).pairs.size(), 4949U);
  EXPECT_TRUE(FindNearPairs(prints, 4949).cut_short);
  EXPECT_TRUE(FindNearPairs({}, 10).pairs.empty());
}

}  // namespace
}  // namespace graft
