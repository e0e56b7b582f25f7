// Numbers and times as people read them.
#ifndef GRAFT_CORE_BASE_READABLE_H_
#define GRAFT_CORE_BASE_READABLE_H_

#include <cstdint>
#include <string>

namespace graft {

// 19,024,513.
std::string Thousands(int64_t number);
// 17.8 MB.
std::string Bytes(int64_t bytes);
// 0.4s, 12s, 3m 05s, 2h 07m.
std::string Duration(double seconds);
// 2026-11-24 09:39:38, UTC.
std::string Time(int64_t unix_seconds);

}  // namespace graft

#endif  // GRAFT_CORE_BASE_READABLE_H_
