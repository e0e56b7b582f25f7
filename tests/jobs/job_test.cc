#include "jobs/job.h"

#include <cmath>
#include <limits>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

// As it travels and lies on disk.
absl::StatusOr<JobEventBody> ThereAndBack(const JobEventBody& body) {
  const absl::StatusOr<nlohmann::json> document = ParseDocument(DocumentText(ToJson(body)));
  return document.ok() ? JobEventBodyFromJson(*document) : document.status();
}

TEST(JobTest, StatesHaveNames) {
  for (const char* name : {"queued", "running", "publishing", "succeeded", "failed", "cancelled"}) {
    ASSERT_OK_AND_ASSIGN(const JobState state, JobStateFromName(name));
    EXPECT_EQ(JobStateName(state), name);
    EXPECT_EQ(IsTerminal(state), std::string("succeeded failed cancelled").find(name) != std::string::npos) << name;
  }
  EXPECT_THAT(JobStateFromName("dozing"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dozing")));
}

TEST(JobTest, AnEndSurvives) {
  ASSERT_OK_AND_ASSIGN(const JobEventBody failed,
                       ThereAndBack(JobStateChange{JobState::kFailed, absl::DataLossError("a cache"), nullptr}));
  EXPECT_EQ(std::get<JobStateChange>(failed).error, absl::DataLossError("a cache"));
  EXPECT_TRUE(std::get<JobStateChange>(failed).result.is_null());
  ASSERT_OK_AND_ASSIGN(
      const JobEventBody succeeded,
      ThereAndBack(JobStateChange{JobState::kSucceeded, absl::OkStatus(), {{"images", 3}, {"skipped", 0}}}));
  EXPECT_EQ(std::get<JobStateChange>(succeeded).state, JobState::kSucceeded);
  EXPECT_EQ(std::get<JobStateChange>(succeeded).result["images"], 3);
}

TEST(JobTest, ProgressSurvivesWithItsSteps) {
  JobProgress progress;
  progress.phase = "train";
  progress.done = 3;
  progress.total = 10;
  progress.unit = "steps";
  progress.images_per_second = 12.5;
  progress.epoch = 2;
  progress.epochs = 6;
  progress.steps = {{1, 0.5, 0.75}, {2, std::nan(""), 1}};
  ASSERT_OK_AND_ASSIGN(const JobEventBody body, ThereAndBack(progress));
  const auto& read = std::get<JobProgress>(body);
  EXPECT_EQ(read.phase, "train");
  EXPECT_EQ(read.done, 3);
  EXPECT_EQ(read.total, 10);
  EXPECT_EQ(read.unit, "steps");
  EXPECT_EQ(read.images_per_second, 12.5);
  EXPECT_FALSE(read.eta_seconds.has_value());
  EXPECT_EQ(read.epoch, 2);
  EXPECT_EQ(read.epochs, 6);
  ASSERT_EQ(read.steps.size(), 2U);
  EXPECT_EQ(read.steps[0].loss, 0.5);
  EXPECT_TRUE(std::isnan(read.steps[1].loss));
  EXPECT_EQ(read.steps[1].accuracy, 1);
}

TEST(JobTest, AnEpochAndALineSurvive) {
  ASSERT_OK_AND_ASSIGN(
      const JobEventBody epoch,
      ThereAndBack(EpochMetrics{3, 0.1, 0.9, std::numeric_limits<double>::infinity(), 0.8, 1.5, 0.25}));
  EXPECT_EQ(std::get<EpochMetrics>(epoch).epoch, 3);
  EXPECT_EQ(std::get<EpochMetrics>(epoch).validation_accuracy, 0.8);
  EXPECT_TRUE(std::isnan(std::get<EpochMetrics>(epoch).validation_loss));
  EXPECT_EQ(std::get<EpochMetrics>(epoch).input_wait_seconds, 0.25);
  ASSERT_OK_AND_ASSIGN(const JobEventBody line, ThereAndBack(JobLogLine{"skipped a.txt", true}));
  EXPECT_EQ(std::get<JobLogLine>(line).text, "skipped a.txt");
  EXPECT_TRUE(std::get<JobLogLine>(line).warning);
}

TEST(JobTest, TextThatIsNotUtf8IsReplacedNotThrownAt) {
  ASSERT_OK_AND_ASSIGN(const JobEventBody line, ThereAndBack(JobLogLine{"caf\xe9", false}));
  EXPECT_EQ(std::get<JobLogLine>(line).text, "caf\xef\xbf\xbd");
}

TEST(JobTest, DamagedDocumentsAreDataLoss) {
  for (const char* text : {"{}", "[]", "null", R"({"log":{"text":3,"warning":true}})", R"({"state":{"state":1}})",
                           R"({"progress":{"phase":"x"}})", R"({"epoch":[]})"}) {
    ASSERT_OK_AND_ASSIGN(const nlohmann::json document, ParseDocument(text));
    EXPECT_THAT(JobEventBodyFromJson(document), StatusIs(absl::StatusCode::kDataLoss, _)) << text;
    EXPECT_THAT(JobRecordFromJson(document), StatusIs(absl::StatusCode::kDataLoss, _)) << text;
  }
  EXPECT_THAT(ParseDocument("{\"log\""), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(ParseDocument(std::string(100'000, '[') + std::string(100'000, ']')),
              StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST(JobTest, ARecordSurvives) {
  JobRecord record;
  record.number = 12;
  record.job.kind = "train";
  record.job.spec = {{"variant", "basic_cnn"}};
  record.job.dataset = "pets";
  record.job.model = "cats";
  record.job.reads = {{Resource::Type::kDataset, "pets"}, {Resource::Type::kUpload, "u1"}};
  record.job.makes = Resource{Resource::Type::kModel, "cats", 3};
  record.model_version = 3;
  record.request_id = "r";
  record.submitted_sha256 = "abc";
  record.state = JobState::kFailed;
  record.error = absl::AbortedError("died");
  record.create_time_ms = 1;
  record.start_time_ms = 2;
  record.end_time_ms = 3;
  record.attempt = 2;
  record.losses = 1;
  record.incarnation = "0f";
  record.last_sequence = 9;
  ASSERT_OK_AND_ASSIGN(const nlohmann::json document, ParseDocument(DocumentText(ToJson(record))));
  ASSERT_OK_AND_ASSIGN(const JobRecord read, JobRecordFromJson(document));
  EXPECT_EQ(ToJson(read), ToJson(record));
  EXPECT_EQ(read.id(), "job-12");
  ASSERT_EQ(read.job.reads.size(), 2U);
  EXPECT_TRUE(read.job.reads[1].Overlaps({Resource::Type::kUpload, "u1"}));
  EXPECT_TRUE(read.job.makes->Overlaps({Resource::Type::kModel, "cats"}));
  EXPECT_FALSE(read.job.makes->Overlaps({Resource::Type::kModel, "cats", 2}));
  EXPECT_EQ(read.error, record.error);
}

TEST(JobTest, IdsAreReadExactly) {
  EXPECT_EQ(ParseJobId("job-12").value(), 12);
  for (const char* id :
       {"", "job-", "job-0", "job--1", "12", "job-012", "job-+1", "job- 1", "job-1x", "job-99999999999999999999"}) {
    EXPECT_THAT(ParseJobId(id), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("job-12"))) << id;
  }
}

}  // namespace
}  // namespace graft
