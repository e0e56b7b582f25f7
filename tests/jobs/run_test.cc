// The worker's side of the kinds, where it is more than calls of core.
#include "jobs/run.h"

#include "absl/strings/str_cat.h"
#include "core/store/dataset_info.h"
#include "jobs/kind.h"
#include "jobs/recommend.h"
#include "jobs/split.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::Contains;
using ::testing::HasSubstr;

class RunTest : public ::testing::Test {
 protected:
  RunTest() : root_(fs::canonical(dir_.path())), data_(root_ / "data") {
    request_.job_id = "job-3";
    request_.kind = "split";
    request_.data = &data_;
    request_.staging = root_ / "staging";
    fs::create_directories(request_.staging);
    AddPictures(root_ / "allowed/pets");
    sink_.progress = [this](const JobProgress& progress) { phases_.push_back(progress.phase); };
    sink_.epoch = [](const EpochMetrics&) {};
    sink_.log = [this](const JobLogLine& line) { lines_.push_back(line.text); };
    sink_.stopped = [this] { return stopped_; };
    sink_.finish = [] { return false; };
  }

  static void AddPictures(const fs::path& folder) {
    fs::create_directories(folder);
    for (const char* name : {"cat.1.jpg", "cat.2.jpg", "dog.1.jpg", "dog.2.jpg"}) {
      fs::copy_file(testing::Sample(name), folder / name);
    }
    testing::WriteText(folder / "cat.txt", "no picture");
  }
  absl::StatusOr<nlohmann::json> Split(const std::string& relative) {
    SplitJobSpec spec;
    spec.dataset = "pets";
    spec.recipe.source = AllowedFolder{root_ / "allowed", relative};
    spec.recipe.sizes = SplitCounts{1, 1, 0};
    request_.spec = ToJson(spec);
    return RunJob(request_, sink_);
  }

  const testing::TempDir dir_;
  const fs::path root_;
  const DataFolder data_;
  RunRequest request_;
  JobSink sink_;
  bool stopped_ = false;
  std::vector<std::string> phases_;
  std::vector<std::string> lines_;
};

TEST_F(RunTest, EveryKindHasItsRunnerAndNoOtherIsKnown) {
  for (const JobKind* kind : JobKinds()) {
    request_.kind = std::string(kind->name());
    request_.spec = nlohmann::json::object();
    EXPECT_THAT(RunJob(request_, sink_), StatusIs(absl::StatusCode::kDataLoss, _)) << kind->name();
  }
  request_.kind = "dream";
  EXPECT_THAT(RunJob(request_, sink_), StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("'dream'")));
}

TEST_F(RunTest, ASplitLeavesADataSetThatNamesItsJob) {
  ASSERT_OK_AND_ASSIGN(const nlohmann::json json, Split("pets"));
  ASSERT_OK_AND_ASSIGN(const SplitJobResult result, SplitJobResultFromJson(json));
  EXPECT_EQ(result.dataset, "pets");
  EXPECT_EQ(result.images, 4);
  EXPECT_EQ(result.skipped, 1);
  ASSERT_OK_AND_ASSIGN(const DatasetInfo info, LoadDatasetInfo(request_.staging));
  EXPECT_EQ(info.name, "pets");
  EXPECT_EQ(info.job_id, "job-3");
  EXPECT_GT(info.create_time_ms, 0);
  EXPECT_EQ(info.fingerprint, LoadManifest(request_.staging)->fingerprint);
  EXPECT_EQ(std::get<AllowedFolder>(info.recipe.source).relative, "pets");
  EXPECT_THAT(phases_, Contains("scan"));
  EXPECT_THAT(phases_, Contains("copy"));
  EXPECT_THAT(lines_, Contains(HasSubstr("skipped cat.txt")));
}

TEST_F(RunTest, AFolderThatBecameALinkSinceTheJobWasSubmittedIsNotFollowed) {
  AddPictures(root_ / "outside");
  fs::remove_all(root_ / "allowed/pets");
  fs::create_directory_symlink(root_ / "outside", root_ / "allowed/pets");
  EXPECT_THAT(Split("pets"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_TRUE(fs::is_empty(request_.staging));
}

TEST_F(RunTest, AJobThatIsToStopSaysSo) {
  stopped_ = true;
  EXPECT_THAT(Split("pets"), StatusIs(absl::StatusCode::kCancelled, _));
}

// With real weights, on few photographs.
TEST_F(RunTest, ARecommendationTriesEachTrunkWithinTheBudget) {
  for (int i = 3; i < 13; ++i) {
    for (const char* name : {"cat", "dog"}) {
      fs::copy_file(testing::Sample(absl::StrCat(name, ".", i, ".jpg")),
                    root_ / "allowed/pets" / absl::StrCat(name, ".", i, ".jpg"));
    }
  }
  SplitJobSpec split;
  split.dataset = "pets";
  split.recipe.source = AllowedFolder{root_ / "allowed", "pets"};
  split.recipe.sizes = SplitCounts{10, 1, 0};
  request_.spec = ToJson(split);
  ASSERT_THAT(RunJob(request_, sink_), testing::IsOk());
  fs::create_directories(data_.Dataset("pets").parent_path());
  fs::rename(request_.staging, data_.Dataset("pets"));

  request_.kind = "recommend";
  request_.weights_dir = fs::path(GRAFT_BINARY_DIR) / "share" / "graft" / "weights";
  request_.settings.threads = 2;
  RecommendJobSpec spec{"pets", {"vgg16", "efficientnet_lite0"}, 2, 42, 0};
  request_.spec = ToJson(spec);
  ASSERT_OK_AND_ASSIGN(const nlohmann::json json, RunJob(request_, sink_));
  ASSERT_OK_AND_ASSIGN(const RecommendJobResult result, RecommendJobResultFromJson(json));
  EXPECT_EQ(result.job_id, "job-3");
  EXPECT_EQ(result.images, 20);
  ASSERT_EQ(result.candidates.size(), 2U);
  double least = 1e9;
  for (const TrunkCandidate& candidate : result.candidates) {
    EXPECT_GT(candidate.accuracy, 0.7) << candidate.trunk;
    EXPECT_LT(candidate.interval.low, candidate.accuracy);
    EXPECT_FALSE(candidate.over_budget);
    EXPECT_THAT(lines_, Contains(HasSubstr(candidate.trunk + ": accuracy")));
    least = std::min(least, candidate.seconds);
  }
  EXPECT_THAT(phases_, Contains("features"));
  // So little time that none of them can do it.
  spec.budget_seconds = least / 1000;
  request_.spec = ToJson(spec);
  EXPECT_THAT(RunJob(request_, sink_),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("recommend.budget_seconds: ")));
  EXPECT_THAT(lines_, Contains(HasSubstr("more than the budget")));
  stopped_ = true;
  spec.budget_seconds = 0;
  request_.spec = ToJson(spec);
  EXPECT_THAT(RunJob(request_, sink_), StatusIs(absl::StatusCode::kCancelled, _));
}

}  // namespace
}  // namespace graft
