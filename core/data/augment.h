// Random changes of training images, as Keras's ImageDataGenerator makes them: one affine map and a mirroring.
#ifndef GRAFT_CORE_DATA_AUGMENT_H_
#define GRAFT_CORE_DATA_AUGMENT_H_

#include <cstdint>

#include "absl/types/span.h"

namespace graft {

// Ranges to draw from, evenly; 0 turns each off. Their bounds stand in the table of options.
struct Augmentation {
  double zoom = 0;          // scale of height and of width, each from 1 - zoom to 1 + zoom
  double rotation = 0;      // degrees, either way
  double width_shift = 0;   // share of the width, either way
  double height_shift = 0;  // share of the height, either way
  double shear = 0;         // degrees, either way
  bool flip = false;        // every other image is mirrored

  bool any() const { return zoom > 0 || rotation > 0 || width_shift > 0 || height_shift > 0 || shear > 0 || flip; }
};

// One draw, for a square image. The map is rotation . shift . shear . zoom about its centre, from output to input, on
// (column, row), as Keras has it.
struct AffineChange {
  double rotation = 0;      // degrees
  double column_shift = 0;  // pixels
  double row_shift = 0;     // pixels
  double shear = 0;         // degrees
  double column_zoom = 1;
  double row_zoom = 1;
  bool flip = false;  // left and right, afterwards
};

// The same options, size and seed give the same change on every machine.
AffineChange DrawChange(const Augmentation& options, int64_t side, uint64_t seed);

// image: side x side x 3 bytes. out: as many floats, from 0 to 255: bilinear samples; beyond its edges the image goes
// on with the nearest pixel.
void ApplyChange(const AffineChange& change, absl::Span<const uint8_t> image, int64_t side, absl::Span<float> out);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_AUGMENT_H_
