#include "client/event_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/base/status.h"
#include "tests/client/event_records.h"

namespace graft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

class EventFileTest : public ::testing::Test {
 protected:
  static tensorboard::Event Step(int64_t step) {
    tensorboard::Event event;
    event.set_step(step);
    event.set_wall_time(1.5);
    return event;
  }
  static std::string Records(const std::vector<int64_t>& steps) {
    std::string records;
    for (const int64_t step : steps) {
      records += EventRecord(Step(step).SerializeAsString());
    }
    return records;
  }
  // A run that has these events when it begins, and `later` ones that come while it is there.
  absl::Status Write(const std::vector<int64_t>& steps, const std::vector<int64_t>& later = {}) {
    GRAFT_ASSIGN_OR_RETURN(EventFile file, EventFile::Open(folder_));
    for (const int64_t step : steps) {
      GRAFT_RETURN_IF_ERROR(file.Add(Step(step)));
    }
    GRAFT_RETURN_IF_ERROR(file.Publish());
    for (const int64_t step : later) {
      GRAFT_RETURN_IF_ERROR(file.Add(Step(step)));
    }
    return file.Sync();
  }
  std::string Content() const { return testing::ReadText(path_); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  ino_t Inode() const {
    struct stat info {};
    EXPECT_EQ(lstat(path_.c_str(), &info), 0);
    return info.st_ino;
  }

  const testing::TempDir dir_;
  const std::filesystem::path folder_ = dir_ / "runs/job-1";
  const std::filesystem::path path_ = folder_ / "events.out.tfevents.graft";
};

// Checksums that TensorBoard's own masked_crc32c gives.
TEST_F(EventFileTest, ARecordIsFramedAsTensorBoardReadsIt) {
  EXPECT_EQ(EventRecord("hello"), std::string("\x05\0\0\0\0\0\0\0\xea\xb2\x04\x3ehello\xbb\x1f\x1c\x19", 21));
  const std::string empty = EventRecord("");
  ASSERT_EQ(empty.size(), 16U);
  EXPECT_EQ(empty.substr(12), "\xd8\xea\x82\xa2");
  const std::string large = EventRecord(std::string(0x0102, 'x'));
  EXPECT_EQ(large.substr(0, 8), std::string("\x02\x01\0\0\0\0\0\0", 8));
}

TEST_F(EventFileTest, NothingIsThereBeforeItIsPublishedAndThenEachEventAtOnce) {
  ASSERT_OK_AND_ASSIGN(EventFile file, EventFile::Open(folder_));
  EXPECT_EQ(file.path(), path_);
  ASSERT_THAT(file.Add(Step(1)), IsOk());
  EXPECT_THAT(Names(), ElementsAre());
  ASSERT_THAT(file.Publish(), IsOk());
  EXPECT_EQ(Content(), Records({1}));
  ASSERT_THAT(file.Add(Step(2)), IsOk());
  EXPECT_EQ(Content(), Records({1, 2}));
  EXPECT_EQ(testing::ReadEventFile(path_).size(), 2U);
  EXPECT_THAT(Names(), ElementsAre("events.out.tfevents.graft"));
}

TEST_F(EventFileTest, ARunThatKnowsMoreGoesOnInTheFileThatAReaderHasOpen) {
  ASSERT_THAT(Write({1, 2}), IsOk());
  const ino_t inode = Inode();
  ASSERT_THAT(Write({1, 2}, {3}), IsOk());
  ASSERT_THAT(Write({1, 2, 3, 4}), IsOk());
  ASSERT_THAT(Write({1, 2, 3, 4}), IsOk());
  EXPECT_EQ(Content(), Records({1, 2, 3, 4}));
  EXPECT_EQ(Inode(), inode);
  // A run that was killed while it wrote.
  for (size_t size = 0; size < Records({1, 2}).size(); ++size) {
    testing::WriteText(path_, Records({1, 2}).substr(0, size));
    ASSERT_THAT(Write({1, 2, 3}), IsOk());
    ASSERT_EQ(Content(), Records({1, 2, 3}));
    ASSERT_EQ(Inode(), inode);
  }
}

TEST_F(EventFileTest, AnythingElseIsReplacedWhole) {
  testing::WriteText(dir_ / "elsewhere", "is left alone");
  const std::vector<std::function<void()>> befores = {
      [&] {
        testing::WriteText(path_, Records({1, 3}));
      },
      [&] {
        testing::WriteText(path_, Records({1, 2, 3}));
      },  // more than there is
      [&] { testing::WriteText(path_, "no record"); },
      [&] {
        std::filesystem::remove(path_);
        std::filesystem::create_symlink(dir_ / "elsewhere", path_);
      },
      [&] {
        std::filesystem::remove(path_);
        ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
      },
  };
  for (const auto& before : befores) {
    std::filesystem::create_directories(folder_);
    before();
    const ino_t inode = Inode();
    ASSERT_THAT(Write({1, 2}), IsOk());
    EXPECT_EQ(Content(), Records({1, 2}));
    EXPECT_NE(Inode(), inode);
    EXPECT_THAT(Names(), ElementsAre("events.out.tfevents.graft"));
  }
  EXPECT_EQ(testing::ReadText(dir_ / "elsewhere"), "is left alone");
}

TEST_F(EventFileTest, TwoDoNotWriteAtOnce) {
  {
    ASSERT_OK_AND_ASSIGN(const EventFile file, EventFile::Open(folder_));
    EXPECT_THAT(EventFile::Open(folder_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another graft")));
  }
  EXPECT_THAT(EventFile::Open(folder_), IsOk());
  testing::WriteText(dir_ / "file", "in the way");
  EXPECT_FALSE(EventFile::Open(dir_ / "file").ok());
}

TEST_F(EventFileTest, WhatTheDiskDoesNotTakeLeavesNoHalf) {
  ASSERT_THAT(Write({1}), IsOk());
  const std::string before = Content();
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit usual {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &usual), 0);
  const struct rlimit narrow = {before.size() + 10, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &narrow), 0);
  const absl::Status appended = Write({1}, {2});
  const absl::Status replaced = Write({3, 4});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &usual), 0);
  EXPECT_FALSE(appended.ok());
  EXPECT_FALSE(replaced.ok());
  EXPECT_EQ(Content(), before);
  EXPECT_THAT(Names(), ElementsAre("events.out.tfevents.graft"));
}

}  // namespace
}  // namespace graft
