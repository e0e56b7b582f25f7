// Dynamic batching: encoded images come in one by one from many callers and run through the networks in batches.
//
// Decoding has threads of its own; one thread runs the networks, so that they have the cores to themselves. A batch
// takes what is waiting for the same runner, up to max_batch, and waits for nobody.
#ifndef GRAFT_CORE_INFER_BATCHER_H_
#define GRAFT_CORE_INFER_BATCHER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/data/image.h"
#include "core/infer/engine.h"

namespace graft {

struct BatcherOptions {
  int decode_threads = 2;
  int64_t max_batch = 8;
  // Images waiting, decoded or not; one more is refused.
  size_t max_waiting = 256;
  ImageLimits limits;
  // Called first on the thread that runs the networks.
  std::function<void()> prepare_thread;
  // Called on that thread when nothing has come for `idle_after` since the last batch: to give memory back.
  std::function<void()> idle;
  absl::Duration idle_after = absl::Seconds(5);
};

// Thread-safe.
class Batcher {
 public:
  struct Request {
    std::shared_ptr<const BatchRunner> runner;
    // The file's bytes. `image` must outlive the call of `done`.
    absl::Span<const uint8_t> image;
    // Work whose caller has gone isn't started. May be empty.
    std::function<bool()> abandoned;
    // Called once, on a thread of the batcher, with the runner's output for the image; INVALID_ARGUMENT: the image
    // can't be used; CANCELLED: abandoned; UNAVAILABLE: the batcher is shutting down.
    std::function<void(absl::StatusOr<std::vector<float>>)> done;
  };

  explicit Batcher(BatcherOptions options);
  // Answers what is waiting with UNAVAILABLE and joins its threads.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // RESOURCE_EXHAUSTED when too many wait, and then `done` is never called.
  absl::Status Submit(Request request);

 private:
  struct Item {
    Request request;
    std::vector<uint8_t> pixels;
  };

  void DecodeLoop();
  void RunLoop();
  void RunBatch(std::vector<Item> batch);
  void Finish(Item* item, absl::StatusOr<std::vector<float>> result);

  const BatcherOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool stopping_ = false;
  size_t waiting_ = 0;
  std::deque<Item> encoded_;
  std::deque<Item> decoded_;
  // Last: they use all of the above.
  std::vector<std::thread> threads_;
};

}  // namespace graft

#endif  // GRAFT_CORE_INFER_BATCHER_H_
