#include "core/store/names.h"

#include "tests/testing/files.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(NamesTest, ANameIsSafeAsAFolder) {
  for (const std::string& name :
       {std::string("a"), std::string("9"), std::string("Pets-2.v_1"), std::string(63, 'x')}) {
    EXPECT_THAT(CheckName("model", name), IsOk()) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("-a"), std::string("a/b"), std::string("a b"),
        std::string("ü"), std::string(64, 'x'), std::string("a\0b", 3), std::string(1 << 20, 'x')}) {
    const absl::Status status = CheckName("model", name);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("model: '"))) << name.substr(0, 99);
    EXPECT_LT(status.message().size(), 400U);
  }
}

TEST(NamesTest, ARelativePathStaysBelowAndIsCleanText) {
  for (const char* path : {"a", "cat/1.jpg", "ü/ö 2.png", "...", "a/.hidden"}) {
    EXPECT_THAT(CheckRelativePath("path", path), IsOk()) << path;
  }
  for (const char* path : {"", "/a", "a/", "a//b", ".", "a/./b", "..", "a/../b", "a\\b", "a\nb", "a\x7f", "a\x80",
                           "a\xc2\x9b"
                           "31m",
                           "\xe2\x80\xaegpj.exe"}) {
    EXPECT_THAT(CheckRelativePath("path", path), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("path: ")))
        << path;
  }
  EXPECT_THAT(CheckRelativePath("path", std::string(256, 'x')), StatusIs(absl::StatusCode::kInvalidArgument, _));
  std::string deep = "a";
  while (deep.size() <= 4096) {
    deep += "/a";
  }
  EXPECT_THAT(CheckRelativePath("path", deep), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4096")));
}

class AllowedFolderTest : public ::testing::Test {
 protected:
  AllowedFolderTest() : root_(fs::canonical(dir_.path()) / "allowed"), allowed_({root_}) {
    fs::create_directories(root_ / "pets/cats");
  }
  absl::StatusOr<AllowedFolder> Check(const std::string& folder) {
    return CheckAllowedFolder("split.folder", folder, allowed_);
  }

  const testing::TempDir dir_;
  const fs::path root_;
  const std::vector<fs::path> allowed_;
};

TEST_F(AllowedFolderTest, IsItsRootAndThePathBelow) {
  ASSERT_OK_AND_ASSIGN(const AllowedFolder below, Check((root_ / "pets/cats").string()));
  EXPECT_EQ(below.root, root_);
  EXPECT_EQ(below.relative, "pets/cats");
  EXPECT_EQ(below.path(), root_ / "pets/cats");
  ASSERT_OK_AND_ASSIGN(const AllowedFolder dots, Check((root_ / "pets/../pets/./cats/").string()));
  EXPECT_EQ(dots.relative, "pets/cats");
  ASSERT_OK_AND_ASSIGN(const AllowedFolder itself, Check(root_.string()));
  EXPECT_EQ(itself.relative, "");
  EXPECT_EQ(itself.path(), root_);
}

TEST_F(AllowedFolderTest, LinksAreResolvedAndHeldToTheRoot) {
  fs::create_directory_symlink(root_ / "pets", root_ / "link");
  ASSERT_OK_AND_ASSIGN(const AllowedFolder inside, Check((root_ / "link/cats").string()));
  EXPECT_EQ(inside.relative, "pets/cats");
  fs::create_directory_symlink("/etc", root_ / "etc");
  EXPECT_THAT(Check((root_ / "etc").string()), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("--allow-dir")));
  fs::create_directories(dir_ / "allowed2");  // a sibling whose name begins alike
  EXPECT_THAT(Check((fs::canonical(dir_ / "allowed2")).string()), StatusIs(absl::StatusCode::kPermissionDenied, _));
  // Whether it exists isn't told.
  EXPECT_THAT(Check("/no/such/folder"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(Check((root_ / "../elsewhere").string()), StatusIs(absl::StatusCode::kPermissionDenied, _));
}

TEST_F(AllowedFolderTest, WhatIsNoFolderIsNamed) {
  testing::WriteText(root_ / "file", "x");
  EXPECT_THAT(Check((root_ / "none").string()), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(Check((root_ / "file").string()), StatusIs(absl::StatusCode::kNotFound, HasSubstr("file")));
  EXPECT_THAT(Check(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("absolute")));
  EXPECT_THAT(Check("pets"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("absolute")));
}

// A stored path must be readable as a message and as JSON ever after.
TEST_F(AllowedFolderTest, TextThatNoMessageCarriesIsRefused) {
  EXPECT_THAT(Check(root_.string() + "/\xff"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("split.folder")));
  EXPECT_THAT(Check(std::string("/\0", 2)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("split.folder")));
  EXPECT_THAT(Check("/" + std::string(1 << 20, 'x')), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("4096")));
  for (const char* name : {"caf\xe9",
                           "a\xe2\x80\xae"
                           "b"}) {
    fs::create_directory(root_ / name);
    fs::remove(root_ / "link");
    fs::create_directory_symlink(root_ / name, root_ / "link");
    EXPECT_THAT(Check((root_ / "link").string()),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         ::testing::AllOf(HasSubstr("split.folder: '"), HasSubstr("/link'"), Not(HasSubstr(name)))));
  }
}

}  // namespace
}  // namespace graft
