#include "client/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "core/base/mutex.h"

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

Interrupt::Interrupt(int out_fd) : out_fd_(out_fd) {
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

bool Interrupt::interrupted() const {
  const MutexLock lock(&mutex_);
  return interrupted_;
}

bool Interrupt::output_closed() const {
  const MutexLock lock(&mutex_);
  return output_closed_;
}

void Interrupt::Guard(grpc::ClientContext* context) {
  const MutexLock lock(&mutex_);
  context_ = context;
  if (HasEnded() && context_ != nullptr) {
    context_->TryCancel();
  }
}

void Interrupt::Sleep(absl::Duration time) {
  const MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(this, &Interrupt::HasEnded), time);
}

void Interrupt::End(bool interrupted) {
  const MutexLock lock(&mutex_);
  (interrupted ? interrupted_ : output_closed_) = true;
  if (context_ != nullptr) {
    context_->TryCancel();
  }
}

void Interrupt::Run() {
  // Of the output only errors are waited for, which poll always reports.
  struct pollfd watched[] = {{pipe_[0], POLLIN, 0}, {out_fd_, 0, 0}};
  for (;;) {
    if (poll(watched, 2, -1) < 0) {
      if (errno == EINTR) {
        continue;
      }
      return;
    }
    if (watched[1].revents != 0) {
      watched[1].fd = -1;  // poll passes over it
      End(/*interrupted=*/false);
    }
    if (watched[0].revents != 0) {
      char byte = 0;
      if (read(pipe_[0], &byte, 1) != 1 || byte != 'i') {
        return;
      }
      End(/*interrupted=*/true);
    }
  }
}

}  // namespace graft
