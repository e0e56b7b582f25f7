// Comparing models, and a model's report.
#include <algorithm>
#include <map>

#include "core/base/text.h"
#include "server/handlers/report_page.h"
#include "tests/server/handlers/fixture.h"

namespace graft {
namespace {

using absl::StatusCode;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class JudgingHandlersTest : public testing::HandlersTest {
 protected:
  // The model's evaluation on the test part of `dataset`: of `images` images, half of them dogs, it gets those wrong
  // that are listed.
  void Evaluated(const std::string& name, int version, const std::vector<int>& wrong, int images = 40,
                 const std::string& fingerprint = "f00d", const std::string& dataset = "pets") {
    ScoredPart scores;
    Predictions& predictions = scores.predictions;
    predictions.labels = {"cat", "dog"};
    for (int i = 0; i < images; ++i) {
      const bool mistaken = std::find(wrong.begin(), wrong.end(), i) != wrong.end();
      const int truth = i % 2;
      predictions.files.push_back("image " + std::to_string(i) + ".jpg");
      predictions.truth.push_back(truth);
      const float dog = (truth == 1) != mistaken ? 0.9F : 0.2F;
      predictions.probabilities.push_back(1 - dog);
      predictions.probabilities.push_back(dog);
    }
    Evaluation& evaluation = scores.evaluation;
    evaluation.model = name;
    evaluation.version = version;
    evaluation.dataset = dataset;
    evaluation.dataset_fingerprint = fingerprint;
    evaluation.milliseconds_per_image = 12.5;
    evaluation.threads = 2;
    evaluation.report = Evaluate(predictions.truth, predictions.probabilities, predictions.labels).value();
    const auto folder = data_->root() / DataFolder::EvaluationTarget(name, version, dataset, Part::kTest).path;
    std::filesystem::create_directories(folder);
    ASSERT_THAT(SaveEvaluation(evaluation, folder), IsOk());
    ASSERT_THAT(SavePredictions(predictions, folder), IsOk());
  }
  static v1::CompareModelsRequest Of(const std::vector<std::pair<std::string, int>>& models) {
    v1::CompareModelsRequest request;
    for (const auto& [name, version] : models) {
      v1::ModelRef* ref = request.add_models();
      ref->set_name(name);
      if (version != 0) {
        ref->set_version(version);
      }
    }
    return request;
  }
  absl::StatusOr<v1::CompareModelsResponse> Compare(const v1::CompareModelsRequest& request) {
    v1::CompareModelsResponse response;
    absl::Status status = CompareModels(deps_, call_, request, &response);
    return status.ok() ? absl::StatusOr<v1::CompareModelsResponse>(response) : status;
  }
  absl::StatusOr<std::map<std::string, std::string>> Report(const std::string& name) {
    v1::ReportModelRequest request;
    request.mutable_model()->set_name(name);
    const auto pieces = ReadAll(ReportModel(deps_, call_, request).get());
    if (!pieces.ok()) {
      return pieces.status();
    }
    std::map<std::string, std::string> files;
    std::string current;
    for (const v1::DownloadModelResponse& piece : *pieces) {
      if (piece.has_path()) {
        current = piece.path();
      }
      files[current] += piece.chunk();
    }
    return files;
  }
};

TEST_F(JudgingHandlersTest, TheBestComesFirstAndTheOthersArePairedWithIt) {
  AddModel("a", 1);
  AddModel("a", 2);
  AddModel("b", 1);
  testing::WriteText(data_->Model("b", 1) / "model.safetensors", std::string(1234, 'w'));
  Evaluated("a", 1, {0, 1, 2, 3, 4, 5, 6, 7});
  Evaluated("a", 2, {0, 20});
  Evaluated("b", 1, {20});
  v1::CompareModelsRequest request = Of({{"a", 1}, {"a", 0}, {"b", 0}});
  request.set_picture(true);
  ASSERT_OK_AND_ASSIGN(const v1::CompareModelsResponse response, Compare(request));
  EXPECT_EQ(response.dataset(), "pets");
  EXPECT_EQ(response.part(), v1::PART_TEST);
  EXPECT_EQ(response.images(), 40);
  EXPECT_EQ(response.dataset_fingerprint(), "f00d");
  EXPECT_EQ(response.picture().substr(1, 3), "PNG");
  ASSERT_EQ(response.models_size(), 3);
  const v1::ComparedModel& best = response.models(0);
  EXPECT_EQ(best.name(), "b");
  EXPECT_EQ(best.accuracy(), 0.975);
  EXPECT_NEAR(best.accuracy_low(), WilsonInterval(39, 40).low, 1e-12);
  EXPECT_NEAR(best.accuracy_high(), WilsonInterval(39, 40).high, 1e-12);
  EXPECT_FALSE(best.has_p_value());
  EXPECT_EQ(best.size_bytes(), 1234);
  EXPECT_EQ(best.milliseconds_per_image(), 12.5);
  EXPECT_EQ(best.threads(), 2);
  EXPECT_EQ(best.parameters(), 19'024'513);
  EXPECT_EQ(response.models(1).name(), "a");
  EXPECT_EQ(response.models(1).version(), 2);
  EXPECT_EQ(response.models(1).only_best_right(), 1);
  EXPECT_EQ(response.models(1).only_this_right(), 0);
  EXPECT_EQ(response.models(1).p_value(), 1);
  EXPECT_EQ(response.models(2).only_best_right(), 8);
  EXPECT_EQ(response.models(2).only_this_right(), 1);
  EXPECT_NEAR(response.models(2).p_value(), McNemarExact(8, 1), 1e-12);
  EXPECT_EQ(Compare(Of({{"b", 1}}))->picture(), "");
}

TEST_F(JudgingHandlersTest, OneThatWasNotEvaluatedThereIsNamedWithTheCommand) {
  AddModel("a", 1);
  AddModel("b", 3);
  Evaluated("a", 1, {1});
  EXPECT_THAT(Compare(Of({{"a", 1}, {"b", 0}})),
              StatusIs(StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("b@3"), HasSubstr("graft evaluate b@3 --dataset pets --split test"),
                             Not(HasSubstr("evaluate a@1")))));
  // On other images, though the data set has the same name.
  Evaluated("b", 3, {1}, 40, "cafe");
  EXPECT_THAT(Compare(Of({{"a", 1}, {"b", 0}})),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("b@3 (its evaluation is of other images)")));
  // What counts is the data set as it is now.
  DatasetInfo info;
  info.name = "pets";
  info.recipe.source = "upload";
  info.fingerprint = "cafe";
  std::filesystem::create_directories(data_->Dataset("pets"));
  ASSERT_THAT(SaveDatasetInfo(info, data_->Dataset("pets")), IsOk());
  EXPECT_THAT(Compare(Of({{"a", 1}, {"b", 0}})),
              StatusIs(StatusCode::kFailedPrecondition, AllOf(HasSubstr("a@1 (its"), Not(HasSubstr("b@3")))));
  v1::CompareModelsRequest request = Of({{"a", 1}});
  request.set_dataset("none");
  EXPECT_THAT(Compare(request), StatusIs(StatusCode::kNotFound, HasSubstr("'none'")));
  request.set_dataset("");
  request.set_part(v1::PART_VALIDATION);
  EXPECT_THAT(Compare(request), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("--split validation")));
  request = Of({{"a", 1}});
  request.set_dataset("../x");
  EXPECT_THAT(Compare(request), StatusIs(StatusCode::kInvalidArgument, HasSubstr("dataset")));
  // An evaluation of before, without predictions.
  Evaluated("a", 1, {1}, 40, "cafe");
  ASSERT_THAT(Compare(Of({{"a", 1}})), IsOk());
  std::filesystem::remove(data_->Model("a", 1) / "evaluations/pets-test" / kPredictionsFile);
  EXPECT_THAT(Compare(Of({{"a", 1}})), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("graft evaluate a@1")));
  testing::WriteText(data_->Model("a", 1) / "evaluations/pets-test" / kPredictionsFile, "x");
  EXPECT_THAT(Compare(Of({{"a", 1}})), StatusIs(StatusCode::kDataLoss, HasSubstr(kPredictionsFile)));
}

TEST_F(JudgingHandlersTest, BadRequestsAreRefused) {
  AddModel("a", 1);
  Evaluated("a", 1, {1});
  EXPECT_THAT(Compare(Of({})), StatusIs(StatusCode::kInvalidArgument, HasSubstr("models")));
  EXPECT_THAT(Compare(Of(std::vector<std::pair<std::string, int>>(51, {"a", 1}))),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("51")));
  EXPECT_THAT(Compare(Of({{"a", 1}, {"a", 0}})),
              StatusIs(StatusCode::kInvalidArgument, HasSubstr("a@1 is there twice")));
  EXPECT_THAT(Compare(Of({{"none", 0}})), StatusIs(StatusCode::kNotFound, HasSubstr("'none'")));
  EXPECT_THAT(Compare(Of({{"a", 7}})), StatusIs(StatusCode::kNotFound, HasSubstr("version 7")));
}

TEST_F(JudgingHandlersTest, AReportIsOnePageAndTheFilesBesideIt) {
  AddModel("a", 1);
  Evaluated("a", 1, {3});
  const std::string roc = "\x89PNG roc";
  testing::WriteText(data_->Model("a", 1) / "evaluations/pets-test/roc.png", roc);
  testing::WriteText(data_->Model("a", 1) / "evaluations/pets-test/published-by", "job-1\n");
  testing::WriteText(data_->Model("a", 1) / "model.safetensors", "weights");
  ASSERT_OK_AND_ASSIGN(auto files, Report("a"));
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files) {
    names.push_back(name);
  }
  EXPECT_THAT(names,
              ::testing::ElementsAre("evaluations/pets-test/predictions.csv", "evaluations/pets-test/report.json",
                                     "evaluations/pets-test/roc.png", "model.json", "report.html"));
  EXPECT_EQ(files["evaluations/pets-test/roc.png"], roc);
  const std::string& page = files["report.html"];
  EXPECT_THAT(page, AllOf(HasSubstr("<title>a@1</title>"), HasSubstr("0.9750"), HasSubstr("data:image/png;base64,"),
                          HasSubstr("learning_rate"), HasSubstr("Conv2D"), HasSubstr("19,024,513")));
  // Nothing is loaded from anywhere, and no script runs.
  EXPECT_THAT(page, AllOf(Not(HasSubstr("http:")), Not(HasSubstr("https:")), Not(HasSubstr("<script"))));
  EXPECT_THAT(files["evaluations/pets-test/predictions.csv"],
              ::testing::StartsWith("file,truth,predicted,right,p(cat),p(dog)\r\nimage 3.jpg,dog,cat,0,0.8,0.2\r\n"));
  EXPECT_THAT(Report("none"), StatusIs(StatusCode::kNotFound, HasSubstr("'none'")));
  AddModel("new", 1);
  EXPECT_THAT((*Report("new"))["report.html"], HasSubstr("graft evaluate new@1"));
  testing::WriteText(data_->Model("new", 1) / "model.json", "{}");
  EXPECT_THAT(Report("new"), StatusIs(StatusCode::kDataLoss, HasSubstr("model.json")));
}

TEST_F(JudgingHandlersTest, MistakesAreSentWithTheirPictureAndShownInTheReport) {
  AddModel("a", 1);
  v1::GetMistakesRequest request;
  request.mutable_model()->set_name("a");
  v1::GetMistakesResponse response;
  EXPECT_THAT(GetMistakes(deps_, call_, request, &response),
              StatusIs(StatusCode::kNotFound, HasSubstr("graft model mistakes a@1")));
  EXPECT_THAT((*Report("a"))["report.html"], Not(HasSubstr("that are suspect")));
  LabelMistakes mistakes;
  mistakes.model = "a";
  mistakes.version = 1;
  mistakes.dataset = "pets";
  mistakes.judge = {"vgg16", Preprocessing::kCaffe, Interpolation::kBilinear, 224, 5, 42};
  mistakes.images = 1234;
  mistakes.accuracy = 0.975;
  mistakes.suspected = 1;
  mistakes.mistakes = {{"<b>.jpg", "cat", "dog", 0.125, 0.875}};
  const auto folder = data_->root() / DataFolder::MistakesTarget("a", 1).path;
  const std::string png = "\x89PNG suspects";
  testing::WriteText(folder / "mistakes.png", png);
  ASSERT_THAT(SaveLabelMistakes(mistakes, folder), IsOk());
  ASSERT_THAT(GetMistakes(deps_, call_, request, &response), IsOk());
  EXPECT_EQ(response.result().images(), 1234);
  ASSERT_EQ(response.result().mistakes_size(), 1);
  EXPECT_EQ(response.result().mistakes(0).suggested_label(), "dog");
  EXPECT_EQ(response.picture(), "");
  request.set_picture(true);
  ASSERT_THAT(GetMistakes(deps_, call_, request, &response), IsOk());
  EXPECT_EQ(response.picture(), png);
  ASSERT_OK_AND_ASSIGN(auto files, Report("a"));
  EXPECT_EQ(files["mistakes/mistakes.png"], png);
  EXPECT_EQ(files.count("mistakes/mistakes.json"), 1U);
  EXPECT_THAT(files["report.html"],
              AllOf(HasSubstr("Labels of pets that are suspect"), HasSubstr("1,234"), HasSubstr("&lt;b&gt;.jpg"),
                    Not(HasSubstr("<b>.jpg")), HasSubstr("0.8750"), HasSubstr("The most suspect labels")));
  // Damage is said, with what helps, and takes nothing else away.
  testing::WriteText(folder / "mistakes.json", "{}");
  EXPECT_THAT(GetMistakes(deps_, call_, request, &response),
              StatusIs(StatusCode::kDataLoss, AllOf(HasSubstr("mistakes.json"), HasSubstr("mistakes a --again"))));
  EXPECT_THAT((*Report("a"))["report.html"], AllOf(HasSubstr("Damaged:"), HasSubstr("mistakes/mistakes.json")));
  request.mutable_model()->set_version(7);
  EXPECT_THAT(GetMistakes(deps_, call_, request, &response), StatusIs(StatusCode::kNotFound, HasSubstr("version 7")));
}

TEST(ReportPageTest, NoStringIsReadAsHtml) {
  const std::string evil = "<script>alert('1')</script>\"&\u202e\xff\n";
  EXPECT_EQ(EscapeHtml("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
  ModelEntry entry;
  entry.description.name = evil;
  entry.description.variant = evil;
  entry.description.dataset = evil;
  entry.description.job_id = evil;
  entry.description.dataset_fingerprint = evil;
  entry.description.labels = {evil, "dog"};
  entry.damaged = evil;
  Evaluation evaluation;
  evaluation.dataset = evil;
  evaluation.report = Evaluate({0, 1}, {0.9F, 0.1F, 0.4F, 0.6F}, {"<script>", "dog"}).value();
  entry.evaluations.push_back(evaluation);
  LabelMistakes mistakes;
  mistakes.dataset = evil;
  mistakes.mistakes = {{evil, evil, evil, 0.1, 0.9}};
  const std::string page = ReportPage(entry, &mistakes, {{"mistakes/mistakes.png", "png"}});
  EXPECT_THAT(page, AllOf(Not(HasSubstr("<script")), Not(HasSubstr("\u202e")), HasSubstr("&lt;script&gt;")));
  EXPECT_TRUE(IsUtf8(page));
}

TEST(PredictionsCsvTest, CellsAreQuotedAndNoneIsAFormula) {
  Predictions predictions;
  predictions.labels = {"a,b", "c\"d"};
  predictions.files = {"=1+1.jpg"};
  predictions.truth = {0};
  predictions.probabilities = {0.75F, 0.25F};
  EXPECT_EQ(PredictionsCsv(predictions),
            "file,truth,predicted,right,\"p(a,b)\",\"p(c\"\"d)\"\r\n'=1+1.jpg,\"a,b\",\"a,b\",1,0.75,0.25\r\n");
}

}  // namespace
}  // namespace graft
