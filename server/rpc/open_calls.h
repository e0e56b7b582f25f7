// Which calls run: the door that lets them in, counts them, and closes when the server goes.
#ifndef GRAFT_SERVER_RPC_OPEN_CALLS_H_
#define GRAFT_SERVER_RPC_OPEN_CALLS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/mutex.h"

namespace graft {

// Thread-safe; longer-lived than its tickets.
class OpenCalls {
 public:
  enum class Kind {
    kUnary,
    kWatch,  // streams that mostly sleep
    kBulk,   // streams that carry images or files
  };
  struct Limits {
    size_t unary = SIZE_MAX;
    size_t watch = SIZE_MAX;
    size_t bulk = SIZE_MAX;
  };

  explicit OpenCalls(Limits limits) : limits_{limits.unary, limits.watch, limits.bulk} {}
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;

  // A call is open until its ticket goes.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept { *this = std::move(other); }
    Ticket& operator=(Ticket&& other) noexcept {
      std::swap(calls_, other.calls_);
      std::swap(number_, other.number_);
      return *this;
    }
    ~Ticket();

   private:
    friend class OpenCalls;
    Ticket(OpenCalls* calls, int64_t number) : calls_(calls), number_(number) {}

    OpenCalls* calls_ = nullptr;
    int64_t number_ = 0;
  };

  // `abort` is called when the server goes and must be quick; it may come after the ticket has gone, and is empty for
  // calls that end soon by themselves. RESOURCE_EXHAUSTED: too many of this kind; UNAVAILABLE: closed.
  absl::StatusOr<Ticket> Enter(Kind kind, std::function<void()> abort);

  // From here on every Enter is UNAVAILABLE. Aborts what is open.
  void Close();
  // Whether no call is open, waiting at most `longest` for that.
  bool AwaitNone(absl::Duration longest);

 private:
  struct Open {
    Kind kind;
    std::function<void()> abort;
  };

  void Leave(int64_t number);

  const std::array<size_t, 3> limits_;
  Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::array<size_t, 3> counts_ ABSL_GUARDED_BY(mutex_) = {};
  std::map<int64_t, Open> open_ ABSL_GUARDED_BY(mutex_);
};

// What a call that came too late, or that was cut short, is told.
absl::Status ShuttingDown();

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_OPEN_CALLS_H_
