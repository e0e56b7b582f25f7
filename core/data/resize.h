// Bringing pixels to another size with a filter, equal to Pillow's Image.resize byte for byte. Private to core/data:
// others decode with core/data/image.h.
#ifndef GRAFT_CORE_DATA_RESIZE_H_
#define GRAFT_CORE_DATA_RESIZE_H_

#include <cstddef>
#include <cstdint>

#include "core/data/image.h"

namespace graft {

// Whether ResizeFiltered is for it.
bool IsFilter(Interpolation interpolation);

// pixels: height rows of width x 3 bytes, `stride` bytes from one to the next. out: size x size x 3 bytes. The filter
// grows with the scale where the image shrinks (antialiasing), and each of two passes rounds to 8 bits, with weights in
// fixed point: first all rows, then all columns; the other way round where height shrinks by more than twice as many
// pixels as width does, as in Pillow 13 (earlier ones begin with the rows always). Takes less than a megabyte of memory
// besides, whatever the image's size.
void ResizeFiltered(const uint8_t* pixels, int width, int height, size_t stride, int size, Interpolation interpolation,
                    uint8_t* out);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_RESIZE_H_
