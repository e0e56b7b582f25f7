// Tells thread sanitizer what absl's locks order. Only in builds with it, linked into each test.
//
// Debian's absl is built without the sanitizer, which therefore sees no lock where absl::Mutex is one, and reports
// races wherever one guards something. These functions take the place of the library's, for our code and for gRPC,
// whose own locks are absl's too: they call the real ones and say what happens before what.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

#include "absl/base/options.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
}

namespace {

#define GRAFT_STRING_INNER(x) #x
#define GRAFT_STRING(x) GRAFT_STRING_INNER(x)

// `rest`: what follows the inline namespace in the mangled name.
void* Resolve(const char* kind, const char* rest) {
  constexpr char kNamespace[] = GRAFT_STRING(ABSL_OPTIONS_INLINE_NAMESPACE_NAME);
  char name[200];
  std::snprintf(name, sizeof(name), "%s4absl%zu%s%s", kind, sizeof(kNamespace) - 1, kNamespace, rest);
  void* const real = dlsym(RTLD_NEXT, name);
  if (real == nullptr) {
    std::fprintf(stderr, "tests/testing/tsan_absl.cc: absl has no %s\n", name);
    std::abort();
  }
  return real;
}

// The real function behind a member function, looked up once.
#define GRAFT_REAL(Result, kind, rest, ...)                 \
  [] {                                                      \
    static void* const real = Resolve(kind, rest);          \
    return reinterpret_cast<Result (*)(__VA_ARGS__)>(real); \
  }()

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  GRAFT_REAL(void, "_ZN", "5Mutex4LockEv", Mutex*)(this);
  __tsan_acquire(this);
}
bool Mutex::TryLock() {
  const bool locked = GRAFT_REAL(bool, "_ZN", "5Mutex7TryLockEv", Mutex*)(this);
  if (locked) {
    __tsan_acquire(this);
  }
  return locked;
}
void Mutex::Unlock() {
  __tsan_release(this);
  GRAFT_REAL(void, "_ZN", "5Mutex6UnlockEv", Mutex*)(this);
}
void Mutex::ReaderLock() {
  GRAFT_REAL(void, "_ZN", "5Mutex10ReaderLockEv", Mutex*)(this);
  __tsan_acquire(this);
}
void Mutex::ReaderUnlock() {
  __tsan_release(this);
  GRAFT_REAL(void, "_ZN", "5Mutex12ReaderUnlockEv", Mutex*)(this);
}
void Mutex::LockWhen(const Condition& condition) {
  GRAFT_REAL(void, "_ZN", "5Mutex8LockWhenERKNS0_9ConditionE", Mutex*, const Condition*)(this, &condition);
  __tsan_acquire(this);
}
void Mutex::Await(const Condition& condition) {
  __tsan_release(this);
  GRAFT_REAL(void, "_ZN", "5Mutex5AwaitERKNS0_9ConditionE", Mutex*, const Condition*)(this, &condition);
  __tsan_acquire(this);
}
bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  __tsan_release(this);
  const bool met = GRAFT_REAL(bool, "_ZN", "5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE", Mutex*,
                              const Condition*, Duration)(this, &condition, timeout);
  __tsan_acquire(this);
  return met;
}
bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  __tsan_release(this);
  const bool met = GRAFT_REAL(bool, "_ZN", "5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE", Mutex*,
                              const Condition*, Time)(this, &condition, deadline);
  __tsan_acquire(this);
  return met;
}

// Whoever unlocks may evaluate another's condition, with the lock held but before anybody was told so.
bool Condition::Eval() const {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  const bool met = GRAFT_REAL(bool, "_ZNK", "9Condition4EvalEv", const Condition*)(this);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  return met;
}

void CondVar::Wait(Mutex* mutex) {
  __tsan_release(mutex);
  GRAFT_REAL(void, "_ZN", "7CondVar4WaitEPNS0_5MutexE", CondVar*, Mutex*)(this, mutex);
  __tsan_acquire(mutex);
}
bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  __tsan_release(mutex);
  const bool passed = GRAFT_REAL(bool, "_ZN", "7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE", CondVar*, Mutex*,
                                 Duration)(this, mutex, timeout);
  __tsan_acquire(mutex);
  return passed;
}
bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  __tsan_release(mutex);
  const bool passed = GRAFT_REAL(bool, "_ZN", "7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE", CondVar*, Mutex*,
                                 Time)(this, mutex, deadline);
  __tsan_acquire(mutex);
  return passed;
}

// HasBeenNotified is inline and reads the flag itself.
void Notification::Notify() {
  __tsan_release(&notified_yet_);
  GRAFT_REAL(void, "_ZN", "12Notification6NotifyEv", Notification*)(this);
}
void Notification::WaitForNotification() const {
  GRAFT_REAL(void, "_ZNK", "12Notification19WaitForNotificationEv", const Notification*)(this);
  __tsan_acquire(const_cast<std::atomic<bool>*>(&notified_yet_));
}
bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  const bool notified = GRAFT_REAL(bool, "_ZNK", "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE",
                                   const Notification*, Duration)(this, timeout);
  __tsan_acquire(const_cast<std::atomic<bool>*>(&notified_yet_));
  return notified;
}

bool BlockingCounter::DecrementCount() {
  __tsan_release(this);
  return GRAFT_REAL(bool, "_ZN", "15BlockingCounter14DecrementCountEv", BlockingCounter*)(this);
}
void BlockingCounter::Wait() {
  GRAFT_REAL(void, "_ZN", "15BlockingCounter4WaitEv", BlockingCounter*)(this);
  __tsan_acquire(this);
}

ABSL_NAMESPACE_END
}  // namespace absl
