// What ends a call that waits, and not the program: Ctrl-C, and a reader that goes away.
#ifndef GRAFT_CLIENT_INTERRUPT_H_
#define GRAFT_CLIENT_INTERRUPT_H_

#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"

namespace graft {

// While one lives, the first Ctrl-C cancels the guarded call instead of ending the program; the second one ends it. So
// does a pipe that nobody reads any more: who has nothing to write for hours would not notice. At most one lives at a
// time. Thread-safe.
class Interrupt {
 public:
  // `out_fd`: what the output is written to; -1: not watched.
  explicit Interrupt(int out_fd);
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  bool interrupted() const;    // by Ctrl-C
  bool output_closed() const;  // nobody reads

  // From now on either cancels this call; null: none. The call outlives its being guarded.
  void Guard(grpc::ClientContext* context);

  // Returns early on either.
  void Sleep(absl::Duration time);

 private:
  // The thread's: until the destructor ends it.
  void Run();
  void End(bool interrupted);
  bool HasEnded() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return interrupted_ || output_closed_; }

  const int out_fd_;
  int pipe_[2];  // signal handler and destructor to the thread: 'i' and 'q'
  struct sigaction previous_ {};
  mutable Mutex mutex_;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  bool output_closed_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace graft

#endif  // GRAFT_CLIENT_INTERRUPT_H_
