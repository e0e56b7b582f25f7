// The kernels of one instruction set, behind function pointers. See core/kernels/conv3x3.h for what they do.
#ifndef GRAFT_CORE_KERNELS_INTERNAL_TABLE_H_
#define GRAFT_CORE_KERNELS_INTERNAL_TABLE_H_

#include <cstdint>

#include "core/kernels/conv3x3.h"
#include "core/kernels/inverted_residual.h"

namespace graft::kernels {

struct ForwardArguments {
  ConvShape shape;
  const float* x;
  const float* packed;
  FilterView filter;
  Epilogue epilogue;
  int threads;
  float* workspace;
  float* y;
};

struct BackwardFilterArguments {
  ConvShape shape;
  const float* x;
  const float* output_gradient;
  int threads;
  float* workspace;
  float* gradient;
};

struct InvertedResidualArguments {
  InvertedResidualShape shape;
  const float* x;
  const float* packed;
  int threads;
  float* workspace;
  float* y;
};

struct PoolArguments {
  int64_t batch;
  int64_t height;
  int64_t width;
  int64_t channels;
  const float* x;  // what is pooled; ReLU's output
  int threads;
};

struct Table {
  int64_t (*filter_floats)(int64_t in_channels, int64_t out_channels);
  void (*pack_filter)(int64_t in_channels, int64_t out_channels, const FilterView& filter, float* packed);
  int64_t (*workspace_floats)(const ConvShape& shape, int threads);
  void (*forward)(const ForwardArguments& arguments);
  void (*backward_filter)(const BackwardFilterArguments& arguments);
  void (*max_pool)(const PoolArguments& arguments, float* y);
  void (*relu_pool_backward)(const PoolArguments& arguments, const float* gradient, bool pool, float* workspace,
                             float* output_gradient, float* bias_gradient);
  int64_t (*inverted_residual_floats)(const InvertedResidualShape& shape);
  void (*pack_inverted_residual)(const InvertedResidualShape& shape, const InvertedResidualWeights& weights,
                                 float* packed);
  int64_t (*inverted_residual_workspace_floats)(const InvertedResidualShape& shape, int threads);
  void (*inverted_residual)(const InvertedResidualArguments& arguments);
};

namespace avx2 {
extern const Table kTable;
}
namespace avx512 {
extern const Table kTable;
}

// Aborts for kNone, which has no kernels.
const Table& TableOf(Isa isa);

}  // namespace graft::kernels

#endif  // GRAFT_CORE_KERNELS_INTERNAL_TABLE_H_
