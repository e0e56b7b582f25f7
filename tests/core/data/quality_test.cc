#include "core/data/quality.h"

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "core/data/split.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class QualityTest : public ::testing::Test {
 protected:
  // The folder has 6 cats and 6 dogs.
  QualityTest() {
    for (int i = 0; i < 6; ++i) {
      for (const std::string label : {"cat", "dog"}) {
        Copy(label + "." + std::to_string(i) + ".jpg", label + "." + std::to_string(i) + ".jpg");
      }
    }
    std::filesystem::create_directories(dir_ / "out");
  }
  void Copy(const std::string& sample, const std::string& name) {
    testing::WriteText(dir_ / ("in/" + name), testing::ReadText(testing::Sample(sample)));
  }
  void Write(const std::string& name, const cv::Mat& image, const std::vector<int>& options = {}) {
    ASSERT_TRUE(cv::imwrite((dir_ / ("in/" + name)).string(), image, options));
  }
  static cv::Mat Read(const std::string& sample) { return cv::imread(testing::Sample(sample).string()); }

  DatasetQuality Inspect(const SplitCounts& counts) {
    SplitOptions options;
    options.sizes = counts;
    options.threads = 2;
    SplitFindings findings;
    const absl::StatusOr<Manifest> manifest = SplitFolder(
        dir_ / "in", dir_ / "out", options, [](const auto&) { return absl::OkStatus(); }, &findings);
    EXPECT_THAT(manifest, IsOk());
    EXPECT_EQ(findings.prints.size(), manifest->entries.size());
    return InspectDataset(dir_ / "out", *manifest, findings, 2);
  }

  const testing::TempDir dir_;
};

TEST_F(QualityTest, AGoodDataSetHasNothingToSay) {
  const DatasetQuality quality = Inspect({2, 2, 2});
  EXPECT_TRUE(quality.pairs.empty());
  EXPECT_EQ(quality.crossing_pairs + quality.pairs_in_a_part + quality.exact_copies + quality.conflicting, 0);
  EXPECT_EQ(quality.unreadable, 0);
  EXPECT_EQ(quality.imbalance, 1);
  EXPECT_THAT(QualityWarnings(quality, "pets"), IsEmpty());
}

TEST_F(QualityTest, CopiesOfEveryKindAreToldApart) {
  Copy("cat.0.jpg", "cat.exact.jpg");
  Copy("dog.5.jpg", "cat.wrong.jpg");
  testing::WriteText(dir_ / "in/dog.text.jpg", "no image");
  cv::Mat smaller;
  cv::resize(Read("cat.1.jpg"), smaller, {}, 0.5, 0.5, cv::INTER_AREA);
  Write("cat.smaller.jpg", smaller, {cv::IMWRITE_JPEG_QUALITY, 60});
  Write("dog.cat2.jpg", Read("cat.2.jpg") * 0.8);  // under the wrong label
  Write("dog.png1.png", Read("dog.0.jpg"), {cv::IMWRITE_PNG_COMPRESSION, 1});
  Write("dog.png9.png", Read("dog.0.jpg"), {cv::IMWRITE_PNG_COMPRESSION, 9});
  const DatasetQuality quality = Inspect({4, 2, 1});  // every cat and all but one dog
  EXPECT_EQ(quality.exact_copies, 1);
  EXPECT_EQ(quality.conflicting, 2);
  EXPECT_EQ(quality.unreadable, 1);
  EXPECT_FALSE(quality.pairs_cut_short);
  const auto find = [&](const std::string& first, const std::string& second) {
    return std::find_if(quality.pairs.begin(), quality.pairs.end(), [&](const DatasetQuality::Pair& pair) {
      return (pair.first.path == first && pair.second.path == second) ||
             (pair.first.path == second && pair.second.path == first);
    });
  };
  ASSERT_NE(find("cat.1.jpg", "cat.smaller.jpg"), quality.pairs.end());
  EXPECT_FALSE(find("cat.1.jpg", "cat.smaller.jpg")->same_pixels);
  int others = 0;
  if (const auto pair = find("cat.2.jpg", "dog.cat2.jpg"); pair != quality.pairs.end()) {
    EXPECT_TRUE(pair->CrossesLabels());
    ++others;
  }
  if (const auto pair = find("dog.png1.png", "dog.png9.png"); pair != quality.pairs.end()) {
    EXPECT_TRUE(pair->same_pixels);
    EXPECT_FALSE(pair->CrossesLabels());
    EXPECT_EQ(pair->bits, 0);
    ++others;
  }
  EXPECT_GE(others, 1);  // one dog is in no part
  EXPECT_EQ(quality.crossing_pairs + quality.pairs_in_a_part, static_cast<int64_t>(quality.pairs.size()));
  bool within = false;
  int64_t crossing = 0;
  for (const DatasetQuality::Pair& pair : quality.pairs) {
    EXPECT_FALSE(within && pair.CrossesParts()) << "those that cross parts come first";
    within = within || !pair.CrossesParts();
    crossing += pair.CrossesParts() ? 1 : 0;
  }
  EXPECT_EQ(quality.crossing_pairs, crossing);
}

TEST(QualityWarningsTest, EachSaysWhatToDo) {
  DatasetQuality quality;
  quality.imbalance = kMaxImbalance;
  quality.largest = "cat";
  quality.smallest = "dog";
  quality.exact_copies = 9;
  quality.unreadable = 9;
  quality.pairs_in_a_part = 9;
  EXPECT_THAT(QualityWarnings(quality, "pets"), IsEmpty());
  quality.imbalance = kMaxImbalance + 0.5;
  EXPECT_THAT(QualityWarnings(quality, "pets"),
              ElementsAre(AllOf(HasSubstr("cat has 4.5 times as many training images as dog"), HasSubstr("recall"))));
  quality.crossing_pairs = 1;
  quality.conflicting = 2;
  quality.pairs.push_back({{"a", "cat", Part::kTrain}, {"b", "dog", Part::kTest}, 3, false});
  EXPECT_THAT(QualityWarnings(quality, "pets"),
              ElementsAre(HasSubstr("1 pair of images shows the same in two parts"), HasSubstr("under two labels"),
                          HasSubstr("2 files were left out"), _));
  quality.pairs_cut_short = true;
  quality.crossing_pairs = 5;
  EXPECT_THAT(QualityWarnings(quality, "pets")[0], HasSubstr("at least 5 pairs of images show"));
}

TEST(QualityDocumentTest, IsReadAsItWasWrittenAndNotWhenItIsDamaged) {
  const testing::TempDir dir;
  EXPECT_THAT(LoadQuality(dir.path()), StatusIs(absl::StatusCode::kNotFound, _));
  DatasetQuality quality;
  quality.pairs.push_back({{"a/ü.jpg", "cat", Part::kValidation}, {"b.jpg", "dog", Part::kTest}, 3, true});
  quality.crossing_pairs = 7;
  quality.pairs_in_a_part = 8;
  quality.pairs_cut_short = true;
  quality.exact_copies = 1;
  quality.conflicting = 2;
  quality.unreadable = 3;
  quality.largest = "dog";
  quality.smallest = "cat";
  quality.imbalance = 1.5;
  ASSERT_THAT(SaveQuality(quality, dir.path()), IsOk());
  ASSERT_OK_AND_ASSIGN(const DatasetQuality read, LoadQuality(dir.path()));
  ASSERT_EQ(read.pairs.size(), 1U);
  EXPECT_EQ(read.pairs[0].first.path, "a/ü.jpg");
  EXPECT_EQ(read.pairs[0].first.part, Part::kValidation);
  EXPECT_EQ(read.pairs[0].second.label, "dog");
  EXPECT_EQ(read.pairs[0].bits, 3);
  EXPECT_TRUE(read.pairs[0].same_pixels);
  EXPECT_EQ(read.crossing_pairs, 7);
  EXPECT_EQ(read.pairs_in_a_part, 8);
  EXPECT_TRUE(read.pairs_cut_short);
  EXPECT_EQ(read.exact_copies, 1);
  EXPECT_EQ(read.conflicting, 2);
  EXPECT_EQ(read.unreadable, 3);
  EXPECT_EQ(read.largest, "dog");
  EXPECT_EQ(read.smallest, "cat");
  EXPECT_EQ(read.imbalance, 1.5);
  testing::ForEachDamage(dir.path() / "quality.json", 200, 30, [&](const std::string& what) {
    EXPECT_THAT(LoadQuality(dir.path()), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
}

}  // namespace
}  // namespace graft
