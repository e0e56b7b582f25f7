// The command line: its parts, and whole commands against a small server that answers by script.
#include "client/cli.h"

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <unistd.h>

#include <mutex>
#include <sstream>

#include "absl/synchronization/notification.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/training_options.h"
#include "client/watch.h"
#include "nlohmann/json.hpp"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(FormatTest, NumbersTimesAndTables) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(19024513), "19,024,513");
  EXPECT_EQ(Thousands(-1234), "-1,234");
  EXPECT_EQ(Bytes(999), "999 B");
  EXPECT_EQ(Bytes(17'800'000), "17.8 MB");
  EXPECT_EQ(Duration(1.25), "1.2s");
  EXPECT_EQ(Duration(59.6), "1m 00s");
  EXPECT_EQ(Duration(185), "3m 05s");
  EXPECT_EQ(Duration(7620), "2h 07m");
  EXPECT_EQ(Duration(-1), "?");
  EXPECT_EQ(Printable("a\x1b[31mb\nc"), "a\\x1b[31mb\\nc");
  EXPECT_EQ(Table({{"NAME", "N"}, {"pets", "5"}, {"müsli", "10"}}, {false, true}), "NAME    N\npets    5\nmüsli  10\n");
  // U+009B and a bare 0x9B start a terminal's sequence, U+202E turns text around, the last byte is half a character.
  EXPECT_EQ(Printable("müsli \xC2\x9B"
                      "31m \x9B"),
            "müsli \\xc2\\x9b31m \\x9b");
  EXPECT_EQ(Printable("\xE2\x80\xAE"
                      "gpj \xC3"),
            "\\xe2\\x80\\xaegpj \\xc3");
  EXPECT_EQ(Clipped("müsli", 2), "mü");
  EXPECT_EQ(Padded("mü", 4), "mü  ");
  EXPECT_EQ(Padded("mü", 4, true), "  mü");
  EXPECT_EQ(Bar(0.5, 4), "[##..]");
  EXPECT_EQ(Bar(7, 4), "[####]");
}

TEST(TrainingOptionsTest, SetByNameOrAnErrorThatHelps) {
  v1::TrainingOptions options;
  for (const char* assignment : {"epochs=7", "learning_rate=1e-4", "seed=18446744073709551615", "optimizer=adamw",
                                 "preprocessing=rescale", "device=cuda:1"}) {
    EXPECT_THAT(SetTrainingOption(assignment, &options), IsOk()) << assignment;
  }
  EXPECT_EQ(options.epochs(), 7);
  EXPECT_EQ(options.learning_rate(), 1e-4);
  EXPECT_EQ(options.seed(), UINT64_MAX);
  EXPECT_EQ(options.optimizer(), v1::OPTIMIZER_ADAMW);
  EXPECT_EQ(options.preprocessing(), v1::PREPROCESSING_RESCALE);
  EXPECT_FALSE(options.has_batch_size());
  for (const auto& [assignment, message] : {std::pair{"epochs", "KEY=VALUE"},
                                            {"epochz=1", "learning_rate"},
                                            {"epoch=1", "there is no option 'epoch'; did you mean epochs? use one of"},
                                            {"augment_zom=1", "did you mean augment_zoom?"},
                                            {"augment_with_shift=1", "did you mean augment_width_shift?"},
                                            {"x=1", "there is no option 'x'; use one of epochs, batch_size"},
                                            {"=1", "there is no option ''; use one of epochs, batch_size"},
                                            {"epochs=x", "whole number"},
                                            {"epochs=", "whole number"},
                                            {"optimizer=lion", "rmsprop, sgd, adam, adamw"},
                                            {"optimizer=unspecified", "rmsprop"},
                                            {"rho=abc", "number"},
                                            {"seed=-1", "whole number"}}) {
    EXPECT_THAT(SetTrainingOption(assignment, &options),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  }
}

TEST(SplitSizesTest, CountsOrSharesButNoMix) {
  v1::SplitSpec split;
  ASSERT_THAT(SetSplitSizes("1500", "500", "0", &split), IsOk());
  EXPECT_EQ(split.counts().train(), 1500);
  EXPECT_EQ(split.counts().test(), 0);
  ASSERT_THAT(SetSplitSizes("60%", "0.2", "0", &split), IsOk());
  EXPECT_EQ(split.fractions().train(), 0.6);
  EXPECT_EQ(split.fractions().validation(), 0.2);
  EXPECT_THAT(SetSplitSizes("1500", "0.2", "0.2", &split),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("mixed")));
  for (const char* bad : {"-5", "-0.5", "1.5", "120%", "nan"}) {
    EXPECT_THAT(SetSplitSizes("0.6", bad, "0.2", &split), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(bad)));
  }
  EXPECT_THAT(SetSplitSizes("many", "1", "1", &split),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("--train")));
}

TEST(ParseModelTest, NameAndVersion) {
  EXPECT_EQ(*ParseModel("pets"), std::make_pair(std::string("pets"), 0));
  EXPECT_EQ(*ParseModel("pets@12"), std::make_pair(std::string("pets"), 12));
  for (const char* text : {"pets@", "pets@x", "pets@0", "pets@-1"}) {
    EXPECT_THAT(ParseModel(text), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
}

v1::JobEvent Event(int64_t sequence) {
  v1::JobEvent event;
  event.set_job_id("job-1");
  event.set_sequence(sequence);
  event.set_attempt(1);
  return event;
}
v1::JobEvent StateEvent(int64_t sequence, v1::JobState state) {
  v1::JobEvent event = Event(sequence);
  event.mutable_state()->set_state(state);
  return event;
}
v1::JobEvent EpochEvent(int64_t sequence, int epoch) {
  v1::JobEvent event = Event(sequence);
  event.mutable_epoch()->set_epoch(epoch);
  event.mutable_epoch()->set_validation_accuracy(0.5);
  return event;
}

// Answers by script.
class FakeServer : public v1::JobService::Service, public v1::PredictionService::Service {
 public:
  FakeServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<v1::JobService::Service*>(this));
    builder.RegisterService(static_cast<v1::PredictionService::Service*>(this));
    builder.RegisterService(&uploads_);
    builder.RegisterService(&models_);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(); }

  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* request, v1::Job* job) override {
    const std::lock_guard lock(mutex);
    submits.push_back(*request);
    if (submits.size() <= unavailable_submits) {
      return {grpc::StatusCode::UNAVAILABLE, "starting"};
    }
    job->set_id("job-1");
    job->set_state(v1::JOB_STATE_QUEUED);
    *job->mutable_spec() = request->spec();
    return grpc::Status::OK;
  }
  // The first stream breaks after three events.
  grpc::Status WatchJob(grpc::ServerContext*, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override {
    const std::lock_guard lock(mutex);
    watches.push_back(request->after_sequence());
    if (hang) {
      // Ctrl-C while nothing happens: the handler waits until the client has given up.
      writer->Write(StateEvent(1, v1::JOB_STATE_RUNNING));
      kill(getpid(), SIGINT);
      client_left.WaitForNotification();
      return grpc::Status::CANCELLED;
    }
    const std::vector<v1::JobEvent> log = {StateEvent(1, v1::JOB_STATE_QUEUED), StateEvent(2, v1::JOB_STATE_RUNNING),
                                           EpochEvent(3, 1), EpochEvent(4, 2), EndEvent()};
    for (const v1::JobEvent& event : log) {
      if (event.sequence() > request->after_sequence() - repeated) {
        writer->Write(event);
      }
      if (watches.size() == 1 && event.sequence() == 3) {
        return {grpc::StatusCode::UNAVAILABLE, "going down"};
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    job->set_id(request->id());
    job->set_state(end_state);
    return grpc::Status::OK;
  }
  v1::JobEvent EndEvent() const {
    v1::JobEvent event = StateEvent(5, end_state);
    if (end_state == v1::JOB_STATE_FAILED) {
      event.mutable_state()->mutable_error()->set_message("disk full");
    } else {
      event.mutable_state()->mutable_result()->mutable_evaluate()->set_model("m");
      event.mutable_state()->mutable_result()->mutable_evaluate()->mutable_report()->set_accuracy(0.875);
    }
    return event;
  }
  grpc::Status ClassifyStream(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::ClassifyStreamResponse, v1::ClassifyRequest>* stream) override {
    v1::ClassifyRequest request;
    for (int64_t index = 0; stream->Read(&request); ++index) {
      v1::ClassifyStreamResponse response;
      response.set_index(index);
      if (request.image() == "end") {
        return grpc::Status::OK;
      }
      if (request.image() == "lost") {
        response.mutable_error()->set_code(5);
        response.mutable_error()->set_message("no such model");
      } else if (request.image() == "skip") {
        response.set_index(index + 1);
      } else if (request.image() == "bad") {
        response.mutable_error()->set_code(3);
        response.mutable_error()->set_message("not an image");
      } else {
        v1::Prediction* prediction = response.mutable_response()->add_predictions();
        prediction->set_label(request.image());  // what was sent comes back as the label
        prediction->set_probability(0.75);
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  struct Uploads : v1::DatasetService::Service {
    grpc::Status UploadImages(grpc::ServerContext*, grpc::ServerReader<v1::UploadImagesRequest>* reader,
                              v1::UploadImagesResponse* response) override {
      v1::UploadImagesRequest request;
      std::string path;
      while (reader->Read(&request)) {
        if (request.has_path()) {
          path = request.path();
          files.emplace_back(path, "");
        } else {
          files.back().second += request.chunk();
        }
      }
      response->set_upload_id("upload-7");
      response->set_files(static_cast<int64_t>(files.size()));
      return grpc::Status::OK;
    }
    std::vector<std::pair<std::string, std::string>> files;
  };

  struct Models : v1::ModelService::Service {
    grpc::Status GetVariant(grpc::ServerContext*, const v1::GetVariantRequest* request, v1::Variant* variant) override {
      variant->set_name(request->name());
      v1::OptionInfo* option = variant->add_options();
      option->set_name("rho");
      option->set_meaning("RMSprop: decay of the squared gradient.");
      option->set_range("0 to below 1");
      option->set_default_value("0.9");
      return grpc::Status::OK;
    }
  };

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  std::mutex mutex;
  bool hang = false;
  int64_t repeated = 0;  // events that a second watch gets again
  absl::Notification client_left;
  size_t unavailable_submits = 0;
  v1::JobState end_state = v1::JOB_STATE_SUCCEEDED;
  std::vector<v1::SubmitJobRequest> submits;
  std::vector<int64_t> watches;
  Uploads uploads_;
  Models models_;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class CliTest : public ::testing::Test {
 protected:
  int Run(std::vector<std::string> words) {
    words.insert(words.begin(), {"--server", server_.address()});
    out_.str("");
    err_.str("");
    return RunCli(words, &out_, &err_, false, false);
  }
  std::vector<nlohmann::json> JsonLines() {
    std::vector<nlohmann::json> lines;
    std::istringstream in(out_.str());
    for (std::string line; std::getline(in, line);) {
      lines.push_back(nlohmann::json::parse(line));
    }
    return lines;
  }
  const testing::TempDir dir_;
  FakeServer server_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CliTest, AWatchThatBreaksGoesOnWithoutAGapOrARepeat) {
  EXPECT_EQ(Run({"job", "watch", "job-1", "--format", "json"}), 0);
  std::vector<std::string> sequences;
  for (const nlohmann::json& line : JsonLines()) {
    sequences.push_back(line["sequence"]);
  }
  EXPECT_THAT(sequences, ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_THAT(server_.watches, ElementsAre(0, 3));
  EXPECT_THAT(err_.str(), HasSubstr("lost the server"));
}

TEST_F(CliTest, EventsThatComeAgainAreShownOnce) {
  server_.repeated = 2;
  EXPECT_EQ(Run({"job", "watch", "job-1", "--format", "json"}), 0);
  EXPECT_EQ(JsonLines().size(), 5U);
}

TEST_F(CliTest, AWatchOfWhatHasEndedTellsHowItEnded) {
  server_.watches.push_back(0);  // so that the first one doesn't break
  EXPECT_EQ(Run({"job", "watch", "job-1", "--after", "5"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("job-1 has succeeded"));
  server_.end_state = v1::JOB_STATE_CANCELLED;
  EXPECT_EQ(Run({"job", "watch", "job-1", "--after", "5"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("graft: job-1 was cancelled"));
}

TEST_F(CliTest, CtrlCLeavesTheJobRunning) {
  server_.hang = true;
  EXPECT_EQ(Run({"job", "watch", "job-1"}), 130);
  server_.client_left.Notify();
  EXPECT_THAT(err_.str(), HasSubstr("come back with: graft job watch job-1"));
}

TEST_F(CliTest, AWaitingCommandPrintsOneDocument) {
  EXPECT_EQ(Run({"evaluate", "m", "--format", "json"}), 0);
  const std::vector<nlohmann::json> lines = JsonLines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["report"]["accuracy"], 0.875);
  server_.end_state = v1::JOB_STATE_FAILED;
  EXPECT_EQ(Run({"evaluate", "m", "--format", "json"}), 1);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), HasSubstr("graft: job-1 has failed: disk full"));
}

TEST_F(CliTest, AVariantIsShownWithWhatItsOptionsMayBe) {
  EXPECT_EQ(Run({"variant", "show", "v"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("OPTION  DEFAULT  RANGE         MEANING\n"
                                    "rho     0.9      0 to below 1  RMSprop: decay of the squared gradient.\n"));
  EXPECT_EQ(Run({"variant", "show", "v", "--format", "json"}), 0);
  const std::vector<nlohmann::json> lines = JsonLines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["options"][0]["name"], "rho");
  EXPECT_EQ(lines[0]["options"][0]["range"], "0 to below 1");
  EXPECT_EQ(lines[0]["options"][0]["default_value"], "0.9");
}

TEST_F(CliTest, ASubmitIsTriedAgainWithTheSameRequestId) {
  server_.unavailable_submits = 2;
  EXPECT_EQ(Run({"train", "m", "--dataset", "d", "--variant", "basic_cnn", "--set", "epochs=3", "--set", "seed=1"}), 0);
  ASSERT_EQ(server_.submits.size(), 3U);
  EXPECT_EQ(server_.submits[0].request_id().size(), 36U);
  EXPECT_EQ(server_.submits[0].request_id(), server_.submits[2].request_id());
  EXPECT_EQ(server_.submits[2].spec().train().options().epochs(), 3);
  EXPECT_THAT(out_.str(), HasSubstr("graft job watch job-1"));
  EXPECT_EQ(Run({"train", "m", "--dataset", "d", "--variant", "basic_cnn"}), 0);
  EXPECT_NE(server_.submits[3].request_id(), server_.submits[0].request_id());
}

TEST_F(CliTest, ExitStatusesTellFailureFromUsage) {
  EXPECT_EQ(Run({}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("Subcommands:"));
  EXPECT_EQ(Run({"dataset"}), 2);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("Usage: graft dataset"), HasSubstr("upload")));
  EXPECT_EQ(Run({"nonsense"}), 2);
  EXPECT_THAT(err_.str(), ::testing::StartsWith("graft: "));
  EXPECT_EQ(Run({"train", "m"}), 2);
  EXPECT_EQ(Run({"train", "m", "--dataset", "d", "--variant", "v", "--set", "epochz=1"}), 2);
  EXPECT_EQ(Run({"classify", "m@x", "f"}), 2);
  EXPECT_EQ(Run({"dataset", "create", "d", "--from", ".", "--train", "5", "--validation", "0.5"}), 2);
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_EQ(Run({"features", "--out", "x", "f"}), 2);
  server_.end_state = v1::JOB_STATE_FAILED;
  EXPECT_EQ(Run({"job", "watch", "job-1"}), 1);
  EXPECT_EQ(Run({"model", "list"}), 1);  // this server has no such service
  EXPECT_THAT(err_.str(), HasSubstr("graft: "));
}

TEST_F(CliTest, NoServerIsSaidWithTheRemedy) {
  out_.str("");
  EXPECT_EQ(RunCli({"--server", "127.0.0.1:1", "status"}, &out_, &err_, false, false), 1);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("GRAFT_SERVER")));
}

TEST_F(CliTest, EveryCommandsHelpHasAnExample) {
  for (const std::vector<std::string>& command : std::vector<std::vector<std::string>>{{"status"},
                                                                                       {"dataset", "create"},
                                                                                       {"dataset", "upload"},
                                                                                       {"dataset", "features"},
                                                                                       {"train"},
                                                                                       {"evaluate"},
                                                                                       {"job", "watch"},
                                                                                       {"model", "download"},
                                                                                       {"classify"},
                                                                                       {"features"},
                                                                                       {"completion"}}) {
    std::vector<std::string> words = command;
    words.push_back("--help");
    EXPECT_EQ(Run(words), 0);
    EXPECT_THAT(out_.str(), HasSubstr("Examples:")) << command[0];
  }
}

TEST_F(CliTest, ClassifyGoesOnAfterABadFile) {
  std::vector<std::string> words = {"classify", "m"};
  for (int i = 0; i < 60; ++i) {
    const std::string name = "f" + std::to_string(100 + i) + ".jpg";
    testing::WriteText(dir_ / ("photos/" + name), i == 7 ? "bad" : "label" + std::to_string(i));
  }
  testing::WriteText(dir_ / "photos/readme.txt", "not sent");
  EXPECT_EQ(Run({"classify", "m", (dir_ / "photos").string(), (dir_ / "none.jpg").string(), "--format", "json"}), 1);
  const std::vector<nlohmann::json> lines = JsonLines();
  ASSERT_EQ(lines.size(), 61U);
  EXPECT_EQ(lines[0]["response"]["predictions"][0]["label"], "label0");
  EXPECT_EQ(lines[7]["error"]["message"], "not an image");
  EXPECT_EQ(lines[59]["response"]["predictions"][0]["label"], "label59");
  EXPECT_TRUE(lines[60].contains("error"));
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("f107.jpg: not an image"), HasSubstr("none.jpg"), HasSubstr("2 of 61")));
  EXPECT_EQ(Run({"classify", "m", (dir_ / "photos/f100.jpg").string()}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("label0 0.7500"));
}

TEST_F(CliTest, EveryFileThatFailsIsNamed) {
  testing::WriteText(dir_ / "1.jpg", "bad");
  testing::WriteText(dir_ / "2.jpg", "bad");
  testing::WriteText(dir_ / ".3.jpg", "hidden");
  EXPECT_EQ(Run({"classify", "m", dir_.path().string()}), 1);
  EXPECT_THAT(err_.str(),
              AllOf(HasSubstr("1.jpg: not an image"), HasSubstr("2.jpg: not an image"), HasSubstr("2 of 2")));
}

TEST_F(CliTest, AModelThatIsNotThereIsOneError) {
  for (const char* name : {"1.jpg", "2.jpg", "3.jpg"}) {
    testing::WriteText(dir_ / name, "lost");
  }
  EXPECT_EQ(Run({"classify", "m", dir_.path().string()}), 1);
  EXPECT_EQ(err_.str(), "graft: no such model\n");
}

TEST_F(CliTest, AnswersThatAreMissingOrOutOfOrderAreErrors) {
  testing::WriteText(dir_ / "1.jpg", "one");
  testing::WriteText(dir_ / "2.jpg", "end");
  EXPECT_EQ(Run({"classify", "m", dir_.path().string()}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("ended the stream after 1 of 2 files"));
  testing::WriteText(dir_ / "2.jpg", "skip");
  EXPECT_EQ(Run({"classify", "m", dir_.path().string()}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("answered request 2 instead of 1"));
}

TEST_F(CliTest, UploadSendsNestedFilesSortedAndThenSplits) {
  testing::WriteText(dir_ / "in/b/2.jpg", std::string(600'000, 'x'));
  testing::WriteText(dir_ / "in/a/ü 1.jpg", "one");
  testing::WriteText(dir_ / "in/.hidden/3.jpg", "never");
  EXPECT_EQ(Run({"dataset", "upload", "d", (dir_ / "in").string(), "--label", "folder", "--train", "2", "--validation",
                 "1", "--test", "1"}),
            0);
  ASSERT_EQ(server_.uploads_.files.size(), 2U);
  EXPECT_EQ(server_.uploads_.files[0], std::make_pair(std::string("a/ü 1.jpg"), std::string("one")));
  EXPECT_EQ(server_.uploads_.files[1].second.size(), 600'000U);
  ASSERT_EQ(server_.submits.size(), 1U);
  EXPECT_EQ(server_.submits[0].spec().split().upload_id(), "upload-7");
  EXPECT_EQ(server_.submits[0].spec().split().label_rule(), v1::LABEL_RULE_FOLDER);
}

TEST_F(CliTest, CompletionKnowsCommandsOptionsAndKeys) {
  EXPECT_EQ(Run({"completion", "bash"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("__complete"));
  const auto complete = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"__complete", "--"});
    out_.str("");
    EXPECT_EQ(RunCli(words, &out_, &err_, false, false), 0);
    return out_.str();
  };
  EXPECT_EQ(complete({"da"}), "dataset\n");
  EXPECT_THAT(complete({"dataset", ""}), AllOf(HasSubstr("create\n"), HasSubstr("upload\n")));
  EXPECT_THAT(complete({"train", "m", "--v"}),
              AllOf(HasSubstr("--variant\n"), HasSubstr("--validate\n"), Not(HasSubstr("--dataset"))));
  EXPECT_EQ(complete({"train", "m", "--set", "ep"}), "epochs=\nepsilon=\n");
  EXPECT_EQ(complete({"train", "m", "--set", "optimizer=ad"}), "optimizer=adam\noptimizer=adamw\n");
  EXPECT_EQ(complete({"evaluate", "m", "--split", ""}), "train\nvalidation\ntest\n");
  EXPECT_EQ(complete({"--server", server_.address(), "job", "show", "job-"}), "");  // it lists none
}

}  // namespace
}  // namespace graft
