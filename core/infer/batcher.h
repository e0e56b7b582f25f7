// Dynamic batching: encoded images come in one by one from many callers and run through the networks in batches.
//
// Decoding has threads of its own; one thread runs the networks, so that they have the cores to themselves. A batch
// takes what is waiting for the same runner, up to max_batch, and waits for nobody.
//
// What waits is bounded by number and by bytes, and what is being decoded by bytes: all callers together can't take
// more memory than max_waiting_bytes and max_decoding_bytes. An exception, of a decoder, a runner or a caller's
// function, ends no thread: it becomes the Status of those whose work it was.
#ifndef GRAFT_CORE_INFER_BATCHER_H_
#define GRAFT_CORE_INFER_BATCHER_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/memory_budget.h"
#include "core/base/mutex.h"
#include "core/data/image.h"
#include "core/infer/engine.h"

namespace graft {

struct BatcherOptions {
  int decode_threads = 2;
  int64_t max_batch = 8;
  // Images waiting, decoded or not; one more is refused.
  size_t max_waiting = 256;
  // Of those: their files and, at the network's size, their pixels.
  int64_t max_waiting_bytes = int64_t{256} << 20;
  // ImageInfo::decoded_bytes of the images that are being decoded. One that needs more is decoded alone.
  int64_t max_decoding_bytes = 512'000'000;
  ImageLimits limits;
  // Called first on the thread that runs the networks.
  std::function<void()> prepare_thread;
  // Called on that thread when nothing has come for `idle_after` since the last batch: to give memory back.
  std::function<void()> idle;
  absl::Duration idle_after = absl::Seconds(5);
};

// What a batcher holds at the moment, in the units of BatcherOptions.
struct BatcherLoad {
  size_t waiting = 0;
  int64_t waiting_bytes = 0;
  int64_t decoding_bytes = 0;
};

// Thread-safe.
class Batcher {
 public:
  struct Request {
    std::shared_ptr<const BatchRunner> runner;
    // The file's bytes. `image` must outlive the call of `done`.
    absl::Span<const uint8_t> image;
    // Work whose caller has gone isn't started: asked before an image is decoded, before it is resized, and before it
    // runs. May be empty.
    std::function<bool()> abandoned;
    // Called once, on a thread of the batcher, with the runner's output for the image; INVALID_ARGUMENT: the image
    // can't be used; CANCELLED: abandoned; RESOURCE_EXHAUSTED: out of memory; UNAVAILABLE: the batcher is shutting
    // down. Should not throw; if it does, that is ignored.
    std::function<void(absl::StatusOr<std::vector<float>>)> done;
  };

  // RESOURCE_EXHAUSTED when its threads can't be started.
  static absl::StatusOr<std::unique_ptr<Batcher>> Start(BatcherOptions options);
  // Answers what is waiting with UNAVAILABLE and joins its threads.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // RESOURCE_EXHAUSTED when too many wait, or too many bytes, and then `done` is never called.
  absl::Status Submit(Request request);

  BatcherLoad load() const;

 private:
  struct Item {
    Request request;
    int64_t bytes = 0;  // that it counts for while it waits
    std::vector<uint8_t> pixels;
  };
  // Items move from list to list by splicing, which can't fail.
  using Items = std::list<Item>;

  explicit Batcher(BatcherOptions options);
  void DecodeLoop();
  absl::Status Decode(Item* item);
  void RunLoop();
  void RunBatch(Items batch);
  Items TakeBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Finish(Item* item, absl::StatusOr<std::vector<float>> result);

  bool HasEncoded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !encoded_.empty(); }
  bool HasDecoded() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !decoded_.empty(); }

  const BatcherOptions options_;
  MemoryBudget decoding_;
  mutable Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  Items encoded_ ABSL_GUARDED_BY(mutex_);
  Items decoded_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;  // set by Start, joined by the destructor
};

}  // namespace graft

#endif  // GRAFT_CORE_INFER_BATCHER_H_
