#include "core/infer/batcher.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <future>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Answers with the first pixel of each image; runs only when the test lets it.
class PuppetRunner : public BatchRunner {
 public:
  int image_size() const override { return 8; }
  Interpolation interpolation() const override {
    if (throw_in_decoding_) {
      throw_in_decoding_();
    }
    return Interpolation::kNearest;
  }
  std::vector<int64_t> output_shape() const override { return {1}; }
  absl::Status Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const override {
    std::unique_lock lock(mutex_);
    batches_.push_back(count);
    changed_.notify_all();
    changed_.wait(lock, [&] { return allowed_ > 0; });
    --allowed_;
    if (throw_) {
      throw_();
    }
    for (size_t i = 0; i < out.size(); ++i) {
      out[i] = images[i * 8 * 8 * 3];
    }
    return status_;
  }
  void Allow(int runs) {
    const std::lock_guard lock(mutex_);
    allowed_ += runs;
    changed_.notify_all();
  }
  void WaitForBatches(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return batches_.size() >= count; });
  }
  std::vector<int64_t> batches() const {
    const std::lock_guard lock(mutex_);
    return batches_;
  }
  void Fail(absl::Status status) { status_ = std::move(status); }
  void ThrowInRun(std::function<void()> fn) { throw_ = std::move(fn); }
  void ThrowInDecoding(std::function<void()> fn) { throw_in_decoding_ = std::move(fn); }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable int allowed_ = 0;
  mutable std::vector<int64_t> batches_;
  absl::Status status_;
  std::function<void()> throw_;
  std::function<void()> throw_in_decoding_;
};

using Answer = std::future<absl::StatusOr<std::vector<float>>>;

// An 8 x 8 BMP of one grey.
std::vector<uint8_t> GreyBmp(uint8_t grey) {
  std::vector<uint8_t> bmp = {'B', 'M', 246, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0,  40,
                              0,   0,   0,   8, 0, 0, 0, 8, 0, 0, 0,  1, 0, 24, 0};
  bmp.resize(54);
  bmp.resize(54 + 8 * 8 * 3, grey);
  return bmp;
}

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() {
    options_.max_batch = 4;
    options_.max_waiting = 12;
  }
  std::unique_ptr<Batcher> StartBatcher() { return *Batcher::Start(options_); }
  Answer Submit(Batcher* batcher, std::shared_ptr<const BatchRunner> runner, const std::vector<uint8_t>* image,
                std::function<bool()> abandoned = nullptr) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<std::vector<float>>>>();
    Answer answer = promise->get_future();
    const absl::Status status = batcher->Submit(
        {std::move(runner), *image, std::move(abandoned),
         [promise](absl::StatusOr<std::vector<float>> result) { promise->set_value(std::move(result)); }});
    if (!status.ok()) {
      promise->set_value(status);
    }
    return answer;
  }
  BatcherOptions options_;
  const std::shared_ptr<PuppetRunner> runner_ = std::make_shared<PuppetRunner>();
};

TEST_F(BatcherTest, WhatWaitsForARunnerBecomesABatchAndEachGetsItsOwnAnswer) {
  std::vector<std::vector<uint8_t>> images;
  for (uint8_t i = 0; i < 10; ++i) {
    images.push_back(GreyBmp(static_cast<uint8_t>(20 * i)));
  }
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  std::vector<Answer> answers;
  answers.push_back(Submit(batcher.get(), runner_, &images[0]));
  runner_->WaitForBatches(1);  // the first runs alone; the others gather behind it
  for (size_t i = 1; i < 10; ++i) {
    answers.push_back(Submit(batcher.get(), runner_, &images[i]));
  }
  runner_->Allow(100);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_THAT(*answers[i].get(), ElementsAre(20.0F * static_cast<float>(i)));
  }
  const std::vector<int64_t> batches = runner_->batches();
  EXPECT_EQ(batches[0], 1);
  EXPECT_EQ(std::accumulate(batches.begin(), batches.end(), int64_t{0}), 10);
  EXPECT_LE(*std::max_element(batches.begin(), batches.end()), 4);
}

// With one decoding thread, whatever came before the gate is decoded when the gate's caller is asked about.
class BlockedBatcherTest : public BatcherTest {
 protected:
  BlockedBatcherTest() {
    options_.decode_threads = 1;
    batcher_ = StartBatcher();
    running_ = Submit(batcher_.get(), runner_, &images_[0]);
    runner_->WaitForBatches(1);
  }
  ~BlockedBatcherTest() override { runner_->Allow(100); }
  void WaitUntilDecoded() {
    std::promise<void> reached;
    Answer gate = Submit(batcher_.get(), runner_, &images_[0], [&] {
      reached.set_value();
      return true;
    });
    reached.get_future().wait();
    EXPECT_THAT(gate.get(), StatusIs(absl::StatusCode::kCancelled, _));
  }

  const std::vector<std::vector<uint8_t>> images_ = {GreyBmp(0),  GreyBmp(10), GreyBmp(20), GreyBmp(30),
                                                     GreyBmp(40), GreyBmp(50), GreyBmp(60), GreyBmp(70)};
  std::unique_ptr<Batcher> batcher_;
  Answer running_;
};

TEST_F(BlockedBatcherTest, WhatGatheredRunsInFullBatches) {
  std::vector<Answer> answers;
  for (size_t i = 1; i < 8; ++i) {
    answers.push_back(Submit(batcher_.get(), runner_, &images_[i]));
  }
  WaitUntilDecoded();
  runner_->Allow(100);
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_THAT(*answers[i].get(), ElementsAre(10.0F * static_cast<float>(i + 1)));
  }
  EXPECT_THAT(runner_->batches(), ElementsAre(1, 4, 3));
}

TEST_F(BlockedBatcherTest, ABatchGathersWhatWaitsForItsRunnerPastTheOthers) {
  const auto other = std::make_shared<PuppetRunner>();
  other->Allow(100);
  std::vector<Answer> answers;
  for (size_t i = 1; i < 6; ++i) {
    answers.push_back(Submit(batcher_.get(), i % 2 == 1 ? runner_ : other, &images_[i]));
  }
  WaitUntilDecoded();
  runner_->Allow(100);
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_THAT(*answers[i].get(), ElementsAre(10.0F * static_cast<float>(i + 1)));
  }
  EXPECT_THAT(runner_->batches(), ElementsAre(1, 3));
  EXPECT_THAT(other->batches(), ElementsAre(2));
}

TEST_F(BlockedBatcherTest, WhoLeavesAfterDecodingIsNotRunAndMovesNobodysAnswer) {
  std::atomic<bool> gone = false;
  std::vector<Answer> answers;
  for (size_t i = 1; i < 4; ++i) {
    answers.push_back(Submit(batcher_.get(), runner_, &images_[i], [&gone, i] { return i == 2 && gone; }));
  }
  WaitUntilDecoded();
  gone = true;
  runner_->Allow(100);
  EXPECT_THAT(*answers[0].get(), ElementsAre(10.0F));
  EXPECT_THAT(answers[1].get(), StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_THAT(*answers[2].get(), ElementsAre(30.0F));
  EXPECT_THAT(runner_->batches(), ElementsAre(1, 2));
}

TEST_F(BlockedBatcherTest, ABadImageHarmsNobodyWhoCameWithIt) {
  const std::vector<uint8_t> bad(images_[1].begin(), images_[1].end() - 1);
  Answer first = Submit(batcher_.get(), runner_, &images_[1]);
  Answer second = Submit(batcher_.get(), runner_, &bad);
  Answer third = Submit(batcher_.get(), runner_, &images_[3]);
  EXPECT_THAT(second.get(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("truncated")));
  WaitUntilDecoded();
  runner_->Allow(100);
  EXPECT_THAT(*first.get(), ElementsAre(10.0F));
  EXPECT_THAT(*third.get(), ElementsAre(30.0F));
  EXPECT_THAT(runner_->batches(), ElementsAre(1, 2));
}

TEST_F(BlockedBatcherTest, ARunnersErrorReachesEveryCallerOfTheBatchAndNoOther) {
  const auto broken = std::make_shared<PuppetRunner>();
  broken->Fail(absl::InternalError("broken"));
  broken->Allow(100);
  std::vector<Answer> failed;
  for (size_t i = 1; i < 4; ++i) {
    failed.push_back(Submit(batcher_.get(), broken, &images_[i]));
  }
  Answer fine = Submit(batcher_.get(), runner_, &images_[4]);
  WaitUntilDecoded();
  runner_->Allow(100);
  for (Answer& answer : failed) {
    EXPECT_THAT(answer.get(), StatusIs(absl::StatusCode::kInternal, "broken"));
  }
  EXPECT_THAT(*fine.get(), ElementsAre(40.0F));
  EXPECT_THAT(broken->batches(), ElementsAre(3));
}

TEST_F(BlockedBatcherTest, ShuttingDownRunsNothingMore) {
  std::vector<Answer> waiting;
  for (size_t i = 1; i < options_.max_waiting; ++i) {
    waiting.push_back(Submit(batcher_.get(), runner_, &images_[1]));
  }
  Batcher* batcher = batcher_.get();
  std::thread end([&] { batcher_.reset(); });
  // It is full, and as long as the runner is blocked it isn't gone; so this ends when shutting down has begun.
  while (!absl::IsUnavailable(Submit(batcher, runner_, &images_[1]).get().status())) {
    std::this_thread::yield();
  }
  runner_->Allow(100);
  end.join();
  EXPECT_THAT(running_.get(), IsOk());
  for (Answer& answer : waiting) {
    EXPECT_THAT(answer.get(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  }
  EXPECT_THAT(runner_->batches(), ElementsAre(1));
}

TEST_F(BatcherTest, RunnersDoNotShareABatch) {
  const auto other = std::make_shared<PuppetRunner>();
  other->Allow(100);
  const std::vector<uint8_t> image = GreyBmp(7);
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  Answer first = Submit(batcher.get(), runner_, &image);
  runner_->WaitForBatches(1);
  Answer second = Submit(batcher.get(), other, &image);
  Answer third = Submit(batcher.get(), runner_, &image);
  runner_->Allow(100);
  EXPECT_THAT(first.get(), IsOk());
  EXPECT_THAT(second.get(), IsOk());
  EXPECT_THAT(third.get(), IsOk());
  EXPECT_THAT(other->batches(), ElementsAre(1));
  EXPECT_THAT(runner_->batches(), ElementsAre(1, 1));
}

TEST_F(BatcherTest, AFullQueueRefusesAndABadImageHarmsNobody) {
  const std::vector<uint8_t> image = GreyBmp(7);
  const std::vector<uint8_t> bad = {'x'};
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  std::vector<Answer> answers;
  for (size_t i = 0; i < options_.max_waiting; ++i) {
    answers.push_back(Submit(batcher.get(), runner_, &image));
  }
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), StatusIs(absl::StatusCode::kResourceExhausted, _));
  runner_->Allow(100);
  for (Answer& answer : answers) {
    EXPECT_THAT(answer.get(), IsOk());
  }
  EXPECT_THAT(Submit(batcher.get(), runner_, &bad).get(), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
}

TEST_F(BatcherTest, AbandonedWorkIsNotBegun) {
  const std::vector<uint8_t> image = GreyBmp(7);
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  Answer running = Submit(batcher.get(), runner_, &image);
  runner_->WaitForBatches(1);
  Answer abandoned = Submit(batcher.get(), runner_, &image, [] { return true; });
  runner_->Allow(1);
  EXPECT_THAT(running.get(), IsOk());
  EXPECT_THAT(abandoned.get(), StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_THAT(runner_->batches(), ElementsAre(1));
}

TEST_F(BatcherTest, ARunnersErrorReachesItsCallers) {
  runner_->Fail(absl::InternalError("broken"));
  runner_->Allow(100);
  const std::vector<uint8_t> image = GreyBmp(7);
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), StatusIs(absl::StatusCode::kInternal, "broken"));
}

constexpr int64_t kPixelBytes = 8 * 8 * 3;

TEST_F(BatcherTest, WhatWaitsIsBoundedByBytesToo) {
  const std::vector<uint8_t> image = GreyBmp(7);
  const auto item = static_cast<int64_t>(image.size()) + kPixelBytes;
  options_.max_waiting_bytes = 3 * item + item / 2;
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  std::vector<Answer> answers;
  for (int i = 0; i < 3; ++i) {
    answers.push_back(Submit(batcher.get(), runner_, &image));
  }
  EXPECT_EQ(batcher->load().waiting, 3U);
  EXPECT_EQ(batcher->load().waiting_bytes, 3 * item);
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr(std::to_string(3 * item) + " bytes are waiting"), HasSubstr("try again"))));
  EXPECT_EQ(batcher->load().waiting, 3U);
  runner_->Allow(100);
  for (Answer& answer : answers) {
    EXPECT_THAT(answer.get(), IsOk());
  }
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
  EXPECT_EQ(batcher->load().waiting, 0U);
  EXPECT_EQ(batcher->load().waiting_bytes, 0);
  EXPECT_EQ(batcher->load().decoding_bytes, 0);
}

TEST_F(BatcherTest, NoMoreIsDecodedAtOnceThanFits) {
  const std::vector<uint8_t> image = GreyBmp(7);
  options_.decode_threads = 4;
  options_.max_decoding_bytes = 2 * kPixelBytes + 1;  // an 8 x 8 BMP takes as much as its pixels
  Batcher* batcher_ptr = nullptr;
  std::atomic<int64_t> most = 0;
  runner_->ThrowInDecoding([&] {  // asked while an image holds its share
    for (int64_t seen = most, now = batcher_ptr->load().decoding_bytes; now > seen;) {
      if (most.compare_exchange_weak(seen, now)) {
        break;
      }
    }
  });
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  batcher_ptr = batcher.get();
  runner_->Allow(100);
  std::vector<Answer> answers;
  for (int i = 0; i < 12; ++i) {
    answers.push_back(Submit(batcher.get(), runner_, &image));
  }
  for (Answer& answer : answers) {
    EXPECT_THAT(answer.get(), IsOk());
  }
  EXPECT_GE(most, kPixelBytes);
  EXPECT_LE(most, 2 * kPixelBytes);
}

TEST_F(BatcherTest, AnImageThatNeedsMoreThanTheBudgetIsDecodedAlone) {
  const std::vector<uint8_t> image = GreyBmp(7);
  options_.max_decoding_bytes = 1;
  runner_->Allow(100);
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
}

TEST_F(BatcherTest, ExceptionsInDecodingEndNoThread) {
  const auto broken = std::make_shared<PuppetRunner>();
  const std::vector<uint8_t> image = GreyBmp(7);
  options_.decode_threads = 1;
  runner_->Allow(100);
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  broken->ThrowInDecoding([] { throw std::bad_alloc(); });
  EXPECT_THAT(Submit(batcher.get(), broken, &image).get(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("out of memory")));
  broken->ThrowInDecoding([] { throw 7; });
  EXPECT_THAT(Submit(batcher.get(), broken, &image).get(), StatusIs(absl::StatusCode::kInternal, HasSubstr("unknown")));
  EXPECT_THAT(Submit(batcher.get(), runner_, &image, []() -> bool { throw std::runtime_error("who?"); }).get(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("who?")));
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
  EXPECT_EQ(batcher->load().decoding_bytes, 0);
}

TEST_F(BatcherTest, ExceptionsInRunningReachTheCallersAndEndNoThread) {
  const auto broken = std::make_shared<PuppetRunner>();
  broken->Allow(100);
  const std::vector<uint8_t> image = GreyBmp(7);
  runner_->Allow(100);
  options_.prepare_thread = [] { throw std::runtime_error("no such core"); };
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  broken->ThrowInRun([] { throw std::runtime_error("no such kernel"); });
  EXPECT_THAT(Submit(batcher.get(), broken, &image).get(),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("no such kernel")));
  broken->ThrowInRun([] { throw std::bad_alloc(); });
  EXPECT_THAT(Submit(batcher.get(), broken, &image).get(), StatusIs(absl::StatusCode::kResourceExhausted, _));
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
}

TEST_F(BatcherTest, ACallersExceptionHarmsNobody) {
  const std::vector<uint8_t> image = GreyBmp(7);
  const std::vector<uint8_t> bad = {'x'};
  runner_->Allow(100);
  options_.decode_threads = 1;
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  for (const std::vector<uint8_t>* bytes : {&image, &bad}) {  // on the thread that runs, and on one that decodes
    std::promise<void> called;
    ASSERT_THAT(batcher->Submit({runner_, *bytes, nullptr,
                                 [&](const absl::StatusOr<std::vector<float>>&) {
                                   called.set_value();
                                   throw std::runtime_error("a caller's own");
                                 }}),
                IsOk());
    called.get_future().wait();
    EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need address space of their own
TEST_F(BatcherTest, WithoutThreadsItDoesNotStart) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a fresh process: this one has stacks of threads that ended
  const auto run = [&] {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const auto limit = static_cast<rlim_t>(pages * getpagesize() + (12 << 20));  // one thread's stack, not three
    const rlimit limits{limit, limit};
    setrlimit(RLIMIT_AS, &limits);
    _exit(absl::IsResourceExhausted(Batcher::Start(options_).status()) ? 0 : 1);
  };
  EXPECT_EXIT(run(), ::testing::ExitedWithCode(0), "");
}
#endif

TEST_F(BatcherTest, SaysOnceThatItIsIdleAfterWork) {
  const std::vector<uint8_t> image = GreyBmp(7);
  std::promise<void> idle;
  options_.idle_after = absl::ZeroDuration();
  options_.idle = [&] { idle.set_value(); };  // a second call would throw
  runner_->Allow(100);
  const std::unique_ptr<Batcher> batcher = StartBatcher();
  EXPECT_THAT(Submit(batcher.get(), runner_, &image).get(), IsOk());
  idle.get_future().wait();
}

}  // namespace
}  // namespace graft
