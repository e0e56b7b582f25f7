// Whole commands against a small server that answers by script.
#include "client/cli.h"

#include <sys/resource.h>

#include <filesystem>
#include <functional>

#include "tests/client/fake_server.h"

namespace graft {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

using CliTest = testing::CliTest;

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
  EXPECT_EQ(Run({"classify", "m@-1", "f"}), 2);
  EXPECT_EQ(Run({"dataset", "create", "d", "--from", ".", "--train", "5", "--validation", "0.5"}), 2);
  EXPECT_EQ(Run({"--help"}), 0);
  EXPECT_EQ(Run({"features", "--out", "x", "f"}), 2);
  // Not 2^64 - 1.
  EXPECT_EQ(Run({"model", "mistakes", "m", "--seed", "-1"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--seed: '-1' is not a whole number from 0"));
  EXPECT_EQ(Run({"dataset", "create", "d", "--from", ".", "--seed", "-1"}), 2);
  EXPECT_EQ(Run({"dataset", "preview", "d", "--seed", "-1", "--out", "p.png"}), 2);
  server_.end_state = v1::JOB_STATE_FAILED;
  EXPECT_EQ(Run({"job", "watch", "job-1"}), 1);
  EXPECT_EQ(Run({"dataset", "delete", "d"}), 1);  // this server has no such call
  EXPECT_THAT(err_.str(), HasSubstr("graft: "));
}

TEST_F(CliTest, NoServerIsSaidWithTheRemedy) {
  out_.str("");
  EXPECT_EQ(RunCli({"--server", "127.0.0.1:1", "status"}, &out_, &err_, false, false), 1);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("GRAFT_SERVER")));
}

// Every command there is, read off the help of the groups.
std::vector<std::vector<std::string>> AllCommands(const std::function<std::string(std::vector<std::string>)>& help,
                                                  const std::vector<std::string>& words = {}) {
  const std::string text = help(words);
  const size_t start = text.find("Subcommands:\n");
  if (start == std::string::npos) {
    return {words};
  }
  std::vector<std::vector<std::string>> all;
  std::istringstream lines(text.substr(start));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.empty()) {
    std::vector<std::string> below = words;
    std::istringstream(line) >> below.emplace_back();
    for (std::vector<std::string>& command : AllCommands(help, below)) {
      all.push_back(std::move(command));
    }
  }
  return all;
}

TEST_F(CliTest, EveryCommandsHelpHasAnExampleThatIsThatCommand) {
  const auto help = [&](std::vector<std::string> words) {
    words.push_back("--help");
    EXPECT_EQ(Run(words), 0);
    return out_.str();
  };
  const auto commands = AllCommands(help);
  EXPECT_GE(commands.size(), 22U);
  for (const std::vector<std::string>& command : commands) {
    std::string line = "graft";
    for (const std::string& word : command) {
      line += " " + word;
    }
    const std::string text = help(command);
    const size_t examples = text.find("Examples:");
    ASSERT_NE(examples, std::string::npos) << line;
    EXPECT_THAT(text.substr(examples), AllOf(HasSubstr(line), HasSubstr("--format json"))) << line;
  }
}

TEST_F(CliTest, AVariantIsShownWithWhatItsOptionsMayBe) {
  EXPECT_EQ(Run({"variant", "show", "v"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("OPTION  RECOMMENDED  REFERENCE  RANGE         MEANING\n"
                                    "rho     0.9          0.8        0 to below 1  RMSprop: decay of the squared "
                                    "gradient.\n"));
  EXPECT_EQ(Run({"variant", "show", "v", "--format", "json"}), 0);
  const std::vector<nlohmann::json> lines = JsonLines();
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0]["options"][0]["name"], "rho");
  EXPECT_EQ(lines[0]["options"][0]["range"], "0 to below 1");
  EXPECT_EQ(lines[0]["options"][0]["default_value"], "0.9");
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
  ASSERT_EQ(server_.datasets.files.size(), 2U);
  EXPECT_EQ(server_.datasets.files[0], std::make_pair(std::string("a/ü 1.jpg"), std::string("one")));
  EXPECT_EQ(server_.datasets.files[1].second.size(), 600'000U);
  ASSERT_EQ(server_.submits.size(), 1U);
  EXPECT_EQ(server_.submits[0].spec().split().upload_id(), "upload-7");
  EXPECT_EQ(server_.submits[0].spec().split().label_rule(), v1::LABEL_RULE_FOLDER);
}

TEST_F(CliTest, PreviewAsksForWhatWasMeantAndWritesThePicture) {
  const std::string out = (dir_ / "p.png").string();
  EXPECT_EQ(Run({"dataset", "preview", "pets", "--out", out}), 0);
  EXPECT_EQ(out_.str(), out + "\n");
  EXPECT_EQ(testing::ReadText(out), "a picture");
  EXPECT_EQ(Run({"dataset", "preview", "pets", "--out", out, "--augment", "rotation=40", "--augment",
                 "augment_fill=reflect", "--seed", "7", "--images", "3", "--columns", "2"}),
            0);
  EXPECT_EQ(Run({"dataset", "preview", "pets", "--out", out, "--variant", "basic_cnn"}), 0);
  EXPECT_EQ(Run({"--format", "json", "dataset", "preview", "pets", "--out", out, "--duplicates"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out_.str()).at("files").at(0), out);
  const auto& previews = server_.datasets.previews;
  ASSERT_EQ(previews.size(), 4U);
  EXPECT_EQ(previews[0].view_case(), v1::PreviewDatasetRequest::VIEW_NOT_SET);
  EXPECT_EQ(previews[0].seed(), 42U);
  EXPECT_EQ(previews[1].augmented().options().augment_rotation(), 40);
  EXPECT_EQ(previews[1].augmented().options().augment_fill(), v1::FILL_REFLECT);
  EXPECT_EQ(previews[1].augmented().images(), 3);
  EXPECT_EQ(previews[1].columns(), 2);
  EXPECT_EQ(previews[1].seed(), 7U);
  EXPECT_EQ(previews[2].augmented().variant(), "basic_cnn");
  EXPECT_TRUE(previews[3].has_duplicates());
  for (const auto& [words, message] :
       {std::pair{std::vector<std::string>{"--augment", "epochs=3"}, "there is no 'epochs'; use one of zoom, rotation"},
        {{"--augment", "rotation"}, "isn't KEY=VALUE"},
        {{"--augment", "rotation=x"}, "'x' isn't a number"},
        {{"--augment", "fill=wrap"}, "nearest, reflect, constant"},
        {{"--images", "3"}, "--augment or --variant"},
        {{"--duplicates", "--variant", "basic_cnn"}, "--duplicates"}}) {
    std::vector<std::string> line = {"dataset", "preview", "pets", "--out", out};
    line.insert(line.end(), words.begin(), words.end());
    EXPECT_EQ(Run(line), 2);
    EXPECT_THAT(err_.str(), HasSubstr(message));
  }
  EXPECT_EQ(Run({"dataset", "preview", "pets", "--out", (dir_ / "no/p.png").string()}), 1);
  EXPECT_EQ(previews.size(), 5U);
}

TEST_F(CliTest, ADataSetIsShownWithItsQuality) {
  v1::Dataset& shown = server_.datasets.shown;
  EXPECT_EQ(Run({"dataset", "show", "pets"}), 0);
  EXPECT_THAT(out_.str(), Not(HasSubstr("duplicates")));  // one of an older server
  v1::DatasetQuality& quality = *shown.mutable_quality();
  v1::NearDuplicates& near = *quality.add_near_duplicates();
  near.mutable_first()->set_path("cat.1\n.jpg");
  near.mutable_first()->set_label("cat");
  near.mutable_first()->set_part(v1::PART_TRAIN);
  near.mutable_second()->set_path("dog.2.jpg");
  near.mutable_second()->set_label("dog");
  near.mutable_second()->set_part(v1::PART_TEST);
  near.set_hash_bits(3);
  quality.set_pairs_across_parts(1200);
  quality.set_pairs_within_parts(2);
  quality.set_exact_copies(5);
  quality.set_imbalance(4.5);
  quality.set_largest_class("cat");
  quality.set_smallest_class("dog");
  quality.add_warnings("look at them");
  EXPECT_EQ(Run({"dataset", "show", "pets"}), 0);
  EXPECT_THAT(out_.str(),
              HasSubstr("duplicates   1,200 near-duplicate pairs across parts, 2 within one; 5 exact copies left out\n"
                        "  cat.1\\n.jpg (cat, train) and dog.2.jpg (dog, test): 3 of 64 bits differ\n"
                        "  ... --format json shows 1\n"
                        "balance      4.5 : 1 training images (cat to dog)\n"
                        "warning: look at them\n"));
  EXPECT_EQ(Run({"--format", "json", "dataset", "show", "pets"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out_.str()).at("quality").at("near_duplicates").at(0).at("hash_bits"), 3);
  quality.set_damaged("checksum");
  EXPECT_EQ(Run({"dataset", "show", "pets"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("can't be read: checksum"));
}

TEST_F(CliTest, AModelsNameAloneDeletesOnlyAModelOfOneVersion) {
  EXPECT_EQ(Run({"model", "delete", "m"}), 2);
  EXPECT_EQ(err_.str(), "graft: m has 2 versions; name one (m@3) or use --all\n");
  EXPECT_EQ(Run({"model", "delete", "m@1", "--all"}), 2);
  EXPECT_TRUE(server_.deletes.empty());
  EXPECT_EQ(Run({"model", "delete", "m", "--all"}), 0);
  EXPECT_EQ(out_.str(), "deleted m (2 versions)\n");
  // The version that was seen, not those that came meanwhile.
  EXPECT_EQ(Run({"model", "delete", "other"}), 0);
  EXPECT_EQ(Run({"model", "delete", "m@stale"}), 0);
  EXPECT_EQ(Run({"model", "delete", "gone"}), 0);  // which this server doesn't mind
  ASSERT_EQ(server_.deletes.size(), 4U);
  EXPECT_TRUE(server_.deletes[0].all_versions());
  EXPECT_EQ(server_.deletes[1].model().version(), 7);
  EXPECT_FALSE(server_.deletes[1].all_versions());
  EXPECT_EQ(server_.deletes[2].model().alias(), "stale");
  EXPECT_FALSE(server_.deletes[2].all_versions());
  EXPECT_TRUE(server_.deletes[3].all_versions());
}

TEST_F(CliTest, AVersionWhereAModelIsMeantIsAWrongCommandLine) {
  EXPECT_EQ(Run({"train", "m@2", "--dataset", "d", "--variant", "v"}), 2);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("'m@2'"), HasSubstr("leave it out")));
  EXPECT_EQ(Run({"model", "list", "m@2"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("graft model show"));
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"model", "show", "@2"},
                                             {"model", "delete", "m@"},
                                             {"model", "download", "m@0", "--out", "x"},
                                             {"evaluate", "m@-"},
                                             {"classify", "m@a b", "f"},
                                             {"features", "--model", "@p", "--out", "x", "f"}}) {
    EXPECT_EQ(Run(words), 2) << words[0];
    EXPECT_THAT(err_.str(), HasSubstr("MODEL@ALIAS"));
  }
  EXPECT_TRUE(server_.submits.empty());
}

TEST_F(CliTest, ListsFollowPages) {
  EXPECT_EQ(Run({"job", "list", "--limit", "70", "--kind", "train", "--state", "running"}), 0);
  ASSERT_EQ(server_.job_lists.size(), 2U);
  EXPECT_EQ(server_.job_lists[0].kind(), "train");
  EXPECT_THAT(server_.job_lists[0].states(), ElementsAre(v1::JOB_STATE_RUNNING));
  EXPECT_EQ(server_.job_lists[1].page_size(), 20);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("job-120  evaluate  m@production  succeeded"), HasSubstr("\njob-51 "),
                                Not(HasSubstr("\njob-50 ")), HasSubstr("--limit shows more")));
  EXPECT_EQ(Run({"model", "list"}), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("m@3"), HasSubstr("m@1"), HasSubstr("other@7")));
  EXPECT_EQ(Run({"model", "list", "--format", "json"}), 0);
  ASSERT_EQ(JsonLines().size(), 1U);
  EXPECT_EQ(JsonLines()[0]["models"].size(), 3U);
  EXPECT_EQ(JsonLines()[0]["next_page_token"], "");
}

TEST_F(CliTest, DownloadsAreWholeOrAnError) {
  const std::string out = (dir_ / "out").string();
  EXPECT_EQ(Run({"model", "download", "m@prod", "--out", out}), 0);
  EXPECT_EQ(out_.str(), out + "/model.json\n" + out + "/a/b.png\n");
  EXPECT_EQ(testing::ReadText(dir_ / "out/a/b.png"), "png");

  server_.download = {{"../x", "bad"}};
  EXPECT_EQ(Run({"model", "download", "m", "--out", out}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("unsafe path: ../x"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "x"));

  server_.download = {{"cut.json", "{"}};
  server_.download_end = {grpc::StatusCode::DATA_LOSS, "damaged"};
  EXPECT_EQ(Run({"model", "download", "m", "--out", out}), 1);
  EXPECT_EQ(err_.str(), "graft: damaged\n");
  EXPECT_FALSE(std::filesystem::exists(dir_ / "out/cut.json"));
}

TEST_F(CliTest, AComparisonIsATableAndFiles) {
  EXPECT_EQ(Run({"compare", "good@1", "fair", "--part", "validation"}), 0);
  ASSERT_EQ(server_.compares.size(), 1U);
  ASSERT_EQ(server_.compares[0].models_size(), 2);
  EXPECT_EQ(server_.compares[0].models(0).version(), 1);
  EXPECT_EQ(server_.compares[0].part(), v1::PART_VALIDATION);
  EXPECT_FALSE(server_.compares[0].picture());
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("pets (test, 50 images)"), HasSubstr("good@1"), HasSubstr("0.9600"),
                                HasSubstr("best"), HasSubstr("0.25"), HasSubstr("2 threads")));
  EXPECT_EQ(Run({"compare", "good", "fair", "--dataset", "pets", "--out", (dir_ / "new/c").string()}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("compare.png"));
  EXPECT_EQ(testing::ReadText(dir_ / "new/c/compare.png"), "png");
  const nlohmann::json written = nlohmann::json::parse(testing::ReadText(dir_ / "new/c/compare.json"));
  EXPECT_EQ(written["models"].size(), 2U);
  EXPECT_EQ(written["picture"], "");
  EXPECT_EQ(Run({"compare", "good", "fair", "--format", "json"}), 0);
  ASSERT_EQ(JsonLines().size(), 1U);
  EXPECT_EQ(JsonLines()[0]["models"][1]["p_value"], 0.25);
  EXPECT_EQ(Run({"compare"}), 2);
  EXPECT_EQ(Run({"compare", "m@"}), 2);
  EXPECT_EQ(Run({"compare", "m", "--split", "all"}), 2);
  testing::WriteText(dir_ / "file", "in the way");
  EXPECT_EQ(Run({"compare", "m", "--out", (dir_ / "file").string()}), 1);
}

TEST_F(CliTest, MistakesAreLookedForOnceAndShownAtOnceFromThenOn) {
  server_.breaks = false;
  server_.mistakes_to_find = testing::FakeServer::SomeMistakes(30);
  EXPECT_EQ(Run({"model", "mistakes", "m"}), 0);
  ASSERT_EQ(server_.submits.size(), 1U);
  const v1::FindMistakesSpec spec = server_.submits[0].spec().find_mistakes();
  EXPECT_EQ(spec.model().name(), "m");
  EXPECT_EQ(spec.folds(), 0);
  EXPECT_FALSE(spec.has_seed());
  ASSERT_EQ(server_.mistakes_requests.size(), 2U);
  EXPECT_EQ(server_.mistakes_requests[1].model().version(), 3) << "the version that was judged";
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("job-1 has succeeded"),
                    HasSubstr("m@3 on pets: 30 of 3,000 training labels are suspected to be wrong\n\n"
                              "IMAGE         LABEL  PROBABILITY  SUGGESTED  PROBABILITY\n"
                              "cat.0\\n.jpg   cat         0.1250  dog             0.8750\n"),
                    HasSubstr("cat.19\\n"), Not(HasSubstr("cat.20\\n")), HasSubstr("--limit 30 shows all 30"),
                    HasSubstr("vgg16's features"), HasSubstr("5 folds, accuracy 0.9750")));
  const std::string out = (dir_ / "sheet.png").string();
  EXPECT_EQ(Run({"model", "mistakes", "m@3", "--limit", "30", "--out", out}), 0);
  EXPECT_EQ(server_.submits.size(), 1U);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("cat.29\\n"), Not(HasSubstr("--limit")), HasSubstr("picture   " + out)));
  EXPECT_EQ(testing::ReadText(out), "png");
  EXPECT_EQ(Run({"--format", "json", "model", "mistakes", "m", "--folds", "5", "--seed", "42"}), 0);
  ASSERT_EQ(JsonLines().size(), 1U);
  EXPECT_EQ(JsonLines()[0]["mistakes"].size(), 30U);
  EXPECT_EQ(server_.submits.size(), 1U);
  // Asked for again, or for others, they are looked for.
  EXPECT_EQ(Run({"model", "mistakes", "m", "--again", "--format", "json"}), 0);
  EXPECT_EQ(JsonLines()[0]["mistakes"].size(), 30U);
  EXPECT_EQ(Run({"model", "mistakes", "m", "--folds", "10"}), 0);
  EXPECT_EQ(Run({"model", "mistakes", "m", "--seed", "0"}), 0);
  EXPECT_EQ(Run({"model", "mistakes", "m", "--no-wait"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("graft job watch job-1"));
  ASSERT_EQ(server_.submits.size(), 5U);
  EXPECT_EQ(server_.submits[2].spec().find_mistakes().folds(), 10);
  EXPECT_TRUE(server_.submits[3].spec().find_mistakes().has_seed());
}

TEST_F(CliTest, NoMistakesAndMistakesThatCannotBeHadAreSaid) {
  server_.mistakes = testing::FakeServer::SomeMistakes(0);
  EXPECT_EQ(Run({"model", "mistakes", "m"}), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("0 of 3,000"), Not(HasSubstr("IMAGE"))));
  EXPECT_EQ(Run({"model", "mistakes", "m", "--out", (dir_ / "none/sheet.png").string()}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("sheet.png"));
  EXPECT_EQ(Run({"model", "mistakes", "m@0"}), 2);
  EXPECT_EQ(Run({"model", "mistakes", "m", "--limit", "-1"}), 2);
  EXPECT_EQ(Run({"model", "mistakes", "m", "--limit", "1001"}), 2);
  EXPECT_EQ(Run({"model", "mistakes"}), 2);
  server_.mistakes_status = {grpc::StatusCode::DATA_LOSS, "damaged"};
  EXPECT_EQ(Run({"model", "mistakes", "m"}), 1);
  EXPECT_EQ(err_.str(), "graft: damaged\n");
  EXPECT_TRUE(server_.submits.empty());
}

TEST_F(CliTest, AReportIsFetched) {
  const std::string out = (dir_ / "report").string();
  EXPECT_EQ(Run({"model", "report", "m", "--out", out}), 0);
  EXPECT_EQ(out_.str(), out + "/report.html\n");
  EXPECT_EQ(testing::ReadText(dir_ / "report/report.html"), "<!doctype html>");
  EXPECT_EQ(Run({"model", "report", "m@0", "--out", out}), 2);
}

TEST_F(CliTest, ADownloadThatTheDiskDoesNotTakeFails) {
  server_.download = {{"large.bin", "more than ten bytes"}};
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit narrow = {10, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &narrow), 0);
  const int status = Run({"model", "download", "m", "--out", dir_.path().string()});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(status, 1);
  EXPECT_THAT(err_.str(), HasSubstr("large.bin"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "large.bin"));
}

TEST_F(CliTest, ALinkThatLeadsNowhereDoesNotHideTheFilesBehindIt) {
  for (const char* name : {"1.jpg", "2.jpg", "3.jpg", "4.jpg"}) {
    testing::WriteText(dir_ / name, name);
  }
  std::filesystem::create_symlink("nowhere", dir_ / "link.jpg");
  EXPECT_EQ(Run({"classify", "m", dir_.path().string()}), 0);
  for (const char* name : {"1.jpg", "2.jpg", "3.jpg", "4.jpg"}) {
    EXPECT_THAT(out_.str(), HasSubstr(name));
  }
}

TEST_F(CliTest, NobodyReadingEndsAClassificationEarly) {
  for (int i = 0; i < 60; ++i) {
    testing::WriteText(dir_ / ("f" + std::to_string(i) + ".jpg"), "x");
  }
  out_.setstate(std::ios::badbit);
  EXPECT_EQ(RunCli({"--server", server_.address(), "classify", "m", dir_.path().string()}, &out_, &err_, false, false),
            141);
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliTest, ExplainWritesAPictureForEachImageAndLayer) {
  const std::string out = (dir_ / "out/deep").string();
  testing::WriteText(dir_ / "a/one.jpg", "first");
  testing::WriteText(dir_ / "b/one.png", "cold");
  testing::WriteText(dir_ / "two.jpg", "bad");
  const auto path = [&](const char* name) { return (dir_ / name).string(); };
  EXPECT_EQ(Run({"explain", "m@2", path("a"), path("two.jpg"), path("b"), path("none.jpg"), "--layers",
                 "block1_conv2,block5_pool", "--channels", "9", "--out", out}),
            1);
  EXPECT_EQ(testing::ReadText(out + "/one-gradcam-dog.png"), "heat of first");
  EXPECT_EQ(testing::ReadText(out + "/one-block5_pool.png"), "maps of block5_pool");
  // Of the same name in another folder.
  EXPECT_EQ(testing::ReadText(out + "/one-2-gradcam-dog.png"), "heat of cold");
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("a/one.jpg  dog 0.7500\n  " + out + "/one-gradcam-dog.png\n  " + out +
                                          "/one-block1_conv2.png\n"),
                                HasSubstr("b/one.png  dog 0.7500  (nothing speaks for dog)\n")));
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("two.jpg: image: of an unknown kind"), HasSubstr("none.jpg: "),
                                HasSubstr("2 of 4 images failed")));
  ASSERT_EQ(server_.explains.size(), 3U);
  EXPECT_EQ(server_.explains[0].model().version(), 2);
  EXPECT_THAT(server_.explains[0].layers(), ElementsAre("block1_conv2", "block5_pool"));
  EXPECT_EQ(server_.explains[0].channels(), 9);
}

TEST_F(CliTest, ExplainsJsonHasTheMapsNumbersAndWherePicturesAre) {
  testing::WriteText(dir_ / "one.jpg", "first");
  testing::WriteText(dir_ / "two.jpg", "bad");
  const std::string out = (dir_ / "out").string();
  EXPECT_EQ(Run({"explain", "m", (dir_ / "one.jpg").string(), (dir_ / "two.jpg").string(), "--label", "../ca\nt",
                 "--out", out, "--format", "json"}),
            1);
  const std::vector<nlohmann::json> lines = JsonLines();
  ASSERT_EQ(lines.size(), 2U);
  const nlohmann::json& map = lines[0]["response"]["heat_map"];
  EXPECT_EQ(map["label"], "../ca\nt");
  EXPECT_EQ(map["values"], (nlohmann::json{0.5, 1.0}));
  EXPECT_EQ(map["picture"], "");
  // What the server calls a label can't name a file elsewhere.
  EXPECT_EQ(lines[0]["pictures"], nlohmann::json{out + "/one-gradcam-.._ca_nt.png"});
  EXPECT_EQ(testing::ReadText(out + "/one-gradcam-.._ca_nt.png"), "heat of first");
  EXPECT_EQ(lines[1]["error"]["code"], 3);
}

TEST_F(CliTest, ExplainListsLayersAndSaysWhatIsMissing) {
  EXPECT_EQ(Run({"explain", "m", "--layers", "list"}), 0);
  EXPECT_EQ(out_.str(), "LAYER     TYPE    OUTPUT\nconv2d_1  Conv2D  148 x 148 x 16\n");
  EXPECT_EQ(Run({"explain", "m", "--layers", "list", "--format", "json"}), 0);
  EXPECT_EQ(JsonLines()[0]["layers"][0]["name"], "conv2d_1");

  testing::WriteText(dir_ / "one.jpg", "first");
  const std::string image = (dir_ / "one.jpg").string();
  EXPECT_EQ(Run({"explain", "m"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("FILE: "));
  EXPECT_EQ(Run({"explain", "m", image}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--out: "));
  EXPECT_EQ(Run({"explain", "m", image, "--out", "o", "--layers", "a,,b"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--layers: 'a,,b' has an empty name"));
  EXPECT_EQ(Run({"explain", "m", image, "--out", "o", "--channels", "0"}), 2);
  const size_t before = server_.explains.size();
  // What is wrong with the request is said once, not for each image.
  EXPECT_EQ(Run({"explain", "m", image, image, "--out", (dir_ / "o").string(), "--layers", "none"}), 1);
  EXPECT_EQ(err_.str(), "graft: layers: the model has none of these\n");
  EXPECT_EQ(server_.explains.size(), before + 1);
}

TEST_F(CliTest, TrunksAreShownWithHowToGetWhatIsMissing) {
  EXPECT_EQ(Run({"trunk", "list"}), 0);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("vgg16     there    14,714,688  15.35 billion   224  A vgg16 (Somebody, 2014)"),
                    HasSubstr("resnet50  missing"), HasSubstr("\nrun deploy/fetch-weights resnet50\n")));
  EXPECT_EQ(Run({"trunk", "show", "resnet50"}), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("weights        run deploy/fetch-weights resnet50"), HasSubstr("7x7x512"),
                                HasSubstr("block1, block2"), HasSubstr("caffe"), HasSubstr("resnet50_features")));
  EXPECT_EQ(Run({"trunk", "show", "vgg16", "--format", "json"}), 0);
  EXPECT_EQ(JsonLines()[0]["available"], true);
  EXPECT_EQ(Run({"trunk", "show"}), 2);
}

TEST_F(CliTest, ATrunksWeightsAreSentWithWhatTheyAre) {
  const std::string bytes(700'000, 'w');
  testing::WriteText(dir_ / "leaves.safetensors", bytes);
  const std::string file = (dir_ / "leaves.safetensors").string();
  EXPECT_EQ(Run({"trunk", "import", file, "--as", "leaves", "--like", "vgg16", "--preprocessing", "torchvision"}), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("like           vgg16"), HasSubstr("weights        there")));
  ASSERT_EQ(server_.imports.size(), 1U);
  const auto& [header, sent] = server_.imports[0];
  EXPECT_EQ(header.name(), "leaves");
  EXPECT_EQ(header.like(), "vgg16");
  EXPECT_EQ(header.preprocessing(), v1::PREPROCESSING_TORCHVISION);
  EXPECT_EQ(header.source(), "leaves.safetensors");
  EXPECT_TRUE(sent == bytes);
  EXPECT_EQ(Run({"trunk", "import", file, "--as", "leaves", "--like", "vgg99"}), 1);
  EXPECT_EQ(err_.str(), "graft: like: there is no 'vgg99'\n");
  EXPECT_EQ(Run({"trunk", "import", (dir_ / "none").string(), "--as", "leaves", "--like", "vgg16"}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("cannot read"));
  EXPECT_EQ(server_.imports.size(), 2U);
  EXPECT_EQ(Run({"trunk", "import", file, "--like", "vgg16"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--as is required"));
}

TEST_F(CliTest, ATrainingNeedsNoVariant) {
  EXPECT_EQ(Run({"train", "m", "--dataset", "d"}), 0);
  ASSERT_EQ(server_.submits.size(), 1U);
  EXPECT_EQ(server_.submits[0].spec().train().variant(), "");
  EXPECT_EQ(Run({"train", "m"}), 2);
  EXPECT_THAT(err_.str(), HasSubstr("--dataset: not given"));
}

TEST_F(CliTest, ARecommendationIsATableAndAPicture) {
  server_.breaks = false;
  const std::string out = (dir_ / "recommendation.png").string();
  EXPECT_EQ(Run({"recommend", "--dataset", "pets", "--trunk", "slow", "--trunk", "quick", "--budget", "1m30s",
                 "--folds", "4", "--seed", "0", "--out", out}),
            0);
  ASSERT_EQ(server_.submits.size(), 1U);
  const v1::RecommendSpec spec = server_.submits[0].spec().recommend();
  EXPECT_THAT(spec.trunks(), ElementsAre("slow", "quick"));
  EXPECT_EQ(spec.budget_seconds(), 90);
  EXPECT_EQ(spec.folds(), 4);
  EXPECT_TRUE(spec.has_seed());
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("pets (240 training images"), HasSubstr("slow       0.9917  0.9700-0.9950      57.0"),
                    HasSubstr("recommended\n"), HasSubstr("over the budget"),
                    HasSubstr("next: graft train MODEL --dataset pets --variant quick_features")));
  EXPECT_EQ(testing::ReadText(out), "png of job-1");
  EXPECT_EQ(Run({"recommend", "--dataset", "pets", "--format", "json"}), 0);
  EXPECT_EQ(JsonLines()[0]["variant"], "quick_features");
  EXPECT_EQ(server_.submits[1].spec().recommend().budget_seconds(), 0);
  for (const char* budget : {"0", "-5m", "soon", "", "inf", "5 m"}) {
    EXPECT_EQ(Run({"recommend", "--dataset", "pets", "--budget", budget}), *budget == '\0' ? 0 : 2) << budget;
  }
  EXPECT_EQ(Run({"recommend"}), 2);
}

}  // namespace
}  // namespace graft
