// Random changes of training images: one affine map and mirrorings as Keras's ImageDataGenerator makes them, then
// brightness and contrast as torchvision's ColorJitter does.
#ifndef GRAFT_CORE_DATA_AUGMENT_H_
#define GRAFT_CORE_DATA_AUGMENT_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace graft {

// What lies beyond an image's edges. Each is scipy.ndimage's mode of its name, which Keras's fill_mode stands for.
enum class Fill {
  kNearest,   // the nearest pixel
  kReflect,   // the image mirrored, its outermost pixels twice: d c b a | a b c d | d c b a
  kConstant,  // black; nothing is blended with it
};
absl::string_view FillName(Fill fill);

// Ranges to draw from, evenly; 0 turns each off. Their bounds stand in the table of options.
struct Augmentation {
  double zoom = 0;             // scale of height and of width, each from 1 - zoom to 1 + zoom
  double rotation = 0;         // degrees, either way
  double width_shift = 0;      // share of the width, either way
  double height_shift = 0;     // share of the height, either way
  double shear = 0;            // degrees, either way
  bool flip = false;           // every other image is mirrored
  bool vertical_flip = false;  // every other image is upside down
  double brightness = 0;       // factor of every value from 1 - brightness to 1 + brightness
  double contrast = 0;         // factor of the distance to the mean grey from 1 - contrast to 1 + contrast
  Fill fill = Fill::kNearest;

  bool any() const {
    return zoom > 0 || rotation > 0 || width_shift > 0 || height_shift > 0 || shear > 0 || flip || vertical_flip ||
           brightness > 0 || contrast > 0;
  }
  // An image has two forms then, itself and its mirror image, and nothing needs to be made anew in each epoch.
  bool only_flip() const {
    Augmentation rest = *this;
    rest.flip = false;
    return flip && !rest.any();
  }
};

// One draw, for a square image. The map is rotation . shift . shear . zoom about its centre, from output to input, on
// (column, row), as Keras has it. Mirrorings come afterwards, then brightness, then contrast.
struct AffineChange {
  double rotation = 0;      // degrees
  double column_shift = 0;  // pixels
  double row_shift = 0;     // pixels
  double shear = 0;         // degrees
  double column_zoom = 1;
  double row_zoom = 1;
  bool flip = false;           // left and right
  bool vertical_flip = false;  // top and bottom
  double brightness = 1;       // value * brightness
  double contrast = 1;         // grey + (value - grey) * contrast; grey: the mean of 0.2989 R + 0.587 G + 0.114 B
  Fill fill = Fill::kNearest;
};

// What a training job with `seed` draws with in its `epoch`-th pass (from 1) for the image that stands at `row` of the
// data set: of these three alone, so the order of images and the number of threads don't matter.
uint64_t ChangeSeed(uint64_t seed, int epoch, int64_t row);

// The same options, size and seed give the same change on every machine. An option that is off changes no draw of the
// others.
AffineChange DrawChange(const Augmentation& options, int64_t side, uint64_t seed);

// image: side x side x 3 bytes. out: as many floats, from 0 to 255: bilinear samples; brightness and contrast end at
// these limits too.
void ApplyChange(const AffineChange& change, absl::Span<const uint8_t> image, int64_t side, absl::Span<float> out);

}  // namespace graft

#endif  // GRAFT_CORE_DATA_AUGMENT_H_
