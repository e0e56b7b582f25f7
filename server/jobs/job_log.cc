#include "server/jobs/job_log.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/failpoint.h"
#include "core/base/mutex.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "server/log.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr int kSchema = 2;
constexpr char kDatabase[] = "jobs.sqlite";
constexpr char kSealFile[] = "jobs.seal";
constexpr int kBusyMs = 5000;

// What a call answers for an exception of SQLite.
absl::Status FromSqlite(const std::exception& error) {
  const auto* sqlite = dynamic_cast<const SQLite::Exception*>(&error);
  if (sqlite == nullptr) {
    return FromException(error, "job log");
  }
  const std::string message = absl::StrCat("job log: ", Printable(error.what(), 500));
  switch (sqlite->getErrorCode()) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

template <typename Fn>
auto Sqlite(Fn&& fn) -> decltype(fn()) {
  try {
    return fn();
  } catch (const std::exception& error) {
    return FromSqlite(error);
  }
}

// Enough to tell damage by chance.
std::string Checksum(absl::string_view content) { return Sha256Hex(content).substr(0, 32); }

std::string CountsText(const LogCounts& counts) { return absl::StrCat(counts.changes, " ", counts.jobs); }

constexpr char kJobColumns[] = "number, request_id, kind, dataset, model, model_version, state, document, checksum";

std::string Text(const SQLite::Column& column) { return column.isNull() ? "" : column.getString(); }

// Nullopt: the row isn't as it was written.
std::optional<JobRecord> ReadIntactJob(SQLite::Statement* row) {
  const std::string document = Text(row->getColumn(7));
  if (Checksum(document) != Text(row->getColumn(8))) {
    return std::nullopt;
  }
  const absl::StatusOr<nlohmann::json> json = ParseDocument(document);
  absl::StatusOr<JobRecord> record = json.ok() ? JobRecordFromJson(*json) : json.status();
  // The columns say again what the document says.
  if (!record.ok() || row->getColumn(0).getInt64() != record->number || Text(row->getColumn(1)) != record->request_id ||
      Text(row->getColumn(2)) != record->job.kind || Text(row->getColumn(3)) != record->job.dataset ||
      Text(row->getColumn(4)) != record->job.model || row->getColumn(5).getInt() != record->model_version ||
      Text(row->getColumn(6)) != JobStateName(record->state)) {
    return std::nullopt;
  }
  return *std::move(record);
}

std::string EventText(int64_t number, const LoggedEvent& logged, absl::string_view body) {
  const JobEvent& event = logged.event;
  return absl::StrCat(number, " ", event.sequence, " ", event.time_ms, " ", event.attempt, " ", logged.worker_sequence,
                      " ", body);
}

constexpr char kEventColumns[] = "sequence, time_ms, attempt, worker_sequence, body, checksum";

std::optional<LoggedEvent> ReadIntactEvent(int64_t number, SQLite::Statement* row) {
  LoggedEvent logged;
  logged.event.sequence = row->getColumn(0).getInt64();
  logged.event.time_ms = row->getColumn(1).getInt64();
  logged.event.attempt = row->getColumn(2).getInt();
  logged.worker_sequence = row->getColumn(3).getInt64();
  const std::string body = Text(row->getColumn(4));
  if (Checksum(EventText(number, logged, body)) != Text(row->getColumn(5))) {
    return std::nullopt;
  }
  const absl::StatusOr<nlohmann::json> json = ParseDocument(body);
  absl::StatusOr<JobEventBody> read = json.ok() ? JobEventBodyFromJson(*json) : json.status();
  if (!read.ok()) {
    return std::nullopt;
  }
  logged.event.body = *std::move(read);
  return logged;
}

void CreateTables(SQLite::Database* db) {
  db->exec(
      "CREATE TABLE jobs (number INTEGER PRIMARY KEY, request_id TEXT UNIQUE, kind TEXT NOT NULL, dataset TEXT NOT "
      "NULL, model TEXT NOT NULL, model_version INTEGER NOT NULL, state TEXT NOT NULL, document TEXT NOT NULL, "
      "checksum TEXT NOT NULL)");
  db->exec("CREATE INDEX jobs_by_state ON jobs (state, number)");
  db->exec("CREATE INDEX jobs_by_model ON jobs (model, model_version)");
  db->exec(
      "CREATE TABLE events (number INTEGER NOT NULL, sequence INTEGER NOT NULL, time_ms INTEGER NOT NULL, attempt "
      "INTEGER NOT NULL, worker_sequence INTEGER NOT NULL, body TEXT NOT NULL, checksum TEXT NOT NULL, PRIMARY KEY "
      "(number, sequence)) WITHOUT ROWID");
  db->exec(
      "CREATE TABLE counts (id INTEGER PRIMARY KEY, changes INTEGER NOT NULL, jobs INTEGER NOT NULL, checksum TEXT NOT "
      "NULL)");
  db->exec(absl::StrCat("PRAGMA user_version = ", kSchema));
}

}  // namespace

struct JobLog::Connection {
  explicit Connection(const fs::path& path) : db(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMs) {
    // A log that is refused keeps its write-ahead log as evidence.
    sqlite3_db_config(db.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    db.exec("PRAGMA cell_size_check = ON");
  }

  int64_t Number(const std::string& query) { return db.execAndGet(query).getInt64(); }

  void WriteCounts(const LogCounts& counts) {
    SQLite::Statement write(db, "INSERT OR REPLACE INTO counts (id, changes, jobs, checksum) VALUES (1, ?, ?, ?)");
    write.bind(1, counts.changes);
    write.bind(2, counts.jobs);
    write.bind(3, Checksum(CountsText(counts)));
    write.exec();
  }

  // Nullopt: damaged or not there.
  std::optional<LogCounts> ReadCounts() {
    SQLite::Statement read(db, "SELECT changes, jobs, checksum FROM counts WHERE id = 1");
    if (!read.executeStep()) {
      return std::nullopt;
    }
    const LogCounts counts{read.getColumn(0).getInt64(), read.getColumn(1).getInt64()};
    return Text(read.getColumn(2)) == Checksum(CountsText(counts)) ? std::optional(counts) : std::nullopt;
  }

  void WriteJob(const JobRecord& record) {
    const std::string document = DocumentText(ToJson(record));
    SQLite::Statement write(
        db, absl::StrCat("INSERT INTO jobs (", kJobColumns,
                         ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET state = "
                         "excluded.state, document = excluded.document, checksum = excluded.checksum"));
    write.bind(1, record.number);
    if (record.request_id.empty()) {
      write.bind(2);
    } else {
      write.bind(2, record.request_id);
    }
    write.bind(3, record.job.kind);
    write.bind(4, record.job.dataset);
    write.bind(5, record.job.model);
    write.bind(6, record.model_version);
    write.bind(7, std::string(JobStateName(record.state)));
    write.bind(8, document);
    write.bind(9, Checksum(document));
    write.exec();
  }

  void WriteEvents(int64_t number, absl::Span<const LoggedEvent> events) {
    SQLite::Statement insert(
        db, absl::StrCat("INSERT INTO events (number, ", kEventColumns, ") VALUES (?, ?, ?, ?, ?, ?, ?)"));
    for (const LoggedEvent& logged : events) {
      const std::string body = DocumentText(ToJson(logged.event.body));
      insert.bind(1, number);
      insert.bind(2, logged.event.sequence);
      insert.bind(3, logged.event.time_ms);
      insert.bind(4, logged.event.attempt);
      insert.bind(5, logged.worker_sequence);
      insert.bind(6, body);
      insert.bind(7, Checksum(EventText(number, logged, body)));
      insert.exec();
      insert.reset();
    }
  }

  JobRecord ReadJob(SQLite::Statement* row) {
    if (std::optional<JobRecord> record = ReadIntactJob(row); record.has_value()) {
      return *std::move(record);
    }
    JobRecord damaged;
    damaged.number = row->getColumn(0).getInt64();
    damaged.state = JobState::kFailed;
    damaged.error = absl::DataLossError(absl::StrCat("the row of job-", damaged.number, " in ", kDatabase,
                                                     " is damaged: what the job was and what became of it is lost"));
    SQLite::Statement last(db, "SELECT max(sequence) FROM events WHERE number = ?");
    last.bind(1, damaged.number);
    last.executeStep();
    damaged.last_sequence = last.getColumn(0).getInt64();
    return damaged;
  }

  SQLite::Database db;
};

JobLog::JobLog(std::unique_ptr<Connection> writer, std::unique_ptr<Connection> reader, std::unique_ptr<Seal> seal)
    : writer_(std::move(writer)), seal_(std::move(seal)), reader_(std::move(reader)) {}
JobLog::~JobLog() = default;

absl::Status JobLog::Verify(const fs::path& folder, Connection* db, const Seal& seal, LogCounts* counts) {
  const fs::path path = folder / kDatabase;
  const auto broken = [&](absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat(path.string(), " is damaged (", Printable(what, 200), "); restore it and ", kSealFile,
                     " from a backup, or move ", kDatabase, "* and ", kSealFile,
                     " away to start with an empty list of jobs: data sets and models aren't in it"));
  };
  // The whole structure, and for the few rows of jobs their indices too: what is looked up there must be found.
  for (const char* check : {"PRAGMA quick_check(1)", "PRAGMA integrity_check(jobs)"}) {
    SQLite::Statement statement(db->db, check);
    statement.executeStep();
    if (const std::string found = Text(statement.getColumn(0)); found != "ok") {
      return broken(found);
    }
  }
  const std::optional<LogCounts> stored = db->ReadCounts();
  const int64_t jobs = db->Number("SELECT count(*) FROM jobs");
  if (!seal.counts().has_value()) {
    // Whoever removes the seal takes the log as it is.
    if (jobs > 0) {
      Log(LogLevel::kWarning, "job_log",
          {{"message", absl::StrCat(kSealFile, seal.damaged() ? " is damaged" : " is missing",
                                    ": whether all jobs are there can't be told; made anew")},
           {"jobs", absl::StrCat(jobs)}});
    }
    *counts = {stored.has_value() ? stored->changes : jobs, jobs};
    return absl::OkStatus();
  }
  const LogCounts& sealed = *seal.counts();
  if (seal.damaged()) {
    Log(LogLevel::kWarning, "job_log", {{"message", absl::StrCat("one half of ", kSealFile, " is damaged; mended")}});
  }
  const int64_t changes = stored.has_value() ? stored->changes : sealed.changes;
  const int64_t expected_jobs = std::max(sealed.jobs, stored.has_value() ? stored->jobs : 0);
  if (jobs < expected_jobs || changes < sealed.changes) {
    return absl::DataLossError(absl::StrCat(
        path.string(), " has lost acknowledged jobs or states of them: ", jobs, " jobs of ", expected_jobs, " and ",
        changes, " changes of ", sealed.changes, " are there; restore ", kDatabase, ", ", kDatabase, "-wal and ",
        kSealFile, " from a backup, or remove ", (folder / kSealFile).string(), " to go on with what is there"));
  }
  *counts = {changes, jobs};
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<JobLog>> JobLog::Open(const fs::path& folder, int64_t first_number) {
  const fs::path path = folder / kDatabase;
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<Seal> seal, Seal::Open(folder / kSealFile));
  return Sqlite([&]() -> absl::StatusOr<std::unique_ptr<JobLog>> {
    auto writer = std::make_unique<Connection>(path);
    SQLite::Database& db = writer->db;
    // FULL: a commit is on the disk when it returns (WAL with NORMAL loses the last ones with the power).
    db.exec("PRAGMA journal_mode = WAL");
    db.exec("PRAGMA synchronous = FULL");
    const int64_t schema = writer->Number("PRAGMA user_version");
    const bool fresh = schema == 0 && writer->Number("SELECT count(*) FROM sqlite_master") == 0;
    if (!fresh && schema != kSchema) {
      return absl::FailedPreconditionError(absl::StrCat(path.string(), " has schema ", schema, ", this graftd knows ",
                                                        kSchema, "; run the graftd that wrote it"));
    }
    LogCounts counts;
    if (!fresh || seal->counts().value_or(LogCounts{}).changes > 0) {
      if (fresh) {
        return absl::DataLossError(absl::StrCat(
            path.string(), " is missing or empty, and ", kSealFile, " says that it held ", seal->counts()->jobs,
            " jobs; restore both from a backup, or remove ", (folder / kSealFile).string(),
            " to start with an empty list of jobs: data sets and models aren't in it"));
      }
      GRAFT_RETURN_IF_ERROR(Verify(folder, writer.get(), *seal, &counts));
    }
    {
      SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
      if (fresh) {
        CreateTables(&db);
      }
      writer->WriteCounts(counts);
      transaction.commit();
    }
    auto reader = std::make_unique<Connection>(path);
    reader->db.exec("PRAGMA query_only = ON");
    std::unique_ptr<JobLog> log(new JobLog(std::move(writer), std::move(reader), std::move(seal)));
    const MutexLock lock(&log->writing_);
    log->counts_ = counts;
    log->next_number_ = std::max(first_number, log->writer_->Number("SELECT ifnull(max(number), 0) + 1 FROM jobs"));
    GRAFT_RETURN_IF_ERROR(log->seal_->Write(counts));
    return log;
  });
}

absl::Status JobLog::Write(absl::string_view failpoint, int new_jobs, const std::function<void()>& fn) {
  LogCounts counts = counts_;
  if (new_jobs >= 0) {
    ++counts.changes;
    counts.jobs += new_jobs;
  }
  Connection* const writer = writer_.get();
  const absl::Status written = Sqlite([&]() -> absl::Status {
    SQLite::Transaction transaction(writer->db, SQLite::TransactionBehavior::IMMEDIATE);
    fn();
    if (new_jobs >= 0) {
      writer->WriteCounts(counts);
    }
    GRAFT_RETURN_IF_ERROR(Failpoint(absl::StrCat(failpoint, ".before")));
    transaction.commit();
    return absl::OkStatus();
  });
  GRAFT_RETURN_IF_ERROR(written);
  Failpoint(absl::StrCat(failpoint, ".after")).IgnoreError();  // it is durable: nothing can fail any more
  counts_ = counts;
  if (new_jobs >= 0) {
    SealCounts();
  }
  return absl::OkStatus();
}

void JobLog::SealCounts() {
  const absl::Status sealed = seal_->Write(counts_);
  if (!sealed.ok() && !seal_owed_) {
    Log(LogLevel::kWarning, "job_log", {{"message", std::string(sealed.message())}});
  }
  seal_owed_ = !sealed.ok();
}

absl::Status JobLog::Create(JobRecord* record) {
  const MutexLock lock(&writing_);
  JobRecord created = *record;
  created.number = next_number_;
  created.last_sequence = 1;
  LoggedEvent first;
  first.event.sequence = 1;
  first.event.time_ms = created.create_time_ms;
  first.event.body = JobStateChange{created.state, absl::OkStatus(), nullptr};
  Connection* const db = writer_.get();
  GRAFT_RETURN_IF_ERROR(Write("job_log.create", 1, [&] {
    db->WriteJob(created);
    db->WriteEvents(created.number, {&first, 1});
  }));
  ++next_number_;
  *record = std::move(created);
  return absl::OkStatus();
}

absl::Status JobLog::Append(int64_t number, absl::Span<const LoggedEvent> events) {
  const MutexLock lock(&writing_);
  Connection* const db = writer_.get();
  return Write("job_log.append", -1, [&] { db->WriteEvents(number, events); });
}

absl::Status JobLog::Change(const JobRecord& record, absl::Span<const LoggedEvent> events) {
  const MutexLock lock(&writing_);
  Connection* const db = writer_.get();
  return Write("job_log.state", 0, [&] {
    db->WriteJob(record);
    db->WriteEvents(record.number, events);
  });
}

absl::Status JobLog::Checkpoint() {
  const MutexLock lock(&writing_);
  GRAFT_RETURN_IF_ERROR(Failpoint("job_log.checkpoint"));
  Connection* const writer = writer_.get();
  return Sqlite([&]() -> absl::Status {
    // The first moves the pages and waits for nobody; then the second has only the file left to cut.
    for (const char* mode : {"PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(TRUNCATE)"}) {
      SQLite::Statement statement(writer->db, mode);
      statement.executeStep();
    }
    return absl::OkStatus();
  });
}

absl::Status JobLog::Reseal() {
  const MutexLock lock(&writing_);
  if (seal_owed_) {
    GRAFT_RETURN_IF_ERROR(seal_->Write(counts_));
    seal_owed_ = false;
  }
  return absl::OkStatus();
}

absl::StatusOr<JobRecord> JobLog::Get(int64_t number) {
  const MutexLock lock(&reading_);
  Connection* const reader = reader_.get();
  return Sqlite([&]() -> absl::StatusOr<JobRecord> {
    SQLite::Statement select(reader->db, absl::StrCat("SELECT ", kJobColumns, " FROM jobs WHERE number = ?"));
    select.bind(1, number);
    if (!select.executeStep()) {
      return absl::NotFoundError(absl::StrCat("id: there is no job-", number));
    }
    return reader->ReadJob(&select);
  });
}

absl::StatusOr<std::optional<JobRecord>> JobLog::FindRequest(const std::string& request_id) {
  const MutexLock lock(&reading_);
  Connection* const reader = reader_.get();
  return Sqlite([&]() -> absl::StatusOr<std::optional<JobRecord>> {
    SQLite::Statement select(reader->db, absl::StrCat("SELECT ", kJobColumns, " FROM jobs WHERE request_id = ?"));
    select.bind(1, request_id);
    if (!select.executeStep()) {
      return std::nullopt;
    }
    return reader->ReadJob(&select);
  });
}

absl::StatusOr<std::vector<JobRecord>> JobLog::List(const JobFilter& filter) {
  const MutexLock lock(&reading_);
  Connection* const reader = reader_.get();
  return Sqlite([&]() -> absl::StatusOr<std::vector<JobRecord>> {
    std::string where = "1";
    if (!filter.states.empty()) {
      absl::StrAppend(
          &where, " AND state IN (",
          absl::StrJoin(filter.states, ",",
                        [](std::string* out, JobState state) { absl::StrAppend(out, "'", JobStateName(state), "'"); }),
          ")");
    }
    SQLite::Statement select(
        reader->db, absl::StrCat("SELECT ", kJobColumns, " FROM jobs WHERE ", where,
                                 " AND (?1 = '' OR kind = ?1) AND (?2 = '' OR dataset = ?2) AND (?3 = '' OR model = "
                                 "?3) AND (?4 = 0 OR number < ?4) ORDER BY number DESC LIMIT ?5"));
    select.bind(1, filter.kind);
    select.bind(2, filter.dataset);
    select.bind(3, filter.model);
    select.bind(4, filter.before);
    select.bind(5, filter.limit);
    std::vector<JobRecord> records;
    while (select.executeStep()) {
      records.push_back(reader->ReadJob(&select));
    }
    return records;
  });
}

absl::StatusOr<std::vector<JobRecord>> JobLog::Unfinished() {
  JobFilter filter;
  filter.states = {JobState::kQueued, JobState::kPaused, JobState::kRunning, JobState::kPublishing};
  filter.limit = -1;  // SQLite: no limit
  GRAFT_ASSIGN_OR_RETURN(const std::vector<JobRecord> records, List(filter));
  const MutexLock lock(&reading_);
  Connection* const reader = reader_.get();
  return Sqlite([&]() -> absl::StatusOr<std::vector<JobRecord>> {
    std::vector<JobRecord> unfinished;
    for (auto it = records.rbegin(); it != records.rend(); ++it) {
      JobRecord record = *it;
      if (!record.error.ok()) {
        Log(LogLevel::kError, "job_log", {{"message", std::string(record.error.message())}});
        continue;
      }
      SQLite::Statement select(
          reader->db, absl::StrCat("SELECT ", kEventColumns, " FROM events WHERE number = ? ORDER BY sequence"));
      select.bind(1, record.number);
      while (select.executeStep()) {
        record.last_sequence = std::max(record.last_sequence, select.getColumn(0).getInt64());
        const std::optional<LoggedEvent> logged = ReadIntactEvent(record.number, &select);
        if (!logged.has_value() || logged->event.attempt != record.attempt || logged->worker_sequence == 0) {
          continue;
        }
        record.worker_sequence = logged->worker_sequence;
        if (const auto* epoch = std::get_if<EpochMetrics>(&logged->event.body); epoch != nullptr) {
          record.epochs = std::max(record.epochs, epoch->epoch);
          if (record.state == JobState::kRunning) {
            record.losses = 0;  // those that the record counts were before
          }
        }
        if (const auto* progress = std::get_if<JobProgress>(&logged->event.body); progress != nullptr) {
          record.progress = *progress;
          record.progress->steps.clear();
        }
      }
      if (record.state == JobState::kQueued || record.state == JobState::kPaused) {
        record.progress.reset();
      }
      unfinished.push_back(std::move(record));
    }
    return unfinished;
  });
}

absl::StatusOr<std::vector<JobEvent>> JobLog::Events(int64_t number, int64_t after, int64_t last, int limit) {
  const MutexLock lock(&reading_);
  Connection* const reader = reader_.get();
  return Sqlite([&]() -> absl::StatusOr<std::vector<JobEvent>> {
    last = std::min(last, after + limit);
    SQLite::Statement select(reader->db,
                             absl::StrCat("SELECT ", kEventColumns,
                                          " FROM events WHERE number = ? AND sequence > ? AND sequence <= ? ORDER BY "
                                          "sequence"));
    select.bind(1, number);
    select.bind(2, after);
    select.bind(3, last);
    std::vector<JobEvent> events;
    const auto lost_until = [&](int64_t next) {
      for (int64_t sequence = after + static_cast<int64_t>(events.size()) + 1; sequence < next; ++sequence) {
        JobEvent lost;
        lost.sequence = sequence;
        lost.body = JobLogLine{absl::StrCat("event ", sequence, " is damaged in ", kDatabase, " and can't be shown"),
                               /*warning=*/true};
        events.push_back(std::move(lost));
      }
    };
    while (select.executeStep()) {
      std::optional<LoggedEvent> logged = ReadIntactEvent(number, &select);
      if (logged.has_value()) {
        lost_until(logged->event.sequence);
        events.push_back(std::move(logged->event));
      }
    }
    lost_until(last + 1);
    return events;
  });
}

absl::StatusOr<int> JobLog::NewestVersion(const std::string& model) {
  const MutexLock lock(&reading_);
  Connection* const reader = reader_.get();
  return Sqlite([&]() -> absl::StatusOr<int> {
    SQLite::Statement select(reader->db, "SELECT ifnull(max(model_version), 0) FROM jobs WHERE model = ?");
    select.bind(1, model);
    select.executeStep();
    return select.getColumn(0).getInt();
  });
}

}  // namespace graft
