#include "core/store/data_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "core/base/failpoint.h"
#include "tests/testing/files.h"

namespace {

// What was made durable, in order: the system calls of this program go through here. A synced tree ends in "/...".
struct Synced {
  std::mutex mutex;
  std::vector<std::string> paths;  // guarded by mutex
};
Synced& TheSynced() {
  static auto* const synced = new Synced;
  return *synced;
}
void Note(int fd, const char* suffix) {
  char path[4096];
  const ssize_t n = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof(path));
  const std::lock_guard lock(TheSynced().mutex);
  TheSynced().paths.push_back(std::string(path, static_cast<size_t>(std::max<ssize_t>(n, 0))) + suffix);
}

}  // namespace

extern "C" int fsync(int fd) {
  Note(fd, "");
  return static_cast<int>(syscall(SYS_fsync, fd));
}
extern "C" int syncfs(int fd) noexcept {
  Note(fd, "/...");
  return static_cast<int>(syscall(SYS_syncfs, fd));
}

namespace graft {
namespace {

namespace fs = std::filesystem;
using ::graft::testing::IsOk;
using ::graft::testing::ReadText;
using ::graft::testing::StatusIs;
using ::graft::testing::WriteText;
using std::chrono::hours;
using ::testing::_;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class DataFolderTest : public ::testing::Test {
 protected:
  DataFolderTest() : root_(fs::canonical(dir_.path()) / "data") { Open(); }
  ~DataFolderTest() override { EXPECT_THAT(SetFailpoints(""), IsOk()); }

  // A server that starts, or starts again.
  void Open() {
    data_.reset();
    DataFolder::Options options;
    options.root = root_;
    options.now = [this] { return now_.load(); };
    auto opened = DataFolder::Open(options);
    ASSERT_THAT(opened, IsOk());
    data_ = *std::move(opened);
  }
  void Pass(std::chrono::steady_clock::duration time) { now_ = now_.load() + time; }

  // As the jobs do it.
  void GuardUploads(const std::function<bool(const std::string& id)>& in_use) {
    data_->GuardUploads([in_use](const std::string& id, const std::function<void()>& drop) {
      if (in_use(id)) {
        return false;
      }
      drop();
      return true;
    });
  }

  // What a job leaves to be published.
  fs::path Result(const std::string& job, const std::string& content) {
    const fs::path staging = data_->Staging(job, 1);
    WriteText(staging / "deep/file", content);
    return staging;
  }
  std::string Content(const PublishTarget& target) { return ReadText(root_ / target.path / "deep/file"); }

  void AddDataset(const std::string& name) {
    DatasetInfo info;
    info.name = name;
    info.recipe.source = "upload";
    fs::create_directories(data_->Dataset(name));
    ASSERT_THAT(SaveDatasetInfo(info, data_->Dataset(name)), IsOk());
  }
  void AddModel(const std::string& name, int version) {
    ModelDescription model;
    model.name = name;
    model.version = version;
    model.variant = "basic_cnn";
    model.labels = {"cat", "dog"};
    fs::create_directories(data_->Model(name, version));
    ASSERT_THAT(SaveModel(model, data_->Model(name, version)), IsOk());
  }
  // The id of an upload with one file.
  std::string AddUpload() {
    const std::unique_ptr<UploadSink> sink = data_->NewUpload();
    EXPECT_THAT(sink->NextFile("cat/1.jpg"), IsOk());
    EXPECT_THAT(sink->Write("picture"), IsOk());
    return sink->Finish().value().id;
  }

  const testing::TempDir dir_;
  const fs::path root_;
  std::atomic<std::chrono::steady_clock::time_point> now_{std::chrono::steady_clock::time_point(hours(1000))};
  std::unique_ptr<DataFolder> data_;
};

TEST_F(DataFolderTest, IsForItsUserOnly) {
  EXPECT_THAT(Names(root_), ElementsAre("datasets", "incoming", "jobs", "models", "trash", "trunks", "uploads"));
  const auto private_only = fs::perms::owner_all;
  EXPECT_EQ(fs::status(root_).permissions(), private_only);
  for (const std::string& name : Names(root_)) {
    EXPECT_EQ(fs::status(root_ / name).permissions(), private_only) << name;
  }
  fs::permissions(root_, fs::perms(0755));
  Open();
  EXPECT_EQ(fs::status(root_).permissions(), private_only);
}

TEST_F(DataFolderTest, AFolderForPathsTouchesNothing) {
  const DataFolder paths(dir_ / "elsewhere");
  EXPECT_FALSE(fs::exists(dir_ / "elsewhere"));
  EXPECT_EQ(paths.Dataset("pets"), dir_ / "elsewhere/datasets/pets");
  EXPECT_EQ(paths.Staging("job-1", 2), dir_ / "elsewhere/jobs/job-1/attempt-2/out");
  EXPECT_THAT(paths.DatasetNames(), IsEmpty());
  EXPECT_EQ(paths.NewestVersion("m"), 0);
}

// Publishing.

TEST_F(DataFolderTest, AResultIsPublishedOnceHoweverOften) {
  const PublishTarget target = DataFolder::ModelTarget("pets", 2);
  EXPECT_EQ(target.path, "models/pets/2");
  const fs::path staging = Result("job-1", "first");
  ASSERT_THAT(data_->Publish("job-1", staging, target), IsOk());
  EXPECT_FALSE(fs::exists(staging));
  EXPECT_EQ(Content(target), "first");
  EXPECT_EQ(ReadText(root_ / target.path / "published-by"), "job-1\n");
  // Its staging is gone: the result is there.
  EXPECT_THAT(data_->Publish("job-1", staging, target), IsOk());
  // Another attempt of the same job, which ran although the first one's result was there.
  EXPECT_THAT(data_->Publish("job-1", Result("job-1", "second"), target), IsOk());
  EXPECT_EQ(Content(target), "first");
}

TEST_F(DataFolderTest, APlaceThatAnotherJobTookIsNotTouched) {
  const PublishTarget target = DataFolder::DatasetTarget("pets");
  ASSERT_THAT(data_->Publish("job-1", Result("job-1", "first"), target), IsOk());
  EXPECT_THAT(data_->Publish("job-2", Result("job-2", "second"), target),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("datasets/pets")));
  EXPECT_EQ(Content(target), "first");
  EXPECT_TRUE(fs::exists(data_->Staging("job-2", 1)));
  // Nor one that nobody knows.
  WriteText(root_ / "datasets/mine/file", "x");
  EXPECT_THAT(data_->Publish("job-2", data_->Staging("job-2", 1), DataFolder::DatasetTarget("mine")),
              StatusIs(absl::StatusCode::kAlreadyExists, _));
  EXPECT_THAT(data_->Publish("job-3", data_->Staging("job-3", 1), DataFolder::DatasetTarget("dogs")),
              StatusIs(absl::StatusCode::kNotFound, Not(HasSubstr(root_.string()))));
}

TEST_F(DataFolderTest, AnEvaluationReplacesTheOneBefore) {
  const PublishTarget target = DataFolder::EvaluationTarget("pets", 1, "cats", Part::kTest);
  EXPECT_EQ(target.path, "models/pets/1/evaluations/cats-test");
  ASSERT_THAT(data_->Publish("job-1", Result("job-1", "first"), target), IsOk());
  ASSERT_THAT(data_->Publish("job-2", Result("job-2", "second"), target), IsOk());
  EXPECT_EQ(Content(target), "second");
  data_->WaitUntilSwept();
  EXPECT_THAT(Names(root_ / "trash"), IsEmpty());
  EXPECT_THAT(Names(data_->Attempt("job-2", 1)), IsEmpty());
}

TEST_F(DataFolderTest, MistakesAreFoundWithTheirModelAndReplaceThoseOfBefore) {
  EXPECT_THAT(data_->GetMistakes({"pets", 1, ""}, nullptr), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'pets'")));
  AddModel("pets", 1);
  EXPECT_THAT(data_->GetMistakes({"pets", 0, ""}, nullptr),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("graft model mistakes pets@1")));
  const PublishTarget target = DataFolder::MistakesTarget("pets", 1);
  EXPECT_EQ(target.path, "models/pets/1/mistakes");
  LabelMistakes mistakes;
  mistakes.judge.preprocessing = Preprocessing::kCaffe;
  std::string picture;
  for (const char* job : {"job-1", "job-2"}) {
    const fs::path staging = Result(job, job);
    mistakes.job_id = job;
    ASSERT_THAT(SaveLabelMistakes(mistakes, staging), IsOk());
    WriteText(staging / "mistakes.png", std::string("png of ") + job);
    ASSERT_THAT(data_->Publish(job, staging, target), IsOk());
    ASSERT_THAT(data_->Publish(job, staging, target), IsOk());  // once more changes nothing
    ASSERT_OK_AND_ASSIGN(const LabelMistakes read, data_->GetMistakes({"pets", 0, ""}, &picture));
    EXPECT_EQ(read.job_id, job);
    EXPECT_EQ(picture, std::string("png of ") + job);
  }
  EXPECT_THAT(data_->ModelFiles({"pets", 1, ""}).value(), Contains("mistakes/mistakes.json"));
  EXPECT_THAT(data_->ShowModel({"pets", 1, ""})->pictures, Contains("mistakes/mistakes.png"));
  // A picture that has gone is damage only to who asked for it.
  fs::remove(root_ / target.path / "mistakes.png");
  EXPECT_THAT(data_->GetMistakes({"pets", 1, ""}, nullptr), IsOk());
  EXPECT_THAT(data_->GetMistakes({"pets", 1, ""}, &picture),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("models/pets/1/mistakes/mistakes.png")));
  WriteText(root_ / target.path / "mistakes.json", "{}");
  EXPECT_THAT(data_->GetMistakes({"pets", 1, ""}, nullptr),
              StatusIs(absl::StatusCode::kDataLoss, Not(HasSubstr(root_.string()))));
}

TEST_F(DataFolderTest, WhatIsPublishedIsOnTheDiskBeforeAndItsNamesAfter) {
  const fs::path staging = Result("job-1", "first");
  {
    const std::lock_guard lock(TheSynced().mutex);
    TheSynced().paths.clear();
  }
  ASSERT_THAT(data_->Publish("job-1", staging, DataFolder::ModelTarget("pets", 1)), IsOk());
  const std::lock_guard lock(TheSynced().mutex);
  // The mark (a file and its folder), the tree under its old name, then every folder on the way to it.
  const std::vector<std::string>& synced = TheSynced().paths;
  ASSERT_EQ(synced.size(), 6U) << ::testing::PrintToString(synced);
  EXPECT_THAT(synced[0], HasSubstr((staging / "published-by").string()));
  EXPECT_EQ(synced[1], staging.string());
  EXPECT_EQ(synced[2], staging.string() + "/...");
  EXPECT_THAT(std::vector(synced.begin() + 3, synced.end()),
              ElementsAre(root_.string(), (root_ / "models").string(), (root_ / "models/pets").string()));
}

const char* const kPublishFailpoints[] = {"publish.mark",    "publish.sync",        "publish.replace", "publish.rename",
                                          "publish.renamed", "publish.sync_parent", "publish.trash",   "publish.done"};

TEST_F(DataFolderTest, PublishingThatFailedAtAnyStepCanBeFinished) {
  int number = 1;
  for (const char* const point : kPublishFailpoints) {
    for (const PublishTarget& target :
         {DataFolder::EvaluationTarget("pets", 1, point, Part::kTest), DataFolder::DatasetTarget(point)}) {
      if (target.replace) {
        const std::string older = "job-" + std::to_string(number++);
        ASSERT_THAT(data_->Publish(older, Result(older, "older"), target), IsOk());
      } else if (std::string(point) == "publish.replace") {
        continue;  // not reached
      }
      const std::string job = "job-" + std::to_string(number++);
      const fs::path staging = Result(job, "newer");
      ASSERT_THAT(SetFailpoints(std::string(point) + "=error"), IsOk());
      EXPECT_THAT(data_->Publish(job, staging, target), StatusIs(absl::StatusCode::kResourceExhausted, _)) << point;
      // What was there is there, or what is to be.
      if (target.replace) {
        data_->WaitUntilSwept();
        EXPECT_THAT(Content(target), ::testing::AnyOf("older", "newer")) << point;
      }
      ASSERT_THAT(SetFailpoints(""), IsOk());
      EXPECT_THAT(data_->Publish(job, staging, target), IsOk()) << point;
      EXPECT_EQ(Content(target), "newer") << point;
      EXPECT_FALSE(fs::exists(staging)) << point;
      EXPECT_THAT(Names(data_->Attempt(job, 1)), IsEmpty()) << point;
    }
  }
}

TEST_F(DataFolderTest, PublishingThatWasKilledAtAnyStepCanBeFinished) {
  int number = 1;
  for (const char* const point : kPublishFailpoints) {
    for (const PublishTarget& target :
         {DataFolder::EvaluationTarget("pets", 1, point, Part::kTest), DataFolder::DatasetTarget(point)}) {
      if (target.replace) {
        const std::string older = "job-" + std::to_string(number++);
        ASSERT_THAT(data_->Publish(older, Result(older, "older"), target), IsOk());
      } else if (std::string(point) == "publish.replace") {
        continue;
      }
      const std::string job = "job-" + std::to_string(number++);
      const fs::path staging = Result(job, "newer");
      data_.reset();  // a thread must not hold a lock while the process forks
      const pid_t child = fork();
      if (child == 0) {
        DataFolder data(root_);
        (void)SetFailpoints(std::string(point) + "=kill");
        (void)data.Publish(job, staging, target);
        _exit(0);
      }
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFSIGNALED(status)) << point;
      Open();
      data_->WaitUntilSwept();
      EXPECT_THAT(data_->Publish(job, staging, target), IsOk()) << point;
      EXPECT_EQ(Content(target), "newer") << point;
      EXPECT_THAT(Names(data_->Attempt(job, 1)), IsEmpty()) << point;
    }
  }
}

// A model is deleted between the moment in which the folders for a result are there and that in which it comes.
TEST_F(DataFolderTest, DeletingNeverTakesAwayTheFolderThatIsPublishedInto) {
  AddModel("pets", 1);
  const fs::path staging = Result("job-1", "x");
  ASSERT_THAT(SetFailpoints("publish.rename=delay"), IsOk());
  std::thread publisher([&] {
    EXPECT_THAT(data_->Publish("job-1", staging, DataFolder::EvaluationTarget("pets", 1, "cats", Part::kTest)), IsOk());
  });
  while (!fs::exists(root_ / "models/pets/1/evaluations")) {
    std::this_thread::yield();
  }
  EXPECT_EQ(data_->DeleteModel("pets", 1).value(), 1);
  publisher.join();
  EXPECT_FALSE(fs::exists(root_ / "models/pets"));
}

// Data sets and models.

TEST_F(DataFolderTest, ModelsAreFoundByVersionOrAsTheNewest) {
  AddModel("pets", 2);
  AddModel("pets", 10);
  AddModel("birds", 1);
  WriteText(root_ / "models/pets/notes/readme", "not a version");
  fs::create_directories(root_ / "models/pets/007");
  fs::create_directories(root_ / "models/empty");
  EXPECT_THAT(data_->ModelVersions(), ElementsAre(Pair("birds", 1), Pair("pets", 10), Pair("pets", 2)));
  EXPECT_EQ(data_->NewestVersion("pets"), 10);
  EXPECT_EQ(data_->NewestVersion("empty"), 0);
  EXPECT_EQ(data_->ResolveVersion({"pets", 0, ""}).value(), 10);
  EXPECT_EQ(data_->ResolveVersion({"pets", 2, ""}).value(), 2);
  EXPECT_EQ(data_->ModelFolder({"pets", 2, ""}).value(), root_ / "models/pets/2");
  EXPECT_EQ(data_->GetModel({"pets", 2, ""})->version, 2);
  for (const auto& [ref, message] : {std::pair{ModelRef{"cars", 0, ""}, "'cars'"},
                                     {ModelRef{"cars", 3, ""}, "no 'cars'"},
                                     {ModelRef{"empty", 0, ""}, "'empty'"},
                                     {ModelRef{"pets", 3, ""}, "version 3"},
                                     {ModelRef{"pets", 0, "live"}, "alias 'live'"}}) {
    EXPECT_THAT(data_->ResolveVersion(ref), StatusIs(absl::StatusCode::kNotFound, HasSubstr(message)));
    EXPECT_THAT(data_->ShowModel(ref), StatusIs(absl::StatusCode::kNotFound, HasSubstr(message)));
  }
  EXPECT_THAT(data_->ResolveVersion({"../pets", 0, ""}), StatusIs(absl::StatusCode::kInvalidArgument, _));
  EXPECT_THAT(data_->ResolveVersion({"pets", -1, ""}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("-1")));
}

TEST_F(DataFolderTest, AModelIsShownWithItsPicturesSizeAndEvaluations) {
  AddModel("pets", 1);
  WriteText(root_ / "models/pets/1/learning_curves.png", "12345");
  WriteText(root_ / "models/pets/1/published-by", "job-1\n");
  Evaluation evaluation;
  evaluation.model = "pets";
  evaluation.version = 1;
  evaluation.dataset = "cats";
  evaluation.report = Evaluate({0, 1}, {0.9F, 0.1F, 0.4F, 0.6F}, {"cat", "dog"}).value();
  for (const char* name : {"cats-test", "dogs-test"}) {
    const fs::path folder = root_ / "models/pets/1/evaluations" / name;
    WriteText(folder / "roc.png", "");
    ASSERT_THAT(SaveEvaluation(evaluation, folder), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(ModelEntry entry, data_->ShowModel({"pets", 0, ""}));
  EXPECT_EQ(entry.damaged, "");
  EXPECT_EQ(entry.description.variant, "basic_cnn");
  EXPECT_EQ(entry.folder, root_ / "models/pets/1");
  EXPECT_THAT(entry.pictures,
              ElementsAre("evaluations/cats-test/roc.png", "evaluations/dogs-test/roc.png", "learning_curves.png"));
  EXPECT_EQ(entry.evaluations.size(), 2U);
  EXPECT_GT(entry.size_bytes, 500);
  EXPECT_THAT(data_->ModelFiles({"pets", 1, ""}).value(), Not(Contains("published-by")));
  EXPECT_EQ(data_->ModelFiles({"pets", 1, ""})->size(), 6U);
  // A damaged evaluation hides neither the model nor the other one.
  WriteText(root_ / "models/pets/1/evaluations/cats-test/report.json", "{}");
  ASSERT_OK_AND_ASSIGN(entry, data_->ShowModel({"pets", 1, ""}));
  EXPECT_THAT(entry.damaged, HasSubstr("models/pets/1/evaluations/cats-test/report.json"));
  EXPECT_THAT(entry.damaged, Not(HasSubstr(root_.string())));
  EXPECT_EQ(entry.evaluations.size(), 1U);
  EXPECT_EQ(entry.description.variant, "basic_cnn");
}

TEST_F(DataFolderTest, ADamagedDataSetIsShownAndCanBeDeletedAndMadeAgain) {
  AddDataset("pets");
  AddDataset("whole");
  fs::create_directories(root_ / "datasets/.hidden");
  int damages = 0;
  testing::ForEachDamage(root_ / "datasets/pets/dataset.json", 40, 20, [&](const std::string& what) {
    ASSERT_THAT(data_->DatasetNames(), ElementsAre("pets", "whole"));
    ASSERT_OK_AND_ASSIGN(const DatasetEntry entry, data_->ShowDataset("pets"));
    EXPECT_EQ(entry.info.name, "pets");
    EXPECT_THAT(entry.damaged, HasSubstr("datasets/pets/dataset.json")) << what;
    EXPECT_THAT(entry.damaged, Not(HasSubstr(root_.string())));
    EXPECT_THAT(data_->GetDataset("pets"), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
    ++damages;
  });
  EXPECT_EQ(damages, 60);
  EXPECT_EQ(data_->ShowDataset("whole")->damaged, "");
  for (const bool gone : {false, true}) {
    WriteText(root_ / "datasets/pets/dataset.json", "{");
    if (gone) {
      fs::remove(root_ / "datasets/pets/dataset.json");
    }
    EXPECT_THAT(data_->ShowDataset("pets")->damaged, Not(IsEmpty()));
    EXPECT_TRUE(data_->HasDataset("pets"));
    ASSERT_THAT(data_->DeleteDataset("pets"), IsOk());
    EXPECT_FALSE(data_->HasDataset("pets"));
    EXPECT_THAT(data_->ShowDataset("pets"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'pets'")));
    EXPECT_THAT(data_->DeleteDataset("pets"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("'pets'")));
    ASSERT_THAT(data_->Publish(gone ? "job-2" : "job-1", Result(gone ? "job-2" : "job-1", "again"),
                               DataFolder::DatasetTarget("pets")),
                IsOk());
  }
  data_->WaitUntilSwept();
  EXPECT_THAT(Names(root_ / "trash"), IsEmpty());
}

TEST_F(DataFolderTest, ADamagedModelIsShownAndCanBeDeleted) {
  AddModel("pets", 1);
  AddModel("pets", 2);
  testing::ForEachDamage(root_ / "models/pets/2/model.json", 40, 20, [&](const std::string& what) {
    ASSERT_THAT(data_->ModelVersions(), ElementsAre(Pair("pets", 2), Pair("pets", 1)));
    ASSERT_OK_AND_ASSIGN(const ModelEntry entry, data_->ShowModel({"pets", 0, ""}));
    EXPECT_EQ(entry.description.name, "pets");
    EXPECT_EQ(entry.description.version, 2);
    EXPECT_THAT(entry.damaged, HasSubstr("models/pets/2/model.json")) << what;
    EXPECT_THAT(entry.damaged, Not(HasSubstr(root_.string())));
    EXPECT_THAT(data_->GetModel({"pets", 2, ""}), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
  fs::remove(root_ / "models/pets/2/model.json");
  EXPECT_THAT(data_->ShowModel({"pets", 2, ""})->damaged, Not(IsEmpty()));
  EXPECT_EQ(data_->DeleteModel("pets", 2).value(), 1);
  EXPECT_EQ(data_->NewestVersion("pets"), 1);
  EXPECT_THAT(data_->DeleteModel("pets", 2), StatusIs(absl::StatusCode::kNotFound, _));
  AddModel("pets", 5);
  EXPECT_EQ(data_->DeleteModel("pets", 0).value(), 2);
  EXPECT_FALSE(fs::exists(root_ / "models/pets"));
}

TEST_F(DataFolderTest, WhatAnEarlierServerLeftIsClearedAway) {
  WriteText(root_ / "trash/1/file", "x");
  WriteText(root_ / "trash/file", "x");
  fs::create_directory_symlink(dir_.path(), root_ / "trash/link");
  WriteText(dir_ / "outside", "x");
  WriteText(root_ / "incoming/2/file", "x");
  WriteText(root_ / "datasets/pets/cache/images.safetensors.123.0.tmp", "x");
  WriteText(root_ / "datasets/pets/cache/images.safetensors", "x");
  const std::string id = AddUpload();
  Open();
  data_->WaitUntilSwept();
  EXPECT_THAT(Names(root_ / "trash"), IsEmpty());
  EXPECT_THAT(Names(root_ / "incoming"), IsEmpty());
  EXPECT_THAT(Names(root_ / "datasets/pets/cache"), ElementsAre("images.safetensors"));
  EXPECT_THAT(Names(root_ / "uploads"), ElementsAre(id));
  EXPECT_TRUE(fs::exists(dir_ / "outside"));
}

TEST_F(DataFolderTest, StagingIsDroppedWhole) {
  const fs::path staging = Result("job-1", "x");
  data_->DropStaging("job-1", 1);
  EXPECT_FALSE(fs::exists(staging));
  data_->DropStaging("job-1", 1);
  data_->WaitUntilSwept();
  EXPECT_THAT(Names(root_ / "trash"), IsEmpty());
}

// Uploads.

TEST_F(DataFolderTest, AnUploadIsThereWholeAndDurablyOrNotAtAll) {
  std::unique_ptr<UploadSink> sink = data_->NewUpload();
  EXPECT_THAT(sink->Write("x"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("path")));
  EXPECT_THAT(sink->Finish(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no file")));
  ASSERT_THAT(sink->NextFile("cat/1.jpg"), IsOk());
  ASSERT_THAT(sink->Write("one"), IsOk());
  ASSERT_THAT(sink->Write("two"), IsOk());
  ASSERT_THAT(sink->NextFile("cat/ü.jpg"), IsOk());
  EXPECT_THAT(Names(root_ / "uploads"), IsEmpty());
  {
    const std::lock_guard lock(TheSynced().mutex);
    TheSynced().paths.clear();
  }
  ASSERT_OK_AND_ASSIGN(const UploadSink::Summary summary, sink->Finish());
  {
    const std::lock_guard lock(TheSynced().mutex);
    EXPECT_THAT(TheSynced().paths,
                ElementsAre((root_ / "incoming" / summary.id).string() + "/...", (root_ / "uploads").string()));
  }
  sink.reset();
  EXPECT_EQ(summary.files, 2);
  EXPECT_EQ(summary.bytes, 6);
  ASSERT_OK_AND_ASSIGN(const fs::path folder, data_->FindUpload("split.upload_id", summary.id));
  EXPECT_EQ(folder, root_ / "uploads" / summary.id);
  EXPECT_EQ(ReadText(folder / "cat/1.jpg"), "onetwo");
  EXPECT_EQ(ReadText(folder / "cat/ü.jpg"), "");
  EXPECT_EQ(fs::status(folder / "cat/1.jpg").permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_THAT(Names(root_ / "incoming"), IsEmpty());
  EXPECT_THAT(data_->FindUpload("split.upload_id", "none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("split.upload_id: there is no upload 'none'")));
  EXPECT_THAT(data_->FindUpload("split.upload_id", "../uploads"), StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_F(DataFolderTest, AnUploadThatIsGivenUpLeavesNothing) {
  std::unique_ptr<UploadSink> sink = data_->NewUpload();
  ASSERT_THAT(sink->NextFile("a/b/c"), IsOk());
  EXPECT_EQ(Names(root_ / "incoming").size(), 1U);
  sink.reset();
  EXPECT_THAT(Names(root_ / "incoming"), IsEmpty());
  data_->WaitUntilSwept();
  EXPECT_THAT(Names(root_ / "trash"), IsEmpty());
  for (const char* point : {"upload.start", "upload.write", "upload.sync", "upload.rename", "upload.sync_parent"}) {
    ASSERT_THAT(SetFailpoints(std::string(point) + "=error"), IsOk());
    sink = data_->NewUpload();
    absl::Status status = sink->NextFile("a");
    status.Update(status.ok() ? sink->Write("x") : absl::OkStatus());
    status.Update(status.ok() ? sink->Finish().status() : absl::OkStatus());
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, _)) << point;
    ASSERT_THAT(SetFailpoints(""), IsOk());
    sink.reset();
    EXPECT_THAT(Names(root_ / "incoming"), IsEmpty()) << point;
    EXPECT_THAT(Names(root_ / "uploads"), IsEmpty()) << point;
  }
}

TEST_F(DataFolderTest, PathsThatCannotBeAreRefusedByName) {
  for (const auto& [first, second] :
       {std::pair{"a", "a"}, {"a", "a/b"}, {"a/b", "a"}, {"a/b/c", "a/b"}, {"a/b", "a/b/c/d"}}) {
    const std::unique_ptr<UploadSink> sink = data_->NewUpload();
    ASSERT_THAT(sink->NextFile(first), IsOk());
    EXPECT_THAT(sink->NextFile(second), StatusIs(absl::StatusCode::kInvalidArgument,
                                                 ::testing::AllOf(HasSubstr(std::string("path: '") + second + "'"),
                                                                  Not(HasSubstr(root_.string())))));
  }
  for (const char* path : {"../x", "/etc/passwd", "a\xc2\x9b",
                           "\xe2\x80\xae"
                           "a",
                           "\xff", ""}) {
    const std::unique_ptr<UploadSink> sink = data_->NewUpload();
    EXPECT_THAT(sink->NextFile(path), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("path: ")));
  }
  EXPECT_THAT(Names(root_ / "incoming"), IsEmpty());
  const std::unique_ptr<UploadSink> sink = data_->NewUpload();
  ASSERT_THAT(sink->NextFile("large"), IsOk());
  const std::string mebibyte(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) {
    ASSERT_THAT(sink->Write(mebibyte), IsOk());
  }
  EXPECT_THAT(sink->Write("x"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("'large'")));
}

TEST_F(DataFolderTest, AnUploadIsOldADayAfterItsLastUse) {
  std::set<std::string> used;
  const auto exists = [&](const std::string& id) { return fs::exists(data_->Upload(id)); };
  const std::string idle = AddUpload();
  const std::string queued = AddUpload();
  const std::string found = AddUpload();
  used = {queued};
  Pass(hours(1000));
  data_->DropOldUploads();
  EXPECT_TRUE(exists(idle));  // nobody has said yet which ones jobs need
  GuardUploads([&](const std::string& id) { return used.count(id) > 0; });
  EXPECT_THAT(data_->FindUpload("upload_id", found), IsOk());
  data_->DropOldUploads();
  EXPECT_FALSE(exists(idle));
  EXPECT_THAT(data_->FindUpload("upload_id", idle), StatusIs(absl::StatusCode::kNotFound, _));
  EXPECT_TRUE(exists(queued));
  EXPECT_TRUE(exists(found));
  // The job was cancelled: its upload can be used for a day more.
  used = {};
  Pass(hours(23));
  data_->DropOldUploads();
  EXPECT_TRUE(exists(queued));
  EXPECT_TRUE(exists(found));
  Pass(hours(1));
  data_->DropOldUploads();
  EXPECT_FALSE(exists(queued));
  EXPECT_FALSE(exists(found));
}

TEST_F(DataFolderTest, SettingTheClockDropsNoUpload) {
  const std::string id = AddUpload();
  const std::unique_ptr<UploadSink> sending = data_->NewUpload();
  ASSERT_THAT(sending->NextFile("a"), IsOk());
  // As if the clock had been set forward by a year: files are that old now.
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - hours(24 * 365));
  }
  GuardUploads([](const std::string&) { return false; });
  data_->DropOldUploads();
  EXPECT_TRUE(fs::exists(data_->Upload(id)));
  // However long a client takes to send.
  Pass(hours(1000));
  data_->DropOldUploads();
  EXPECT_THAT(sending->Finish(), IsOk());
}

TEST_F(DataFolderTest, ANewServerTellsOldUploadsByTheirFilesAndAsksBeforeItDropsThem) {
  const std::string fresh = AddUpload();
  const std::string old = AddUpload();
  const std::string ahead = AddUpload();
  fs::last_write_time(data_->Upload(old), fs::file_time_type::clock::now() - hours(48));
  fs::last_write_time(data_->Upload(ahead), fs::file_time_type::clock::now() + hours(48));
  Open();
  data_->WaitUntilSwept();
  EXPECT_TRUE(fs::exists(data_->Upload(old)));
  GuardUploads([&](const std::string& id) { return id == old; });
  data_->DropOldUploads();
  EXPECT_TRUE(fs::exists(data_->Upload(old)));
  Open();
  GuardUploads([](const std::string&) { return false; });
  data_->DropOldUploads();
  EXPECT_THAT(Names(root_ / "uploads"), ::testing::UnorderedElementsAre(fresh, ahead));
}

TEST_F(DataFolderTest, AnUploadGoesAfterItsJobUnlessAnotherReadsIt) {
  const std::string id = AddUpload();
  bool used = true;
  data_->DropUpload(id);
  EXPECT_TRUE(fs::exists(data_->Upload(id)));  // who uses it isn't known
  GuardUploads([&](const std::string&) { return used; });
  data_->DropUpload(id);
  EXPECT_TRUE(fs::exists(data_->Upload(id)));
  used = false;
  data_->DropUpload(id);
  EXPECT_FALSE(fs::exists(data_->Upload(id)));
  data_->DropUpload(id);
  data_->WaitUntilSwept();
  EXPECT_THAT(Names(root_ / "trash"), IsEmpty());
}

}  // namespace
}  // namespace graft
