// Stand-ins for what a test wants to control: who runs jobs, what a network answers, what time it is.
#ifndef GRAFT_TESTS_TESTING_PUPPETS_H_
#define GRAFT_TESTS_TESTING_PUPPETS_H_

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/infer/engine.h"
#include "core/infer/explanation.h"
#include "server/jobs/executors/executor.h"

namespace graft::testing {

// Starts nothing; the test says when and how each worker ends. Thread-safe.
class PuppetExecutor : public Executor {
 public:
  absl::Status Start(const WorkerLaunch& launch, OnExit on_exit) override {
    const std::lock_guard lock(mutex_);
    if (!start_status_.ok()) {
      return start_status_;
    }
    launches_.push_back(launch);
    exits_[{launch.job_id, launch.attempt}] = std::move(on_exit);
    return absl::OkStatus();
  }
  // A worker that the test has let live on.
  absl::Status Adopt(const WorkerLaunch& launch, OnExit on_exit) override {
    const std::lock_guard lock(mutex_);
    if (alive_.count({launch.job_id, launch.attempt}) == 0) {
      return absl::NotFoundError(launch.job_id + " has no worker");
    }
    adopted_.push_back(launch);
    exits_[{launch.job_id, launch.attempt}] = std::move(on_exit);
    return absl::OkStatus();
  }
  void Stop(const std::string& job_id, int attempt) override {
    const std::lock_guard lock(mutex_);
    stops_.emplace_back(job_id, attempt);
  }

  std::optional<absl::Duration> ProcessorTime(const std::string& job_id, int attempt) override {
    const std::lock_guard lock(mutex_);
    const auto it = processor_times_.find({job_id, attempt});
    return it == processor_times_.end() ? std::nullopt : std::optional(it->second);
  }

  // The worker of this attempt is seen to compute.
  void Compute(const std::string& job_id, int attempt, absl::Duration time) {
    const std::lock_guard lock(mutex_);
    processor_times_[{job_id, attempt}] += time;
  }
  // The worker of this attempt ends.
  void Exit(const std::string& job_id, int attempt, const absl::Status& status) {
    OnExit on_exit;
    {
      const std::lock_guard lock(mutex_);
      on_exit = std::move(exits_.at({job_id, attempt}));
      exits_.erase({job_id, attempt});
    }
    on_exit(status);
  }
  // For an executor that takes the place of one whose server was killed.
  void LetLive(const std::string& job_id, int attempt) {
    const std::lock_guard lock(mutex_);
    alive_.emplace(job_id, attempt);
  }
  void FailStarts(absl::Status status) {
    const std::lock_guard lock(mutex_);
    start_status_ = std::move(status);
  }
  std::vector<WorkerLaunch> launches() const {
    const std::lock_guard lock(mutex_);
    return launches_;
  }
  std::vector<WorkerLaunch> adopted() const {
    const std::lock_guard lock(mutex_);
    return adopted_;
  }
  std::vector<std::pair<std::string, int>> stops() const {
    const std::lock_guard lock(mutex_);
    return stops_;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status start_status_;
  std::vector<WorkerLaunch> launches_;
  std::vector<WorkerLaunch> adopted_;
  std::set<std::pair<std::string, int>> alive_;
  std::vector<std::pair<std::string, int>> stops_;
  std::map<std::pair<std::string, int>, absl::Duration> processor_times_;
  std::map<std::pair<std::string, int>, OnExit> exits_;
};

// An engine without networks: every model's first class gets the image's mean brightness as its probability.
class PuppetEngine : public Engine {
 public:
  class Runner : public BatchRunner {
   public:
    Runner(int image_size, std::vector<int64_t> shape) : image_size_(image_size), shape_(std::move(shape)) {}
    int image_size() const override { return image_size_; }
    Interpolation interpolation() const override { return Interpolation::kNearest; }
    std::vector<int64_t> output_shape() const override { return shape_; }
    absl::Status Run(absl::Span<const uint8_t> images, int64_t count, absl::Span<float> out) const override {
      const size_t width = out.size() / static_cast<size_t>(count);
      const size_t bytes = images.size() / static_cast<size_t>(count);
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        double sum = 0;
        for (const uint8_t byte : images.subspan(i * bytes, bytes)) {
          sum += byte;
        }
        const auto mean = static_cast<float>(sum / static_cast<double>(bytes) / 255);
        for (size_t k = 0; k < width; ++k) {
          out[i * width + k] = k == 0 ? mean : (1 - mean) / static_cast<float>(width - 1);
        }
      }
      return absl::OkStatus();
    }

   private:
    const int image_size_;
    const std::vector<int64_t> shape_;
  };

  // Its map is hot in the first place alone, and each channel's numbers are its own index.
  class PuppetExplainer : public Explainer {
   public:
    absl::Status Explain(absl::Span<const uint8_t> image, const ExplainPlan& plan,
                         absl::Span<float> row) const override {
      std::fill(row.begin(), row.end(), 0.0F);
      const Runner runner(0, {});
      const absl::Status status = runner.Run(image, 1, row.first(plan.labels));
      row[plan.label_at()] = static_cast<float>(std::max(plan.label, 0));
      row[plan.peak_at()] = 2;
      row[plan.target.at] = 1;
      for (const ExplainPlan::Layer& layer : plan.layers) {
        const size_t places = layer.size() / static_cast<size_t>(layer.channels);
        for (size_t i = 0; i < layer.size(); ++i) {
          row[layer.at + i] = static_cast<float>(i / places);
        }
      }
      return status;
    }
  };

  // A gate before every load: models and extractors wait in it until it is opened.
  void CloseGate() {
    const std::lock_guard lock(mutex_);
    open_ = false;
  }
  void OpenGate() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  // How many loads have begun.
  int loads() const {
    const std::lock_guard lock(mutex_);
    return loads_;
  }
  void AwaitLoads(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return loads_ >= count; });
  }

  absl::StatusOr<LoadedModel> Load(const std::filesystem::path& folder) override {
    PassGate();
    absl::StatusOr<ModelDescription> description = LoadModel(folder);
    if (!description.ok()) {
      return description.status();
    }
    const std::vector<int64_t> shape = {static_cast<int64_t>(description->labels.size())};
    return LoadedModel{*std::move(description), std::make_shared<Runner>(16, shape),
                       std::make_shared<PuppetExplainer>()};
  }
  absl::StatusOr<std::shared_ptr<const BatchRunner>> Extractor(absl::string_view, int image_size, Preprocessing,
                                                               Interpolation) override {
    PassGate();
    return std::make_shared<Runner>(image_size, std::vector<int64_t>{2, 2, 3});
  }
  std::string device() const override { return "cpu"; }
  std::string version() const override { return "none"; }
  void PrepareThread() override {}
  void ReleaseMemory() override {}
  std::vector<std::string> loaded_trunks() const override { return {}; }

 private:
  void PassGate() {
    std::unique_lock lock(mutex_);
    ++loads_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool open_ = true;
  int loads_ = 0;
};

}  // namespace graft::testing

#endif  // GRAFT_TESTS_TESTING_PUPPETS_H_
