#include "server/jobs/job_log.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <atomic>
#include <set>
#include <thread>

#include "core/base/failpoint.h"
#include "server/log.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What is survived is a warning each time.
void QuietLog() {
  static const bool once = [] {
    ConfigureLog("error", /*json=*/false);
    return true;
  }();
  (void)once;
}

class JobLogTest : public ::testing::Test {
 protected:
  JobLogTest() { QuietLog(); }
  ~JobLogTest() override { EXPECT_THAT(SetFailpoints(""), IsOk()); }

  static JobRecord Train(const std::string& model, int version, const std::string& request_id = "") {
    JobRecord record;
    record.job.kind = "train";
    record.job.spec = {{"variant", "basic_cnn"}, {"text", std::string(300, 'x')}};
    record.job.dataset = "pets";
    record.job.model = model;
    record.job.reads = {{Resource::Type::kDataset, "pets"}};
    record.job.makes = Resource{Resource::Type::kModel, model, version};
    record.model_version = version;
    record.request_id = request_id;
    record.submitted_sha256 = "sha of " + model;
    record.create_time_ms = 1000;
    return record;
  }
  static LoggedEvent Event(JobRecord* record, JobEventBody body, int64_t worker_sequence = 0) {
    LoggedEvent logged;
    logged.event = {++record->last_sequence, 2000, record->attempt, std::move(body)};
    logged.worker_sequence = worker_sequence;
    return logged;
  }
  static void Change(JobLog* log, JobRecord* record, JobState state) {
    record->state = state;
    if (state == JobState::kRunning) {
      ++record->attempt;
    }
    const LoggedEvent event = Event(record, JobStateChange{state, absl::OkStatus(), nullptr});
    ASSERT_THAT(log->Change(*record, {&event, 1}), IsOk());
  }
  static std::vector<int64_t> Numbers(const std::vector<JobRecord>& records) {
    std::vector<int64_t> numbers;
    for (const JobRecord& record : records) {
      numbers.push_back(record.number);
    }
    return numbers;
  }
  fs::path Database() const { return dir_ / "jobs.sqlite"; }
  fs::path Wal() const { return dir_ / "jobs.sqlite-wal"; }
  fs::path SealFile() const { return dir_ / "jobs.seal"; }

  const testing::TempDir dir_;
};

TEST_F(JobLogTest, JobsAndEventsAreThereAfterANewOpen) {
  {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    JobRecord record = Train("a", 1, "request-1");
    ASSERT_THAT(log->Create(&record), IsOk());
    EXPECT_EQ(record.id(), "job-1");
    Change(log.get(), &record, JobState::kRunning);
    JobProgress progress;
    progress.phase = "train";
    progress.done = 5;
    progress.steps = {{1, 0.5, 0.5}};
    const LoggedEvent event = Event(&record, progress, 1);
    ASSERT_THAT(log->Append(1, {&event, 1}), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  ASSERT_OK_AND_ASSIGN(const JobRecord read, log->Get(1));
  EXPECT_EQ(read.state, JobState::kRunning);
  EXPECT_EQ(read.job.spec["variant"], "basic_cnn");
  ASSERT_OK_AND_ASSIGN(const auto found, log->FindRequest("request-1"));
  EXPECT_EQ(found->number, 1);
  EXPECT_FALSE(log->FindRequest("request-2")->has_value());
  ASSERT_OK_AND_ASSIGN(const std::vector<JobRecord> unfinished, log->Unfinished());
  ASSERT_EQ(unfinished.size(), 1U);
  EXPECT_EQ(unfinished[0].last_sequence, 3);
  EXPECT_EQ(unfinished[0].worker_sequence, 1);
  EXPECT_EQ(unfinished[0].progress->done, 5);
  EXPECT_THAT(unfinished[0].progress->steps, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const std::vector<JobEvent> events, log->Events(1, 0, 3, 64));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(std::get<JobStateChange>(events[1].body).state, JobState::kRunning);
  EXPECT_EQ(std::get<JobProgress>(events[2].body).steps.size(), 1U);
  EXPECT_THAT(log->Get(2), StatusIs(absl::StatusCode::kNotFound, HasSubstr("job-2")));
  EXPECT_EQ(log->NewestVersion("a").value(), 1);
  EXPECT_EQ(log->NewestVersion("b").value(), 0);
}

TEST_F(JobLogTest, ProgressRewritesNoRowAndMovesNoSeal) {
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  JobRecord record = Train("a", 1);
  ASSERT_THAT(log->Create(&record), IsOk());
  const std::string seal = testing::ReadText(SealFile());
  const LoggedEvent event = Event(&record, JobLogLine{"hello", false}, 1);
  ASSERT_THAT(log->Append(1, {&event, 1}), IsOk());
  EXPECT_EQ(log->Get(1)->last_sequence, 1);
  EXPECT_EQ(testing::ReadText(SealFile()), seal);
}

TEST_F(JobLogTest, ReadersDoNotWaitForAWriter) {
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  JobRecord record = Train("a", 1);
  ASSERT_THAT(log->Create(&record), IsOk());
  // Whoever holds the database's write lock keeps our writer waiting inside of SQLite.
  SQLite::Database other(Database().string(), SQLite::OPEN_READWRITE);
  other.exec("BEGIN IMMEDIATE");
  std::atomic<bool> written{false};
  std::thread writer([&] {
    JobRecord second = Train("b", 1);
    EXPECT_THAT(log->Create(&second), IsOk());
    written = true;
  });
  EXPECT_THAT(log->Get(1), IsOk());
  EXPECT_EQ(log->List({})->size(), 1U);
  EXPECT_EQ(log->Events(1, 0, 1, 64)->size(), 1U);
  EXPECT_FALSE(written);
  other.exec("ROLLBACK");
  writer.join();
  EXPECT_EQ(log->List({})->size(), 2U);
}

TEST_F(JobLogTest, ListsFilterAndPage) {
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  for (const char* model : {"a", "b", "a"}) {
    JobRecord record = Train(model, 1);
    ASSERT_THAT(log->Create(&record), IsOk());
  }
  JobRecord second = *log->Get(2);
  Change(log.get(), &second, JobState::kCancelled);
  EXPECT_THAT(Numbers(*log->List({})), ElementsAre(3, 2, 1));
  EXPECT_THAT(Numbers(*log->List({.model = "a"})), ElementsAre(3, 1));
  EXPECT_THAT(Numbers(*log->List({.states = {JobState::kCancelled}})), ElementsAre(2));
  EXPECT_THAT(Numbers(*log->List({.before = 3, .limit = 1})), ElementsAre(2));
  EXPECT_THAT(Numbers(*log->List({.kind = "split"})), IsEmpty());
  EXPECT_THAT(Numbers(*log->Unfinished()), ElementsAre(1, 3));
}

TEST_F(JobLogTest, AFailedWriteLeavesNothingAndTheNextSucceeds) {
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  for (const char* point : {"job_log.create.before=error:1", "job_log.state.before=error:1"}) {
    ASSERT_THAT(SetFailpoints(point), IsOk());
    JobRecord record = Train("a", 1);
    absl::Status status = log->Create(&record);
    if (status.ok()) {
      JobRecord changed = record;
      changed.state = JobState::kRunning;
      const LoggedEvent event = Event(&changed, JobLogLine{"x", false});
      status = log->Change(changed, {&event, 1});
      EXPECT_EQ(log->Get(record.number)->state, JobState::kQueued);
      EXPECT_THAT(log->Change(changed, {&event, 1}), IsOk());
    } else {
      EXPECT_EQ(record.number, 0);
      EXPECT_THAT(*log->List({}), IsEmpty());
    }
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, _));
  }
}

TEST_F(JobLogTest, ASealThatCouldNotBeWrittenIsOwed) {
  {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    ASSERT_THAT(SetFailpoints("seal.write=error:1"), IsOk());
    const std::string before = testing::ReadText(SealFile());
    JobRecord record = Train("a", 1);
    ASSERT_THAT(log->Create(&record), IsOk());
    EXPECT_EQ(testing::ReadText(SealFile()), before);
    ASSERT_THAT(log->Reseal(), IsOk());
    EXPECT_NE(testing::ReadText(SealFile()), before);
  }
  EXPECT_THAT(JobLog::Open(dir_.path()), IsOk());
}

// Finding 9: flips and cuts of the write-ahead log, which held everything, opened as an older state.
TEST_F(JobLogTest, ALostWriteAheadLogIsNoticed) {
  {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    for (int i = 0; i < 3; ++i) {
      JobRecord record = Train("a", i + 1);
      ASSERT_THAT(log->Create(&record), IsOk());
    }
  }
  fs::remove(Wal());
  EXPECT_THAT(JobLog::Open(dir_.path()),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("jobs.seal"), HasSubstr("backup"))));
  EXPECT_THAT(JobLog::Open(dir_.path()), StatusIs(absl::StatusCode::kDataLoss, _));  // and again
  fs::remove(SealFile());                                                            // as the message says
  EXPECT_THAT(JobLog::Open(dir_.path()), IsOk());
}

TEST_F(JobLogTest, ALostDatabaseIsNoticed) {
  {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    JobRecord record = Train("a", 1);
    ASSERT_THAT(log->Create(&record), IsOk());
    ASSERT_THAT(log->Checkpoint(), IsOk());
  }
  fs::remove(Database());
  fs::remove(Wal());
  EXPECT_THAT(JobLog::Open(dir_.path()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("1 jobs")));
}

TEST_F(JobLogTest, AfterACheckpointLittleDependsOnTheWriteAheadLog) {
  {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    JobRecord record = Train("a", 1);
    ASSERT_THAT(log->Create(&record), IsOk());
    ASSERT_THAT(log->Checkpoint(), IsOk());
    EXPECT_EQ(fs::file_size(Wal()), 0U);
  }
  fs::remove(Wal());
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  EXPECT_THAT(Numbers(*log->List({})), ElementsAre(1));
}

TEST_F(JobLogTest, NumbersStartWhereTheCallerSays) {
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path(), 41));
  JobRecord record = Train("a", 1);
  ASSERT_THAT(log->Create(&record), IsOk());
  EXPECT_EQ(record.id(), "job-41");
}

TEST_F(JobLogTest, OtherFilesAndVersionsAreLeftAlone) {
  testing::WriteText(Database(), std::string(4096, 'x'));
  EXPECT_THAT(JobLog::Open(dir_.path()), StatusIs(absl::StatusCode::kDataLoss, _));
  fs::remove(Database());
  {
    SQLite::Database db(Database().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    db.exec("CREATE TABLE jobs (a)");
    db.exec("PRAGMA user_version = 77");
  }
  EXPECT_THAT(JobLog::Open(dir_.path()), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("77")));
}

TEST_F(JobLogTest, ADamagedRowIsShownAsDamagedAndFailsNoList) {
  {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    for (const char* model : {"a", "b"}) {
      JobRecord record = Train(model, 1, std::string("request-") + model);
      ASSERT_THAT(log->Create(&record), IsOk());
    }
  }
  {
    SQLite::Database db(Database().string(), SQLite::OPEN_READWRITE);
    db.exec("UPDATE jobs SET document = replace(document, 'basic_cnn', 'vgg16_xxx') WHERE number = 1");
    db.exec("UPDATE events SET body = 'nonsense' WHERE number = 2");
  }
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  ASSERT_OK_AND_ASSIGN(const std::vector<JobRecord> records, log->List({}));
  ASSERT_THAT(Numbers(records), ElementsAre(2, 1));
  EXPECT_TRUE(records[0].error.ok());
  EXPECT_EQ(records[1].state, JobState::kFailed);
  EXPECT_EQ(records[1].last_sequence, 1);
  EXPECT_THAT(records[1].error, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("job-1")));
  EXPECT_THAT(Numbers(*log->Unfinished()), ElementsAre(2));
  ASSERT_OK_AND_ASSIGN(const std::vector<JobEvent> events, log->Events(2, 0, 1, 64));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_THAT(std::get<JobLogLine>(events[0].body).text, HasSubstr("event 1 is damaged"));
}

TEST_F(JobLogTest, MissingEventsAreShownAsDamaged) {
  ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
  JobRecord record = Train("a", 1);
  ASSERT_THAT(log->Create(&record), IsOk());
  for (int i = 0; i < 4; ++i) {
    const LoggedEvent event = Event(&record, JobLogLine{"line", false}, i + 1);
    ASSERT_THAT(log->Append(1, {&event, 1}), IsOk());
  }
  {
    SQLite::Database db(Database().string(), SQLite::OPEN_READWRITE);
    db.exec("DELETE FROM events WHERE sequence IN (1, 3, 5)");
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<JobEvent> events, log->Events(1, 0, 5, 64));
  ASSERT_EQ(events.size(), 5U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(events[static_cast<size_t>(i)].sequence, i + 1);
  }
  EXPECT_EQ(std::get<JobLogLine>(events[1].body).text, "line");
  EXPECT_THAT(std::get<JobLogLine>(events[4].body).text, HasSubstr("damaged"));
  EXPECT_EQ(log->Events(1, 1, 5, 2)->back().sequence, 3);
}

// Flips and cuts all over each file. Either the log says that it won't open, or every job that was acknowledged is
// there: as it was, or shown as damaged.
class JobLogDamageTest : public JobLogTest, public ::testing::WithParamInterface<bool> {
 protected:
  static constexpr int kJobs = 12;

  // Half of the jobs have ended. `checkpointed`: all is in the database file; else all is in the write-ahead log.
  void Fill(bool checkpointed) {
    ASSERT_OK_AND_ASSIGN(const auto log, JobLog::Open(dir_.path()));
    for (int i = 1; i <= kJobs; ++i) {
      JobRecord record = Train("model", i, "request-" + std::to_string(i));
      ASSERT_THAT(log->Create(&record), IsOk());
      Change(log.get(), &record, JobState::kRunning);
      for (int k = 1; k <= 5; ++k) {
        const LoggedEvent event = Event(&record, JobLogLine{std::string(200, 'y'), false}, k);
        ASSERT_THAT(log->Append(i, {&event, 1}), IsOk());
      }
      if (i % 2 == 0) {
        Change(log.get(), &record, JobState::kFailed);
      }
    }
    if (checkpointed) {
      ASSERT_THAT(log->Checkpoint(), IsOk());
    }
  }

  void CheckNothingIsSilentlyLost(const std::string& what) {
    ++tried_;
    const auto log = JobLog::Open(dir_.path());
    if (!log.ok()) {
      ++refused_;
      EXPECT_THAT(std::string(log.status().message()), HasSubstr("job")) << what;
      return;
    }
    const auto records = (*log)->List({.limit = 1000});
    ASSERT_THAT(records, IsOk()) << what;
    std::set<int64_t> seen;
    for (const JobRecord& record : *records) {
      seen.insert(record.number);
      if (!record.error.ok()) {
        ++damaged_;
        continue;
      }
      EXPECT_EQ(record.model_version, record.number) << what;
      EXPECT_EQ(record.state, record.number % 2 == 0 ? JobState::kFailed : JobState::kRunning) << what;
      const auto found = (*log)->FindRequest("request-" + std::to_string(record.number));
      EXPECT_TRUE(found.ok() && found->has_value()) << what;
      const auto events = (*log)->Events(record.number, 0, record.number % 2 == 0 ? 8 : 7, 64);
      ASSERT_THAT(events, IsOk()) << what;
      for (const JobEvent& event : *events) {
        const auto* line = std::get_if<JobLogLine>(&event.body);
        EXPECT_TRUE(line == nullptr || line->text == std::string(200, 'y') ||
                    line->text.find("damaged") != std::string::npos)
            << what;
      }
    }
    EXPECT_EQ(seen.size(), static_cast<size_t>(kJobs)) << what;
  }

  // SQLite changes files when it opens them: each try is on a copy of all of them.
  void TryAllDamage(const fs::path& path) {
    const testing::TempDir saved;
    const auto copy = [](const fs::path& from, const fs::path& to) {
      for (const char* name : {"jobs.sqlite", "jobs.sqlite-wal", "jobs.seal"}) {
        fs::copy_file(from / name, to / name, fs::copy_options::overwrite_existing);
      }
      fs::remove(to / "jobs.sqlite-shm");
    };
    copy(dir_.path(), saved.path());
    const auto size = static_cast<int64_t>(fs::file_size(path));
    constexpr int kFlips = 60;
    constexpr int kCuts = 24;
    for (int64_t i = 0; i < kFlips + kCuts; ++i) {
      copy(saved.path(), dir_.path());
      std::string content = testing::ReadText(path);
      std::string what;
      if (i < kFlips) {
        // A prime step, so that headers, cells and content are all hit.
        const auto at = static_cast<size_t>((size * i / kFlips + 131 * i) % size);
        content[at] = static_cast<char>(content[at] ^ (1 << (i % 8)));
        what = path.filename().string() + ": bit " + std::to_string(i % 8) + " of byte " + std::to_string(at);
      } else {
        content.resize(static_cast<size_t>(size * (i - kFlips) / kCuts));
        what = path.filename().string() + ": cut to " + std::to_string(content.size());
      }
      testing::WriteText(path, content);
      CheckNothingIsSilentlyLost(what);
    }
    copy(saved.path(), dir_.path());
  }

  int tried_ = 0;
  int refused_ = 0;
  int damaged_ = 0;
};

TEST_P(JobLogDamageTest, NothingIsSilentlyLost) {
  const bool checkpointed = GetParam();
  Fill(checkpointed);
  TryAllDamage(checkpointed ? Database() : Wal());
  TryAllDamage(SealFile());
  EXPECT_EQ(tried_, 168);
  EXPECT_GT(refused_, 0);  // else nothing of what was damaged mattered
  if (checkpointed) {
    EXPECT_GT(damaged_, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Files, JobLogDamageTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Database" : "WriteAheadLog"; });

}  // namespace
}  // namespace graft
