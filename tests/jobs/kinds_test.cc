// Each kind: what it makes of a submitted spec, what it refuses, and how its documents look.
#include <set>

#include "core/store/evaluation.h"
#include "jobs/evaluate.h"
#include "jobs/extract_features.h"
#include "jobs/find_mistakes.h"
#include "jobs/kind.h"
#include "jobs/recommend.h"
#include "jobs/split.h"
#include "jobs/train.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// The names of a message's oneof `kind`, in the order of the file.
template <typename Message>
std::vector<std::string> OneofNames() {
  std::vector<std::string> names;
  const auto* const oneof = Message::descriptor()->FindOneofByName("kind");
  for (int i = 0; i < oneof->field_count(); ++i) {
    names.push_back(oneof->field(i)->name());
  }
  return names;
}

TEST(JobKindsTest, EveryKindOfTheContractIsRegisteredAndNoOther) {
  std::vector<std::string> names;
  for (const JobKind* kind : JobKinds()) {
    names.emplace_back(kind->name());
    EXPECT_EQ(FindJobKind(kind->name()).value(), kind);
  }
  EXPECT_EQ(names, OneofNames<v1::JobSpec>());
  EXPECT_EQ(names, OneofNames<v1::JobResult>());
  EXPECT_THAT(FindJobKind("dream"), StatusIs(StatusCode::kNotFound, HasSubstr("split, train, extract_features")));
  EXPECT_THAT(KindOf(v1::JobSpec()), StatusIs(StatusCode::kInvalidArgument, HasSubstr("split, train")));
  v1::JobSpec spec;
  spec.mutable_evaluate();
  EXPECT_EQ(KindOf(spec).value(), &EvaluateKind());
}

TEST(JobKindsTest, DocumentsOfAnotherKindAreDataLoss) {
  for (const JobKind* kind : JobKinds()) {
    for (const nlohmann::json& json : {nlohmann::json(), nlohmann::json(3), nlohmann::json::object(),
                                       nlohmann::json{{"dataset", 3}, {"model", 3}}}) {
      v1::JobSpec spec;
      EXPECT_THAT(kind->SpecToProto(json, &spec), StatusIs(StatusCode::kDataLoss, _)) << kind->name() << json;
      v1::JobResult result;
      EXPECT_THAT(kind->ResultToProto(json, &result), StatusIs(StatusCode::kDataLoss, _)) << kind->name() << json;
      if (kind != &ExtractFeaturesKind()) {
        EXPECT_THAT(kind->Target(json, 1), StatusIs(StatusCode::kDataLoss, _)) << kind->name() << json;
      }
    }
  }
}

class ResolveTest : public ::testing::Test {
 protected:
  ResolveTest() : root_(fs::canonical(dir_.path())), allowed_({root_ / "pictures"}) {
    fs::create_directories(allowed_[0] / "pets");
    data_ = DataFolder::Open({root_ / "data"}).value();
    context_.data = data_.get();
    context_.allow_dirs = allowed_;
    context_.weights_dir = root_ / "weights";
    context_.threads = 3;
    context_.maker = [this](const Resource& resource) { return resource.name == "coming" ? "job-5" : std::string(); };
    testing::WriteText(root_ / "weights/vgg16.safetensors", "");
    DatasetInfo info;
    info.name = "pets";
    info.recipe.source = "upload";
    info.classes = {{"cat", 1, 1, 1}, {"dog", 1, 1, 1}, {"owl", 1, 1, 1}};
    fs::create_directories(data_->Dataset("pets"));
    EXPECT_THAT(SaveDatasetInfo(info, data_->Dataset("pets")), IsOk());
    fs::create_directories(data_->Dataset("damaged"));
    AddModel(1, "basic_cnn");
    AddModel(2, "vgg16_features");
  }

  void AddModel(int version, const std::string& variant, int trainable_blocks = 0) {
    ModelDescription model;
    model.name = "m";
    model.version = version;
    model.variant = variant;
    model.labels = {"cat", "dog", "owl"};
    model.dataset = "pets";
    fs::create_directories(data_->Model("m", version));
    model.options.trainable_blocks = trainable_blocks;
    EXPECT_THAT(SaveModel(model, data_->Model("m", version)), IsOk());
  }

  absl::StatusOr<ResolvedJob> Resolve(const v1::JobSpec& spec) {
    const absl::StatusOr<const JobKind*> kind = KindOf(spec);
    return kind.ok() ? (*kind)->Resolve(context_, spec) : kind.status();
  }
  // Fails, and the message names what is wrong without naming the server's folders.
  void Refuses(const v1::JobSpec& spec, StatusCode code, const std::string& part) {
    const absl::StatusOr<ResolvedJob> job = Resolve(spec);
    EXPECT_THAT(job, StatusIs(code, HasSubstr(part))) << spec.ShortDebugString();
    EXPECT_THAT(job, StatusIs(code, Not(HasSubstr(data_->root().string()))));
  }
  v1::JobSpec Split() {
    v1::JobSpec spec;
    v1::SplitSpec* split = spec.mutable_split();
    split->set_dataset("new");
    split->set_folder((allowed_[0] / "pets").string());
    split->mutable_counts()->set_train(3);
    split->mutable_counts()->set_validation(2);
    split->mutable_counts()->set_test(1);
    split->set_seed(42);
    return spec;
  }
  static v1::JobSpec Train() {
    v1::JobSpec spec;
    spec.mutable_train()->set_model("m");
    spec.mutable_train()->set_dataset("pets");
    spec.mutable_train()->set_variant("basic_cnn");
    return spec;
  }
  static v1::JobSpec Extract() {
    v1::JobSpec spec;
    spec.mutable_extract_features()->set_dataset("pets");
    return spec;
  }
  static v1::JobSpec Evaluate() {
    v1::JobSpec spec;
    spec.mutable_evaluate()->mutable_model()->set_name("m");
    return spec;
  }

  static v1::JobSpec FindMistakes() {
    v1::JobSpec spec;
    spec.mutable_find_mistakes()->mutable_model()->set_name("m");
    return spec;
  }
  void AddDataset(const std::string& name, const std::vector<DatasetInfo::Class>& classes,
                  const std::string& fingerprint = "") {
    DatasetInfo info;
    info.name = name;
    info.recipe.source = "upload";
    info.classes = classes;
    info.fingerprint = fingerprint;
    fs::create_directories(data_->Dataset(name));
    ASSERT_THAT(SaveDatasetInfo(info, data_->Dataset(name)), IsOk());
  }

  const testing::TempDir dir_;
  const fs::path root_;
  const std::vector<fs::path> allowed_;
  std::unique_ptr<DataFolder> data_;
  ResolveContext context_;
};

std::vector<std::string> Names(const std::vector<Resource>& resources) {
  std::vector<std::string> names;
  for (const Resource& resource : resources) {
    const char* const types[] = {"dataset", "model", "upload"};
    names.push_back(std::string(types[static_cast<int>(resource.type)]) + " " + resource.name + "@" +
                    std::to_string(resource.version));
  }
  return names;
}

TEST_F(ResolveTest, ASplitKeepsItsFolderAsRootAndPathBelow) {
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(Split()));
  EXPECT_EQ(job.kind, "split");
  const nlohmann::json expected = {{"dataset", "new"},
                                   {"recipe",
                                    {{"root", allowed_[0].string()},
                                     {"folder", "pets"},
                                     {"label_rule", "filename"},
                                     {"counts", {{"train", 3}, {"validation", 2}, {"test", 1}}},
                                     {"seed", 42},
                                     {"hard_link", false}}}};
  EXPECT_EQ(job.spec, expected);
  EXPECT_EQ(job.dataset, "new");
  EXPECT_EQ(job.model, "");
  EXPECT_THAT(Names(job.reads), ElementsAre());
  EXPECT_THAT(Names({*job.makes}), ElementsAre("dataset new@0"));
  ASSERT_OK_AND_ASSIGN(const auto target, SplitKind().Target(job.spec, 0));
  EXPECT_EQ(target->path, "datasets/new");
  EXPECT_FALSE(target->replace);
  v1::JobSpec shown;
  ASSERT_THAT(SplitKind().SpecToProto(job.spec, &shown), IsOk());
  v1::JobSpec filled = Split();
  filled.mutable_split()->set_label_rule(v1::LABEL_RULE_FILENAME);
  filled.mutable_split()->set_copy_mode(v1::COPY_MODE_COPY);
  EXPECT_EQ(shown.DebugString(), filled.DebugString());
}

TEST_F(ResolveTest, ASplitOfAnUploadReadsIt) {
  const std::unique_ptr<UploadSink> sink = data_->NewUpload();
  ASSERT_THAT(sink->NextFile("cat.1.jpg"), IsOk());
  const std::string id = sink->Finish()->id;
  v1::JobSpec spec = Split();
  spec.mutable_split()->set_upload_id(id);
  spec.mutable_split()->set_label_rule(v1::LABEL_RULE_FOLDER);
  spec.mutable_split()->set_copy_mode(v1::COPY_MODE_HARD_LINK);
  spec.mutable_split()->mutable_fractions()->set_train(0.5);
  spec.mutable_split()->mutable_fractions()->set_validation(0.25);
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(spec));
  EXPECT_THAT(Names(job.reads), ElementsAre("upload " + id + "@0"));
  v1::JobSpec shown;
  ASSERT_THAT(SplitKind().SpecToProto(job.spec, &shown), IsOk());
  EXPECT_EQ(shown.DebugString(), spec.DebugString());
}

TEST_F(ResolveTest, ASplitThatCannotBeIsRefused) {
  const auto refuses = [&](const std::function<void(v1::SplitSpec*)>& change, StatusCode code,
                           const std::string& part) {
    v1::JobSpec spec = Split();
    change(spec.mutable_split());
    Refuses(spec, code, part);
  };
  refuses([](auto* s) { s->set_dataset("../x"); }, StatusCode::kInvalidArgument, "split.dataset: '../x'");
  refuses([](auto* s) { s->set_dataset("pets"); }, StatusCode::kAlreadyExists, "split.dataset: there is a 'pets'");
  refuses([](auto* s) { s->set_dataset("damaged"); }, StatusCode::kAlreadyExists, "'damaged'");
  refuses([](auto* s) { s->clear_source(); }, StatusCode::kInvalidArgument, "split.source");
  refuses([](auto* s) { s->set_upload_id("none"); }, StatusCode::kNotFound, "split.upload_id");
  refuses([](auto* s) { s->set_upload_id("../.."); }, StatusCode::kInvalidArgument, "split.upload_id");
  refuses([](auto* s) { s->set_folder("/etc"); }, StatusCode::kPermissionDenied, "split.folder");
  refuses([](auto* s) { s->set_folder("pets"); }, StatusCode::kInvalidArgument, "split.folder");
  refuses([](auto* s) { s->set_folder("/\xff"); }, StatusCode::kInvalidArgument, "split.folder");
  refuses([&](auto* s) { s->set_folder((allowed_[0] / "none").string()); }, StatusCode::kNotFound, "split.folder");
  refuses([](auto* s) { s->clear_sizes(); }, StatusCode::kInvalidArgument, "split.sizes");
  refuses([](auto* s) { s->mutable_counts()->set_train(0); }, StatusCode::kInvalidArgument, "counts.train");
  refuses([](auto* s) { s->mutable_fractions()->set_train(2); }, StatusCode::kInvalidArgument, "fractions.train");
  refuses([](auto* s) { s->set_label_rule(static_cast<v1::LabelRule>(9)); }, StatusCode::kInvalidArgument,
          "split.label_rule");
  refuses([](auto* s) { s->set_copy_mode(static_cast<v1::CopyMode>(9)); }, StatusCode::kInvalidArgument,
          "split.copy_mode");
}

TEST_F(ResolveTest, TrainingGetsEveryDefaultOfItsVariant) {
  v1::JobSpec submitted = Train();
  submitted.mutable_train()->set_variant("vgg16_features");
  submitted.mutable_train()->mutable_options()->set_epochs(7);
  submitted.mutable_train()->mutable_options()->set_head(v1::HEAD_DENSE);
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(submitted));
  EXPECT_EQ(job.kind, "train");
  EXPECT_EQ(job.dataset, "pets");
  EXPECT_EQ(job.model, "m");
  EXPECT_THAT(Names(job.reads), ElementsAre("dataset pets@0"));
  EXPECT_THAT(Names({*job.makes}), ElementsAre("model m@0"));
  ASSERT_OK_AND_ASSIGN(const TrainJobSpec spec, TrainJobSpecFromJson(job.spec));
  EXPECT_EQ(spec.model, "m");
  EXPECT_EQ(spec.dataset, "pets");
  EXPECT_EQ(spec.variant, "vgg16_features");
  EXPECT_EQ(spec.options.epochs, 7);
  EXPECT_EQ(spec.options.threads, 3);
  EXPECT_EQ(spec.options.preprocessing, Preprocessing::kCaffe);
  EXPECT_EQ(spec.options.device, "auto");
  EXPECT_EQ(ToJson(spec), job.spec);
  std::set<std::string> keys;
  for (const auto& member : job.spec.items()) {
    keys.insert(member.key());
  }
  EXPECT_THAT(keys, ElementsAre("dataset", "model", "options", "preset", "variant"));
  ASSERT_OK_AND_ASSIGN(const auto target, TrainKind().Target(job.spec, 4));
  EXPECT_EQ(target->path, "models/m/4");
  EXPECT_FALSE(target->replace);
  v1::JobSpec shown;
  ASSERT_THAT(TrainKind().SpecToProto(job.spec, &shown), IsOk());
  EXPECT_EQ(shown.train().options().epochs(), 7);
  EXPECT_TRUE(shown.train().options().has_seed());
  // What is shown can be submitted again and means the same.
  EXPECT_EQ(Resolve(shown)->spec, job.spec);
}

TEST_F(ResolveTest, TrainingThatCannotBeIsRefused) {
  const auto refuses = [&](const std::function<void(v1::TrainSpec*)>& change, StatusCode code,
                           const std::string& part) {
    v1::JobSpec spec = Train();
    change(spec.mutable_train());
    Refuses(spec, code, part);
  };
  refuses([](auto* t) { t->set_model(""); }, StatusCode::kInvalidArgument, "train.model");
  refuses([](auto* t) { t->set_variant("vgg99"); }, StatusCode::kNotFound, "basic_cnn");
  refuses([](auto* t) { t->set_variant(std::string(1 << 20, 'x')); }, StatusCode::kInvalidArgument, "train.variant");
  refuses([](auto* t) { t->set_dataset("none"); }, StatusCode::kNotFound, "'none'");
  refuses([](auto* t) { t->set_dataset("coming"); }, StatusCode::kNotFound, "job-5 is making it");
  refuses([](auto* t) { t->set_dataset("damaged"); }, StatusCode::kDataLoss, "datasets/damaged/dataset.json");
  refuses([](auto* t) { t->set_dataset("../pets"); }, StatusCode::kInvalidArgument, "dataset");
  refuses([](auto* t) { t->mutable_options()->set_learning_rate(-1); }, StatusCode::kInvalidArgument, "learning_rate");
  refuses([](auto* t) { t->mutable_options()->set_optimizer(static_cast<v1::Optimizer>(99)); },
          StatusCode::kInvalidArgument, "optimizer");
  refuses([](auto* t) { t->set_preset("fastest"); }, StatusCode::kInvalidArgument, "recommended or reference");
  refuses([](auto* t) { t->mutable_options()->set_momentum(0.5); }, StatusCode::kInvalidArgument,
          "options.momentum: 0.5 would change nothing");
  const auto from = [&](const std::string& variant, int version) {
    return [=](v1::TrainSpec* t) {
      t->set_variant(variant);
      t->mutable_init_from()->set_name("m");
      t->mutable_init_from()->set_version(version);
    };
  };
  refuses(from("basic_cnn", 9), StatusCode::kNotFound, "train.init_from");
  refuses(from("regularized_cnn", 1), StatusCode::kInvalidArgument, "'m@1' is a basic_cnn");
  refuses(from("vgg16_features", 2), StatusCode::kInvalidArgument, "use head=dense");  // its preset is another head
  v1::JobSpec good = Train();
  from("vgg16_finetuned", 2)(good.mutable_train());
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(good));
  EXPECT_THAT(Names(job.reads), ElementsAre("dataset pets@0", "model m@2"));
  AddModel(4, "vgg16_finetuned", 2);
  refuses(from("vgg16_frozen", 4), StatusCode::kInvalidArgument, "has trained 2 blocks");
  // Nobody says which: the like of what it starts from, or the best whose trunk's weights are there.
  v1::JobSpec unsaid = Train();
  unsaid.mutable_train()->clear_variant();
  unsaid.mutable_train()->mutable_init_from()->set_name("m");
  unsaid.mutable_train()->mutable_init_from()->set_version(1);
  EXPECT_EQ(Resolve(unsaid)->spec["variant"], "basic_cnn");
  unsaid.mutable_train()->clear_init_from();
  EXPECT_EQ(Resolve(unsaid)->spec["variant"], "vgg16_features");
  fs::remove(root_ / "weights/vgg16.safetensors");
  EXPECT_EQ(Resolve(unsaid)->spec["variant"], "augmented_cnn");
  refuses([](auto* t) { t->set_variant("vgg16_features"); }, StatusCode::kFailedPrecondition, "deploy/fetch-weights");
  EXPECT_THAT(Resolve(Train()), IsOk());
}

TEST_F(ResolveTest, ExtractionHasItsTrunkAndSize) {
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(Extract()));
  const nlohmann::json expected = {{"dataset", "pets"},
                                   {"trunk", "vgg16"},
                                   {"preprocessing", "caffe"},
                                   {"interpolation", "bilinear"},
                                   {"image_size", 224}};
  EXPECT_EQ(job.spec, expected);
  EXPECT_EQ(job.dataset, "pets");
  EXPECT_THAT(Names(job.reads), ElementsAre("dataset pets@0"));
  EXPECT_FALSE(job.makes.has_value());
  EXPECT_FALSE(ExtractFeaturesKind().Target(job.spec, 0)->has_value());
  v1::JobSpec shown;
  ASSERT_THAT(ExtractFeaturesKind().SpecToProto(job.spec, &shown), IsOk());
  EXPECT_EQ(shown.extract_features().preprocessing(), v1::PREPROCESSING_CAFFE);
  EXPECT_EQ(shown.extract_features().interpolation(), v1::INTERPOLATION_BILINEAR);
  EXPECT_EQ(Resolve(shown)->spec, job.spec);

  const auto refuses = [&](const std::function<void(v1::ExtractFeaturesSpec*)>& change, StatusCode code,
                           const std::string& part) {
    v1::JobSpec spec = Extract();
    change(spec.mutable_extract_features());
    Refuses(spec, code, part);
  };
  refuses([](auto* e) { e->set_dataset("none"); }, StatusCode::kNotFound, "'none'");
  refuses([](auto* e) { e->set_trunk("resnet"); }, StatusCode::kNotFound, "resnet");
  refuses([](auto* e) { e->set_trunk("\xff"); }, StatusCode::kInvalidArgument, "extract_features.trunk");
  refuses([](auto* e) { e->set_image_size(-1); }, StatusCode::kInvalidArgument, "image_size");
  refuses([](auto* e) { e->set_preprocessing(static_cast<v1::Preprocessing>(9)); }, StatusCode::kInvalidArgument,
          "preprocessing");
  refuses([](auto* e) { e->set_interpolation(static_cast<v1::Interpolation>(9)); }, StatusCode::kInvalidArgument,
          "interpolation");
  fs::remove(root_ / "weights/vgg16.safetensors");
  refuses([](auto*) {}, StatusCode::kFailedPrecondition, "deploy/fetch-weights");
}

TEST_F(ResolveTest, AnEvaluationNamesVersionDataSetAndPart) {
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(Evaluate()));
  const nlohmann::json expected = {{"model", "m"}, {"version", 2}, {"dataset", "pets"}, {"part", "test"}};
  EXPECT_EQ(job.spec, expected);
  EXPECT_EQ(job.dataset, "pets");
  EXPECT_EQ(job.model, "m");
  EXPECT_THAT(Names(job.reads), ElementsAre("model m@2", "dataset pets@0"));
  EXPECT_FALSE(job.makes.has_value());
  ASSERT_OK_AND_ASSIGN(const auto target, EvaluateKind().Target(job.spec, 0));
  EXPECT_EQ(target->path, "models/m/2/evaluations/pets-test");
  EXPECT_TRUE(target->replace);
  v1::JobSpec shown;
  ASSERT_THAT(EvaluateKind().SpecToProto(job.spec, &shown), IsOk());
  EXPECT_EQ(shown.evaluate().model().version(), 2);
  EXPECT_EQ(shown.evaluate().part(), v1::PART_TEST);
  EXPECT_EQ(Resolve(shown)->spec, job.spec);

  const auto refuses = [&](const std::function<void(v1::EvaluateSpec*)>& change, StatusCode code,
                           const std::string& part) {
    v1::JobSpec spec = Evaluate();
    change(spec.mutable_evaluate());
    Refuses(spec, code, part);
  };
  refuses([](auto* e) { e->mutable_model()->set_name("none"); }, StatusCode::kNotFound, "'none'");
  refuses([](auto* e) { e->mutable_model()->set_name("coming"); }, StatusCode::kNotFound, "job-5 is making it");
  refuses([](auto* e) { e->mutable_model()->set_name(""); }, StatusCode::kInvalidArgument, "model.name");
  refuses([](auto* e) { e->mutable_model()->set_version(9); }, StatusCode::kNotFound, "version 9");
  refuses([](auto* e) { e->mutable_model()->set_version(-1); }, StatusCode::kInvalidArgument, "model.version");
  refuses([](auto* e) { e->mutable_model()->set_alias("live"); }, StatusCode::kNotFound, "alias 'live'");
  refuses([](auto* e) { e->mutable_model()->set_alias(""); }, StatusCode::kInvalidArgument, "model.alias");
  refuses([](auto* e) { e->set_dataset("none"); }, StatusCode::kNotFound, "'none'");
  refuses([](auto* e) { e->set_part(static_cast<v1::Part>(9)); }, StatusCode::kInvalidArgument, "part");
  AddModel(3, "lost_variant");
  refuses([](auto*) {}, StatusCode::kNotFound, "lost_variant");
  testing::WriteText(data_->Model("m", 3) / "model.json", "{}");
  refuses([](auto*) {}, StatusCode::kDataLoss, "models/m/3/model.json");
}

TEST_F(ResolveTest, AnyDataSetWithTheModelsClassesMayBeEvaluatedOn) {
  AddDataset("more", {{"cat", 0, 0, 9}, {"dog", 0, 0, 7}, {"owl", 0, 1, 0}});
  AddDataset("others", {{"cat", 1, 1, 1}, {"dog", 1, 1, 1}, {"emu", 1, 1, 1}});
  v1::JobSpec spec = Evaluate();
  spec.mutable_evaluate()->set_dataset("more");
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(spec));
  EXPECT_EQ(job.dataset, "more");
  EXPECT_EQ(EvaluateKind().Target(job.spec, 0).value()->path, "models/m/2/evaluations/more-test");
  spec.mutable_evaluate()->set_part(v1::PART_TRAIN);
  Refuses(spec, StatusCode::kInvalidArgument, "'more' has no train images");
  spec.mutable_evaluate()->set_dataset("others");
  Refuses(spec, StatusCode::kInvalidArgument, "its classes (cat, dog, emu) aren't the model's (cat, dog, owl)");
}

TEST_F(ResolveTest, LabelsAreJudgedOnTheTrunkAsTheModelSeesImages) {
  AddDataset("pets", {{"cat", 9, 0, 0}, {"dog", 5, 0, 0}, {"owl", 7, 0, 0}});
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(FindMistakes()));
  EXPECT_EQ(job.kind, "find_mistakes");
  const nlohmann::json expected = {{"model", "m"},
                                   {"version", 2},
                                   {"dataset", "pets"},
                                   {"judge",
                                    {{"trunk", "vgg16"},
                                     {"preprocessing", "caffe"},
                                     {"interpolation", "nearest"},
                                     {"image_size", 150},
                                     {"folds", 5},
                                     {"seed", 42}}}};
  EXPECT_EQ(job.spec, expected);
  EXPECT_EQ(job.dataset, "pets");
  EXPECT_EQ(job.model, "m");
  EXPECT_THAT(Names(job.reads), ElementsAre("model m@2", "dataset pets@0"));
  EXPECT_FALSE(job.makes.has_value());
  ASSERT_OK_AND_ASSIGN(const auto target, FindMistakesKind().Target(job.spec, 0));
  EXPECT_EQ(target->path, "models/m/2/mistakes");
  EXPECT_TRUE(target->replace);
  v1::JobSpec spec = FindMistakes();
  spec.mutable_find_mistakes()->mutable_model()->set_version(1);
  spec.mutable_find_mistakes()->set_folds(3);
  spec.mutable_find_mistakes()->set_seed(0);
  ASSERT_OK_AND_ASSIGN(const ResolvedJob other, Resolve(spec));
  // A network from scratch sees images in a way that no trunk does: the preset's is taken.
  ASSERT_OK_AND_ASSIGN(const FindMistakesJobSpec read, FindMistakesJobSpecFromJson(other.spec));
  EXPECT_EQ(read.judge.trunk, "vgg16");
  EXPECT_EQ(read.judge.image_size, 224);
  EXPECT_EQ(read.judge.interpolation, Interpolation::kBilinear);
  EXPECT_EQ(read.judge.preprocessing, Preprocessing::kCaffe);
  EXPECT_EQ(read.judge.folds, 3);
  EXPECT_EQ(read.judge.seed, 0U);
  v1::JobSpec shown;
  ASSERT_THAT(FindMistakesKind().SpecToProto(other.spec, &shown), IsOk());
  EXPECT_EQ(shown.find_mistakes().model().version(), 1);
  EXPECT_EQ(shown.find_mistakes().dataset(), "pets");
  EXPECT_EQ(Resolve(shown)->spec, other.spec);
}

TEST_F(ResolveTest, LabelsThatCannotBeJudgedAreRefused) {
  // One image of each class.
  Refuses(FindMistakes(), StatusCode::kFailedPrecondition,
          "find_mistakes.folds: 5 folds need as many training images of each class, and 'cat' has 1; split the images");
  AddDataset("pets", {{"cat", 9, 0, 0}, {"dog", 4, 0, 0}, {"owl", 7, 0, 0}});
  Refuses(FindMistakes(), StatusCode::kFailedPrecondition, "'dog' has 4; use 4 folds at most, or split");
  const auto refuses = [&](const std::function<void(v1::FindMistakesSpec*)>& change, StatusCode code,
                           const std::string& part) {
    v1::JobSpec spec = FindMistakes();
    spec.mutable_find_mistakes()->set_folds(4);
    change(spec.mutable_find_mistakes());
    Refuses(spec, code, part);
  };
  for (const int folds : {-1, 1, 21, 2'000'000'000}) {
    refuses([=](auto* f) { f->set_folds(folds); }, StatusCode::kInvalidArgument, "use 2 to 20");
  }
  refuses([](auto* f) { f->mutable_model()->set_name("none"); }, StatusCode::kNotFound, "'none'");
  refuses([](auto* f) { f->mutable_model()->set_name("coming"); }, StatusCode::kNotFound, "job-5 is making it");
  refuses([](auto* f) { f->mutable_model()->set_name("../m"); }, StatusCode::kInvalidArgument, "model.name");
  refuses([](auto* f) { f->mutable_model()->set_version(9); }, StatusCode::kNotFound, "version 9");
  refuses([](auto* f) { f->set_dataset("damaged"); }, StatusCode::kInvalidArgument,
          "'damaged' isn't 'pets', which m@2 was trained on");
  fs::remove(root_ / "weights/vgg16.safetensors");
  refuses([](auto*) {}, StatusCode::kFailedPrecondition, "deploy/fetch-weights");
  refuses([](auto* f) { f->mutable_model()->set_version(1); }, StatusCode::kFailedPrecondition, "deploy/fetch-weights");
  AddDataset("pets", {{"cat", 9, 0, 0}, {"dog", 9, 0, 0}, {"owl", 9, 0, 0}}, "other");
  refuses([](auto*) {}, StatusCode::kFailedPrecondition, "'pets' has other images now than m@2 was trained on");
  fs::remove_all(data_->Dataset("pets"));
  refuses([](auto*) {}, StatusCode::kNotFound, "'pets'");
  AddModel(3, "lost_variant");
  AddDataset("pets", {{"cat", 9, 0, 0}});
  refuses([](auto*) {}, StatusCode::kNotFound, "lost_variant");
}

TEST(JobResultsTest, AreReadAsTheyWereWrittenAndLookLikeThis) {
  const nlohmann::json split = {{"dataset", "pets"}, {"images", 400}, {"skipped", 1}};
  EXPECT_EQ(ToJson(SplitJobResult{"pets", 400, 1}), split);
  v1::JobResult result;
  ASSERT_THAT(SplitKind().ResultToProto(split, &result), IsOk());
  EXPECT_EQ(result.split().images(), 400);
  EXPECT_EQ(result.split().skipped(), 1);

  EpochMetrics epoch;
  epoch.epoch = 30;
  epoch.loss = 0.25;
  epoch.validation_accuracy = 0.875;
  const nlohmann::json train = {{"model", "m"},
                                {"version", 2},
                                {"seconds", 1.5},
                                {"kept_epoch",
                                 {{"epoch", 30},
                                  {"loss", 0.25},
                                  {"accuracy", 0.0},
                                  {"validation_loss", 0.0},
                                  {"validation_accuracy", 0.875},
                                  {"seconds", 0.0},
                                  {"input_wait_seconds", 0.0},
                                  {"learning_rate", 0.0},
                                  {"stage", ""}}}};
  EXPECT_EQ(ToJson(TrainJobResult{"m", 2, epoch, 1.5}), train);
  ASSERT_THAT(TrainKind().ResultToProto(train, &result), IsOk());
  EXPECT_EQ(result.train().version(), 2);
  EXPECT_EQ(result.train().kept_epoch().validation_accuracy(), 0.875);
  // A head that isn't trained in epochs has none.
  const TrainJobResult without{"m", 2, std::nullopt, 1.5};
  ASSERT_OK_AND_ASSIGN(const TrainJobResult read, TrainJobResultFromJson(ToJson(without)));
  EXPECT_FALSE(read.kept_epoch.has_value());
  result.Clear();
  ASSERT_THAT(TrainKind().ResultToProto(ToJson(without), &result), IsOk());
  EXPECT_FALSE(result.train().has_kept_epoch());

  const nlohmann::json extracted = {{"images", 400}, {"dimension", 8192}, {"cached", true}, {"seconds", 2.5}};
  EXPECT_EQ(ToJson(ExtractFeaturesJobResult{400, 8192, true, 2.5}), extracted);
  ASSERT_THAT(ExtractFeaturesKind().ResultToProto(extracted, &result), IsOk());
  EXPECT_EQ(result.extract_features().dimension(), 8192);
  EXPECT_TRUE(result.extract_features().cached());

  Evaluation evaluation;
  evaluation.model = "m";
  evaluation.version = 2;
  evaluation.dataset = "pets";
  evaluation.part = Part::kValidation;
  evaluation.report = Evaluate({0, 1}, {0.9F, 0.1F, 0.4F, 0.6F}, {"cat", "dog"}).value();
  evaluation.report.roc.clear();
  ASSERT_THAT(EvaluateKind().ResultToProto(ToJson(evaluation), &result), IsOk());
  EXPECT_EQ(result.evaluate().part(), v1::PART_VALIDATION);
  EXPECT_EQ(result.evaluate().report().accuracy(), 1);
  EXPECT_EQ(result.evaluate().report().roc_auc(), 1);
  EXPECT_EQ(result.evaluate().report().average_precision(), 1);
  EXPECT_EQ(result.evaluate().report().accuracy_high(), 1);
  EXPECT_NEAR(result.evaluate().report().accuracy_low(), evaluation.report.accuracy_interval.low, 1e-12);
  EXPECT_EQ(result.evaluate().report().calibration().bins_size(), kReliabilityBins);

  LabelMistakes mistakes;
  mistakes.model = "m";
  mistakes.version = 2;
  mistakes.dataset = "pets";
  mistakes.judge = {"vgg16", Preprocessing::kCaffe, Interpolation::kBilinear, 224, 5, 42};
  mistakes.images = 30;
  mistakes.accuracy = 0.9;
  mistakes.classes = {{"cat", 30, 0.75, 2}};
  mistakes.suspected = 2;
  mistakes.mistakes = {{"cat.1.jpg", "cat", "dog", 0.25, 0.75}};
  ASSERT_THAT(FindMistakesKind().ResultToProto(ToJson(mistakes), &result), IsOk());
  const v1::FindMistakesResult& found = result.find_mistakes();
  EXPECT_EQ(found.version(), 2);
  EXPECT_EQ(found.preprocessing(), v1::PREPROCESSING_CAFFE);
  EXPECT_EQ(found.interpolation(), v1::INTERPOLATION_BILINEAR);
  EXPECT_EQ(found.image_size(), 224);
  EXPECT_EQ(found.folds(), 5);
  EXPECT_EQ(found.seed(), 42U);
  EXPECT_EQ(found.images(), 30);
  EXPECT_EQ(found.accuracy(), 0.9);
  EXPECT_EQ(found.classes(0).threshold(), 0.75);
  EXPECT_EQ(found.classes(0).suspected(), 2);
  EXPECT_EQ(found.suspected(), 2);
  EXPECT_EQ(found.mistakes(0).path(), "cat.1.jpg");
  EXPECT_EQ(found.mistakes(0).label(), "cat");
  EXPECT_EQ(found.mistakes(0).suggested_label(), "dog");
  EXPECT_EQ(found.mistakes(0).probability(), 0.25);
  EXPECT_EQ(found.mistakes(0).suggested_probability(), 0.75);
}

TEST_F(ResolveTest, ARecommendationTriesWhatIsThereInAsManyFoldsAsThereAreImages) {
  AddDataset("many", {{"cat", 9, 0, 0}, {"dog", 5, 0, 0}});
  AddDataset("few", {{"cat", 9, 0, 0}, {"dog", 3, 0, 0}});
  v1::JobSpec spec;
  v1::RecommendSpec* recommend = spec.mutable_recommend();
  recommend->set_dataset("many");
  ASSERT_OK_AND_ASSIGN(const ResolvedJob job, Resolve(spec));
  EXPECT_EQ(job.spec,
            (nlohmann::json{
                {"dataset", "many"}, {"trunks", {"vgg16"}}, {"folds", 5}, {"seed", 42}, {"budget_seconds", 0.0}}));
  EXPECT_THAT(Names(job.reads), ElementsAre("dataset many@0"));
  EXPECT_FALSE(RecommendKind().Target(job.spec, 0)->has_value());
  v1::JobSpec shown;
  ASSERT_THAT(RecommendKind().SpecToProto(job.spec, &shown), IsOk());
  EXPECT_EQ(Resolve(shown)->spec, job.spec);
  recommend->set_dataset("few");
  EXPECT_EQ(Resolve(spec)->spec["folds"], 3);

  const auto refuses = [&](const std::function<void(v1::RecommendSpec*)>& change, StatusCode code,
                           const std::string& part) {
    v1::JobSpec changed = spec;
    change(changed.mutable_recommend());
    Refuses(changed, code, part);
  };
  refuses([](auto* r) { r->set_folds(4); }, StatusCode::kFailedPrecondition, "recommend.folds: 4 folds need");
  refuses([](auto* r) { r->set_folds(21); }, StatusCode::kInvalidArgument, "recommend.folds: 21");
  refuses([](auto* r) { r->set_dataset("pets"); }, StatusCode::kFailedPrecondition, "'cat' has 1");
  refuses([](auto* r) { r->set_dataset("none"); }, StatusCode::kNotFound, "'none'");
  refuses([](auto* r) { r->set_budget_seconds(-1); }, StatusCode::kInvalidArgument, "recommend.budget_seconds: -1");
  refuses([](auto* r) { r->set_budget_seconds(std::nan("")); }, StatusCode::kInvalidArgument, "budget_seconds");
  refuses([](auto* r) { r->add_trunks("vgg99"); }, StatusCode::kNotFound, "vgg99");
  refuses([](auto* r) { r->add_trunks("efficientnet_lite0"); }, StatusCode::kFailedPrecondition, "fetch-weights");
  refuses(
      [](auto* r) {
        r->add_trunks("vgg16");
        r->add_trunks("vgg16");
      },
      StatusCode::kInvalidArgument, "twice");
  fs::remove(root_ / "weights/vgg16.safetensors");
  refuses([](auto*) {}, StatusCode::kFailedPrecondition, "fetch-weights");
}

TEST(ChooseTest, TheQuickestWithinOneStandardErrorIsTaken) {
  const auto candidate = [](const std::string& name, double accuracy, double milliseconds, bool over = false) {
    TrunkCandidate made;
    made.trunk = name;
    made.accuracy = accuracy;
    made.milliseconds = milliseconds;
    made.over_budget = over;
    return made;
  };
  // One standard error of 0.96 on 100 images is 0.0196.
  std::vector<TrunkCandidate> candidates = {candidate("cheap", 0.939, 1), candidate("good", 0.942, 5),
                                            candidate("over", 0, 0.1, true), candidate("best", 0.96, 50),
                                            candidate("same", 0.95, 20)};
  const TrunkCandidate* const chosen = Choose(100, &candidates);
  ASSERT_NE(chosen, nullptr);
  EXPECT_EQ(chosen->trunk, "good");
  std::vector<std::string> order;
  for (const TrunkCandidate& of : candidates) {
    order.push_back(of.trunk);
  }
  EXPECT_THAT(order, ElementsAre("best", "same", "good", "cheap", "over"));
  candidates = {candidate("a", 1, 50), candidate("b", 0.99, 1)};
  EXPECT_EQ(Choose(100, &candidates)->trunk, "a") << "nothing is as good as no mistake";
  candidates = {candidate("over", 0, 1, true)};
  EXPECT_EQ(Choose(100, &candidates), nullptr);
}

}  // namespace
}  // namespace graft
