#ifndef GRAFT_CORE_HEADS_DENSE_H_
#define GRAFT_CORE_HEADS_DENSE_H_

#include <memory>
#include <string>

#include "core/heads/head.h"

namespace graft {

// Layers trained by gradient descent: dense ones on features, or a whole network on images.
std::unique_ptr<Head> MakeDenseHead(HeadPlan plan, const std::string& device);

}  // namespace graft

#endif  // GRAFT_CORE_HEADS_DENSE_H_
