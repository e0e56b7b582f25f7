// A trained model, as every request names one.
#ifndef GRAFT_CORE_MODEL_MODEL_REF_H_
#define GRAFT_CORE_MODEL_MODEL_REF_H_

#include <string>

namespace graft {

// At most one of version and alias is set; neither: the newest version.
struct ModelRef {
  std::string name;
  int version = 0;  // from 1
  std::string alias;
};

}  // namespace graft

#endif  // GRAFT_CORE_MODEL_MODEL_REF_H_
