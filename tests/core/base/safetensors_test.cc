#include "core/base/safetensors.h"

#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "core/base/json.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

class SafetensorsTest : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return dir_ / "x.safetensors"; }
  void WriteExample() {
    ASSERT_THAT(WriteSafetensors(path(),
                                 {{"weights", DType::kF32, {2, 3}, AsBytes(absl::MakeConstSpan(floats_))},
                                  {"empty", DType::kI64, {0, 4}, {}},
                                  {"bytes", DType::kU8, {5}, absl::MakeConstSpan(bytes_)}},
                                 {{"key", "value"}}),
                IsOk());
  }
  // A file with this header and `data` bytes behind it.
  void WriteRaw(const std::string& header, size_t data) {
    std::string file(8, '\0');
    const uint64_t size = header.size();
    std::memcpy(file.data(), &size, 8);
    testing::WriteText(path(), file + header + std::string(data, '\0'));
  }

  const testing::TempDir dir_;
  const std::vector<float> floats_ = {1, 2, 3, 4, 5, 6.5F};
  const std::vector<uint8_t> bytes_ = {9, 8, 7, 6, 5};
};

TEST_F(SafetensorsTest, RoundTripByReadAndByMap) {
  WriteExample();
  for (const auto access : {Safetensors::Access::kRead, Safetensors::Access::kMap}) {
    ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::OpenSealed(path(), access));
    ASSERT_OK_AND_ASSIGN(const TensorView weights, file.Get("weights", DType::kF32, {-1, 3}));
    EXPECT_EQ(std::memcmp(weights.data.data(), floats_.data(), weights.data.size()), 0);
    EXPECT_EQ(file.Find("empty")->elements(), 0);
    EXPECT_EQ(file.Find("bytes")->data[4], 5);
    EXPECT_EQ(file.Metadata("key"), "value");
    EXPECT_EQ(file.Metadata("none"), "");
    EXPECT_EQ(file.Find("none"), nullptr);
  }
}

TEST_F(SafetensorsTest, TheHashFindsItsPlaceAmongAnyMetadata) {
  const std::string zeros(64, '0');
  const std::map<std::string, std::string> metadata = {
      {"a", zeros}, {"b", "\"graft.sha256\":\"" + zeros}, {zeros, "key"}, {"z", zeros}};
  ASSERT_THAT(WriteSafetensors(path(), {{zeros, DType::kU8, {5}, absl::MakeConstSpan(bytes_)}}, metadata), IsOk());
  ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::OpenSealed(path()));
  for (const auto& [key, value] : metadata) {
    EXPECT_EQ(file.Metadata(key), value) << key;
  }
  EXPECT_THAT(file.Get(zeros, DType::kU8, {5}), IsOk());
}

TEST_F(SafetensorsTest, FilesOfThePythonLibraryOpen) {
  ASSERT_OK_AND_ASSIGN(const Safetensors rmsprop, Safetensors::Open(testing::Golden("rmsprop.safetensors")));
  EXPECT_FALSE(rmsprop.sealed());
  EXPECT_EQ(rmsprop.tensors().size(), 2U);
  EXPECT_THAT(rmsprop.Get("gradients", DType::kF32, {20, 5}), IsOk());
  EXPECT_THAT(rmsprop.Get("parameters", DType::kF32, {20, 5}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Safetensors features, Safetensors::Open(testing::Golden("vgg16_features.safetensors")));
  EXPECT_THAT(features.Get("rescale", DType::kF32, {16, 4, 4, 512}), IsOk());
  EXPECT_THAT(features.Get("caffe", DType::kF32, {16, 4, 4, 512}), IsOk());
}

TEST_F(SafetensorsTest, NoTensorsAtAllIsAFileToo) {
  ASSERT_THAT(WriteSafetensors(path(), {}, {}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::OpenSealed(path(), Safetensors::Access::kMap));
  EXPECT_TRUE(file.tensors().empty());
}

TEST_F(SafetensorsTest, ATensorWhoseBytesDoNotFitItsShapeIsNotWritten) {
  // Together they fit.
  EXPECT_THAT(WriteSafetensors(path(),
                               {{"a", DType::kU8, {2}, absl::MakeConstSpan(bytes_).first(3)},
                                {"b", DType::kU8, {3}, absl::MakeConstSpan(bytes_).first(2)}},
                               {}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("tensor a")));
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SafetensorsTest, GetNamesTheTensorAndWhatWasExpected) {
  WriteExample();
  ASSERT_OK_AND_ASSIGN(const Safetensors file, Safetensors::Open(path()));
  EXPECT_THAT(file.Get("none", DType::kF32, {1}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("none is missing")));
  EXPECT_THAT(file.Get("weights", DType::kF32, {3, 2}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("F32[2, 3]")));
  EXPECT_THAT(file.Get("weights", DType::kF64, {2, 3}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("F64")));
  EXPECT_THAT(file.Get("weights", DType::kF32, {6}), StatusIs(absl::StatusCode::kDataLoss, _));
}

TEST_F(SafetensorsTest, EveryFlippedByteAndEveryCutIsFound) {
  WriteExample();
  const auto size = static_cast<int>(std::filesystem::file_size(path()));
  testing::ForEachDamage(path(), size, size, [&](const std::string& what) {
    EXPECT_THAT(Safetensors::OpenSealed(path()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("x.safetensors")))
        << what;
  });
}

TEST_F(SafetensorsTest, StreamsMustBeComplete) {
  const std::vector<TensorView> tensors = {{"t", DType::kU8, {4}, {}}};
  {
    ASSERT_OK_AND_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::Create(path(), tensors, {}));
    ASSERT_THAT(writer.Append(absl::MakeConstSpan(bytes_).first(3)), IsOk());
    EXPECT_THAT(writer.Commit(), StatusIs(absl::StatusCode::kInternal, HasSubstr("1 bytes")));
  }
  EXPECT_FALSE(std::filesystem::exists(path()));
  ASSERT_OK_AND_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::Create(path(), tensors, {}));
  ASSERT_THAT(writer.Append(absl::MakeConstSpan(bytes_)), IsOk());
  EXPECT_THAT(writer.Commit(), StatusIs(absl::StatusCode::kInternal, _));
  EXPECT_THAT(SafetensorsWriter::Create(path(), {{"t", DType::kU8, {1}, {}}, {"t", DType::kU8, {1}, {}}}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
}

TEST_F(SafetensorsTest, MalformedHeadersAreRefused) {
  const std::string huge = "9223372036854775807";
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"", 0},
      {"nonsense", 0},
      {std::string(100'000, '['), 0},
      {R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}", 0},
      {R"({"a":{"dtype":"F32","shape":[[[[[1]]]]],"data_offsets":[0,4]}})", 4},
      // The same bytes twice.
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0},
      {R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", 4},
      {R"({"a":{"dtype":7,"shape":[1],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", 4},
      {"[]", 0},
      {std::string(100, '[') + std::string(100, ']'), 0},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8},  // bytes left over
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4},  // shape doesn't fit
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8},  // hole
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
       6},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4},
      {R"({"a":7})", 0},
      {R"({"__metadata__":{"k":1}})", 0},
      {R"({"__metadata__":7})", 0},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[" + huge + "," + huge + "],\"data_offsets\":[0,4]}}", 4},
  };
  for (const auto& [header, data] : cases) {
    WriteRaw(header, data);
    EXPECT_THAT(Safetensors::Open(path()), StatusIs(absl::StatusCode::kDataLoss, _)) << header;
  }
  testing::WriteText(path(), std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
  EXPECT_THAT(Safetensors::Open(path()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("header")));
  WriteRaw(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4);
  EXPECT_THAT(Safetensors::Open(path()), IsOk());
  EXPECT_THAT(Safetensors::OpenSealed(path()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("SHA-256")));
  EXPECT_THAT(Safetensors::Open(dir_ / "none"), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(SafetensorsTest, RandomMutationsOfAForeignFileNeverCrash) {
  const std::string whole = testing::ReadText(testing::Golden("rmsprop.safetensors"));
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string mutated = whole;
    for (unsigned n = 0; n <= random() % 4; ++n) {
      mutated[random() % mutated.size()] = static_cast<char>(random());
    }
    testing::WriteText(path(), mutated);
    const auto file = Safetensors::Open(path());
    if (file.ok()) {
      for (const TensorView& tensor : file->tensors()) {
        EXPECT_EQ(static_cast<int64_t>(tensor.data.size()), tensor.elements() * DTypeSize(tensor.dtype));
      }
    }
  }
}

TEST(SealedJsonTest, ComesBackAsItWasWritten) {
  const testing::TempDir dir;
  const nlohmann::json object = {{"text", "a \"quoted\" ü\n"},
                                 {"large", uint64_t{18446744073709551615U}},
                                 {"share", 0.1},
                                 {"nested", {{"list", {1, -2, nullptr, true}}}},
                                 {"sha256", "is replaced"}};
  ASSERT_THAT(WriteSealedJson(dir / "x.json", object), IsOk());
  ASSERT_OK_AND_ASSIGN(nlohmann::json found, ReadSealedJson(dir / "x.json"));
  nlohmann::json expected = object;
  expected["sha256"] = JsonFingerprint(object);
  EXPECT_EQ(found, expected);
  // What isn't UTF-8 or a number is replaced, not thrown at.
  ASSERT_THAT(WriteSealedJson(dir / "x.json", {{"name", "caf\xE9"}, {"loss", std::nan("")}}), IsOk());
  ASSERT_OK_AND_ASSIGN(found, ReadSealedJson(dir / "x.json"));
  EXPECT_EQ(found["name"], "caf\xEF\xBF\xBD");
  EXPECT_TRUE(found["loss"].is_null());
}

TEST(SealedJsonTest, WhatIsNotSealedIsRefusedHoweverDeep) {
  const testing::TempDir dir;
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  for (const std::string& content : {std::string(), std::string("[]"), std::string("{}"),
                                     std::string(R"({"sha256":7})"), deep, R"({"sha256":"x","a":)" + deep + "}"}) {
    testing::WriteText(dir / "x.json", content);
    EXPECT_THAT(ReadSealedJson(dir / "x.json"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("x.json")))
        << content.substr(0, 30);
  }
}

TEST(SealedJsonTest, EveryFlippedByteAndEveryCutIsFound) {
  const testing::TempDir dir;
  const nlohmann::json object = {{"labels", {"cat", "dog"}}, {"count", 12}, {"share", 0.1}, {"null", nullptr}};
  ASSERT_THAT(WriteSealedJson(dir / "x.json", object), IsOk());
  ASSERT_OK_AND_ASSIGN(nlohmann::json found, ReadSealedJson(dir / "x.json"));
  EXPECT_EQ(found["sha256"], JsonFingerprint(object));
  const nlohmann::json whole = found;
  const auto size = static_cast<int>(std::filesystem::file_size(dir / "x.json"));
  testing::ForEachDamage(dir / "x.json", size, size, [&](const std::string& what) {
    const auto damaged = ReadSealedJson(dir / "x.json");
    // Only white space may change unnoticed.
    EXPECT_TRUE(absl::IsDataLoss(damaged.status()) || (damaged.ok() && *damaged == whole)) << what;
  });
  EXPECT_THAT(ReadSealedJson(dir / "none"), StatusIs(absl::StatusCode::kNotFound, _));
}

}  // namespace
}  // namespace graft
