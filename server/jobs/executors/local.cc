#include "server/jobs/executors/local.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "core/base/text.h"

extern char** environ;

namespace graft {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 200;

fs::path LogFile(const fs::path& folder) { return folder / "worker.log"; }
fs::path IdentityFile(const fs::path& folder) { return folder / "worker.json"; }

// The file's last bytes, at most `bytes`.
std::string Tail(const fs::path& path, int64_t bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string tail;
  struct stat info {};
  if (fd >= 0 && fstat(fd, &info) == 0) {
    const int64_t size = std::min<int64_t>(info.st_size, bytes);
    tail.resize(static_cast<size_t>(size));
    const ssize_t read = pread(fd, tail.data(), tail.size(), info.st_size - size);
    tail.resize(static_cast<size_t>(std::max<ssize_t>(read, 0)));
  }
  if (fd >= 0) {
    close(fd);
  }
  return tail;
}

// The last line that a worker wrote, to say why it died.
std::string LastWords(const fs::path& log) {
  constexpr int64_t kTail = 64 << 10;
  constexpr size_t kShown = 500;
  const std::string tail = Tail(log, kTail);
  const std::vector<absl::string_view> lines = absl::StrSplit(tail, '\n', absl::SkipWhitespace());
  return lines.empty() ? "" : Printable(lines.back(), kShown);
}

// Cuts a log that has become too long down to its newer half. The worker appends, so what it writes next stands behind.
void BoundLog(const fs::path& log, int64_t max_bytes) {
  struct stat info {};
  if (stat(log.c_str(), &info) != 0 || info.st_size <= max_bytes) {
    return;
  }
  const std::string kept = absl::StrCat("[older lines were dropped]\n", Tail(log, max_bytes / 2));
  const int fd = open(log.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd >= 0) {
    if (ftruncate(fd, 0) == 0 && write(fd, kept.data(), kept.size()) < 0) {
      // A full disk: the older half is lost too, which is better than a log without bounds.
    }
    close(fd);
  }
}

absl::Status ExitStatus(const std::string& how, const fs::path& log) {
  const std::string last = LastWords(log);
  return absl::AbortedError(absl::StrCat("the worker process ", how, last.empty() ? "" : "; its last words: ", last,
                                         ". Its log: ", log.string()));
}

absl::Status ExitStatus(int status, const fs::path& log) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return absl::OkStatus();
  }
  if (WIFSIGNALED(status)) {
    return ExitStatus(absl::StrCat("was ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")",
                                   WTERMSIG(status) == SIGKILL ? "; the system does that when memory runs out" : ""),
                      log);
  }
  return ExitStatus(absl::StrCat("ended with exit status ", WEXITSTATUS(status)), log);
}

// To the process itself where the kernel can, not to whoever has its number by now.
void Signal(pid_t pid, int pidfd, int signal) {
  if (pidfd >= 0) {
    syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
  } else {
    kill(pid, signal);
  }
}

int OpenPid(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

// Files of /proc have no size to read by.
std::string ReadProc(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return "";
  }
  std::string text(4096, '\0');
  const ssize_t size = read(fd, text.data(), text.size());
  close(fd);
  text.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  return text;
}

// Of /proc/PID/stat.
struct ProcessState {
  std::string name;
  std::string start_time;  // in ticks since the boot
  absl::Duration processor_time;
};

// Nullopt: it isn't there, or is a zombie.
std::optional<ProcessState> ReadState(pid_t pid) {
  // "12 (graft-worker) S 1 ...": the name may hold spaces and brackets, so the last bracket ends it.
  const std::string stat = ReadProc(absl::StrCat("/proc/", pid, "/stat"));
  const size_t open_bracket = stat.find('(');
  const size_t close_bracket = stat.rfind(')');
  if (open_bracket == std::string::npos || close_bracket == std::string::npos || close_bracket < open_bracket) {
    return std::nullopt;
  }
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(close_bracket + 1), ' ', absl::SkipEmpty());
  constexpr size_t kState = 0;        // the third field of proc(5)
  constexpr size_t kUserTime = 11;    // the 14th
  constexpr size_t kSystemTime = 12;  // the 15th
  constexpr size_t kStartTime = 19;   // the 22nd
  if (fields.size() <= kStartTime || fields[kState] == "Z" || fields[kState] == "X") {
    return std::nullopt;
  }
  int64_t user = 0;
  int64_t system = 0;
  if (!absl::SimpleAtoi(fields[kUserTime], &user) || !absl::SimpleAtoi(fields[kSystemTime], &system)) {
    return std::nullopt;
  }
  ProcessState state;
  state.name = Printable(stat.substr(open_bracket + 1, close_bracket - open_bracket - 1));
  state.start_time = fields[kStartTime];
  state.processor_time = absl::Seconds(static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)));
  return state;
}

// What tells a process from every other that has had or will have its number: when it started, since which boot, and
// its name. Nullopt: it isn't there, or is a zombie.
std::optional<nlohmann::json> Identity(pid_t pid) {
  const std::optional<ProcessState> state = ReadState(pid);
  if (!state.has_value()) {
    return std::nullopt;
  }
  return nlohmann::json{{"pid", pid},
                        {"name", state->name},
                        {"start_time", state->start_time},
                        {"boot", std::string(absl::StripAsciiWhitespace(ReadProc("/proc/sys/kernel/random/boot_id")))}};
}

}  // namespace

LocalExecutor::~LocalExecutor() {
  std::vector<Key> running;
  std::map<Key, std::thread> threads;
  {
    const MutexLock lock(&mutex_);
    for (const auto& [key, worker] : workers_) {
      running.push_back(key);
    }
    threads.swap(threads_);
  }
  for (const Key& key : running) {
    Stop(key.first, key.second);
  }
  for (auto& [key, thread] : threads) {
    thread.join();
  }
}

absl::Status LocalExecutor::Start(const WorkerLaunch& launch, OnExit on_exit) {
  const fs::path log = LogFile(launch.folder);
  std::vector<std::string> words = {options_.program.string(),
                                    "--server",
                                    options_.server,
                                    "--job",
                                    launch.job_id,
                                    "--attempt",
                                    absl::StrCat(launch.attempt),
                                    "--incarnation",
                                    launch.incarnation,
                                    "--data-dir",
                                    options_.data_dir.string(),
                                    "--weights-dir",
                                    options_.weights_dir.string(),
                                    "--give-up-seconds",
                                    absl::StrCat(absl::ToInt64Seconds(options_.give_up))};
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);

  // An executable is spawned, not forked into: fork hangs once LibTorch's or gRPC's threads have run.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Its own process group: Ctrl-C in the server's terminal is the server's to handle. And no blocked signals.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  Worker worker;
  const int error = posix_spawn(&worker.pid, options_.program.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return ErrnoStatus(error, "start", options_.program);
  }
  Failpoint("worker.started").IgnoreError();
  worker.pidfd = OpenPid(worker.pid);
  // For the next server to find it. A worker that can't be found again is fenced, and its job runs anew.
  if (const std::optional<nlohmann::json> identity = Identity(worker.pid); identity.has_value()) {
    WriteSealedJson(IdentityFile(launch.folder), *identity).IgnoreError();
  }
  Watch({launch.job_id, launch.attempt}, worker, log, std::move(on_exit));
  return absl::OkStatus();
}

absl::Status LocalExecutor::Adopt(const WorkerLaunch& launch, OnExit on_exit) {
  const fs::path file = IdentityFile(launch.folder);
  GRAFT_ASSIGN_OR_RETURN(nlohmann::json written, ReadSealedJson(file));
  written.erase("sha256");
  Worker worker;
  worker.child = false;
  const absl::StatusOr<pid_t> pid =
      ParseJson(file.string(), [&]() -> absl::StatusOr<pid_t> { return written.at("pid").get<pid_t>(); });
  GRAFT_RETURN_IF_ERROR(pid.status());
  worker.pid = *pid;
  worker.pidfd = OpenPid(worker.pid);
  // Compared after it was opened: from here on the descriptor is this process's, whatever becomes of the number.
  if (worker.pidfd < 0 || Identity(worker.pid) != written) {
    if (worker.pidfd >= 0) {
      close(worker.pidfd);
    }
    return absl::NotFoundError(absl::StrCat("the worker of ", launch.job_id, " has ended"));
  }
  Watch({launch.job_id, launch.attempt}, worker, LogFile(launch.folder), std::move(on_exit));
  return absl::OkStatus();
}

void LocalExecutor::Stop(const std::string& job_id, int attempt) {
  const MutexLock lock(&mutex_);
  const auto it = workers_.find({job_id, attempt});
  if (it != workers_.end() && !it->second.stopping) {
    it->second.stopping = true;
    it->second.kill_time = Clock::now() + absl::ToChronoNanoseconds(options_.grace);
    Signal(it->second.pid, it->second.pidfd, SIGTERM);
  }
}

std::optional<absl::Duration> LocalExecutor::ProcessorTime(const std::string& job_id, int attempt) {
  // Under the lock, so that the process isn't reaped and its number given out again meanwhile.
  const MutexLock lock(&mutex_);
  const auto it = workers_.find({job_id, attempt});
  if (it == workers_.end()) {
    return std::nullopt;
  }
  const std::optional<ProcessState> state = ReadState(it->second.pid);
  return state.has_value() ? std::optional(state->processor_time) : std::nullopt;
}

void LocalExecutor::Watch(const Key& key, const Worker& worker, const fs::path& log, OnExit on_exit) {
  std::vector<std::thread> done;
  {
    const MutexLock lock(&mutex_);
    for (const Key& finished : finished_) {
      done.push_back(std::move(threads_.at(finished)));
      threads_.erase(finished);
    }
    finished_.clear();
    workers_[key] = worker;
    threads_[key] = std::thread([this, key, pidfd = worker.pidfd, child = worker.child, log,
                                 on_exit = std::move(on_exit)] { Wait(key, pidfd, child, log, on_exit); });
  }
  for (std::thread& thread : done) {
    thread.join();
  }
}

void LocalExecutor::Wait(const Key& key, int pidfd, bool child, const fs::path& log, const OnExit& on_exit) {
  absl::Status exit;
  for (;;) {
    pollfd ready = {pidfd, POLLIN, 0};
    const bool ended = poll(&ready, 1, kPollMs) > 0;  // with no pidfd (an old kernel) this is a sleep
    BoundLog(log, options_.max_log_bytes);
    const MutexLock lock(&mutex_);
    Worker& worker = workers_.at(key);
    if (child) {
      // Reaped under the lock, so that Stop never signals a process number that was given out again.
      int status = 0;
      if (waitpid(worker.pid, &status, WNOHANG) != 0) {
        workers_.erase(key);
        exit = ExitStatus(status, log);
        break;
      }
    } else if (ended) {
      workers_.erase(key);
      exit = ExitStatus("ended without a result, and how is not known: another server had started it", log);
      break;
    }
    if (Clock::now() >= worker.kill_time) {
      Signal(worker.pid, worker.pidfd, SIGKILL);
    }
  }
  if (pidfd >= 0) {
    close(pidfd);
  }
  on_exit(exit);
  const MutexLock lock(&mutex_);
  if (threads_.count(key) > 0) {  // else the destructor joins it
    finished_.push_back(key);
  }
}

}  // namespace graft
