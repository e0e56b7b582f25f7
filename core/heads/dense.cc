#include "core/heads/dense.h"

#include <torch/torch.h>

#include <utility>

#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/nn/network_torch.h"
#include "core/train/inputs_torch.h"
#include "core/train/loss_torch.h"
#include "core/train/session_torch.h"

namespace graft {
namespace {

class DenseHead : public Head {
 public:
  DenseHead(HeadPlan plan, const torch::Device& device)
      : plan_(std::move(plan)), device_(device), network_(plan_.layers, plan_.input, device) {}

  absl::StatusOr<std::vector<EpochMetrics>> Fit(const Examples& examples, const TrainHooks& hooks) override {
    const at::Generator initial = NewGenerator(torch::kCPU, plan_.options.seed);
    network_.Initialize(initial);
    TrainingSession session(&network_, examples, plan_.options,
                            device_.is_cpu() ? initial : NewGenerator(device_, plan_.options.seed));
    GRAFT_RETURN_IF_ERROR(session.Run(hooks));
    return session.history();
  }

  absl::Status Save(const std::filesystem::path& file) const override { return network_.Save(file); }

  absl::Status Load(const std::filesystem::path& file) override {
    GRAFT_ASSIGN_OR_RETURN(const Safetensors weights, Safetensors::OpenSealed(file));
    return Annotate(network_.Load(weights), file.string());
  }

  at::Tensor Predict(const at::Tensor& inputs) const override { return Probabilities(network_.Forward(inputs)); }

 private:
  const HeadPlan plan_;
  const torch::Device device_;
  Network network_;
};

}  // namespace

std::unique_ptr<Head> MakeDenseHead(HeadPlan plan, const std::string& device) {
  return std::make_unique<DenseHead>(std::move(plan), torch::Device(device));
}

}  // namespace graft
