#include "client/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace graft {
namespace {

// What a signal handler may use.
std::atomic<int> signal_fd{-1};

void OnSignal(int) {
  const int saved = errno;
  const char byte = 'i';
  (void)!write(signal_fd, &byte, 1);
  errno = saved;
}

}  // namespace

Interrupt::Interrupt() {
  if (pipe2(pipe_, O_CLOEXEC) != 0) {
    pipe_[0] = pipe_[1] = -1;
    return;  // Ctrl-C then ends the program, as without us
  }
  signal_fd = pipe_[1];
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, &previous_);
  thread_ = std::thread([this] { Run(); });
}

Interrupt::~Interrupt() {
  if (pipe_[0] < 0) {
    return;
  }
  sigaction(SIGINT, &previous_, nullptr);
  const char byte = 'q';
  (void)!write(pipe_[1], &byte, 1);
  thread_.join();
  signal_fd = -1;
  close(pipe_[0]);
  close(pipe_[1]);
}

bool Interrupt::happened() const {
  const absl::MutexLock lock(&mutex_);
  return happened_;
}

void Interrupt::Guard(grpc::ClientContext* context) {
  const absl::MutexLock lock(&mutex_);
  context_ = context;
  if (happened_ && context_ != nullptr) {
    context_->TryCancel();
  }
}

void Interrupt::Sleep(absl::Duration time) {
  const absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&happened_), time);
}

void Interrupt::Run() {
  for (;;) {
    char byte = 0;
    const ssize_t got = read(pipe_[0], &byte, 1);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got != 1 || byte != 'i') {
      return;
    }
    const absl::MutexLock lock(&mutex_);
    happened_ = true;
    if (context_ != nullptr) {
      context_->TryCancel();
    }
  }
}

}  // namespace graft
