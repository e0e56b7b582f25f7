// Ctrl-C that ends a call, not the program.
#ifndef GRAFT_CLIENT_INTERRUPT_H_
#define GRAFT_CLIENT_INTERRUPT_H_

#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace graft {

// While one lives, the first Ctrl-C cancels the guarded call instead of ending the program; the second one ends it. At
// most one lives at a time. Thread-safe.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  bool happened() const;

  // From now on Ctrl-C cancels this call; null: none. The call outlives its being guarded.
  void Guard(grpc::ClientContext* context);

  // Returns early on Ctrl-C.
  void Sleep(absl::Duration time);

 private:
  void Run();

  int pipe_[2];  // signal handler and destructor to the thread: 'i' and 'q'
  struct sigaction previous_ {};
  mutable absl::Mutex mutex_;
  bool happened_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread thread_;  // last: it uses the rest
};

}  // namespace graft

#endif  // GRAFT_CLIENT_INTERRUPT_H_
