#include "core/base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
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

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // whose allocators end the process
TEST(ReadFileTest, AFileLargerThanMemoryIsAnError) {
  const testing::TempDir dir;
  testing::WriteText(dir / "sparse", "");
  std::filesystem::resize_file(dir / "sparse", int64_t{1} << 43);
  EXPECT_THAT(ReadFile(dir / "sparse", int64_t{1} << 43),
              StatusIs(absl::StatusCode::kResourceExhausted, AllOf(HasSubstr("sparse"), HasSubstr("memory"))));
}
#endif

TEST(CopyFileTest, CopiesAndNeverOverwrites) {
  const testing::TempDir dir;
  const auto copy = [&](const char* from) {
    return CopyFile(UniqueFd(open((dir / from).c_str(), O_RDONLY | O_CLOEXEC)), dir / from, dir / "to");
  };
  const std::string large(1'000'003, 'x');
  testing::WriteText(dir / "from", large);
  ASSERT_THAT(copy("from"), IsOk());
  EXPECT_EQ(testing::ReadText(dir / "to"), large);
  testing::WriteText(dir / "other", "other");
  EXPECT_THAT(copy("other"), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("to")));
  EXPECT_EQ(testing::ReadText(dir / "to"), large);
}

// A folder can be opened and not be read: as any other read error, it must not leave half a copy.
TEST(CopyFileTest, AnErrorLeavesNothing) {
  const testing::TempDir dir;
  EXPECT_FALSE(CopyFile(UniqueFd(open(dir.path().c_str(), O_RDONLY | O_CLOEXEC)), dir.path(), dir / "to").ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "to"));
}

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode & 0777;
}

TEST(FileTest, WhatIsMadeIsForItsOwnerOnly) {
  const testing::TempDir dir;
  const mode_t mask = umask(0);
  EXPECT_THAT(CreateFolders(dir / "a/b/c"), IsOk());
  EXPECT_THAT(CreateFolders(dir / "a/b/c"), IsOk());
  EXPECT_THAT(WriteFileAtomic(dir / "a/b/c/file", "x"), IsOk());
  EXPECT_THAT(CopyFile(UniqueFd(open((dir / "a/b/c/file").c_str(), O_RDONLY | O_CLOEXEC)), "file", dir / "copy"),
              IsOk());
  umask(mask);
  EXPECT_EQ(ModeOf(dir / "a"), 0700U);
  EXPECT_EQ(ModeOf(dir / "a/b/c"), 0700U);
  EXPECT_EQ(ModeOf(dir / "a/b/c/file"), 0600U);
  EXPECT_EQ(ModeOf(dir / "copy"), 0600U);
  EXPECT_THAT(CreateFolders(dir / "copy/below"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("copy/below")));
  EXPECT_THAT(CreateFolders(dir / "copy"), StatusIs(absl::StatusCode::kAlreadyExists, _));
}

TEST(FileTest, SyncsAFileSystem) {
  const testing::TempDir dir;
  EXPECT_THAT(SyncFileSystem(dir.path()), IsOk());
  EXPECT_THAT(SyncFileSystem(dir / "none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST(SweepTemporariesTest, TakesWhatDeadWritersLeftAndNothingElse) {
  const testing::TempDir dir;
  for (const char* name : {"cache.safetensors.123.4.tmp", "a.1.2.tmp"}) {
    testing::WriteText(dir / name, "left behind");
  }
  for (const char* name : {"cache.safetensors", "mine.tmp", "a.1.tmp", "a.1.x.tmp", "1.2.tmp", "a.1.2.tmp.jpg"}) {
    testing::WriteText(dir / name, "kept");
  }
  testing::WriteText(dir / "folder/b.1.2.tmp", "another folder's");
  testing::WriteText(dir / "outside", "kept");
  std::filesystem::create_symlink("outside", dir / "link.1.2.tmp");
  std::filesystem::create_directory(dir / "folder.1.2.tmp");
  ASSERT_OK_AND_ASSIGN(AtomicFile alive, AtomicFile::Create(dir / "alive"));
  ASSERT_THAT(alive.Write(absl::string_view("whole")), IsOk());
  const int64_t before = Entries(dir.path());
  SweepTemporaries(dir.path());
  EXPECT_EQ(Entries(dir.path()), before - 2);
  EXPECT_FALSE(std::filesystem::exists(dir / "cache.safetensors.123.4.tmp"));
  EXPECT_FALSE(std::filesystem::exists(dir / "a.1.2.tmp"));
  EXPECT_TRUE(std::filesystem::exists(dir / "folder/b.1.2.tmp"));
  EXPECT_TRUE(std::filesystem::exists(dir / "outside"));
  ASSERT_THAT(alive.Commit(), IsOk());
  EXPECT_EQ(testing::ReadText(dir / "alive"), "whole");
  SweepTemporaries(dir / "none");
}

// Sweeping and writing at once: every file appears.
TEST(SweepTemporariesTest, NeverHarmsALivingWriter) {
  const testing::TempDir dir;
  std::atomic<bool> stop = false;
  std::thread sweeper([&] {
    while (!stop) {
      SweepTemporaries(dir.path());
    }
  });
  for (int i = 0; i < 200; ++i) {
    EXPECT_THAT(WriteFileAtomic(dir / "a", absl::StrCat(i)), IsOk());
    EXPECT_EQ(testing::ReadText(dir / "a"), absl::StrCat(i));
  }
  stop = true;
  sweeper.join();
}

// What a killed process holds, the kernel lets go.
TEST(SweepTemporariesTest, TakesWhatAKilledProcessWrote) {
  const testing::TempDir dir;
  const pid_t child = fork();
  if (child == 0) {
    const auto file = AtomicFile::Create(dir / "a");
    kill(getpid(), SIGKILL);
  }
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  ASSERT_EQ(Entries(dir.path()), 1);
  SweepTemporaries(dir.path());
  EXPECT_EQ(Entries(dir.path()), 0);
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
  EXPECT_THAT(ErrnoStatus(EIO, "read", "/\xff\n"), StatusIs(absl::StatusCode::kInternal, HasSubstr("/\\xff\\n: ")));
}

}  // namespace
}  // namespace graft
