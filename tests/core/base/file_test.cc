#include "core/base/file.h"

#include <sys/stat.h>

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
  EXPECT_THAT(CopyFile(dir / "from", dir / "to"), StatusIs(absl::StatusCode::kAlreadyExists, _));
}

TEST(MappedFileTest, MapsAlsoAnEmptyFile) {
  const testing::TempDir dir;
  testing::WriteText(dir / "empty", "");
  testing::WriteText(dir / "abc", "abc");
  EXPECT_TRUE(MappedFile::Open(dir / "empty")->bytes().empty());
  ASSERT_OK_AND_ASSIGN(const MappedFile file, MappedFile::Open(dir / "abc"));
  EXPECT_EQ(std::string(file.bytes().begin(), file.bytes().end()), "abc");
}

TEST(ErrnoStatusTest, CodesSayWhatACallerCanDo) {
  EXPECT_THAT(ErrnoStatus(ENOSPC, "write", "/x"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("/x")));
  EXPECT_THAT(ErrnoStatus(EACCES, "open", "/x"), StatusIs(absl::StatusCode::kPermissionDenied, _));
  EXPECT_THAT(ErrnoStatus(EIO, "read", "/x"), StatusIs(absl::StatusCode::kInternal, _));
}

}  // namespace
}  // namespace graft
