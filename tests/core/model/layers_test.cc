#include "core/model/layers.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(WindowTest, FitsAsOftenAsKerasSays) {
  EXPECT_EQ((Window{3, 1, 0, 0}.Outputs(150)), 148);
  EXPECT_EQ((Window{3, 1, 1, 1}.Outputs(150)), 150);
  EXPECT_EQ((Window{2, 2, 0, 0}.Outputs(37)), 18);
  EXPECT_EQ((Window{7, 2, 3, 3}.Outputs(224)), 112);
  EXPECT_EQ((Window{3, 2, 0, 1}.Outputs(224)), 112);  // TensorFlow's SAME of an even side
  EXPECT_EQ((Window{3, 2, 1, 1}.Outputs(225)), 113);  // and of an odd one
  EXPECT_EQ((Window{5, 3, 0, 0}.Outputs(4)), 0);
  EXPECT_EQ((Window{5, 3, 0, 1}.Outputs(4)), 1);
}

TEST(LayersTest, SayShapesAndParameters) {
  struct Case {
    LayerSpec layer;
    Shape input;
    Shape output;
    int64_t parameters;
  };
  const Case cases[] = {
      {{"a", Conv2D{16}}, {150, 150, 3}, {148, 148, 16}, (9 * 3 + 1) * 16},
      {{"b", Conv2D{8, {5, 2, 1, 2}}}, {21, 14, 4}, {10, 7, 8}, (25 * 4 + 1) * 8},
      {{"c", Conv2D{8, {1, 1, 0, 0}, Activation::kNone}}, {7, 5, 4}, {7, 5, 8}, (4 + 1) * 8},
      {{"d", MaxPool2D{}}, {9, 5, 4}, {4, 2, 4}, 0},
      {{"e", MaxPool2D{{3, 2, 1, 1}}}, {9, 6, 4}, {5, 3, 4}, 0},
      {{"f", Flatten{}}, {4, 4, 512}, {8192}, 0},
      {{"g", Dense{512}}, {8192}, {512}, 8193 * 512},
      {{"h", Dropout{0.5}}, {512}, {512}, 0},
      {{"i", PatchEmbedding{16, 14, 37}}, {30, 28, 3}, {1, 1 + 3 * 2, 16}, 16 + 1370 * 16 + (14 * 14 * 3 + 1) * 16},
      {{"j", TransformerBlock{2}}, {1, 7, 16}, {1, 7, 16}, 12 * 16 * 16 + (3 + 1 + 4 + 1 + 4 + 2) * 16},
      {{"k", LayerNorm{}}, {1, 7, 16}, {1, 7, 16}, 32},
      {{"l", ClassAndMean{}}, {1, 7, 16}, {1, 1, 32}, 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.layer.name);
    ASSERT_OK_AND_ASSIGN(const auto infos, DescribeLayers({c.layer}, c.input));
    EXPECT_EQ(infos[0].output_shape, c.output);
    EXPECT_EQ(infos[0].parameters, c.parameters);
    EXPECT_EQ(infos[0].trainable, c.parameters > 0);
  }
}

TEST(LayersTest, FrozenOnesAreShownAsSuchAndFilesMayNameThemOtherwise) {
  const LayerSpec layer = {"conv", Conv2D{4}, "features.0", false};
  ASSERT_OK_AND_ASSIGN(const auto infos, DescribeLayers({layer}, {8, 8, 3}));
  EXPECT_FALSE(infos[0].trainable);
  EXPECT_EQ(infos[0].name, "conv");
  EXPECT_EQ(layer.FileName(layer.Parameters({8, 8, 3})[1]), "features.0.bias");
  const LayerSpec plain = {"conv", Conv2D{4}};
  EXPECT_EQ(plain.FileName(plain.Parameters({8, 8, 3})[0]), "conv.weight");
}

TEST(LayersTest, AnInputOfWhichNothingIsLeftIsRefused) {
  const std::vector<LayerSpec> layers = {{"small", MaxPool2D{}}, {"smaller", Conv2D{4}}};
  EXPECT_THAT(DescribeLayers(layers, {5, 5, 3}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("image_size: 5 is"), HasSubstr("smaller"))));
}

}  // namespace
}  // namespace graft
