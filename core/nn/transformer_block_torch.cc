#include "core/nn/layer_torch.h"

namespace graft {
namespace {

class TransformerBlockLayer : public Layer {
 public:
  // In the order of TransformerBlock::Parameters.
  TransformerBlockLayer(const TransformerBlock& spec, absl::Span<const torch::Tensor> parameters)
      : heads_(spec.heads), epsilon_(spec.epsilon), parameters_(parameters.begin(), parameters.end()) {}

  torch::Tensor Forward(const torch::Tensor& x, const Pass& pass) const override {
    const auto parameter = [&](size_t i) { return pass.inspecting ? parameters_[i].detach() : parameters_[i]; };
    const auto norm = [&](const torch::Tensor& tokens, size_t i) {
      return torch::layer_norm(tokens, {tokens.size(2)}, parameter(i), parameter(i + 1), epsilon_);
    };
    const auto dense = [&](const torch::Tensor& tokens, size_t i) {
      return torch::linear(tokens, parameter(i), parameter(i + 1));
    };
    torch::Tensor tokens = TokensOf(x);
    tokens = tokens + parameter(6) * dense(Attend(dense(norm(tokens, 0), 2)), 4);
    tokens = tokens + parameter(13) * dense(torch::gelu(dense(norm(tokens, 7), 9)), 11);
    return FromTokens(tokens);
  }

 private:
  // From N x tokens x 3 channels, which are queries, keys and values, to N x tokens x channels.
  torch::Tensor Attend(const torch::Tensor& qkv) const {
    const int64_t channels = qkv.size(2) / 3;
    const torch::Tensor of =
        qkv.view({qkv.size(0), qkv.size(1), 3, heads_, channels / heads_}).permute({2, 0, 3, 1, 4});
    return torch::scaled_dot_product_attention(of[0], of[1], of[2])
        .transpose(1, 2)
        .reshape({qkv.size(0), qkv.size(1), channels});
  }

  const int64_t heads_;
  const double epsilon_;
  const std::vector<torch::Tensor> parameters_;
};

}  // namespace

std::unique_ptr<Layer> MakeLayer(const TransformerBlock& spec, absl::Span<const torch::Tensor> parameters) {
  return std::make_unique<TransformerBlockLayer>(spec, parameters);
}

}  // namespace graft
