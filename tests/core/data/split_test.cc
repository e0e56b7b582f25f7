// Splitting, manifests and packed images.
#include "core/data/split.h"

#include <sys/stat.h>

#include <atomic>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/json.h"
#include "core/base/sha256.h"
#include "core/data/packed_images.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status Nothing(const ProgressUpdate&) { return absl::OkStatus(); }

std::vector<Candidate> Many(const std::map<std::string, int>& classes) {
  std::vector<Candidate> candidates;
  for (const auto& [label, count] : classes) {
    for (int i = 0; i < count; ++i) {
      const std::string path = absl::StrCat(label, ".", i, ".jpg");
      candidates.push_back({path, label, Sha256Hex(absl::string_view(path)), 10});
    }
  }
  return candidates;
}

SplitOptions Counts(int64_t train, int64_t validation, int64_t test, uint64_t seed = 42) {
  SplitOptions options;
  options.sizes = SplitCounts{train, validation, test};
  options.seed = seed;
  return options;
}

std::vector<std::string> Paths(const Manifest& manifest, Part part) {
  std::vector<std::string> paths;
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.part == part) {
      paths.push_back(entry.path);
    }
  }
  return paths;
}

TEST(LabelTest, ComesFromTheNameOrTheFolder) {
  EXPECT_EQ(*LabelOf("cat.123.jpg", LabelRule::kFilename), "cat");
  EXPECT_EQ(*LabelOf("a/b/dog.1.jpg", LabelRule::kFilename), "dog");
  EXPECT_EQ(*LabelOf("a/big cat/1.jpg", LabelRule::kFolder), "big cat");
  EXPECT_EQ(*LabelOf("cat/1.jpg", LabelRule::kFolder), "cat");
  EXPECT_THAT(LabelOf("1.jpg", LabelRule::kFolder), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(LabelOf("cat", LabelRule::kFilename), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(LabelOf("a/.jpg", LabelRule::kFilename), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST(AssignPartsTest, PartsAreDisjointExactAndTheSameWhateverTheOrder) {
  std::vector<Candidate> candidates = Many({{"cat", 50}, {"dog", 40}, {"fox", 35}});
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, AssignParts(candidates, {}, Counts(20, 8, 5)));
  EXPECT_THAT(manifest.labels, ElementsAre("cat", "dog", "fox"));
  std::set<std::string> seen;
  for (const ManifestEntry& entry : manifest.entries) {
    EXPECT_TRUE(seen.insert(entry.path).second) << entry.path;
    EXPECT_EQ(entry.path.substr(0, 3), manifest.labels[static_cast<size_t>(entry.label)]);
  }
  for (int label = 0; label < 3; ++label) {
    EXPECT_EQ(manifest.Count(Part::kTrain, label), 20);
    EXPECT_EQ(manifest.Count(Part::kValidation, label), 8);
    EXPECT_EQ(manifest.Count(Part::kTest, label), 5);
  }
  EXPECT_EQ(manifest.unused, 125 - 3 * 33);
  std::reverse(candidates.begin(), candidates.end());
  ASSERT_OK_AND_ASSIGN(const Manifest again, AssignParts(candidates, {}, Counts(20, 8, 5)));
  ASSERT_OK_AND_ASSIGN(const Manifest other, AssignParts(candidates, {}, Counts(20, 8, 5, 43)));
  EXPECT_EQ(Paths(again, Part::kTest), Paths(manifest, Part::kTest));
  EXPECT_NE(Paths(other, Part::kTest), Paths(manifest, Part::kTest));
}

// Written down once: a split that was made on another machine, or by an older version, must come out again.
TEST(AssignPartsTest, TheOrderIsThatOfSha256OfSeedAndPath) {
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, AssignParts(Many({{"a", 8}, {"b", 8}}), {}, Counts(2, 1, 1)));
  std::map<std::string, std::string> order;
  for (int i = 0; i < 8; ++i) {
    const std::string path = absl::StrCat("a.", i, ".jpg");
    order[Sha256Hex(absl::StrCat("42\n", path))] = path;
  }
  std::vector<std::string> expected;
  expected.reserve(order.size());
  for (const auto& [hash, path] : order) {
    expected.push_back(path);
  }
  EXPECT_THAT(Paths(manifest, Part::kValidation)[0], expected[2]);
  EXPECT_THAT(Paths(manifest, Part::kTest)[0], expected[3]);

  ASSERT_OK_AND_ASSIGN(const Manifest known, AssignParts(Many({{"cat", 10}, {"dog", 10}}), {}, Counts(3, 2, 1)));
  EXPECT_THAT(Paths(known, Part::kTrain),
              ElementsAre("cat.0.jpg", "cat.3.jpg", "cat.8.jpg", "dog.2.jpg", "dog.4.jpg", "dog.5.jpg"));
  EXPECT_THAT(Paths(known, Part::kValidation), ElementsAre("cat.4.jpg", "cat.6.jpg", "dog.0.jpg", "dog.9.jpg"));
  EXPECT_THAT(Paths(known, Part::kTest), ElementsAre("cat.2.jpg", "dog.7.jpg"));
}

TEST(AssignPartsTest, FractionsRoundByTheLargestRemainder) {
  SplitOptions options;
  options.sizes = SplitFractions{0.6, 0.2, 0.2};
  for (const auto& [count, sizes] : {std::pair{10, std::array<int64_t, 3>{6, 2, 2}},
                                     {11, {7, 2, 2}},
                                     {5, {3, 1, 1}},
                                     {99, {59, 20, 20}},
                                     {101, {61, 20, 20}},
                                     {104, {62, 21, 21}}}) {
    ASSERT_OK_AND_ASSIGN(const Manifest manifest, AssignParts(Many({{"a", count}, {"b", count}}), {}, options));
    EXPECT_EQ(manifest.Count(Part::kTrain, 0), sizes[0]) << count;
    EXPECT_EQ(manifest.Count(Part::kValidation, 0), sizes[1]) << count;
    EXPECT_EQ(manifest.Count(Part::kTest, 0), sizes[2]) << count;
  }
}

TEST(AssignPartsTest, FractionsBelowOneLeaveImagesUnused) {
  SplitOptions options;
  options.sizes = SplitFractions{0.3, 0.1, 0};
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, AssignParts(Many({{"a", 20}, {"b", 10}}), {}, options));
  EXPECT_EQ(manifest.Count(Part::kTrain, 0), 6);
  EXPECT_EQ(manifest.Count(Part::kValidation, 0), 2);
  EXPECT_EQ(manifest.Count(Part::kTrain, 1), 3);
  EXPECT_EQ(manifest.Count(Part::kValidation, 1), 1);
  EXPECT_EQ(manifest.Count(Part::kTest), 0);
  EXPECT_EQ(manifest.unused, 18);
}

TEST(AssignPartsTest, ANewFileMovesFewOthers) {
  std::vector<Candidate> candidates = Many({{"cat", 40}, {"dog", 40}});
  ASSERT_OK_AND_ASSIGN(const Manifest before, AssignParts(candidates, {}, Counts(20, 10, 10)));
  candidates.push_back({"cat.new.jpg", "cat", Sha256Hex(absl::string_view("new")), 10});
  ASSERT_OK_AND_ASSIGN(const Manifest after, AssignParts(candidates, {}, Counts(20, 10, 10)));
  std::map<std::string, Part> parts;
  for (const ManifestEntry& entry : before.entries) {
    parts[entry.path] = entry.part;
  }
  int moved = 0;
  for (const ManifestEntry& entry : after.entries) {
    moved += parts.count(entry.path) > 0 && parts[entry.path] != entry.part ? 1 : 0;
  }
  EXPECT_LE(moved, 2);  // at most one over each border
}

TEST(AssignPartsTest, CopiesNeverCrossPartsAndAreNamed) {
  std::vector<Candidate> candidates = Many({{"cat", 10}, {"dog", 10}});
  candidates.push_back({"cat.99.jpg", "cat", candidates[0].sha256, 10});  // a copy of cat.0.jpg
  candidates.push_back({"dog.99.jpg", "dog", candidates[1].sha256, 10});  // cat.1.jpg, called a dog
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, AssignParts(candidates, {}, Counts(7, 1, 1)));
  std::set<std::string> hashes;
  for (const ManifestEntry& entry : manifest.entries) {
    EXPECT_TRUE(hashes.insert(entry.sha256).second) << entry.path;
    EXPECT_NE(entry.path, "cat.1.jpg");
  }
  ASSERT_EQ(manifest.skipped.size(), 3U);
  EXPECT_EQ(manifest.skipped[0].path, "cat.1.jpg");
  EXPECT_THAT(manifest.skipped[0].reason, AllOf(HasSubstr("dog.99.jpg"), HasSubstr("labelled dog")));
  EXPECT_EQ(manifest.skipped[1].path, "cat.99.jpg");
  EXPECT_THAT(manifest.skipped[1].reason, HasSubstr("copy of cat.0.jpg"));
  EXPECT_THAT(manifest.skipped[2].reason, AllOf(HasSubstr("cat.1.jpg"), HasSubstr("labelled cat")));
}

TEST(AssignPartsTest, ClassesThatAreTooSmallOrTooFewSayHowMany) {
  EXPECT_THAT(
      AssignParts(Many({{"cat", 50}, {"dog", 9}}), {}, Counts(8, 1, 1)),
      StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("class dog has 9"), HasSubstr("8 training"))));
  EXPECT_THAT(AssignParts(Many({{"cat", 50}}), {}, Counts(8, 1, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("1 classes"), HasSubstr("cat (50)"))));
  EXPECT_THAT(AssignParts({}, {}, Counts(8, 1, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 classes")));
  EXPECT_THAT(AssignParts(Many({{"cat", 2}, {"dog", 50}}), {}, SplitOptions()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("class cat has 2")));
}

TEST(SplitOptionsTest, EachFieldIsChecked) {
  const auto check = [](SplitOptions options) { return options.Validate(); };
  EXPECT_THAT(check(Counts(1, 1, 0)), IsOk());
  EXPECT_THAT(check(Counts(0, 1, 1)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("counts.train: 0")));
  EXPECT_THAT(check(Counts(1, -1, 1)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("counts.validation")));
  SplitOptions options;
  for (const SplitFractions& f : {SplitFractions{0, 0.5, 0.5},
                                  {0.5, 1, 0},
                                  {0.5, 0.3, -0.1},
                                  {0.6, 0.3, 0.2},
                                  {std::numeric_limits<double>::quiet_NaN(), 0.1, 0.1}}) {
    options.sizes = f;
    EXPECT_THAT(check(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("fractions")));
  }
}

class SplitFolderTest : public ::testing::Test {
 protected:
  SplitFolderTest() {
    for (int i = 0; i < 10; ++i) {
      for (const std::string label : {"cat", "dog"}) {
        const std::string name = absl::StrCat(label, ".", i, ".jpg");
        testing::WriteText(dir_ / ("in/" + name), testing::ReadText(testing::Sample(name)));
      }
    }
    std::filesystem::create_directories(dir_ / "out");
  }
  absl::StatusOr<Manifest> Split(const SplitOptions& options, const ProgressFn& progress = &Nothing) {
    return SplitFolder(dir_ / "in", dir_ / "out", options, progress);
  }
  const testing::TempDir dir_;
};

TEST_F(SplitFolderTest, TheFoldersHoldWhatTheManifestSays) {
  const std::string whole = testing::ReadText(testing::Sample("cat.50.jpg"));
  testing::WriteText(dir_ / "in/cat.50.jpg", whole.substr(0, whole.size() / 2));
  testing::WriteText(dir_ / "in/dog.copy.jpg", testing::ReadText(testing::Sample("dog.3.jpg")));
  testing::WriteText(dir_ / "in/sub folder/dog.ü.jpg", testing::ReadText(testing::Sample("dog.60.jpg")));
  testing::WriteText(dir_ / "in/.hidden/cat.1.jpg", "x");
  testing::WriteText(dir_ / "in/README.md", "text");
  std::filesystem::create_symlink("/etc/passwd", dir_ / "in/cat.link.jpg");
  SplitOptions options = Counts(6, 2, 2);
  options.threads = 2;
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Split(options));
  size_t files = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(dir_ / "out")) {
    files += file.is_regular_file() ? 1 : 0;
  }
  EXPECT_EQ(files, manifest.entries.size() + 1);  // and manifest.json
  for (const ManifestEntry& entry : manifest.entries) {
    const auto bytes = testing::ReadBytes(dir_ / "out" / std::string(PartFolder(entry.part)) / entry.path);
    EXPECT_EQ(Sha256Hex(bytes), entry.sha256);
    EXPECT_EQ(static_cast<int64_t>(bytes.size()), entry.bytes);
  }
  std::map<std::string, std::string> skipped;
  for (const SkippedEntry& entry : manifest.skipped) {
    skipped[entry.path] = entry.reason;
  }
  EXPECT_EQ(skipped.size(), 3U);
  EXPECT_THAT(skipped["cat.50.jpg"], HasSubstr("truncated"));
  EXPECT_THAT(skipped["dog.copy.jpg"], HasSubstr("copy of dog.3.jpg"));
  EXPECT_THAT(skipped["README.md"], HasSubstr("not supported"));
}

// Neither JSON nor Protobuf could carry such a name; a manifest with another one would name a file that isn't there.
TEST_F(SplitFolderTest, NamesThatAreNotUtf8AreSkipped) {
  testing::WriteText(dir_ / "in/cat.\xFC.jpg", testing::ReadText(testing::Sample("cat.60.jpg")));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Split(Counts(6, 2, 2)));
  ASSERT_EQ(manifest.skipped.size(), 1U);
  EXPECT_EQ(manifest.skipped[0].path, "cat.\\xfc.jpg");
  EXPECT_THAT(manifest.skipped[0].reason, HasSubstr("UTF-8"));
  ASSERT_OK_AND_ASSIGN(const Manifest loaded, LoadManifest(dir_ / "out"));
  EXPECT_EQ(loaded.skipped[0].path, manifest.skipped[0].path);
}

// A terminal takes U+009B as the start of a command, and U+202E makes "gpj.exe" of "exe.jpg".
TEST_F(SplitFolderTest, NamesWithControlOrDirectionCharactersAreSkipped) {
  const std::string image = testing::ReadText(testing::Sample("cat.60.jpg"));
  for (const char* name : {"cat.\xC2\x9B.jpg", "cat.\xE2\x80\xAEgpj.jpg", "cat.\n.jpg", "\x1B[2J/cat.60.jpg"}) {
    testing::WriteText(dir_ / "in" / name, image);
  }
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Split(Counts(6, 2, 2)));
  std::vector<std::string> paths;
  for (const SkippedEntry& entry : manifest.skipped) {
    paths.push_back(entry.path);
    EXPECT_THAT(entry.reason, AllOf(HasSubstr("control"), HasSubstr("rename")));
  }
  EXPECT_THAT(paths,
              ElementsAre("\\x1b[2J/cat.60.jpg", "cat.\\n.jpg", "cat.\\xc2\\x9b.jpg", "cat.\\xe2\\x80\\xaegpj.jpg"));
}

TEST_F(SplitFolderTest, AnErrorAtAnyStepLeavesNoManifest) {
  for (const bool hard_link : {false, true}) {
    for (const char* step : {"split.copy=error:7", "split.sync=error", "split.manifest=error"}) {
      ASSERT_THAT(SetFailpoints(step), IsOk());
      SplitOptions options = Counts(6, 2, 2);
      options.hard_link = hard_link;
      EXPECT_THAT(Split(options), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("failpoint"))) << step;
      ASSERT_THAT(SetFailpoints(""), IsOk());
      EXPECT_FALSE(std::filesystem::exists(dir_ / "out/manifest.json")) << step;
      std::filesystem::remove_all(dir_ / "out");
      std::filesystem::create_directory(dir_ / "out");
    }
  }
}

TEST_F(SplitFolderTest, WhatIsMadeIsForItsOwnerOnly) {
  const mode_t mask = umask(0);
  const auto manifest = Split(Counts(6, 2, 2));
  umask(mask);
  ASSERT_THAT(manifest, IsOk());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_ / "out")) {
    EXPECT_EQ(entry.status().permissions(),
              entry.is_directory() ? std::filesystem::perms::owner_all
                                   : std::filesystem::perms::owner_read | std::filesystem::perms::owner_write)
        << entry.path();
  }
}

// Somebody who may write to the source swaps one of its folders for a link to the outside and back, all the time.
TEST_F(SplitFolderTest, ALinkThatTakesAFoldersPlaceIsNeverFollowed) {
  std::set<std::string> canaries;
  for (int i = 0; i < 10; ++i) {
    std::filesystem::create_directories(dir_ / "in/pets");
    std::filesystem::rename(dir_ / absl::StrCat("in/cat.", i, ".jpg"), dir_ / absl::StrCat("in/pets/cat.", i, ".jpg"));
    const std::string canary = testing::ReadText(testing::Sample(absl::StrCat("cat.", 100 + i, ".jpg")));
    testing::WriteText(dir_ / absl::StrCat("outside/cat.", i, ".jpg"), canary);
    canaries.insert(Sha256Hex(absl::string_view(canary)));
  }
  std::atomic<bool> stop = false;
  int64_t turns = 0;
  std::thread swapper([&] {
    while (!stop) {
      std::filesystem::rename(dir_ / "in/pets", dir_ / "aside");
      std::filesystem::create_directory_symlink("../outside", dir_ / "in/pets");
      std::filesystem::remove(dir_ / "in/pets");
      std::filesystem::rename(dir_ / "aside", dir_ / "in/pets");
      ++turns;
    }
  });
  for (const bool hard_link : {false, true}) {
    for (const auto following : {SourceFolder::Following::kKernel, SourceFolder::Following::kSteps}) {
      ASSERT_OK_AND_ASSIGN(const SourceFolder source, SourceFolder::Open(dir_ / "in", "", following));
      for (int i = 0; i < 8; ++i) {
        SplitOptions options = Counts(1, 1, 0);
        options.hard_link = hard_link;
        const auto manifest = SplitFolder(source, dir_ / "out", options, &Nothing);
        for (const auto& file : std::filesystem::recursive_directory_iterator(dir_ / "out")) {
          if (file.is_regular_file()) {
            EXPECT_EQ(canaries.count(Sha256Hex(testing::ReadBytes(file.path()))), 0U) << file.path();
          }
        }
        if (manifest.ok()) {
          for (const ManifestEntry& entry : manifest->entries) {
            EXPECT_EQ(canaries.count(entry.sha256), 0U) << entry.path;
          }
        }
        std::filesystem::remove_all(dir_ / "out");
        std::filesystem::create_directory(dir_ / "out");
      }
    }
  }
  stop = true;
  swapper.join();
  EXPECT_GT(turns, 0);
}

TEST_F(SplitFolderTest, HardLinksShareTheFile) {
  SplitOptions options = Counts(6, 2, 2);
  options.hard_link = true;
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Split(options));
  const ManifestEntry& entry = manifest.entries[0];
  EXPECT_TRUE(std::filesystem::equivalent(dir_ / "in" / entry.path,
                                          dir_ / "out" / std::string(PartFolder(entry.part)) / entry.path));
}

TEST_F(SplitFolderTest, ACancelStopsAndIsReturned) {
  for (const std::string phase : {"scan", "copy"}) {
    int calls = 0;
    const auto status = Split(Counts(6, 2, 2), [&](const ProgressUpdate& update) {
      calls += update.phase == phase ? 1 : 0;
      return update.phase == phase && update.done == 3 ? absl::CancelledError("enough") : absl::OkStatus();
    });
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled, "enough"));
    EXPECT_EQ(calls, 3);
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out/manifest.json"));
  }
}

TEST_F(SplitFolderTest, MissingAndOverfullFolders) {
  EXPECT_THAT(SplitFolder(dir_ / "none", dir_ / "out", Counts(1, 1, 1), &Nothing),
              StatusIs(absl::StatusCode::kNotFound, _));
  SplitOptions options = Counts(1, 1, 1);
  options.max_files = 19;
  EXPECT_THAT(Split(options), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("19")));
}

TEST_F(SplitFolderTest, ManifestsComeBackAndDamageIsFound) {
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Split(Counts(6, 2, 2)));
  ASSERT_OK_AND_ASSIGN(const Manifest loaded, LoadManifest(dir_ / "out"));
  EXPECT_EQ(loaded.fingerprint, manifest.fingerprint);
  EXPECT_EQ(Paths(loaded, Part::kTrain), Paths(manifest, Part::kTrain));
  EXPECT_EQ(loaded.entries[3].sha256, manifest.entries[3].sha256);
  EXPECT_EQ(loaded.entries[3].label, manifest.entries[3].label);
  testing::ForEachDamage(dir_ / "out/manifest.json", 700, 50, [&](const std::string& what) {
    const auto damaged = LoadManifest(dir_ / "out");
    EXPECT_TRUE(absl::IsDataLoss(damaged.status()) ||
                (damaged.ok() && Paths(*damaged, Part::kTrain) == Paths(manifest, Part::kTrain)))
        << what;
  });
}

TEST(ManifestTest, ComesBackWhole) {
  const testing::TempDir dir;
  Manifest manifest;
  manifest.labels = {"cat", "dog"};
  manifest.entries = {{"cat.1.jpg", 0, Part::kTrain, "aa", 1},
                      {"a \"b\"/dog.ü.jpg", 1, Part::kValidation, "bb", 2},
                      {"dog.2.jpg", 1, Part::kTest, "cc", int64_t{1} << 40}};
  manifest.skipped = {{"x.txt", "an unknown kind of file"}};
  manifest.unused = 7;
  ASSERT_OK_AND_ASSIGN(const std::string fingerprint, SaveManifest(manifest, dir.path()));
  ASSERT_OK_AND_ASSIGN(const Manifest loaded, LoadManifest(dir.path()));
  EXPECT_EQ(loaded.fingerprint, fingerprint);
  EXPECT_EQ(loaded.labels, manifest.labels);
  EXPECT_EQ(loaded.unused, 7);
  ASSERT_EQ(loaded.entries.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(loaded.entries[i].path, manifest.entries[i].path);
    EXPECT_EQ(loaded.entries[i].label, manifest.entries[i].label);
    EXPECT_EQ(loaded.entries[i].part, manifest.entries[i].part);
    EXPECT_EQ(loaded.entries[i].sha256, manifest.entries[i].sha256);
    EXPECT_EQ(loaded.entries[i].bytes, manifest.entries[i].bytes);
  }
  ASSERT_EQ(loaded.skipped.size(), 1U);
  EXPECT_EQ(loaded.skipped[0].reason, "an unknown kind of file");
  manifest.unused = 8;
  ASSERT_OK_AND_ASSIGN(const std::string other, SaveManifest(manifest, dir.path()));
  EXPECT_NE(other, fingerprint);
}

// Sealed by the right hash, and still not a manifest.
TEST(ManifestTest, DocumentsOfAnotherKindAreRefused) {
  const testing::TempDir dir;
  const nlohmann::json file = {{"file", "a"}, {"label", "cat"}, {"part", "train"}, {"sha256", "x"}, {"bytes", 1}};
  const nlohmann::json good = {
      {"labels", {"cat"}}, {"files", {file}}, {"skipped", nlohmann::json::array()}, {"unused", 0}};
  const auto load = [&](const char* pointer, const nlohmann::json& value) {
    nlohmann::json document = good;
    document[nlohmann::json::json_pointer(pointer)] = value;
    EXPECT_THAT(WriteSealedJson(dir / "manifest.json", document), IsOk());
    return LoadManifest(dir.path());
  };
  EXPECT_THAT(load("/unused", 1), IsOk());
  for (const auto& [pointer, value] : {std::pair<const char*, nlohmann::json>{"/labels", 7},
                                       {"/files", 7},
                                       {"/files/0", "a"},
                                       {"/files/0/label", "bird"},
                                       {"/files/0/part", "exam"},
                                       {"/files/0/bytes", "many"},
                                       {"/skipped", {1}},
                                       {"/unused", nullptr}}) {
    EXPECT_THAT(load(pointer, value), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("manifest.json"))) << pointer;
  }
  EXPECT_THAT(LoadManifest(dir / "none"), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(SplitFolderTest, PackedImagesAreDecodedOnceAndDamageIsRepaired) {
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, Split(Counts(6, 2, 2)));
  int decodes = 0;
  const ProgressFn count = [&](const ProgressUpdate&) {
    ++decodes;
    return absl::OkStatus();
  };
  const auto open = [&] {
    return PackedImages::OpenOrBuild(dir_ / "out", manifest, 24, Interpolation::kNearest, 2, count);
  };
  const auto check = [&](const PackedImages& images) {
    ASSERT_EQ(images.size(), 20);
    for (const int64_t i : {int64_t{0}, int64_t{7}, int64_t{19}}) {
      const ManifestEntry& entry = manifest.entries[static_cast<size_t>(i)];
      std::vector<uint8_t> expected(size_t{24} * 24 * 3);
      ASSERT_THAT(DecodeImageTo(testing::ReadBytes(testing::Sample(entry.path)), 24, Interpolation::kNearest,
                                absl::MakeSpan(expected)),
                  IsOk());
      EXPECT_EQ(images.image(i), absl::MakeConstSpan(expected)) << entry.path;
    }
  };
  {
    ASSERT_OK_AND_ASSIGN(const auto images, open());
    check(*images);
  }
  EXPECT_GT(decodes, 0);
  decodes = 0;
  // What a job left behind that was killed while it made a cache.
  const std::filesystem::path left_behind = dir_ / "out/cache/images-24-area.safetensors.17.0.tmp";
  testing::WriteText(left_behind, "half");
  ASSERT_THAT(open(), IsOk());
  EXPECT_EQ(decodes, 0);
  EXPECT_FALSE(std::filesystem::exists(left_behind));
  const std::filesystem::path cache = dir_ / "out/cache/images-24-nearest.safetensors";
  testing::ForEachDamage(cache, 5, 3, [&](const std::string& what) {
    SCOPED_TRACE(what);
    decodes = 0;
    ASSERT_OK_AND_ASSIGN(const auto images, open());
    EXPECT_GT(decodes, 0);
    check(*images);
  });
  Manifest other = manifest;
  other.fingerprint = "another split";
  decodes = 0;
  ASSERT_THAT(PackedImages::OpenOrBuild(dir_ / "out", other, 24, Interpolation::kNearest, 2, count), IsOk());
  EXPECT_GT(decodes, 0);
  const ManifestEntry& changed = manifest.entries[2];
  testing::WriteText(dir_ / "out" / std::string(PartFolder(changed.part)) / changed.path,
                     testing::ReadText(testing::Sample("dog.70.jpg")));
  EXPECT_THAT(PackedImages::OpenOrBuild(dir_ / "out", manifest, 32, Interpolation::kArea, 1, count),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(changed.path), HasSubstr("manifest"))));
  testing::WriteText(dir_ / "out" / std::string(PartFolder(changed.part)) / changed.path,
                     testing::ReadText(testing::Sample(changed.path)));
  const auto cancel = [](const ProgressUpdate&) { return absl::CancelledError("enough"); };
  EXPECT_THAT(PackedImages::OpenOrBuild(dir_ / "out", manifest, 32, Interpolation::kArea, 1, cancel),
              StatusIs(absl::StatusCode::kCancelled, "enough"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "out/cache/images-32-area.safetensors"));
  const ManifestEntry& gone = manifest.entries[4];
  std::filesystem::remove(dir_ / "out" / std::string(PartFolder(gone.part)) / gone.path);
  EXPECT_THAT(PackedImages::OpenOrBuild(dir_ / "out", manifest, 32, Interpolation::kArea, 1, count),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr(gone.path)));
}

}  // namespace
}  // namespace graft
