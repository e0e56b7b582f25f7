#include "core/infer/batcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

absl::Status ShuttingDown() { return absl::UnavailableError("the server is shutting down; try again"); }

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t n : shape) {
    count *= n;
  }
  return count;
}

int64_t PixelBytes(const BatchRunner& runner) { return int64_t{3} * runner.image_size() * runner.image_size(); }

// Runs what others wrote; the thread that runs it outlives whatever it throws.
template <typename Fn>
absl::Status Guard(absl::string_view what, const Fn& fn) {
  try {
    return CatchExceptions(what, fn);
  } catch (...) {
    return absl::InternalError(absl::StrCat(what, ": an unknown exception"));
  }
}

}  // namespace

Batcher::Batcher(BatcherOptions options) : options_(std::move(options)), decoding_(options_.max_decoding_bytes) {}

absl::StatusOr<std::unique_ptr<Batcher>> Batcher::Start(BatcherOptions options) {
  std::unique_ptr<Batcher> batcher(new Batcher(std::move(options)));
  absl::Status status = CatchExceptions("starting the threads that decode and run images", [&] {
    batcher->threads_.emplace_back([self = batcher.get()] { self->RunLoop(); });
    for (int i = 0; i < batcher->options_.decode_threads; ++i) {
      batcher->threads_.emplace_back([self = batcher.get()] { self->DecodeLoop(); });
    }
    return absl::OkStatus();
  });
  if (!status.ok()) {
    return absl::ResourceExhaustedError(status.message());
  }
  return batcher;
}

Batcher::~Batcher() {
  {
    const MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
  Items left;
  {
    const MutexLock lock(&mutex_);
    left.splice(left.end(), encoded_);
    left.splice(left.end(), decoded_);
  }
  for (Item& item : left) {
    Finish(&item, ShuttingDown());
  }
}

absl::Status Batcher::Submit(Request request) {
  Items item;
  item.emplace_back();
  item.front().bytes = static_cast<int64_t>(request.image.size()) + PixelBytes(*request.runner);
  item.front().request = std::move(request);
  const MutexLock lock(&mutex_);
  if (stopping_) {
    return ShuttingDown();
  }
  if (waiting_ == options_.max_waiting) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting_, " images are waiting already, the most that this server queues; try again in a second"));
  }
  const int64_t bytes = item.front().bytes;
  if (bytes > options_.max_waiting_bytes - waiting_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("images of ", waiting_bytes_, " bytes are waiting already, and this one takes ", bytes,
                     "; this server queues ", options_.max_waiting_bytes, " bytes at most; try again in a second"));
  }
  ++waiting_;
  waiting_bytes_ += bytes;
  encoded_.splice(encoded_.end(), item);
  return absl::OkStatus();
}

BatcherLoad Batcher::load() const {
  const int64_t decoding_bytes = decoding_.used();
  const MutexLock lock(&mutex_);
  return {waiting_, waiting_bytes_, decoding_bytes};
}

void Batcher::Finish(Item* item, absl::StatusOr<std::vector<float>> result) {
  {
    const MutexLock lock(&mutex_);
    --waiting_;
    waiting_bytes_ -= item->bytes;
  }
  Guard("answering", [&] {
    item->request.done(std::move(result));
    return absl::OkStatus();
  }).IgnoreError();  // nobody is left to be told
}

void Batcher::DecodeLoop() {
  for (;;) {
    Items item;
    {
      const MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &Batcher::HasEncoded));
      if (stopping_) {
        return;
      }
      item.splice(item.end(), encoded_, encoded_.begin());
    }
    absl::Status status = Guard("decoding the image", [&] { return Decode(&item.front()); });
    if (!status.ok()) {
      Finish(&item.front(), std::move(status));
      continue;
    }
    const MutexLock lock(&mutex_);
    decoded_.splice(decoded_.end(), item);
  }
}

absl::Status Batcher::Decode(Item* item) {
  const Request& request = item->request;
  const BatchRunner& runner = *request.runner;
  if (request.abandoned && request.abandoned()) {
    return absl::CancelledError("the caller has gone");
  }
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(request.image, options_.limits));
  const MemoryBudget::Share share = decoding_.Take(info.decoded_bytes);
  {
    const MutexLock lock(&mutex_);
    if (stopping_) {
      return ShuttingDown();
    }
  }
  item->pixels.resize(static_cast<size_t>(PixelBytes(runner)));
  return DecodeImageTo(request.image, info, runner.image_size(), runner.interpolation(), absl::MakeSpan(item->pixels),
                       request.abandoned);
}

Batcher::Items Batcher::TakeBatch() {
  // The one that waited longest, and whoever waits for the same runner: no model starves another.
  const BatchRunner* runner = decoded_.front().request.runner.get();
  Items batch;
  for (auto it = decoded_.begin(); it != decoded_.end() && static_cast<int64_t>(batch.size()) < options_.max_batch;) {
    const auto next = std::next(it);
    if (it->request.runner.get() == runner) {
      batch.splice(batch.end(), decoded_, it);
    }
    it = next;
  }
  return batch;
}

void Batcher::RunLoop() {
  const auto call = [](const std::function<void()>& fn) {
    Guard("preparing", [&] {
      if (fn) {
        fn();
      }
      return absl::OkStatus();
    }).IgnoreError();  // it makes work faster, or memory less; both go on without
  };
  call(options_.prepare_thread);
  bool used = false;  // since the last idle call
  for (;;) {
    Items batch;
    bool idle = false;
    {
      const MutexLock lock(&mutex_);
      idle = !mutex_.AwaitWithTimeout(absl::Condition(this, &Batcher::HasDecoded),
                                      used ? options_.idle_after : absl::InfiniteDuration());
      if (stopping_) {
        return;
      }
      if (!idle) {
        batch = TakeBatch();
      }
    }
    if (idle) {
      call(options_.idle);
    } else {
      RunBatch(std::move(batch));
    }
    used = !idle;
  }
}

void Batcher::RunBatch(Items batch) {
  for (auto it = batch.begin(); it != batch.end();) {
    absl::Status status = Guard("asking the caller", [&] {
      return it->request.abandoned && it->request.abandoned() ? absl::CancelledError("the caller has gone")
                                                              : absl::OkStatus();
    });
    if (!status.ok()) {
      Finish(&*it, std::move(status));
      it = batch.erase(it);
    } else {
      ++it;
    }
  }
  if (batch.empty()) {
    return;
  }
  std::vector<float> out;
  size_t width = 0;
  const absl::Status status = Guard("running the network", [&] {
    const BatchRunner& runner = *batch.front().request.runner;
    std::vector<uint8_t> pixels;
    pixels.reserve(batch.size() * batch.front().pixels.size());
    for (const Item& item : batch) {
      pixels.insert(pixels.end(), item.pixels.begin(), item.pixels.end());
    }
    width = static_cast<size_t>(Elements(runner.output_shape()));
    out.resize(batch.size() * width);
    return runner.Run(pixels, static_cast<int64_t>(batch.size()), absl::MakeSpan(out));
  });
  size_t row = 0;
  for (Item& item : batch) {
    const auto from = out.cbegin() + static_cast<std::ptrdiff_t>(row++ * width);
    std::vector<float> answer;
    absl::Status copied = Guard("answering", [&] {
      GRAFT_RETURN_IF_ERROR(status);
      answer.assign(from, from + static_cast<std::ptrdiff_t>(width));
      return absl::OkStatus();
    });
    if (copied.ok()) {
      Finish(&item, std::move(answer));
    } else {
      Finish(&item, std::move(copied));
    }
  }
}

}  // namespace graft
