#include "core/heads/rows_torch.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status.h"
#include "core/model/cost.h"
#include "core/nn/tensors_torch.h"

namespace graft {

torch::Tensor RowsOf(const torch::Tensor& inputs) {
  return (inputs.dim() == 4 ? inputs.permute({0, 2, 3, 1}).flatten(1) : inputs).contiguous();
}

torch::Tensor ScoreOf(const torch::Tensor& outputs, int64_t label) {
  if (outputs.size(1) == 1) {
    return label == 0 ? -outputs.select(1, 0) : outputs.select(1, 0);
  }
  return outputs.select(1, label);
}

absl::StatusOr<TrainingRows> GatherTrainingRows(const Examples& examples, const HeadPlan& plan,
                                                const ProgressFn& progress) {
  std::vector<const Inputs*> forms = {examples.inputs.get()};
  if (examples.mirrored != nullptr) {
    forms.push_back(examples.mirrored.get());
  }
  const auto count = static_cast<int64_t>(examples.train.size() * forms.size());
  const int64_t dimension = ElementCount(plan.input);
  if (count == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the data set's training part is empty, and there is nothing for ", plan.kind,
                     " to learn from; split the images again, with some for training"));
  }
  const double bytes = static_cast<double>(count) * static_cast<double>(dimension) * sizeof(float);
  if (bytes > static_cast<double>(kMaxTrainingBytes)) {
    return InvalidField(
        "options.pooling",
        absl::StrFormat("%s keeps the features of all %d training images%s in memory: %d numbers each, above the limit "
                        "of %d GiB; use average or max, or a smaller options.image_size",
                        PoolingName(plan.options.pooling), examples.train.size(),
                        forms.size() > 1 ? " and their mirror images" : "", dimension, kMaxTrainingBytes >> 30));
  }
  constexpr size_t kBatch = 256;
  TrainingRows rows;
  rows.values = torch::empty({count, dimension});
  rows.images = examples.train.size();
  int64_t done = 0;
  for (const Inputs* const form : forms) {
    for (size_t from = 0; from < examples.train.size(); from += kBatch) {
      const auto batch = absl::MakeConstSpan(examples.train).subspan(from, kBatch);
      const int64_t end = done + static_cast<int64_t>(batch.size());
      rows.values.slice(0, done, end).copy_(RowsOf(form->Gather(batch, 0)));
      done = end;
      GRAFT_RETURN_IF_ERROR(progress({"gather", done, count, "images"}));
    }
    for (const int64_t row : examples.train) {
      rows.labels.push_back(examples.labels[static_cast<size_t>(row)]);
    }
  }
  return rows;
}

absl::StatusOr<torch::Tensor> FiniteTensor(const Safetensors& file, absl::string_view name,
                                           absl::Span<const int64_t> shape) {
  GRAFT_ASSIGN_OR_RETURN(const TensorView view, file.Get(name, DType::kF32, shape));
  torch::Tensor tensor = TensorOf(view).clone();
  if (!torch::isfinite(tensor).all().item<bool>()) {
    return absl::FailedPreconditionError(absl::StrCat("tensor ", name, " holds NaN or infinite numbers"));
  }
  return tensor;
}

}  // namespace graft
