// Ramps of colours for shares of 0 to 1.
#ifndef GRAFT_CORE_VIZ_RAMP_H_
#define GRAFT_CORE_VIZ_RAMP_H_

#include <array>
#include <cstdint>

namespace graft {

using Pixel = std::array<uint8_t, 3>;  // RGB

// From near black over violet and orange to pale yellow: lighter all the way, so that it reads in grey, too. What isn't
// finite is 0; what is outside is the nearest end.
Pixel HeatColor(float share);
// The same from violet over green to yellow.
Pixel MapColor(float share);

}  // namespace graft

#endif  // GRAFT_CORE_VIZ_RAMP_H_
