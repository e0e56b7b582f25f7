// How many bytes of requests may be in memory at a time, whoever sent them: received and not yet answered.
#ifndef GRAFT_SERVER_RPC_BYTE_BUDGET_H_
#define GRAFT_SERVER_RPC_BYTE_BUDGET_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "core/base/mutex.h"

namespace graft {

// Thread-safe; longer-lived than its reservations.
class ByteBudget {
 public:
  explicit ByteBudget(int64_t limit) : limit_(limit) {}
  ByteBudget(const ByteBudget&) = delete;
  ByteBudget& operator=(const ByteBudget&) = delete;

  // Bytes taken until it goes. Not under a lock that WhenRoom's callbacks take.
  class Reservation {
   public:
    Reservation() = default;
    Reservation(Reservation&& other) noexcept { *this = std::move(other); }
    Reservation& operator=(Reservation&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Reservation();

   private:
    friend class ByteBudget;
    Reservation(ByteBudget* budget, int64_t bytes) : budget_(budget), bytes_(bytes) {}

    ByteBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  // Nullopt when they don't fit.
  std::optional<Reservation> TryTake(int64_t bytes);
  // Of a message that has come already, and whose size nobody knew before: may exceed the limit. Who asked WhenRoom
  // first exceeds it by that one message at most.
  Reservation Take(int64_t bytes);

  bool HasRoom() const;
  // Calls `go` once there is room: at once, or from the thread that makes some. It must be quick.
  void WhenRoom(std::function<void()> go);

  int64_t used() const;
  // The most that was ever used.
  int64_t peak() const;

 private:
  Reservation TakeLocked(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Release(int64_t bytes);

  const int64_t limit_;
  mutable Mutex mutex_;
  int64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t peak_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_BYTE_BUDGET_H_
