#include "core/infer/batcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {
namespace {

int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (int64_t n : shape) {
    count *= n;
  }
  return count;
}

}  // namespace

Batcher::Batcher(BatcherOptions options) : options_(std::move(options)) {
  for (int i = 0; i < options_.decode_threads; ++i) {
    threads_.emplace_back([this] { DecodeLoop(); });
  }
  threads_.emplace_back([this] { RunLoop(); });
}

Batcher::~Batcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  for (std::deque<Item>* queue : {&encoded_, &decoded_}) {
    for (Item& item : *queue) {
      Finish(&item, absl::UnavailableError("the server is shutting down; try again"));
    }
  }
}

absl::Status Batcher::Submit(Request request) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return absl::UnavailableError("the server is shutting down; try again");
    }
    if (waiting_ == options_.max_waiting) {
      return absl::ResourceExhaustedError(absl::StrCat(
          waiting_, " images are waiting already, the most that this server queues; try again in a second"));
    }
    ++waiting_;
    encoded_.push_back({std::move(request), {}});
  }
  changed_.notify_all();
  return absl::OkStatus();
}

void Batcher::Finish(Item* item, absl::StatusOr<std::vector<float>> result) {
  {
    const std::lock_guard lock(mutex_);
    --waiting_;
  }
  item->request.done(std::move(result));
}

void Batcher::DecodeLoop() {
  for (;;) {
    Item item;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !encoded_.empty(); });
      if (stopping_) {
        return;
      }
      item = std::move(encoded_.front());
      encoded_.pop_front();
    }
    if (item.request.abandoned && item.request.abandoned()) {
      Finish(&item, absl::CancelledError("the caller has gone"));
      continue;
    }
    const BatchRunner& runner = *item.request.runner;
    const auto size = static_cast<size_t>(runner.image_size());
    item.pixels.resize(size * size * 3);
    absl::Status status = DecodeImageTo(item.request.image, runner.image_size(), runner.interpolation(),
                                        absl::MakeSpan(item.pixels), options_.limits);
    if (!status.ok()) {
      Finish(&item, std::move(status));
      continue;
    }
    {
      const std::lock_guard lock(mutex_);
      decoded_.push_back(std::move(item));
    }
    changed_.notify_all();
  }
}

void Batcher::RunLoop() {
  if (options_.prepare_thread) {
    options_.prepare_thread();
  }
  bool used = false;  // since the last idle call
  for (;;) {
    std::vector<Item> batch;
    {
      std::unique_lock lock(mutex_);
      const auto has_work = [&] { return stopping_ || !decoded_.empty(); };
      if (used && options_.idle &&
          !changed_.wait_for(lock, absl::ToChronoMilliseconds(options_.idle_after), has_work)) {
        used = false;
        lock.unlock();
        options_.idle();
        continue;
      }
      changed_.wait(lock, has_work);
      if (stopping_) {
        return;
      }
      // The one that waited longest, and whoever waits for the same runner: no model starves another.
      const BatchRunner* runner = decoded_.front().request.runner.get();
      for (auto it = decoded_.begin();
           it != decoded_.end() && static_cast<int64_t>(batch.size()) < options_.max_batch;) {
        if (it->request.runner.get() == runner) {
          batch.push_back(std::move(*it));
          it = decoded_.erase(it);
        } else {
          ++it;
        }
      }
    }
    RunBatch(std::move(batch));
    used = true;
  }
}

void Batcher::RunBatch(std::vector<Item> batch) {
  std::vector<Item> wanted;
  for (Item& item : batch) {
    if (item.request.abandoned && item.request.abandoned()) {
      Finish(&item, absl::CancelledError("the caller has gone"));
    } else {
      wanted.push_back(std::move(item));
    }
  }
  if (wanted.empty()) {
    return;
  }
  const BatchRunner& runner = *wanted.front().request.runner;
  std::vector<uint8_t> pixels;
  for (const Item& item : wanted) {
    pixels.insert(pixels.end(), item.pixels.begin(), item.pixels.end());
  }
  const auto width = static_cast<size_t>(Elements(runner.output_shape()));
  std::vector<float> out(wanted.size() * width);
  const absl::Status status = runner.Run(pixels, static_cast<int64_t>(wanted.size()), absl::MakeSpan(out));
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto row = out.begin() + static_cast<std::ptrdiff_t>(i * width);
    Finish(&wanted[i], status.ok() ? absl::StatusOr<std::vector<float>>(
                                         std::vector<float>(row, row + static_cast<std::ptrdiff_t>(width)))
                                   : absl::StatusOr<std::vector<float>>(status));
  }
}

}  // namespace graft
