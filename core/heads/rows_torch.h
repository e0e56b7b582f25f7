// What heads share: of those that are no networks their inputs as rows, and tensors of their files. Only core's own .cc
// files include this.
#ifndef GRAFT_CORE_HEADS_ROWS_TORCH_H_
#define GRAFT_CORE_HEADS_ROWS_TORCH_H_

#include <torch/types.h>

#include <vector>

#include "absl/status/statusor.h"
#include "core/base/progress.h"
#include "core/base/safetensors.h"
#include "core/model/heads.h"
#include "core/train/inputs_torch.h"

namespace graft {

// Inputs of a head (see head.h) as rows: N x numbers, contiguous, in the order height, width, channels.
torch::Tensor RowsOf(const torch::Tensor& inputs);

// Of N x OutputUnits(classes) logits or scores what speaks for a class, N: its own, or of a single one for the second
// class, for the first one its opposite.
torch::Tensor ScoreOf(const torch::Tensor& outputs, int64_t label);

struct TrainingRows {
  torch::Tensor values;         // N x numbers, on the CPU
  std::vector<int64_t> labels;  // N
  size_t images = 0;            // N, or half of it where each image's mirror image comes in the second half
};

// The whole training part in memory, with its mirror images where there are any. INVALID_ARGUMENT: it needs more than
// kMaxTrainingBytes; FAILED_PRECONDITION: it is empty.
absl::StatusOr<TrainingRows> GatherTrainingRows(const Examples& examples, const HeadPlan& plan,
                                                const ProgressFn& progress);

// A copy of a file's tensor of float32 on the CPU. DATA_LOSS: another type or shape (-1: any length);
// FAILED_PRECONDITION: numbers that aren't finite.
absl::StatusOr<torch::Tensor> FiniteTensor(const Safetensors& file, absl::string_view name,
                                           absl::Span<const int64_t> shape);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_ROWS_TORCH_H_
