// The one place where Graft's version stands; CMakeLists.txt reads it here too.
#ifndef GRAFT_CORE_BASE_VERSION_H_
#define GRAFT_CORE_BASE_VERSION_H_

namespace graft {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace graft

#endif  // GRAFT_CORE_BASE_VERSION_H_
