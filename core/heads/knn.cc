#include "core/heads/knn.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/heads/rows_torch.h"
#include "core/nn/tensors_torch.h"

namespace graft {
namespace {

constexpr char kFeatures[] = "features";
constexpr char kLabels[] = "labels";

class KnnHead : public Head {
 public:
  KnnHead(HeadPlan plan, const torch::Device& device) : plan_(std::move(plan)), device_(device) {}

  absl::StatusOr<FitResult> Fit(const FitRequest& request) override {
    GRAFT_ASSIGN_OR_RETURN(const TrainingRows rows,
                           GatherTrainingRows(request.examples, plan_, request.hooks.on_progress));
    Set(rows.values, torch::tensor(rows.labels, torch::kLong));
    return FitResult();
  }

  absl::Status Save(const std::filesystem::path& file) const override {
    return WriteSafetensors(file, ViewsOf({{kFeatures, rows_.cpu()}, {kLabels, labels_.cpu()}}), {{"head", "knn"}});
  }

  absl::Status Load(const std::filesystem::path& path) override {
    GRAFT_ASSIGN_OR_RETURN(const Safetensors file, Safetensors::OpenSealed(path));
    auto rows = FiniteTensor(file, kFeatures, {-1, ElementCount(plan_.input)});
    GRAFT_RETURN_IF_ERROR(Annotate(rows.status(), path.string()));
    GRAFT_ASSIGN_OR_RETURN(const TensorView view, file.Get(kLabels, DType::kI64, {rows->size(0)}));
    const torch::Tensor labels = TensorOf(view).clone();
    if (labels.numel() == 0 || labels.min().item<int64_t>() < 0 || labels.max().item<int64_t>() >= plan_.classes) {
      return absl::DataLossError(
          absl::StrCat(path.string(), ": its labels aren't those of ", plan_.classes, " classes"));
    }
    Set(*rows, labels);
    return absl::OkStatus();
  }

  at::Tensor Predict(const at::Tensor& inputs) const override {
    const torch::NoGradGuard no_grad;
    const torch::Tensor x = RowsOf(inputs);
    const int64_t k = std::min<int64_t>(plan_.options.neighbors, rows_.size(0));
    // |row - x|^2 without |x|^2, which is the same for all rows.
    const torch::Tensor distances = torch::addmm(squares_, x, rows_.t(), 1, -2);
    const torch::Tensor nearest = std::get<1>(distances.topk(k, 1, /*largest=*/false, /*sorted=*/false));
    torch::Tensor votes = torch::zeros({x.size(0), plan_.classes}, x.options());
    votes.scatter_add_(1, labels_.index_select(0, nearest.flatten()).view({x.size(0), k}),
                       torch::ones({x.size(0), k}, x.options()));
    return ((votes + 1.0 / static_cast<double>(plan_.classes)) / static_cast<double>(k + 1)).cpu();
  }

  // Votes are counted and have no gradient. What they come from are distances: how much nearer the nearest images of
  // the class are than the nearest ones of all others, see knn.h.
  at::Tensor Score(const at::Tensor& inputs, int64_t label, const LayerTap& /*tap*/) const override {
    const torch::Tensor x = RowsOf(inputs);
    const torch::Tensor distances = x.square().sum(1, true) + torch::addmm(squares_, x, rows_.t(), 1, -2);
    const auto mean_of_nearest = [&](const torch::Tensor& among) {
      const int64_t k = std::min<int64_t>(plan_.options.neighbors, among.sum().item<int64_t>());
      if (k == 0) {
        return torch::zeros({x.size(0)}, x.options());
      }
      constexpr double kFar = std::numeric_limits<double>::infinity();
      const torch::Tensor theirs = distances.masked_fill(among.logical_not(), kFar);
      return std::get<0>(theirs.topk(k, 1, /*largest=*/false, /*sorted=*/false)).mean(1);
    };
    const torch::Tensor of_class = labels_.eq(label);
    return mean_of_nearest(of_class.logical_not()) - mean_of_nearest(of_class);
  }

 private:
  void Set(const torch::Tensor& rows, const torch::Tensor& labels) {
    rows_ = rows.to(device_);
    labels_ = labels.to(device_);
    squares_ = rows_.square().sum(1);
  }

  const HeadPlan plan_;
  const torch::Device device_;
  torch::Tensor rows_;     // images x numbers
  torch::Tensor labels_;   // images
  torch::Tensor squares_;  // images: the sum of a row's squares
};

}  // namespace

std::unique_ptr<Head> MakeKnnHead(HeadPlan plan, const std::string& device) {
  return std::make_unique<KnnHead>(std::move(plan), torch::Device(device));
}

}  // namespace graft
