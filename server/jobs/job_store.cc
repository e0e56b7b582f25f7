#include "server/jobs/job_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "convert/convert.h"
#include "core/base/status.h"

namespace graft {
namespace {

constexpr int kSchema = 1;

// What a call answers for an exception of SQLite.
absl::Status FromSqlite(const std::exception& error) {
  const auto* sqlite = dynamic_cast<const SQLite::Exception*>(&error);
  if (sqlite == nullptr) {
    return FromException(error, "job store");
  }
  const std::string message = absl::StrCat("job store: ", error.what());
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

// The blob in column `index` as a message.
template <typename Message>
absl::StatusOr<Message> ReadMessage(const SQLite::Column& column) {
  Message message;
  if (!message.ParseFromArray(column.getBlob(), column.getBytes())) {
    return absl::DataLossError("job store: a row can't be read");
  }
  return message;
}

void BindMessage(SQLite::Statement* statement, int index, const google::protobuf::Message& message) {
  const std::string bytes = message.SerializeAsString();
  statement->bind(index, bytes.data(), static_cast<int>(bytes.size()));
}

constexpr char kColumns[] = "number, job, request_id, submitted_sha256, worker_sequence, model_version";

absl::StatusOr<StoredJob> ReadJob(SQLite::Statement* row) {
  StoredJob stored;
  stored.number = row->getColumn(0).getInt64();
  GRAFT_ASSIGN_OR_RETURN(stored.job, ReadMessage<v1::Job>(row->getColumn(1)));
  stored.request_id = row->getColumn(2).isNull() ? "" : row->getColumn(2).getString();
  stored.submitted_sha256 = row->getColumn(3).getString();
  stored.worker_sequence = row->getColumn(4).getInt64();
  stored.model_version = row->getColumn(5).getInt();
  return stored;
}

}  // namespace

struct JobStore::Impl {
  explicit Impl(const std::filesystem::path& path)
      : db(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, /*busy timeout, ms*/ 5000) {}

  SQLite::Database db;

  void WriteJob(const StoredJob& stored) {
    SQLite::Statement update(
        db, "UPDATE jobs SET job = ?, state = ?, worker_sequence = ?, model_version = ? WHERE number = ?");
    BindMessage(&update, 1, stored.job);
    update.bind(2, static_cast<int>(stored.job.state()));
    update.bind(3, stored.worker_sequence);
    update.bind(4, stored.model_version);
    update.bind(5, stored.number);
    update.exec();
  }

  void WriteEvent(int64_t number, const v1::JobEvent& event) {
    SQLite::Statement insert(db, "INSERT INTO events (number, sequence, event) VALUES (?, ?, ?)");
    insert.bind(1, number);
    insert.bind(2, static_cast<int64_t>(event.sequence()));
    BindMessage(&insert, 3, event);
    insert.exec();
  }
};

JobStore::JobStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JobStore::~JobStore() = default;

absl::StatusOr<std::unique_ptr<JobStore>> JobStore::Open(const std::filesystem::path& path) {
  return Sqlite([&]() -> absl::StatusOr<std::unique_ptr<JobStore>> {
    auto impl = std::make_unique<Impl>(path);
    // FULL: a commit is on the disk when it returns (WAL with NORMAL loses the last ones with the power).
    impl->db.exec("PRAGMA journal_mode = WAL");
    impl->db.exec("PRAGMA synchronous = FULL");
    const int schema = impl->db.execAndGet("PRAGMA user_version").getInt();
    if (schema > kSchema) {
      return absl::FailedPreconditionError(absl::StrCat(path.string(), " was written by a newer graftd (schema ",
                                                        schema, ", this one knows ", kSchema, "); run that one"));
    }
    if (schema == 0) {
      SQLite::Transaction transaction(impl->db, SQLite::TransactionBehavior::IMMEDIATE);
      impl->db.exec(
          "CREATE TABLE jobs (number INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT UNIQUE, submitted_sha256 TEXT "
          "NOT NULL, kind TEXT NOT NULL, dataset TEXT NOT NULL, model TEXT NOT NULL, model_version INTEGER NOT NULL, "
          "state "
          "INTEGER NOT NULL, worker_sequence INTEGER NOT NULL, job BLOB NOT NULL)");
      impl->db.exec("CREATE INDEX jobs_by_state ON jobs (state, number)");
      impl->db.exec(
          "CREATE TABLE events (number INTEGER NOT NULL REFERENCES jobs, sequence INTEGER NOT NULL, event BLOB NOT "
          "NULL, "
          "PRIMARY KEY (number, sequence)) WITHOUT ROWID");
      impl->db.exec("CREATE TABLE model_versions (model TEXT PRIMARY KEY, last INTEGER NOT NULL)");
      impl->db.exec(absl::StrCat("PRAGMA user_version = ", kSchema));
      transaction.commit();
    }
    return std::unique_ptr<JobStore>(new JobStore(std::move(impl)));
  });
}

absl::Status JobStore::Create(StoredJob* stored, v1::JobEvent* first) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::Status {
    SQLite::Transaction transaction(impl_->db, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement insert(
        impl_->db,
        "INSERT INTO jobs (request_id, submitted_sha256, kind, dataset, model, model_version, state, "
        "worker_sequence, job) VALUES (?, ?, ?, ?, ?, ?, ?, 0, '')");
    if (stored->request_id.empty()) {
      insert.bind(1);
    } else {
      insert.bind(1, stored->request_id);
    }
    insert.bind(2, stored->submitted_sha256);
    insert.bind(3, KindOf(stored->job.spec()));
    insert.bind(4, DatasetOf(stored->job.spec()));
    insert.bind(5, ModelOf(stored->job.spec()));
    insert.bind(6, stored->model_version);
    insert.bind(7, static_cast<int>(stored->job.state()));
    insert.exec();
    stored->number = impl_->db.getLastInsertRowid();
    stored->job.set_id(absl::StrCat("job-", stored->number));
    stored->job.set_last_sequence(1);
    first->set_job_id(stored->job.id());
    first->set_sequence(1);
    *first->mutable_time() = stored->job.create_time();
    impl_->WriteJob(*stored);
    impl_->WriteEvent(stored->number, *first);
    transaction.commit();
    return absl::OkStatus();
  });
}

absl::Status JobStore::Update(StoredJob* stored, std::vector<v1::JobEvent>* events, int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::Status {
    SQLite::Transaction transaction(impl_->db, SQLite::TransactionBehavior::IMMEDIATE);
    int64_t sequence = stored->job.last_sequence();
    for (v1::JobEvent& event : *events) {
      event.set_job_id(stored->job.id());
      event.set_sequence(++sequence);
      event.set_attempt(stored->job.attempt());
      *event.mutable_time() = ToTimestamp(now_ms);
      impl_->WriteEvent(stored->number, event);
    }
    StoredJob updated = *stored;
    updated.job.set_last_sequence(sequence);
    impl_->WriteJob(updated);
    transaction.commit();
    *stored = std::move(updated);
    return absl::OkStatus();
  });
}

absl::StatusOr<StoredJob> JobStore::Get(int64_t number) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::StatusOr<StoredJob> {
    SQLite::Statement select(impl_->db, absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE number = ?"));
    select.bind(1, number);
    if (!select.executeStep()) {
      return absl::NotFoundError(absl::StrCat("id: there is no job-", number));
    }
    return ReadJob(&select);
  });
}

absl::StatusOr<std::optional<StoredJob>> JobStore::FindRequest(const std::string& request_id) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::StatusOr<std::optional<StoredJob>> {
    SQLite::Statement select(impl_->db, absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE request_id = ?"));
    select.bind(1, request_id);
    if (!select.executeStep()) {
      return std::nullopt;
    }
    return ReadJob(&select);
  });
}

absl::StatusOr<std::vector<StoredJob>> JobStore::List(const JobFilter& filter) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::StatusOr<std::vector<StoredJob>> {
    std::string where = "1";
    if (!filter.states.empty()) {
      absl::StrAppend(&where, " AND state IN (", absl::StrJoin(filter.states, ","), ")");
    }
    SQLite::Statement select(
        impl_->db, absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE ", where,
                                " AND (?1 = '' OR kind = ?1) AND (?2 = '' OR dataset = ?2) AND (?3 = '' OR model = ?3)"
                                " AND (?4 = 0 OR number < ?4) ORDER BY number DESC LIMIT ?5"));
    select.bind(1, filter.kind);
    select.bind(2, filter.dataset);
    select.bind(3, filter.model);
    select.bind(4, filter.before);
    select.bind(5, filter.limit);
    std::vector<StoredJob> jobs;
    while (select.executeStep()) {
      GRAFT_ASSIGN_OR_RETURN(StoredJob job, ReadJob(&select));
      jobs.push_back(std::move(job));
    }
    return jobs;
  });
}

absl::StatusOr<std::vector<v1::JobEvent>> JobStore::Events(int64_t number, int64_t after, int limit) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::StatusOr<std::vector<v1::JobEvent>> {
    SQLite::Statement select(impl_->db,
                             "SELECT event FROM events WHERE number = ? AND sequence > ? ORDER BY sequence LIMIT ?");
    select.bind(1, number);
    select.bind(2, after);
    select.bind(3, limit);
    std::vector<v1::JobEvent> events;
    while (select.executeStep()) {
      GRAFT_ASSIGN_OR_RETURN(v1::JobEvent event, ReadMessage<v1::JobEvent>(select.getColumn(0)));
      events.push_back(std::move(event));
    }
    return events;
  });
}

absl::StatusOr<int> JobStore::NextModelVersion(const std::string& model, int at_least) {
  const std::lock_guard lock(mutex_);
  return Sqlite([&]() -> absl::StatusOr<int> {
    SQLite::Transaction transaction(impl_->db, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement upsert(
        impl_->db,
        "INSERT INTO model_versions (model, last) VALUES (?1, ?2 + 1) ON CONFLICT (model) DO UPDATE SET "
        "last = max(last, ?2) + 1 RETURNING last");
    upsert.bind(1, model);
    upsert.bind(2, at_least);
    upsert.executeStep();
    const int version = upsert.getColumn(0).getInt();
    upsert.reset();
    transaction.commit();
    return version;
  });
}

absl::StatusOr<int64_t> ParseJobId(const std::string& id) {
  absl::string_view digits = id;
  int64_t number = 0;
  if (!absl::ConsumePrefix(&digits, "job-") || !absl::SimpleAtoi(digits, &number) || number < 1) {
    return InvalidField("id", absl::StrCat("'", id, "' isn't a job's; they look like job-12"));
  }
  return number;
}

}  // namespace graft
