#include <map>

#include "core/base/safetensors.h"
#include "tests/server/handlers/fixture.h"

namespace graft {
namespace {

using absl::StatusCode;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class ModelHandlersTest : public testing::HandlersTest {
 protected:
  absl::StatusOr<v1::Model> Get(const v1::ModelRef& ref) {
    v1::GetModelRequest request;
    *request.mutable_model() = ref;
    v1::Model model;
    absl::Status status = GetModel(deps_, call_, request, &model);
    return status.ok() ? absl::StatusOr<v1::Model>(model) : status;
  }
  static v1::ModelRef Ref(const std::string& name, int version = 0) {
    v1::ModelRef ref;
    ref.set_name(name);
    if (version != 0) {
      ref.set_version(version);
    }
    return ref;
  }
  absl::StatusOr<int> Delete(const v1::ModelRef& ref, bool all_versions) {
    v1::DeleteModelRequest request;
    *request.mutable_model() = ref;
    request.set_all_versions(all_versions);
    v1::DeleteModelResponse response;
    absl::Status status = DeleteModel(deps_, call_, request, &response);
    return status.ok() ? absl::StatusOr<int>(response.deleted()) : status;
  }
  // "pets@2".
  absl::StatusOr<std::vector<std::string>> List(const v1::ListModelsRequest& request) {
    v1::ListModelsResponse response;
    if (absl::Status status = ListModels(deps_, call_, request, &response); !status.ok()) {
      return status;
    }
    std::vector<std::string> names;
    for (const v1::Model& model : response.models()) {
      names.push_back(model.name() + "@" + std::to_string(model.version()));
    }
    return names;
  }
};

TEST_F(ModelHandlersTest, AModelIsFoundByVersionOrAsTheNewest) {
  AddModel("pets", 1);
  AddModel("pets", 2);
  ASSERT_OK_AND_ASSIGN(const v1::Model model, Get(Ref("pets")));
  EXPECT_EQ(model.version(), 2);
  EXPECT_EQ(model.variant(), "basic_cnn");
  EXPECT_EQ(model.damaged(), "");
  EXPECT_EQ(model.history_size(), 3);
  EXPECT_EQ(model.parameters(), 19'024'513);
  EXPECT_EQ(model.folder(), (root_ / "data/models/pets/2").string());
  EXPECT_EQ(Get(Ref("pets", 1))->version(), 1);
  v1::ModelRef alias = Ref("pets");
  alias.set_alias("live");
  EXPECT_THAT(Get(alias), StatusIs(StatusCode::kNotFound, HasSubstr("'live'")));
  EXPECT_THAT(Get(Ref("pets", 3)), StatusIs(StatusCode::kNotFound, HasSubstr("version 3")));
  EXPECT_THAT(Get(Ref("pets", -1)), StatusIs(StatusCode::kInvalidArgument, HasSubstr("-1")));
  EXPECT_THAT(Get(Ref("")), StatusIs(StatusCode::kInvalidArgument, HasSubstr("model.name")));
}

TEST_F(ModelHandlersTest, OneDamagedModelHidesNoneAndCanBeDeleted) {
  AddModel("a", 1);
  AddModel("b", 1);
  AddModel("b", 2, "lost_variant");
  AddModel("c", 1);
  testing::WriteText(data_->Model("b", 1) / "model.json", "{}");
  v1::ListModelsResponse list;
  ASSERT_THAT(ListModels(deps_, call_, {}, &list), IsOk());
  ASSERT_EQ(list.models_size(), 4);
  EXPECT_EQ(list.models(0).damaged(), "");
  EXPECT_EQ(list.models(0).history_size(), 1);
  EXPECT_EQ(list.models(1).version(), 2);
  EXPECT_THAT(list.models(1).damaged(), HasSubstr("lost_variant"));
  EXPECT_EQ(list.models(1).variant(), "lost_variant");
  EXPECT_EQ(list.models(1).dataset(), "pets");
  EXPECT_EQ(list.models(2).name(), "b");
  EXPECT_EQ(list.models(2).version(), 1);
  EXPECT_THAT(list.models(2).damaged(), HasSubstr("models/b/1/model.json"));
  EXPECT_THAT(list.models(2).damaged(), Not(HasSubstr(root_.string())));
  EXPECT_FALSE(list.models(2).has_options());
  EXPECT_EQ(list.models(3).name(), "c");
  EXPECT_THAT(Get(Ref("b", 1))->damaged(), Not(IsEmpty()));
  EXPECT_EQ(Delete(Ref("b", 1), false).value(), 1);
  EXPECT_EQ(Delete(Ref("b", 2), false).value(), 1);
  EXPECT_THAT(List({}).value(), ElementsAre("a@1", "c@1"));
}

TEST_F(ModelHandlersTest, ListsAreFilteredAndPaged) {
  AddModel("a", 1);
  AddModel("a", 2);
  AddModel("b", 1);
  v1::ListModelsRequest request;
  request.set_name("a");
  EXPECT_THAT(List(request).value(), ElementsAre("a@2", "a@1"));
  request.set_name("../a");
  EXPECT_THAT(List(request), StatusIs(StatusCode::kInvalidArgument, HasSubstr("name")));
  request.Clear();
  request.set_page_size(2);
  EXPECT_THAT(List(request).value(), ElementsAre("a@2", "a@1"));
  request.set_page_token("2");
  EXPECT_THAT(List(request).value(), ElementsAre("b@1"));
}

TEST_F(ModelHandlersTest, DeletingNamesAVersionOrAll) {
  AddModel("a", 1);
  AddModel("a", 2);
  AddModel("a", 3);
  for (const auto& [ref, all] : {std::pair{Ref("a"), false}, {Ref("a", 1), true}}) {
    EXPECT_THAT(Delete(ref, all), StatusIs(StatusCode::kInvalidArgument, HasSubstr("all_versions")));
  }
  v1::ModelRef alias = Ref("a");
  alias.set_alias("live");
  EXPECT_THAT(Delete(alias, true), StatusIs(StatusCode::kInvalidArgument, HasSubstr("all_versions")));
  EXPECT_THAT(Delete(alias, false), StatusIs(StatusCode::kNotFound, HasSubstr("'live'")));
  EXPECT_EQ(Delete(Ref("a", 3), false).value(), 1);
  EXPECT_EQ(Delete(Ref("a"), true).value(), 2);
  EXPECT_THAT(Delete(Ref("a"), true), StatusIs(StatusCode::kNotFound, HasSubstr("'a'")));
}

TEST_F(ModelHandlersTest, OneThatAJobReadsIsKept) {
  AddDataset("pets");
  AddModel("m", 1);
  AddModel("m", 2);
  v1::JobSpec spec;
  *spec.mutable_evaluate()->mutable_model() = Ref("m", 1);
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(spec));
  EXPECT_THAT(Delete(Ref("m", 1), false), StatusIs(StatusCode::kFailedPrecondition, HasSubstr(job.id())));
  EXPECT_THAT(Delete(Ref("m"), true), StatusIs(StatusCode::kFailedPrecondition, HasSubstr(job.id())));
  EXPECT_EQ(Delete(Ref("m", 2), false).value(), 1);
}

TEST_F(ModelHandlersTest, ADownloadHasEveryFileButOurOwnMark) {
  AddModel("pets", 1);
  const std::string picture(600'000, 'p');
  testing::WriteText(data_->Model("pets", 1) / "evaluations/pets-test/roc.png", picture);
  testing::WriteText(data_->Model("pets", 1) / "empty", "");
  testing::WriteText(data_->Model("pets", 1) / "published-by", "job-1\n");
  v1::DownloadModelRequest request;
  *request.mutable_model() = Ref("pets");
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::DownloadModelResponse> pieces,
                       ReadAll(DownloadModel(deps_, call_, request).get()));
  std::map<std::string, std::string> files;
  std::string current;
  for (const v1::DownloadModelResponse& piece : pieces) {
    if (piece.has_path()) {
      current = piece.path();
    }
    files[current] += piece.chunk();
  }
  EXPECT_EQ(files.size(), 3U);
  EXPECT_EQ(files["evaluations/pets-test/roc.png"], picture);
  EXPECT_EQ(files.count("empty"), 1U);
  EXPECT_EQ(files["model.json"], testing::ReadText(data_->Model("pets", 1) / "model.json"));
  *request.mutable_model() = Ref("none");
  EXPECT_THAT(ReadAll(DownloadModel(deps_, call_, request).get()), StatusIs(StatusCode::kNotFound, _));
}

TEST_F(ModelHandlersTest, VariantsAreTheTable) {
  v1::ListVariantsResponse list;
  ASSERT_THAT(ListVariants(deps_, call_, {}, &list), IsOk());
  EXPECT_EQ(list.variants_size(), static_cast<int>(Variants().size()));
  v1::GetVariantRequest request;
  request.set_name("basic_cnn");
  v1::Variant variant;
  ASSERT_THAT(GetVariant(deps_, call_, request, &variant), IsOk());
  EXPECT_EQ(variant.parameters(), 19'024'513);
  request.set_name("vgg99");
  EXPECT_THAT(GetVariant(deps_, call_, request, &variant), StatusIs(StatusCode::kNotFound, HasSubstr("basic_cnn")));
  request.set_name(std::string(1 << 20, 'x'));
  const absl::Status status = GetVariant(deps_, call_, request, &variant);
  EXPECT_THAT(status, StatusIs(StatusCode::kInvalidArgument, HasSubstr("name")));
  EXPECT_LT(status.message().size(), 1000U);
}

TEST_F(ModelHandlersTest, TrunksAreTheTableWithWhatIsThere) {
  testing::WriteText(root_ / "weights/efficientnet_lite0.safetensors", "");
  v1::ListTrunksResponse list;
  ASSERT_THAT(ListTrunks(deps_, call_, {}, &list), IsOk());
  ASSERT_EQ(list.trunks_size(), static_cast<int>(Trunks().size()));
  for (int i = 0; i < list.trunks_size(); ++i) {
    const v1::Trunk& trunk = list.trunks(i);
    const TrunkInfo& row = Trunks()[static_cast<size_t>(i)];
    EXPECT_EQ(trunk.name(), row.name);
    EXPECT_EQ(trunk.blocks_size(), static_cast<int>(row.blocks.size()));
    EXPECT_EQ(trunk.available(), trunk.name() == "efficientnet_lite0");
    EXPECT_EQ(trunk.hint().empty(), trunk.available());
    EXPECT_EQ(trunk.variants_size(), 3);
  }
  v1::GetTrunkRequest request;
  request.set_name("vgg16");
  v1::Trunk trunk;
  ASSERT_THAT(GetTrunk(deps_, call_, request, &trunk), IsOk());
  EXPECT_EQ(trunk.parameters(), 14'714'688);
  EXPECT_EQ(trunk.image_size(), 224);
  EXPECT_EQ(trunk.preprocessing(), v1::PREPROCESSING_CAFFE);
  EXPECT_THAT(trunk.feature_shape(), ElementsAre(7, 7, 512));
  EXPECT_THAT(trunk.hint(), HasSubstr("deploy/fetch-weights vgg16"));
  EXPECT_THAT(trunk.variants(), ElementsAre("vgg16_features", "vgg16_frozen", "vgg16_finetuned"));
  request.set_name("vgg99");
  EXPECT_THAT(GetTrunk(deps_, call_, request, &trunk), StatusIs(StatusCode::kNotFound, HasSubstr("resnet50")));
  request.set_name("\x1b");
  EXPECT_THAT(GetTrunk(deps_, call_, request, &trunk), StatusIs(StatusCode::kInvalidArgument, HasSubstr("name")));
}

TEST_F(ModelHandlersTest, ATrunkIsImportedByAHeaderAndThenItsFile) {
  v1::ImportTrunkRequest chunk;
  chunk.set_chunk("bytes");
  v1::ImportTrunkRequest header;
  header.mutable_header()->set_name("plants");
  header.mutable_header()->set_like("efficientnet_lite0");
  header.mutable_header()->set_preprocessing(v1::PREPROCESSING_TORCHVISION);
  header.mutable_header()->set_source("plants.safetensors");
  v1::Trunk trunk;

  auto stream = ImportTrunk(deps_, call_);
  EXPECT_THAT(stream->Add(chunk), StatusIs(StatusCode::kInvalidArgument, HasSubstr("header: not set")));
  stream = ImportTrunk(deps_, call_);
  EXPECT_THAT(stream->Add({}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("kind: not set")));
  stream = ImportTrunk(deps_, call_);
  EXPECT_THAT(stream->Close(&trunk), StatusIs(StatusCode::kInvalidArgument, HasSubstr("header: not set")));
  stream = ImportTrunk(deps_, call_);
  ASSERT_THAT(stream->Add(header), IsOk());
  EXPECT_THAT(stream->Add(header), StatusIs(StatusCode::kInvalidArgument, HasSubstr("there is one already")));
  stream = ImportTrunk(deps_, call_);
  ASSERT_THAT(stream->Add(header), IsOk());
  ASSERT_THAT(stream->Add(chunk), IsOk());
  EXPECT_THAT(stream->Close(&trunk), StatusIs(StatusCode::kInvalidArgument, HasSubstr("file: not a safetensors file")));

  const TrunkInfo& like = **FindTrunk("efficientnet_lite0");
  std::vector<std::vector<float>> values;
  std::vector<TensorView> tensors;
  Shape shape = {like.stride, like.stride, 3};
  for (const LayerSpec& layer : like.layers()) {
    for (const ParameterSpec& parameter : layer.Parameters(shape)) {
      values.emplace_back(static_cast<size_t>(ElementCount(parameter.shape)));
      tensors.push_back(
          {layer.FileName(parameter), DType::kF32, parameter.shape, AsBytes(absl::MakeConstSpan(values.back()))});
    }
    shape = layer.Output(shape);
  }
  ASSERT_THAT(WriteSafetensors(root_ / "file", tensors, {}), IsOk());
  stream = ImportTrunk(deps_, call_);
  ASSERT_THAT(stream->Add(header), IsOk());
  chunk.set_chunk(testing::ReadText(root_ / "file"));
  ASSERT_THAT(stream->Add(chunk), IsOk());
  ASSERT_THAT(stream->Close(&trunk), IsOk());
  EXPECT_EQ(trunk.name(), "plants");
  EXPECT_EQ(trunk.like(), "efficientnet_lite0");
  EXPECT_EQ(trunk.preprocessing(), v1::PREPROCESSING_TORCHVISION);
  EXPECT_EQ(trunk.source(), "plants.safetensors");
  EXPECT_TRUE(trunk.available());
  EXPECT_THAT(trunk.variants(), ElementsAre("plants_features", "plants_frozen", "plants_finetuned"));
}

TEST_F(ModelHandlersTest, TheStatusCountsWhatIsThere) {
  AddDataset("pets");
  AddModel("m", 1);
  AddModel("m", 2);
  ASSERT_THAT(Submit(Split("a")), IsOk());
  ASSERT_THAT(Submit(Split("b")), IsOk());
  v1::ServerStatus status;
  ASSERT_THAT(GetStatus(deps_, call_, {}, &status), IsOk());
  EXPECT_EQ(status.datasets(), 1);
  EXPECT_EQ(status.models(), 2);
  EXPECT_EQ(status.jobs_running(), 1);
  EXPECT_EQ(status.jobs_queued(), 1);
  EXPECT_EQ(status.threads(), 2);
  EXPECT_THAT(status.trunks(), IsEmpty());
  EXPECT_THAT(status.hint(), HasSubstr("deploy/fetch-weights"));
  EXPECT_THAT(status.allowed_folders(), ElementsAre((root_ / "pictures").string()));
  testing::WriteText(root_ / "weights/vgg16.safetensors", "");
  status.Clear();
  ASSERT_THAT(GetStatus(deps_, call_, {}, &status), IsOk());
  EXPECT_THAT(status.trunks(), ElementsAre("vgg16"));
}

}  // namespace
}  // namespace graft
