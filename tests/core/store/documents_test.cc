// dataset.json, report.json and mistakes.json: what is written is read again, and looks on disk as it always does.
#include "core/store/dataset_info.h"
#include "core/store/evaluation.h"
#include "core/store/label_mistakes.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;
using ::testing::Not;

DatasetInfo Pets() {
  DatasetInfo info;
  info.name = "pets";
  info.create_time_ms = 1'790'000'000'123;
  info.job_id = "job-7";
  info.recipe.source = AllowedFolder{"/srv/pictures", "pets/2026"};
  info.recipe.label_rule = LabelRule::kFolder;
  info.recipe.sizes = SplitCounts{120, 40, 41};
  info.recipe.seed = 18'446'744'073'709'551'615U;
  info.recipe.hard_link = true;
  info.classes = {{"cat", 120, 40, 41}, {"dog", 120, 40, 41}};
  info.skipped = {{"a.txt", "isn't an image"}};
  info.skipped_total = 1234;
  info.unused = 5;
  info.size_bytes = 987'654'321;
  info.fingerprint = std::string(64, 'a');
  return info;
}

TEST(DatasetInfoTest, IsReadAsItWasWritten) {
  const testing::TempDir dir;
  ASSERT_THAT(SaveDatasetInfo(Pets(), dir.path()), IsOk());
  ASSERT_OK_AND_ASSIGN(const DatasetInfo info, LoadDatasetInfo(dir.path()));
  EXPECT_EQ(info.name, "pets");
  EXPECT_EQ(info.create_time_ms, 1'790'000'000'123);
  EXPECT_EQ(info.job_id, "job-7");
  EXPECT_EQ(std::get<AllowedFolder>(info.recipe.source).root, "/srv/pictures");
  EXPECT_EQ(std::get<AllowedFolder>(info.recipe.source).relative, "pets/2026");
  EXPECT_EQ(info.recipe.upload_id(), "");
  EXPECT_EQ(info.recipe.label_rule, LabelRule::kFolder);
  EXPECT_EQ(std::get<SplitCounts>(info.recipe.sizes).test, 41);
  EXPECT_EQ(info.recipe.seed, 18'446'744'073'709'551'615U);
  EXPECT_TRUE(info.recipe.hard_link);
  ASSERT_EQ(info.classes.size(), 2U);
  EXPECT_EQ(info.classes[1].label, "dog");
  EXPECT_EQ(info.classes[1].train, 120);
  EXPECT_EQ(info.classes[1].validation, 40);
  EXPECT_EQ(info.classes[1].test, 41);
  ASSERT_EQ(info.skipped.size(), 1U);
  EXPECT_EQ(info.skipped[0].path, "a.txt");
  EXPECT_EQ(info.skipped[0].reason, "isn't an image");
  EXPECT_EQ(info.skipped_total, 1234);
  EXPECT_EQ(info.unused, 5);
  EXPECT_EQ(info.size_bytes, 987'654'321);
  EXPECT_EQ(info.fingerprint, std::string(64, 'a'));
}

TEST(DatasetInfoTest, TheDocumentIsThis) {
  const nlohmann::json from_folder = {
      {"root", "/srv/pictures"},       {"folder", "pets/2026"},
      {"label_rule", "folder"},        {"counts", {{"train", 120}, {"validation", 40}, {"test", 41}}},
      {"seed", 18446744073709551615U}, {"hard_link", true}};
  EXPECT_EQ(ToJson(Pets().recipe), from_folder);
  SplitRecipe uploaded;
  uploaded.source = "0123abcd";
  uploaded.sizes = SplitFractions{0.5, 0.25, 0};
  uploaded.seed = 1;
  const nlohmann::json from_upload = {{"upload_id", "0123abcd"},
                                      {"label_rule", "filename"},
                                      {"fractions", {{"train", 0.5}, {"validation", 0.25}, {"test", 0.0}}},
                                      {"seed", 1},
                                      {"hard_link", false}};
  EXPECT_EQ(ToJson(uploaded), from_upload);
  ASSERT_OK_AND_ASSIGN(const SplitRecipe read, SplitRecipeFromJson(from_upload));
  EXPECT_EQ(read.upload_id(), "0123abcd");
  EXPECT_EQ(std::get<SplitFractions>(read.sizes).validation, 0.25);
}

TEST(DatasetInfoTest, DamageIsNeverAWrongAnswer) {
  const testing::TempDir dir;
  EXPECT_THAT(LoadDatasetInfo(dir.path()), StatusIs(absl::StatusCode::kNotFound, _));
  ASSERT_THAT(SaveDatasetInfo(Pets(), dir.path()), IsOk());
  testing::ForEachDamage(dir / "dataset.json", 60, 20, [&](const std::string& what) {
    EXPECT_THAT(LoadDatasetInfo(dir.path()), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
  // Sealed, but not by us.
  for (const char* key : {"name", "split", "classes", "fingerprint"}) {
    nlohmann::json json = nlohmann::json::parse(testing::ReadText(dir / "dataset.json"));
    json[key] = 3;
    ASSERT_THAT(WriteSealedJson(dir / "other/dataset.json", json), StatusIs(absl::StatusCode::kNotFound, _));
    std::filesystem::create_directories(dir / "other");
    ASSERT_THAT(WriteSealedJson(dir / "other/dataset.json", json), IsOk());
    EXPECT_THAT(LoadDatasetInfo(dir / "other"), StatusIs(absl::StatusCode::kDataLoss, _)) << key;
    std::filesystem::remove_all(dir / "other");
  }
}

TEST(DatasetInfoTest, CountsAreTheManifests) {
  Manifest manifest;
  manifest.labels = {"cat", "dog"};
  manifest.entries = {{"cat.1.jpg", 0, Part::kTrain, "", 10},
                      {"dog.1.jpg", 1, Part::kTrain, "", 20},
                      {"dog.2.jpg", 1, Part::kValidation, "", 30},
                      {"cat.2.jpg", 0, Part::kTest, "", 40}};
  manifest.skipped.assign(1500, {"x", "y"});
  manifest.unused = 7;
  manifest.fingerprint = "f";
  const DatasetInfo info = DescribeDataset(manifest);
  ASSERT_EQ(info.classes.size(), 2U);
  EXPECT_EQ(info.classes[0].label, "cat");
  EXPECT_EQ(info.classes[0].train, 1);
  EXPECT_EQ(info.classes[0].validation, 0);
  EXPECT_EQ(info.classes[0].test, 1);
  EXPECT_EQ(info.classes[1].train, 1);
  EXPECT_EQ(info.classes[1].validation, 1);
  EXPECT_EQ(info.size_bytes, 100);
  EXPECT_EQ(info.skipped.size(), 1000U);
  EXPECT_EQ(info.skipped_total, 1500);
  EXPECT_EQ(info.unused, 7);
  EXPECT_EQ(info.fingerprint, "f");
}

Evaluation Scores() {
  Evaluation evaluation;
  evaluation.model = "pets";
  evaluation.version = 3;
  evaluation.dataset = "cats-dogs";
  evaluation.dataset_fingerprint = "f00d";
  evaluation.part = Part::kValidation;
  evaluation.job_id = "job-9";
  evaluation.milliseconds_per_image = 12.5;
  evaluation.threads = 2;
  evaluation.report = Evaluate({0, 0, 1, 1}, {0.9F, 0.1F, 0.4F, 0.6F, 0.2F, 0.8F, 0.3F, 0.7F}, {"cat", "dog"}).value();
  return evaluation;
}

TEST(EvaluationTest, IsReadAsItWasWritten) {
  const testing::TempDir dir;
  const Evaluation written = Scores();
  ASSERT_THAT(SaveEvaluation(written, dir.path()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Evaluation read, LoadEvaluation(dir.path()));
  EXPECT_EQ(read.model, "pets");
  EXPECT_EQ(read.version, 3);
  EXPECT_EQ(read.dataset, "cats-dogs");
  EXPECT_EQ(read.dataset_fingerprint, "f00d");
  EXPECT_EQ(read.part, Part::kValidation);
  EXPECT_EQ(read.job_id, "job-9");
  EXPECT_EQ(read.milliseconds_per_image, 12.5);
  EXPECT_EQ(read.threads, 2);
  EXPECT_EQ(read.report.accuracy_interval.low, written.report.accuracy_interval.low);
  EXPECT_EQ(read.report.accuracy_interval.high, written.report.accuracy_interval.high);
  EXPECT_EQ(read.report.average_precision, written.report.average_precision);
  ASSERT_TRUE(read.report.calibration.has_value());
  EXPECT_EQ(ToJson(*read.report.calibration), ToJson(*written.report.calibration));
  EXPECT_EQ(read.report.labels, written.report.labels);
  EXPECT_EQ(read.report.confusion, written.report.confusion);
  EXPECT_EQ(read.report.accuracy, written.report.accuracy);
  EXPECT_EQ(read.report.roc_auc, written.report.roc_auc);
  EXPECT_EQ(read.report.log_loss, written.report.log_loss);
  EXPECT_EQ(read.report.images, 4);
  ASSERT_EQ(read.report.classes.size(), 2U);
  EXPECT_EQ(read.report.classes[1].label, "dog");
  EXPECT_EQ(read.report.classes[1].recall, written.report.classes[1].recall);
  EXPECT_EQ(read.report.classes[1].support, 2);
  EXPECT_EQ(read.report.macro_average.f1, written.report.macro_average.f1);
  EXPECT_EQ(read.report.weighted_average.precision, written.report.weighted_average.precision);
}

TEST(EvaluationTest, DamageIsNeverAWrongAnswer) {
  const testing::TempDir dir;
  EXPECT_THAT(LoadEvaluation(dir.path()), StatusIs(absl::StatusCode::kNotFound, _));
  ASSERT_THAT(SaveEvaluation(Scores(), dir.path()), IsOk());
  testing::ForEachDamage(dir / "report.json", 60, 20, [&](const std::string& what) {
    EXPECT_THAT(LoadEvaluation(dir.path()), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
  nlohmann::json json = ToJson(Scores());
  json["report"]["confusion"].erase(0);
  EXPECT_THAT(EvaluationFromJson(json), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("confusion")));
  json = ToJson(Scores());
  json["report"]["accuracy"] = "good";
  EXPECT_THAT(EvaluationFromJson(json), StatusIs(absl::StatusCode::kDataLoss, _));
  json = ToJson(Scores());
  json["part"] = "all";
  EXPECT_THAT(EvaluationFromJson(json), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'all'")));
}

TEST(EvaluationTest, OneOfBeforeIsReadWithoutWhatItDoesNotSay) {
  nlohmann::json json = ToJson(Scores());
  for (const char* key : {"milliseconds_per_image", "threads"}) {
    json.erase(key);
  }
  for (const char* key : {"accuracy_interval", "average_precision", "precision_recall", "calibration"}) {
    json["report"].erase(key);
  }
  ASSERT_OK_AND_ASSIGN(const Evaluation read, EvaluationFromJson(json));
  EXPECT_EQ(read.milliseconds_per_image, 0);
  EXPECT_FALSE(read.report.average_precision.has_value());
  EXPECT_FALSE(read.report.calibration.has_value());
  EXPECT_EQ(read.report.accuracy_interval.low, Scores().report.accuracy_interval.low);  // it follows from the matrix
}

Predictions SomePredictions() {
  Predictions predictions;
  predictions.labels = {"cat", "dog"};
  predictions.files = {"cat/1 a.jpg", "dog/\u00fc.jpg", "x"};
  predictions.truth = {0, 1, 1};
  predictions.probabilities = {0.9F, 0.1F, 0.3F, 0.7F, 1.0F / 3, 2.0F / 3};
  return predictions;
}

TEST(PredictionsTest, AreReadAsTheyWereWritten) {
  const testing::TempDir dir;
  EXPECT_THAT(LoadPredictions(dir.path()), StatusIs(absl::StatusCode::kNotFound, _));
  ASSERT_THAT(SavePredictions(SomePredictions(), dir.path()), IsOk());
  ASSERT_OK_AND_ASSIGN(const Predictions read, LoadPredictions(dir.path()));
  EXPECT_EQ(read.labels, SomePredictions().labels);
  EXPECT_EQ(read.files, SomePredictions().files);
  EXPECT_EQ(read.truth, SomePredictions().truth);
  EXPECT_EQ(read.probabilities, SomePredictions().probabilities);
}

TEST(PredictionsTest, DamageIsNeverAWrongAnswer) {
  const testing::TempDir dir;
  ASSERT_THAT(SavePredictions(SomePredictions(), dir.path()), IsOk());
  testing::ForEachDamage(dir / kPredictionsFile, 60, 20, [&](const std::string& what) {
    EXPECT_THAT(LoadPredictions(dir.path()), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
  // Sealed, but nothing that fits together.
  Predictions odd = SomePredictions();
  odd.files.pop_back();
  ASSERT_THAT(SavePredictions(odd, dir.path()), Not(IsOk()));
  odd = SomePredictions();
  odd.truth[1] = 2;
  ASSERT_THAT(SavePredictions(odd, dir.path()), IsOk());
  EXPECT_THAT(LoadPredictions(dir.path()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("don't fit")));
}

LabelMistakes SomeMistakes() {
  LabelMistakes mistakes;
  mistakes.model = "pets";
  mistakes.version = 3;
  mistakes.dataset = "cats-dogs";
  mistakes.dataset_fingerprint = "f00d";
  mistakes.job_id = "job-9";
  mistakes.judge = {"vgg16", Preprocessing::kCaffe, Interpolation::kBilinear, 224, 5, 18'446'744'073'709'551'615U};
  mistakes.images = 3000;
  mistakes.accuracy = 0.975;
  mistakes.classes = {{"cat", 1400, 0.75, 1}, {"dog", 1600, 0.875, 2}};
  mistakes.suspected = 3;
  mistakes.mistakes = {{"cat/1 a.jpg", "cat", "dog", 0.25, 0.75}, {"\u00fc.jpg", "dog", "cat", 0.375, 0.625}};
  return mistakes;
}

TEST(LabelMistakesTest, AreReadAsTheyWereWritten) {
  const testing::TempDir dir;
  EXPECT_THAT(LoadLabelMistakes(dir.path()), StatusIs(absl::StatusCode::kNotFound, _));
  ASSERT_THAT(SaveLabelMistakes(SomeMistakes(), dir.path()), IsOk());
  ASSERT_OK_AND_ASSIGN(const LabelMistakes read, LoadLabelMistakes(dir.path()));
  EXPECT_EQ(ToJson(read), ToJson(SomeMistakes()));
  EXPECT_EQ(read.judge.preprocessing, Preprocessing::kCaffe);
  EXPECT_EQ(read.judge.interpolation, Interpolation::kBilinear);
  EXPECT_EQ(read.judge.seed, 18'446'744'073'709'551'615U);
  EXPECT_EQ(read.classes[1].suspected, 2);
  EXPECT_EQ(read.mistakes[1].suggested, "cat");
}

TEST(LabelMistakesTest, TheDocumentIsThis) {
  LabelMistakes mistakes = SomeMistakes();
  mistakes.mistakes.resize(1);
  const nlohmann::json expected = {{"model", "pets"},
                                   {"version", 3},
                                   {"dataset", "cats-dogs"},
                                   {"dataset_fingerprint", "f00d"},
                                   {"job_id", "job-9"},
                                   {"judge",
                                    {{"trunk", "vgg16"},
                                     {"preprocessing", "caffe"},
                                     {"interpolation", "bilinear"},
                                     {"image_size", 224},
                                     {"folds", 5},
                                     {"seed", 18446744073709551615U}}},
                                   {"images", 3000},
                                   {"accuracy", 0.975},
                                   {"classes",
                                    {{{"label", "cat"}, {"images", 1400}, {"threshold", 0.75}, {"suspected", 1}},
                                     {{"label", "dog"}, {"images", 1600}, {"threshold", 0.875}, {"suspected", 2}}}},
                                   {"suspected", 3},
                                   {"mistakes",
                                    {{{"file", "cat/1 a.jpg"},
                                      {"label", "cat"},
                                      {"suggested", "dog"},
                                      {"probability", 0.25},
                                      {"suggested_probability", 0.75}}}}};
  EXPECT_EQ(ToJson(mistakes), expected);
}

TEST(LabelMistakesTest, DamageIsNeverAWrongAnswer) {
  const testing::TempDir dir;
  ASSERT_THAT(SaveLabelMistakes(SomeMistakes(), dir.path()), IsOk());
  testing::ForEachDamage(dir / kMistakesFile, 60, 20, [&](const std::string& what) {
    EXPECT_THAT(LoadLabelMistakes(dir.path()), StatusIs(absl::StatusCode::kDataLoss, _)) << what;
  });
  // Sealed, but nothing of ours.
  nlohmann::json json = ToJson(SomeMistakes());
  json["judge"]["interpolation"] = "lanczos";
  EXPECT_THAT(LabelMistakesFromJson(json), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("'lanczos'")));
  json = ToJson(SomeMistakes());
  json["mistakes"][0].erase("label");
  EXPECT_THAT(LabelMistakesFromJson(json), StatusIs(absl::StatusCode::kDataLoss, _));
  LabelMistakes many = SomeMistakes();
  many.mistakes.resize(kMostListedMistakes + 1);
  EXPECT_THAT(LabelMistakesFromJson(ToJson(many)), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("1001")));
}

}  // namespace
}  // namespace graft
