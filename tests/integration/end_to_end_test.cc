// The real programs: graftd, its workers and the command line, on real photographs.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "nlohmann/json.hpp"
#include "tests/testing/files.h"

extern char** environ;

namespace graft {
namespace {

using ::testing::HasSubstr;

std::filesystem::path Bin(const std::string& name) { return std::filesystem::path(GRAFT_BINARY_DIR) / "bin" / name; }

struct Outcome {
  int exit_status = -1;
  std::string out;
  std::string err;
};

class EndToEndTest : public ::testing::Test {
 protected:
  EndToEndTest() { StartServer(); }
  ~EndToEndTest() override { StopServer(SIGTERM); }

  pid_t Spawn(const std::vector<std::string>& words, const std::filesystem::path& out,
              const std::filesystem::path& err) {
    std::vector<char*> argv;
    for (const std::string& word : words) {
      argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    pid_t pid = -1;
    EXPECT_EQ(posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ), 0) << words[0];
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

  void StartServer() {
    const std::filesystem::path port_file = dir_ / "port";
    std::filesystem::remove(port_file);
    server_ =
        Spawn({Bin("graftd").string(), "--listen", "127.0.0.1:0", "--port-file", port_file.string(), "--data-dir",
               (dir_ / "data").string(), "--allow-dir", (std::filesystem::path(GRAFT_SOURCE_DIR) / "samples").string(),
               "--allow-dir", dir_.path().string()},
              dir_ / "graftd.out", dir_ / "graftd.log");
    while (!std::filesystem::exists(port_file)) {
      int status = 0;
      ASSERT_EQ(waitpid(server_, &status, WNOHANG), 0) << "graftd ended: " << testing::ReadText(dir_ / "graftd.log");
      std::this_thread::yield();
    }
    std::ifstream(port_file) >> port_;
  }
  int StopServer(int signal) {
    kill(server_, signal);
    int status = 0;
    waitpid(server_, &status, 0);
    return status;
  }

  // graft --server ... WORDS.
  Outcome Graft(std::vector<std::string> words) {
    words.insert(words.begin(), {Bin("graft").string(), "--server", "127.0.0.1:" + std::to_string(port_)});
    std::filesystem::remove(dir_ / "err");
    const pid_t pid = Spawn(words, dir_ / "out", dir_ / "err");
    int status = 0;
    waitpid(pid, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, testing::ReadText(dir_ / "out"),
            testing::ReadText(dir_ / "err")};
  }
  nlohmann::json Json(std::vector<std::string> words) {
    words.insert(words.begin(), {"--format", "json"});
    const Outcome outcome = Graft(std::move(words));
    EXPECT_EQ(outcome.exit_status, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }
  void CreatePets() {
    const Outcome outcome = Graft({"dataset", "create", "pets", "--from", testing::Sample("").string(), "--train", "24",
                                   "--validation", "8", "--test", "8", "--seed", "42", "--wait"});
    ASSERT_EQ(outcome.exit_status, 0) << outcome.err;
  }

  const testing::TempDir dir_;
  pid_t server_ = -1;
  int port_ = 0;
};

TEST_F(EndToEndTest, TheWholeJob) {
  CreatePets();
  const nlohmann::json dataset = Json({"dataset", "show", "pets"});
  ASSERT_EQ(dataset["classes"].size(), 2U);
  EXPECT_EQ(dataset["classes"][0]["label"], "cat");
  EXPECT_EQ(dataset["classes"][1]["train"], "24");
  for (const auto& [folder, count] : {std::pair{"training_data", 48}, {"validation_data", 16}, {"test_data", 16}}) {
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ / "data/datasets/pets" / folder), {}), count);
  }
  // The same on every machine: SHA-256 over the manifest of this split.
  EXPECT_EQ(dataset["fingerprint"], "7755a3dfc0385cc6e8340908b85c79e495459900e0afc359a4ee436df6fb8942");

  const Outcome train = Graft({"train", "cats", "--dataset", "pets", "--variant", "vgg16_features", "--set",
                               "head=dense", "--set", "image_size=96", "--set", "epochs=6", "--watch"});
  ASSERT_EQ(train.exit_status, 0) << train.err;
  EXPECT_THAT(train.out, HasSubstr("6/6"));
  const Outcome evaluate = Graft({"evaluate", "cats"});
  ASSERT_EQ(evaluate.exit_status, 0) << evaluate.err;
  EXPECT_THAT(evaluate.out, HasSubstr("precision"));
  const nlohmann::json model = Json({"model", "show", "cats"});
  EXPECT_EQ(model["parameters"], "525825");  // on 512 averages
  EXPECT_EQ(model["history"].size(), 6U);
  ASSERT_EQ(model["evaluations"].size(), 1U);
  EXPECT_GE(model["evaluations"][0]["report"]["accuracy"].get<double>(), 0.85);
  EXPECT_EQ(model["options"]["preprocessing"], "PREPROCESSING_CAFFE");
  for (const char* picture : {"learning_curves.png", "evaluations/pets-test/confusion_matrix.png",
                              "evaluations/pets-test/roc.png", "evaluations/pets-test/precision_recall.png",
                              "evaluations/pets-test/reliability.png", "evaluations/pets-test/mistakes.png"}) {
    EXPECT_EQ(testing::ReadText(dir_ / "data/models/cats/1" / picture).substr(1, 3), "PNG") << picture;
  }

  EXPECT_GT(model["evaluations"][0]["milliseconds_per_image"].get<double>(), 0);
  const nlohmann::json compared = Json({"compare", "cats", "--out", (dir_ / "compare").string()});
  EXPECT_EQ(compared["models"][0]["accuracy"], model["evaluations"][0]["report"]["accuracy"]);
  EXPECT_EQ(testing::ReadText(dir_ / "compare/compare.png").substr(1, 3), "PNG");
  const Outcome report = Graft({"model", "report", "cats@1", "--out", (dir_ / "report").string()});
  EXPECT_EQ(report.exit_status, 0) << report.err;
  EXPECT_THAT(testing::ReadText(dir_ / "report/report.html"), HasSubstr("cats@1"));
  EXPECT_THAT(testing::ReadText(dir_ / "report/evaluations/pets-test/predictions.csv"), HasSubstr("cat.1"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "report/model.safetensors"));

  const Outcome mistakes = Graft({"model", "mistakes", "cats", "--folds", "3", "--out", (dir_ / "m.png").string()});
  EXPECT_EQ(mistakes.exit_status, 0) << mistakes.err;
  EXPECT_THAT(mistakes.out, HasSubstr("of 48 training labels"));
  EXPECT_EQ(testing::ReadText(dir_ / "m.png").substr(1, 3), "PNG");
  const nlohmann::json found = Json({"model", "mistakes", "cats"});
  EXPECT_EQ(found["folds"], 3);  // what was found before, and no other job
  EXPECT_EQ(found["image_size"], 96);
  EXPECT_GE(found["accuracy"].get<double>(), 0.6);  // 0.75, from 32 images of 96 pixels

  testing::WriteText(dir_ / "broken.jpg", "not a photograph");
  const Outcome classify = Graft({"classify", "cats@1", testing::Sample("cat.199.jpg").string(),
                                  (dir_ / "broken.jpg").string(), testing::Sample("dog.199.jpg").string()});
  EXPECT_EQ(classify.exit_status, 1);  // one of them failed, the others were answered
  EXPECT_THAT(classify.out, HasSubstr("cat.199.jpg"));
  EXPECT_THAT(classify.out, HasSubstr("dog.199.jpg"));
  EXPECT_THAT(classify.err, HasSubstr("broken.jpg"));

  const Outcome features = Graft({"features", "--trunk", "vgg16", "--out", (dir_ / "f.safetensors").string(),
                                  testing::Sample("cat.0.jpg").string()});
  EXPECT_EQ(features.exit_status, 0) << features.err;
  EXPECT_GT(std::filesystem::file_size(dir_ / "f.safetensors"), 4U * 4 * 512 * 4);
  const Outcome download = Graft({"model", "download", "cats", "--out", (dir_ / "copy").string()});
  EXPECT_EQ(download.exit_status, 0) << download.err;
  EXPECT_EQ(testing::ReadText(dir_ / "copy/model.safetensors"),
            testing::ReadText(dir_ / "data/models/cats/1/model.safetensors"));

  EXPECT_EQ(Graft({"dataset", "delete", "pets"}).exit_status, 0);
  EXPECT_EQ(Graft({"model", "delete", "cats"}).exit_status, 0);
  EXPECT_EQ(Graft({"model", "show", "cats"}).exit_status, 1);
  EXPECT_EQ(WEXITSTATUS(StopServer(SIGTERM)), 0);
  StartServer();
}

TEST_F(EndToEndTest, AKilledWorkersJobGoesOnAndACancelledOneStops) {
  CreatePets();
  const auto start = [&] {
    const nlohmann::json job =
        Json({"train", "slow", "--dataset", "pets", "--variant", "basic_cnn", "--set", "epochs=1000"});
    const std::string id = job["id"];
    // Training has begun when the first epoch's event is there.
    for (;;) {
      const nlohmann::json now = Json({"job", "show", id});
      EXPECT_EQ(now["state"], "JOB_STATE_RUNNING") << now.dump();
      if (now["state"] != "JOB_STATE_RUNNING" || (now.contains("progress") && now["progress"]["phase"] == "train")) {
        return id;
      }
    }
  };
  const std::string killed = start();
  const auto await_epoch = [&](int attempt, int epoch) {
    for (;;) {
      const nlohmann::json now = Json({"job", "show", killed});
      if (now["attempt"] == attempt && now["state"] == "JOB_STATE_RUNNING" && now.contains("progress") &&
          now["progress"].value("epoch", 0) >= epoch) {
        return;
      }
      ASSERT_THAT(now["state"].get<std::string>(), ::testing::AnyOf("JOB_STATE_RUNNING", "JOB_STATE_QUEUED"));
    }
  };
  await_epoch(1, 3);
  // The worker is the server's only child.
  std::ifstream children("/proc/" + std::to_string(server_) + "/task/" + std::to_string(server_) + "/children");
  pid_t worker = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(server_) + "/task")) {
    std::ifstream file(task.path() / "children");
    pid_t pid = 0;
    if (file >> pid) {
      worker = pid;
    }
  }
  ASSERT_GT(worker, 0);
  kill(worker, SIGKILL);
  // The next one goes on.
  await_epoch(2, 4);
  EXPECT_EQ(Graft({"job", "cancel", killed}).exit_status, 0);
  const Outcome watch = Graft({"job", "watch", killed});
  EXPECT_EQ(watch.exit_status, 1);
  EXPECT_THAT(watch.out + watch.err, HasSubstr("signal 9"));
  // Each epoch is told once, though it may have run twice.
  int last = 0;
  std::istringstream lines(watch.out);
  for (std::string line; std::getline(lines, line);) {
    int epoch = 0;
    if (std::sscanf(line.c_str(), "epoch %d/1000", &epoch) == 1) {
      EXPECT_EQ(epoch, ++last);
    }
  }
  EXPECT_GE(last, 3);

  const std::string cancelled = start();
  EXPECT_EQ(Graft({"job", "cancel", cancelled}).exit_status, 0);
  EXPECT_EQ(Graft({"job", "watch", cancelled}).exit_status, 1);
  EXPECT_EQ(Json({"job", "show", cancelled})["state"], "JOB_STATE_CANCELLED");
}

TEST_F(EndToEndTest, AServerThatIsKilledComesBackWithItsJobs) {
  CreatePets();
  const nlohmann::json job =
      Json({"train", "again", "--dataset", "pets", "--variant", "basic_cnn", "--set", "epochs=2"});
  StopServer(SIGKILL);
  StartServer();
  const Outcome watch = Graft({"job", "watch", job["id"]});
  EXPECT_EQ(watch.exit_status, 0) << watch.out << watch.err;
  EXPECT_EQ(Json({"model", "show", "again"})["history"].size(), 2U);
}

TEST_F(EndToEndTest, AnUploadTrainsLikeAFolder) {
  for (int i = 0; i < 12; ++i) {
    for (const std::string label : {"cat", "dog"}) {
      testing::WriteText(dir_ / ("photos/" + label + "/" + std::to_string(i) + ".jpg"),
                         testing::ReadText(testing::Sample(label + "." + std::to_string(i) + ".jpg")));
    }
  }
  testing::WriteText(dir_ / "photos/cat/notes.txt", "not a photograph");
  const Outcome upload = Graft({"dataset", "upload", "mine", (dir_ / "photos").string(), "--label", "folder", "--train",
                                "0.5", "--validation", "0.25", "--test", "0.25", "--wait"});
  ASSERT_EQ(upload.exit_status, 0) << upload.err;
  const nlohmann::json dataset = Json({"dataset", "show", "mine"});
  EXPECT_EQ(dataset["classes"][0]["train"], "6");
  ASSERT_EQ(dataset["skipped"].size(), 1U);
  EXPECT_EQ(dataset["skipped"][0]["path"], "cat/notes.txt");
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "data/uploads"));
}

}  // namespace
}  // namespace graft
