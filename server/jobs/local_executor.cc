#include "server/jobs/local_executor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"

extern char** environ;

namespace graft {
namespace {

constexpr int kPollMs = 200;

// The last line that a worker wrote, to say why it died.
std::string LastLine(const std::filesystem::path& log) {
  constexpr int64_t kMaxLog = 64 << 20;
  const auto bytes = ReadFile(log, kMaxLog);
  if (!bytes.ok()) {
    return "";
  }
  const absl::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n', absl::SkipWhitespace());
  return lines.empty() ? "" : std::string(lines.back().substr(0, 500));
}

absl::Status ExitStatus(int status, const std::filesystem::path& log) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return absl::OkStatus();
  }
  std::string how;
  if (WIFSIGNALED(status)) {
    how = absl::StrCat("was ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")",
                       WTERMSIG(status) == SIGKILL ? "; the system does that when memory runs out" : "");
  } else {
    how = absl::StrCat("ended with exit status ", WEXITSTATUS(status));
  }
  const std::string last = LastLine(log);
  return absl::AbortedError(absl::StrCat("the worker process ", how, last.empty() ? "" : "; its last words: ", last,
                                         ". Its log: ", log.string()));
}

}  // namespace

LocalExecutor::LocalExecutor(std::filesystem::path program, std::string server, absl::Duration grace)
    : program_(std::move(program)), server_(std::move(server)), grace_(grace) {}

LocalExecutor::~LocalExecutor() {
  std::vector<Key> running;
  std::map<Key, std::thread> threads;
  {
    const std::lock_guard lock(mutex_);
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
  const std::filesystem::path log = launch.folder / "worker.log";
  const std::string attempt = absl::StrCat(launch.attempt);
  std::vector<std::string> words = {program_.string(), "--server",  server_, "--job",
                                    launch.job_id,     "--attempt", attempt};
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);

  // An executable is spawned, not forked into: fork hangs once LibTorch's or gRPC's threads have run.
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Its own process group: Ctrl-C in the server's terminal is the server's to handle. And no blocked signals.
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program_.c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    return ErrnoStatus(error, "start", program_);
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  const Key key(launch.job_id, launch.attempt);
  const std::lock_guard lock(mutex_);
  for (const Key& done : finished_) {
    threads_.at(done).join();
    threads_.erase(done);
  }
  finished_.clear();
  workers_[key] = {pid};
  threads_[key] =
      std::thread([this, key, pidfd, log, on_exit = std::move(on_exit)] { Wait(key, pidfd, log, on_exit); });
  return absl::OkStatus();
}

void LocalExecutor::Stop(const std::string& job_id, int attempt) {
  const std::lock_guard lock(mutex_);
  const auto it = workers_.find({job_id, attempt});
  if (it != workers_.end() && !it->second.stopping) {
    it->second.stopping = true;
    it->second.kill_time = absl::Now() + grace_;
    kill(it->second.pid, SIGTERM);
  }
}

void LocalExecutor::Wait(const Key& key, int pidfd, const std::filesystem::path& log, const OnExit& on_exit) {
  int status = 0;
  for (;;) {
    pollfd ready = {pidfd, POLLIN, 0};
    poll(&ready, 1, kPollMs);  // with no pidfd (an old kernel) this is a sleep
    const std::lock_guard lock(mutex_);
    Worker& worker = workers_.at(key);
    // Reaped under the lock, so that Stop never signals a process number that was given out again.
    if (waitpid(worker.pid, &status, WNOHANG) != 0) {
      workers_.erase(key);
      break;
    }
    if (absl::Now() >= worker.kill_time) {
      kill(worker.pid, SIGKILL);
    }
  }
  if (pidfd >= 0) {
    close(pidfd);
  }
  on_exit(ExitStatus(status, log));
  const std::lock_guard lock(mutex_);
  if (threads_.count(key) > 0) {  // else the destructor joins it
    finished_.push_back(key);
  }
}

}  // namespace graft
