#include "core/heads/dense.h"

#include <torch/types.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/heads/rows_torch.h"
#include "core/nn/network_torch.h"
#include "core/train/checkpoints.h"
#include "core/train/inputs_torch.h"
#include "core/train/loss_torch.h"
#include "core/train/session_torch.h"

namespace graft {
namespace {

absl::Status Keep(const TrainingSession& session, const FitRequest& request) {
  const SessionState state = session.Save();
  return request.checkpoints->Save(request.stage, ViewsOf(state.tensors), state.metadata);
}

class DenseHead : public Head {
 public:
  DenseHead(HeadPlan plan, const torch::Device& device)
      : plan_(std::move(plan)), device_(device), network_(plan_.layers, plan_.input, device) {}

  absl::StatusOr<FitResult> Fit(const FitRequest& request) override {
    const at::Generator initial = NewGenerator(torch::kCPU, plan_.options.seed);
    network_.Initialize(initial);
    for (const Start& start : request.start) {
      GRAFT_ASSIGN_OR_RETURN(const int fitting, network_.LoadMatching(*start.file));
      if (fitting == 0 && start.required) {
        return absl::FailedPreconditionError(
            "init_from: none of that model's weights has the shape of one of this network's; use a model with the same "
            "options.dense_units and options.image_size");
      }
    }
    TrainingSession session(&network_, request.examples, plan_.options,
                            device_.is_cpu() ? initial : NewGenerator(device_, plan_.options.seed));
    TrainHooks hooks = request.hooks;
    if (Checkpoints* const checkpoints = request.checkpoints; checkpoints != nullptr) {
      if (const auto file = checkpoints->Newest(request.stage); file.has_value()) {
        // One that another version of the program left is no use; the training begins again.
        if (const absl::Status restored = session.Restore(SessionState::Of(*file));
            !restored.ok() && request.hooks.on_warning) {
          request.hooks.on_warning(absl::StrCat("a checkpoint isn't used: ", restored.message()));
        }
        // The caller has heard of these, or its predecessor has; it may sort out which.
        for (const EpochMetrics& epoch : session.history()) {
          GRAFT_RETURN_IF_ERROR(request.hooks.on_epoch(epoch));
        }
      }
      hooks.on_step = [&](const StepUpdate& update) {
        GRAFT_RETURN_IF_ERROR(request.hooks.on_step(update));
        return checkpoints->Due(/*between=*/true) ? Keep(session, request) : absl::OkStatus();
      };
      hooks.on_epoch = [&](const EpochMetrics& epoch) {
        GRAFT_RETURN_IF_ERROR(request.hooks.on_epoch(epoch));
        return checkpoints->Due(/*between=*/false) ? Keep(session, request) : absl::OkStatus();
      };
    }
    const absl::Status ran = session.Run(hooks);
    // Told to stop, it goes on from just here when it is started again.
    if (request.checkpoints != nullptr && (absl::IsCancelled(ran) || (ran.ok() && request.keep_end))) {
      const absl::Status kept = Keep(session, request);
      GRAFT_RETURN_IF_ERROR(ran.ok() ? kept : ran);
    }
    GRAFT_RETURN_IF_ERROR(ran);
    return FitResult{session.history(), session.kept_epoch()};
  }

  absl::Status Save(const std::filesystem::path& file) const override { return network_.Save(file); }

  absl::Status Load(const std::filesystem::path& file) override {
    GRAFT_ASSIGN_OR_RETURN(const Safetensors weights, Safetensors::OpenSealed(file));
    return Annotate(network_.Load(weights), file.string());
  }

  at::Tensor Predict(const at::Tensor& inputs) const override { return Probabilities(network_.Forward(inputs)); }

  // Its logit.
  at::Tensor Score(const at::Tensor& inputs, int64_t label, const LayerTap& tap) const override {
    return ScoreOf(network_.Inspect(inputs, tap), label);
  }

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
