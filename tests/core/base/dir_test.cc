#include "core/base/dir.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Following = SourceFolder::Following;

std::vector<std::string> PathsOf(const std::vector<TreeFile>& files) {
  std::vector<std::string> paths;
  for (const TreeFile& file : files) {
    paths.push_back(file.path);
  }
  return paths;
}

std::string TextOf(const absl::StatusOr<std::vector<uint8_t>>& bytes) {
  return bytes.ok() ? std::string(bytes->begin(), bytes->end()) : bytes.status().ToString();
}

// Both ways of following a path, and what picks one.
class SourceFolderTest : public ::testing::TestWithParam<Following> {
 protected:
  SourceFolderTest() {
    testing::WriteText(dir_ / "root/a/b/file", "inside");
    testing::WriteText(dir_ / "outside/file", "canary");
    std::filesystem::create_directory_symlink("../outside", dir_ / "root/out");
    std::filesystem::create_directory_symlink("a", dir_ / "root/in");
    std::filesystem::create_symlink("a/b/file", dir_ / "root/link");
  }
  absl::StatusOr<SourceFolder> Open(const std::string& relative = "") {
    return SourceFolder::Open(dir_ / "root", relative, GetParam());
  }
  const testing::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Ways, SourceFolderTest,
                         ::testing::Values(Following::kBest, Following::kKernel, Following::kSteps));

TEST_P(SourceFolderTest, ReadsWhatIsBelow) {
  ASSERT_OK_AND_ASSIGN(const SourceFolder root, Open());
  EXPECT_EQ(TextOf(root.Read("a/b/file", 10)), "inside");
  EXPECT_EQ(TextOf(root.Read("./a//b/file", 10)), "inside");
  EXPECT_THAT(root.Read("a/b/file", 5), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 5")));
  EXPECT_THAT(root.Read("a/none", 5), StatusIs(absl::StatusCode::kNotFound, HasSubstr("root/a/none")));
  ASSERT_OK_AND_ASSIGN(const SourceFolder below, Open("a/b"));
  EXPECT_EQ(below.path(), dir_ / "root/a/b");
  EXPECT_EQ(TextOf(below.Read("file", 10)), "inside");
  EXPECT_THAT(Open("a/none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("a/none")));
  EXPECT_THAT(Open("a/b/file"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a folder")));
}

TEST_P(SourceFolderTest, FollowsNoLinkAndLeadsNowhereElse) {
  ASSERT_OK_AND_ASSIGN(const SourceFolder root, Open());
  for (const char* path : {"out/file", "in/b/file", "link"}) {
    EXPECT_THAT(root.Read(path, 10), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("symbolic link"))) << path;
  }
  for (const char* path : {"../outside/file", "a/../../outside/file", "a/../a/b/file", "/etc/passwd", ".."}) {
    EXPECT_THAT(root.Read(path, 10), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("leads out"))) << path;
  }
  for (const char* path : {"out", "in", "in/b"}) {
    EXPECT_THAT(Open(path), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("symbolic link"))) << path;
  }
  EXPECT_THAT(Open("../outside"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(Open("/etc"), StatusIs(absl::StatusCode::kPermissionDenied, _));
}

TEST_P(SourceFolderTest, TheRootItselfMayBeALink) {
  std::filesystem::create_directory_symlink("root", dir_ / "alias");
  ASSERT_OK_AND_ASSIGN(const SourceFolder root, SourceFolder::Open(dir_ / "alias", "a", GetParam()));
  EXPECT_EQ(TextOf(root.Read("b/file", 10)), "inside");
  EXPECT_THAT(SourceFolder::Open(dir_ / "none", "", GetParam()), StatusIs(absl::StatusCode::kNotFound, _));
}

// A queued job's folder becomes a link before the job starts.
TEST_P(SourceFolderTest, AFolderThatWasSwappedForALinkIsRefused) {
  ASSERT_THAT(Open("a/b"), IsOk());
  std::filesystem::rename(dir_ / "root/a", dir_ / "moved");
  std::filesystem::create_directory_symlink("../outside", dir_ / "root/a");
  testing::WriteText(dir_ / "outside/b/file", "canary");
  EXPECT_THAT(Open("a/b"), StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr("symbolic link")));
}

TEST_P(SourceFolderTest, StaysTheFolderThatWasOpened) {
  ASSERT_OK_AND_ASSIGN(const SourceFolder below, Open("a/b"));
  std::filesystem::rename(dir_ / "root/a", dir_ / "moved");
  std::filesystem::create_directory_symlink("../outside", dir_ / "root/a");
  EXPECT_EQ(TextOf(below.Read("file", 10)), "inside");
}

TEST_P(SourceFolderTest, OnlyRegularFilesAndNeverHangs) {
  ASSERT_EQ(mkfifo((dir_ / "root/fifo").c_str(), 0600), 0);
  ASSERT_OK_AND_ASSIGN(const SourceFolder root, Open());
  for (const char* path : {"fifo", "a"}) {
    EXPECT_THAT(root.Read(path, 10), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("not a regular file")))
        << path;
    EXPECT_FALSE(root.LinkTo(path, dir_ / "to").ok());
    EXPECT_FALSE(root.CopyTo(path, dir_ / "to").ok());
  }
  EXPECT_FALSE(std::filesystem::exists(dir_ / "to"));
}

TEST_P(SourceFolderTest, CopiesAndLinks) {
  ASSERT_OK_AND_ASSIGN(const SourceFolder root, Open());
  ASSERT_THAT(root.CopyTo("a/b/file", dir_ / "copy"), IsOk());
  EXPECT_EQ(testing::ReadText(dir_ / "copy"), "inside");
  EXPECT_FALSE(std::filesystem::equivalent(dir_ / "copy", dir_ / "root/a/b/file"));
  ASSERT_THAT(root.LinkTo("a/b/file", dir_ / "linked"), IsOk());
  EXPECT_TRUE(std::filesystem::equivalent(dir_ / "linked", dir_ / "root/a/b/file"));
  EXPECT_THAT(root.LinkTo("a/b/file", dir_ / "linked"), StatusIs(absl::StatusCode::kAlreadyExists, _));
  EXPECT_THAT(root.CopyTo("out/file", dir_ / "x"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(root.LinkTo("out/file", dir_ / "x"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(root.LinkTo("link", dir_ / "x"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "x"));
}

TEST_P(SourceFolderTest, ListsWithoutLinks) {
  ASSERT_OK_AND_ASSIGN(const SourceFolder root, Open());
  ASSERT_OK_AND_ASSIGN(const std::vector<TreeFile> files, root.List());
  EXPECT_THAT(PathsOf(files), ElementsAre("a/b/file"));
  EXPECT_EQ(files[0].bytes, 6);
  EXPECT_THAT(root.List(), IsOk());  // again, from the start
}

TEST(ListTreeTest, IsSortedByBytesAndLeavesOutHiddenOnesLinksAndTheLike) {
  const testing::TempDir dir;
  for (const char* name : {"b.jpg", "a/z.jpg", "a b.jpg", "B.jpg", "ü.jpg", ".hidden.jpg", ".git/x.jpg"}) {
    testing::WriteText(dir / name, "x");
  }
  std::filesystem::create_symlink("b.jpg", dir / "link.jpg");
  std::filesystem::create_directory_symlink("a", dir / "linked folder");
  std::filesystem::create_directory(dir / "empty");
  ASSERT_EQ(mkfifo((dir / "fifo.jpg").c_str(), 0600), 0);
  ASSERT_OK_AND_ASSIGN(const std::vector<TreeFile> files, ListTree(dir.path(), {.max_files = 5}));
  EXPECT_THAT(PathsOf(files), ElementsAre("B.jpg", "a b.jpg", "a/z.jpg", "b.jpg", "ü.jpg"));
  ASSERT_OK_AND_ASSIGN(const std::vector<TreeFile> all, ListTree(dir.path(), {.hidden = true}));
  EXPECT_THAT(PathsOf(all), ElementsAre(".git/x.jpg", ".hidden.jpg", "B.jpg", "a b.jpg", "a/z.jpg", "b.jpg", "ü.jpg"));
  EXPECT_THAT(ListTree(dir.path(), {.max_files = 4}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("more than 4 files")));
  EXPECT_THAT(ListTree(dir / "b.jpg"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("b.jpg")));
  EXPECT_THAT(ListTree(dir / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST(ListTreeTest, FoldersAreCountedToo) {
  const testing::TempDir dir;
  for (int i = 0; i < 6; ++i) {
    std::filesystem::create_directory(dir / std::to_string(i));
  }
  EXPECT_THAT(ListTree(dir.path(), {.max_files = 6}), IsOk());
  EXPECT_THAT(ListTree(dir.path(), {.max_files = 5}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("more than 5 folders")));
}

// Deeper than there are descriptors.
TEST(ListTreeTest, DeepTrees) {
  const testing::TempDir dir;
  std::string path;
  for (int i = 0; i < 200; ++i) {
    path += "d/";
  }
  path += "file";
  testing::WriteText(dir / path, "x");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{50, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto files = ListTree(dir.path());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_THAT(files, IsOk());
  EXPECT_THAT(PathsOf(*files), ElementsAre(path));
}

}  // namespace
}  // namespace graft
