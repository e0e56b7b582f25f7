// Running figures of a training.
#ifndef GRAFT_CORE_TRAIN_METER_H_
#define GRAFT_CORE_TRAIN_METER_H_

#include <chrono>
#include <cstdint>

namespace graft {

// Means of loss and accuracy over images.
struct Meter {
  double loss = 0;  // sums over images
  double correct = 0;
  int64_t images = 0;

  void Add(double mean_loss, double batch_correct, int64_t count) {
    loss += mean_loss * static_cast<double>(count);
    correct += batch_correct;
    images += count;
  }
  double MeanLoss() const { return loss / static_cast<double>(images); }
  double Accuracy() const { return correct / static_cast<double>(images); }
};

// Adds the seconds that it lives to `total`.
class Stopwatch {
 public:
  explicit Stopwatch(double* total) : total_(total) {}
  ~Stopwatch() { *total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double* const total_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace graft

#endif  // GRAFT_CORE_TRAIN_METER_H_
