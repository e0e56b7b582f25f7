// A look at what the layers of a network make, without LibTorch in sight.
#ifndef GRAFT_CORE_NN_LAYER_TAP_H_
#define GRAFT_CORE_NN_LAYER_TAP_H_

#include <functional>
#include <string>

namespace at {
class Tensor;
}

namespace graft {

// Called with a layer's name and what it makes, after its activation and before a pool that follows. What it returns
// goes on to the next layer.
using LayerTap = std::function<at::Tensor(const std::string& layer, const at::Tensor& output)>;

}  // namespace graft

#endif  // GRAFT_CORE_NN_LAYER_TAP_H_
