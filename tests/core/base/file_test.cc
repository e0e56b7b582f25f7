#include "core/base/file.h"

#include <sys/stat.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

int64_t Entries(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

TEST(AtomicFileTest, AppearsWholeOrNotAtAll) {
  const testing::TempDir dir;
  testing::WriteText(dir / "a", "old");
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(dir / "a"));
    ASSERT_THAT(file.Write(absl::string_view("new, but given up")), IsOk());
  }
  EXPECT_EQ(testing::ReadText(dir / "a"), "old");
  EXPECT_EQ(Entries(dir.path()), 1);
  ASSERT_THAT(WriteFileAtomic(dir / "a", "new"), IsOk());
  EXPECT_EQ(testing::ReadText(dir / "a"), "new");
  EXPECT_EQ(Entries(dir.path()), 1);
  EXPECT_THAT(WriteFileAtomic(dir / "none/a", "x"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none/a")));
}

TEST(AtomicFileTest, PassesOverWhatACrashedProcessLeftBehind) {
  const testing::TempDir dir;
  std::string temporary;
  {
    ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(dir / "a"));
    temporary = std::filesystem::directory_iterator(dir.path())->path().filename().string();
  }
  // a.PID.NUMBER.tmp: the next one's name is taken.
  const std::vector<std::string> words = absl::StrSplit(temporary, '.');
  ASSERT_EQ(words.size(), 4U) << temporary;
  int number = 0;
  ASSERT_TRUE(absl::SimpleAtoi(words[2], &number));
  const std::string left_behind = absl::StrCat(words[0], ".", words[1], ".", number + 1, ".", words[3]);
  testing::WriteText(dir / left_behind, "half a fi");
  ASSERT_THAT(WriteFileAtomic(dir / "a", "whole"), IsOk());
  EXPECT_EQ(testing::ReadText(dir / "a"), "whole");
  EXPECT_EQ(testing::ReadText(dir / left_behind), "half a fi");
}

TEST(AtomicFileTest, BytesCanBeOverwrittenBeforeItAppears) {
  const testing::TempDir dir;
  ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(dir / "a"));
  ASSERT_THAT(file.Write(absl::string_view("0123456789")), IsOk());
  ASSERT_THAT(file.WriteAt(3, "abc"), IsOk());
  ASSERT_THAT(file.Write(absl::string_view("!")), IsOk());
  EXPECT_FALSE(std::filesystem::exists(dir / "a"));
  ASSERT_THAT(file.Commit(), IsOk());
  EXPECT_EQ(testing::ReadText(dir / "a"), "012abc6789!");
}

TEST(AtomicFileTest, AFolderInItsPlaceIsAnErrorThatLeavesNothing) {
  const testing::TempDir dir;
  std::filesystem::create_directory(dir / "a");
  EXPECT_FALSE(WriteFileAtomic(dir / "a", "x").ok());
  EXPECT_EQ(Entries(dir.path()), 1);
}

TEST(ReadFileTest, RefusesWhatIsNoPlainFileAndNeverHangs) {
  const testing::TempDir dir;
  testing::WriteText(dir / "ten", "0123456789");
  EXPECT_EQ(ReadFile(dir / "ten", 10)->size(), 10U);
  EXPECT_THAT(ReadFile(dir / "ten", 9), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("10 bytes")));
  EXPECT_THAT(ReadFile(dir / "none", 9), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_THAT(ReadFile(dir.path(), 9), StatusIs(absl::StatusCode::kInvalidArgument, _));
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(dir / "fifo", 9), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("regular")));
}

TEST(CopyFileTest, CopiesAndNeverOverwrites) {
  const testing::TempDir dir;
  const std::string large(1'000'003, 'x');
  testing::WriteText(dir / "from", large);
  ASSERT_THAT(CopyFile(dir / "from", dir / "to"), IsOk());
  EXPECT_EQ(testing::ReadText(dir / "to"), large);
  testing::WriteText(dir / "other", "other");
  EXPECT_THAT(CopyFile(dir / "other", dir / "to"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("to")));
  EXPECT_EQ(testing::ReadText(dir / "to"), large);
}

TEST(CopyFileTest, RefusesWhatIsNoPlainFileAndLeavesNothing) {
  const testing::TempDir dir;
  std::filesystem::create_directory(dir / "folder");
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(CopyFile(dir / "folder", dir / "to"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("folder")));
  EXPECT_THAT(CopyFile(dir / "fifo", dir / "to"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("fifo")));
  EXPECT_THAT(CopyFile(dir / "none", dir / "to"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_FALSE(std::filesystem::exists(dir / "to"));
}

TEST(MappedFileTest, MapsAlsoAnEmptyFile) {
  const testing::TempDir dir;
  testing::WriteText(dir / "empty", "");
  testing::WriteText(dir / "abc", "abc");
  ASSERT_OK_AND_ASSIGN(const MappedFile empty, MappedFile::Open(dir / "empty"));
  EXPECT_TRUE(empty.bytes().empty());
  EXPECT_THAT(MappedFile::Open(dir.path()), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("regular")));
  EXPECT_THAT(MappedFile::Open(dir / "none"), StatusIs(absl::StatusCode::kNotFound, _));
  ASSERT_OK_AND_ASSIGN(const MappedFile file, MappedFile::Open(dir / "abc"));
  EXPECT_EQ(std::string(file.bytes().begin(), file.bytes().end()), "abc");
}

TEST(ErrnoStatusTest, CodesSayWhatACallerCanDo) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "write", "/x"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("/x")));
  EXPECT_THAT(ErrnoStatus(EACCES, "open", "/x"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(ErrnoStatus(ENOENT, "open", "/x"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot open /x: ")));
  EXPECT_THAT(ErrnoStatus(EEXIST, "create", "/x"), StatusIs(absl::StatusCode::kAlreadyExists, _));
  EXPECT_THAT(ErrnoStatus(ENAMETOOLONG, "open", "/x"), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(ErrnoStatus(EMFILE, "open", "/x"), StatusIs(absl::StatusCode::kResourceExhausted, _));
  EXPECT_THAT(ErrnoStatus(EIO, "read", "/x"), StatusIs(absl::StatusCode::kInternal, _));
}

}  // namespace
}  // namespace graft
