#include "core/nn/tensors_torch.h"

namespace graft {
namespace {

torch::ScalarType TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return torch::kByte;
    case DType::kI32:
      return torch::kInt;
    case DType::kI64:
      return torch::kLong;
    case DType::kF32:
      return torch::kFloat;
    case DType::kF64:
      return torch::kDouble;
  }
  return torch::kFloat;
}

DType TypeOf(torch::ScalarType type) {
  for (const DType dtype : {DType::kU8, DType::kI32, DType::kI64, DType::kF32, DType::kF64}) {
    if (TypeOf(dtype) == type) {
      return dtype;
    }
  }
  TORCH_CHECK(false, "files hold no tensors of type ", type);
}

}  // namespace

torch::Tensor TensorOf(const TensorView& view) {
  return torch::from_blob(const_cast<uint8_t*>(view.data.data()), view.shape, TypeOf(view.dtype));
}

std::vector<TensorView> ViewsOf(const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : tensors) {
    TORCH_CHECK(tensor.is_cpu() && tensor.is_contiguous(), name, " can't be written as it lies");
    views.push_back({name,
                     TypeOf(tensor.scalar_type()),
                     tensor.sizes().vec(),
                     {static_cast<const uint8_t*>(tensor.const_data_ptr()), tensor.nbytes()}});
  }
  return views;
}

}  // namespace graft
