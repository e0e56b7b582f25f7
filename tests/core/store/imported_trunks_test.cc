// Weights that anybody brings: whole ones become a trunk with its variants, and others nothing.
#include "core/store/imported_trunks.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "core/base/safetensors.h"
#include "core/model/variants.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr absl::string_view kLike = "efficientnet_lite0";

struct Tensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<float> values;
};

// All zeros, with a classifier that no trunk has.
std::vector<Tensor> Weights() {
  std::vector<Tensor> tensors = {{"classifier.weight", DType::kF32, {2, 3}, std::vector<float>(6)}};
  const TrunkInfo& like = **FindTrunk(kLike);
  Shape shape = {like.stride, like.stride, 3};
  for (const LayerSpec& layer : like.layers()) {
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      tensors.push_back({layer.FileName(parameter), DType::kF32, parameter.shape,
                         std::vector<float>(static_cast<size_t>(ElementCount(parameter.shape)))});
    }
    shape = layer.Output(shape);
  }
  return tensors;
}

class ImportedTrunksTest : public ::testing::Test {
 protected:
  ImportedTrunksTest() { std::filesystem::create_directory(folder()); }
  std::filesystem::path folder() const { return dir_ / "trunks"; }

  std::string FileOf(const std::vector<Tensor>& tensors) const {
    std::vector<TensorView> views;
    for (const Tensor& tensor : tensors) {
      views.push_back({tensor.name, tensor.dtype, tensor.shape, AsBytes(absl::MakeConstSpan(tensor.values))});
    }
    EXPECT_THAT(WriteSafetensors(dir_ / "file", views, {}), IsOk());
    return testing::ReadText(dir_ / "file");
  }
  absl::StatusOr<const TrunkInfo*> Import(const std::string& name, absl::string_view bytes,
                                          const std::string& like = std::string(kLike)) const {
    auto sink = TrunkSink::Open(folder(), {name, like, Preprocessing::kAuto, "brought.safetensors", {}});
    if (!sink.ok()) {
      return sink.status();
    }
    for (size_t at = 0; at < bytes.size(); at += 100'000) {
      EXPECT_THAT((*sink)->Write(bytes.substr(at, 100'000)), IsOk());
    }
    return (*sink)->Finish();
  }
  // What lies there.
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  const testing::TempDir dir_;
};

TEST_F(ImportedTrunksTest, WholeWeightsBecomeATrunkWithItsThreeVariants) {
  const std::string bytes = FileOf(Weights());
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* trunk, Import("whole", bytes));
  EXPECT_EQ(trunk->name, "whole");
  EXPECT_EQ(trunk->title, "whole (EfficientNet-Lite0)");
  EXPECT_EQ(trunk->source, "brought.safetensors");
  EXPECT_EQ(trunk->like, *FindTrunk(kLike));
  EXPECT_EQ(trunk->preprocessing, trunk->like->preprocessing);
  EXPECT_EQ(trunk->parameters, trunk->like->parameters);
  EXPECT_THAT(Names(), ::testing::ElementsAre("whole.json", "whole.safetensors"));
  EXPECT_EQ(TrunkFile("/elsewhere", "whole"), folder() / "whole.safetensors");
  EXPECT_THAT(CheckTrunkWeights("/elsewhere", "whole"), IsOk());
  ASSERT_OK_AND_ASSIGN(const Safetensors kept, Safetensors::OpenSealed(folder() / "whole.safetensors"));
  EXPECT_EQ(kept.Find("classifier.weight"), nullptr);
  EXPECT_EQ(kept.tensors().size(), Weights().size() - 1);

  for (const absl::string_view use : {"_features", "_frozen", "_finetuned"}) {
    ASSERT_OK_AND_ASSIGN(const Variant* variant, FindVariant(absl::StrCat("whole", use)));
    ASSERT_OK_AND_ASSIGN(const Variant* like, FindVariant(absl::StrCat(kLike, use)));
    EXPECT_EQ(variant->trunk, trunk);
    EXPECT_EQ(variant->trunk_use, like->trunk_use);
    EXPECT_EQ(variant->parameters, like->parameters);
    EXPECT_THAT(variant->summary, HasSubstr("whole (EfficientNet-Lite0)"));
    EXPECT_EQ(*FindVariant(absl::StrCat("whole", use)), variant) << "it stays where it is";
  }
  EXPECT_THAT(Import("whole", bytes), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("'whole'")));
  EXPECT_THAT(Import("vgg16", bytes), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("'vgg16'")));
  EXPECT_THAT(Import("more", bytes, "whole"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("use efficientnet_lite0")));
  EXPECT_THAT(Import("more", bytes, "resnet"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("resnet50")));
  EXPECT_THAT(Import("../more", bytes), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("name")));

  std::filesystem::remove(folder() / "whole.safetensors");
  EXPECT_THAT(CheckTrunkWeights("/elsewhere", "whole"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("gone")));
}

TEST_F(ImportedTrunksTest, WhatIsWrongWithAFileIsNamedAndNothingStays) {
  const auto refuses = [&](const std::string& bytes, const std::string& why) {
    EXPECT_THAT(Import("wrong", bytes),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("file: "), HasSubstr(why), ::testing::Not(HasSubstr(folder().string())))));
    EXPECT_THAT(Names(), IsEmpty()) << why;
    EXPECT_FALSE(FindTrunk("wrong").ok());
  };
  refuses("", "not a safetensors file");
  refuses("PK\x03\x04 a zip of pickles, as .pth files are", "not a safetensors file");
  const std::string whole = FileOf(Weights());
  refuses(whole.substr(0, whole.size() - 1), "not a safetensors file");

  std::vector<Tensor> tensors = Weights();
  tensors.pop_back();
  refuses(FileOf(tensors), "has no tensor bn2.running_var");
  tensors = Weights();
  tensors.back().shape = {640, 2};
  refuses(FileOf(tensors), "bn2.running_var is F32 640x2; efficientnet_lite0 has F32 1280");
  tensors = Weights();
  tensors.back().dtype = DType::kI32;
  refuses(FileOf(tensors), "bn2.running_var is I32 1280");
  tensors = Weights();
  tensors.back().values.back() = std::numeric_limits<float>::quiet_NaN();
  refuses(FileOf(tensors), "bn2.running_var holds NaN");
}

TEST_F(ImportedTrunksTest, ThoseOfAnEarlierProcessAreThereAgainAndDamagedOnesAreTold) {
  ASSERT_THAT(Import("kept", FileOf(Weights())), IsOk());
  EXPECT_THAT(AddImportedTrunks(folder()), IsEmpty()) << "those that are there already are no reason to complain";
  EXPECT_THAT(AddImportedTrunks(dir_ / "none"), IsEmpty());

  // As another process left it.
  std::filesystem::create_directory(dir_ / "other");
  for (const char* suffix : {".json", ".safetensors"}) {
    std::filesystem::copy_file(folder() / absl::StrCat("kept", suffix), dir_ / "other" / absl::StrCat("moved", suffix));
  }
  testing::WriteText(dir_ / "other/half.json", "{\"like\": ");
  const std::vector<std::string> wrong = AddImportedTrunks(dir_ / "other");
  ASSERT_EQ(wrong.size(), 1U);
  EXPECT_THAT(wrong[0], HasSubstr("trunk half is left out"));
  ASSERT_OK_AND_ASSIGN(const TrunkInfo* moved, FindTrunk("moved"));
  EXPECT_EQ(moved->file, dir_ / "other/moved.safetensors");
  EXPECT_THAT(FindVariant("moved_finetuned"), IsOk());

  testing::WriteText(folder() / ".incoming-3", "what a killed server left");
  SweepTrunks(folder());
  EXPECT_THAT(Names(), ::testing::ElementsAre("kept.json", "kept.safetensors"));
}

TEST_F(ImportedTrunksTest, AnImportThatIsGivenUpLeavesNothing) {
  ASSERT_OK_AND_ASSIGN(auto sink, TrunkSink::Open(folder(), {"gone", std::string(kLike), {}, "f", {}}));
  ASSERT_THAT(sink->Write("half a file"), IsOk());
  sink.reset();
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace graft
