#include "server/rpc/listener_probe.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

namespace graft {
namespace {

enum class Answer { kAlive, kDead, kUnknown };

using Clock = std::chrono::steady_clock;

// Whether `fd` becomes ready for `events` before `end`.
bool Await(int fd, int16_t events, Clock::time_point end) {
  pollfd polled = {fd, events, 0};
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    const int ready = poll(&polled, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready >= 0 || errno != EINTR) {
      return ready > 0;
    }
  }
}

Clock::time_point In(absl::Duration duration) { return Clock::now() + absl::ToChronoMilliseconds(duration); }

Answer Knock(const SocketAddress& address, absl::Duration timeout) {
  const Clock::time_point end = In(timeout);
  const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) {
    return Answer::kUnknown;  // no descriptor for us says nothing about the listener
  }
  Answer answer = Answer::kDead;
  // EAGAIN: a Unix socket's queue is full, which it is when nobody accepts.
  const bool begun = connect(fd, address.get(), address.size) == 0 || errno == EINPROGRESS;
  char byte = 0;
  if (begun && Await(fd, POLLOUT, end) && Await(fd, POLLIN, end)) {
    // The end, too, comes from one who has accepted. A refused connection is an error.
    answer = recv(fd, &byte, 1, 0) >= 0 ? Answer::kAlive : Answer::kDead;
  }
  close(fd);
  return answer;
}

}  // namespace

ListenerProbe::ListenerProbe(std::vector<std::pair<std::string, SocketAddress>> listeners, const Options& options,
                             OnDead on_dead)
    : listeners_(std::move(listeners)),
      options_(options),
      on_dead_(std::move(on_dead)),
      stop_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Loop(); }) {}

ListenerProbe::~ListenerProbe() {
  const uint64_t one = 1;
  (void)!write(stop_event_, &one, sizeof(one));
  thread_.join();
  close(stop_event_);
}

void ListenerProbe::Loop() {
  std::vector<int> failures(listeners_.size(), 0);
  while (!Await(stop_event_, POLLIN, In(options_.interval))) {
    for (size_t i = 0; i < listeners_.size(); ++i) {
      const Answer answer = Knock(listeners_[i].second, options_.timeout);
      if (answer == Answer::kAlive) {
        failures[i] = 0;
      } else if (answer == Answer::kDead && ++failures[i] == options_.failures) {
        on_dead_(listeners_[i].first);
        return;
      }
    }
  }
}

}  // namespace graft
