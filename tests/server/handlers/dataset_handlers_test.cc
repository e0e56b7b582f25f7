#include "tests/server/handlers/fixture.h"

namespace graft {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class DatasetHandlersTest : public testing::HandlersTest {
 protected:
  absl::StatusOr<v1::Dataset> Get(const std::string& name) {
    v1::GetDatasetRequest request;
    request.set_name(name);
    v1::Dataset dataset;
    absl::Status status = GetDataset(deps_, call_, request, &dataset);
    return status.ok() ? absl::StatusOr<v1::Dataset>(dataset) : status;
  }
  absl::Status Delete(const std::string& name) {
    v1::DeleteDatasetRequest request;
    request.set_name(name);
    v1::DeleteDatasetResponse response;
    return DeleteDataset(deps_, call_, request, &response);
  }
  static v1::UploadImagesRequest Path(const std::string& path) {
    v1::UploadImagesRequest request;
    request.set_path(path);
    return request;
  }
  static v1::UploadImagesRequest Chunk(const std::string& chunk) {
    v1::UploadImagesRequest request;
    request.set_chunk(chunk);
    return request;
  }
};

TEST_F(DatasetHandlersTest, ADataSetIsShownWhole) {
  AddDataset("pets");
  ASSERT_OK_AND_ASSIGN(const v1::Dataset dataset, Get("pets"));
  EXPECT_EQ(dataset.name(), "pets");
  EXPECT_EQ(dataset.folder(), (root_ / "data/datasets/pets").string());
  EXPECT_EQ(dataset.damaged(), "");
  EXPECT_EQ(dataset.classes_size(), 2);
  EXPECT_EQ(dataset.classes(1).label(), "dog");
  EXPECT_EQ(dataset.spec().dataset(), "pets");
  EXPECT_EQ(dataset.spec().upload_id(), "upload");
  EXPECT_EQ(dataset.skipped_size(), 1);
  EXPECT_EQ(dataset.size_bytes(), 6);
  EXPECT_THAT(Get("none"), StatusIs(StatusCode::kNotFound, HasSubstr("'none'")));
  EXPECT_THAT(Get("../pets"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("'../pets'")));
}

TEST_F(DatasetHandlersTest, OneDamagedDataSetHidesNoneAndCanBeDeletedAndMadeAgain) {
  for (const char* name : {"a", "b", "c"}) {
    AddDataset(name);
  }
  testing::WriteText(data_->Dataset("b") / "dataset.json", "{\"name\": \"b\"}");
  v1::ListDatasetsResponse list;
  ASSERT_THAT(ListDatasets(deps_, call_, {}, &list), IsOk());
  ASSERT_EQ(list.datasets_size(), 3);
  EXPECT_EQ(list.datasets(0).damaged(), "");
  EXPECT_EQ(list.datasets(0).skipped_size(), 0);
  EXPECT_EQ(list.datasets(1).name(), "b");
  EXPECT_THAT(list.datasets(1).damaged(), HasSubstr("datasets/b/dataset.json"));
  EXPECT_THAT(list.datasets(1).damaged(), Not(HasSubstr(root_.string())));
  EXPECT_THAT(Get("b")->damaged(), Not(IsEmpty()));
  ASSERT_THAT(Delete("b"), IsOk());
  EXPECT_THAT(Get("b"), StatusIs(StatusCode::kNotFound, _));
  EXPECT_THAT(Submit(Split("b")), IsOk());
}

TEST_F(DatasetHandlersTest, ListsArePaged) {
  for (const char* name : {"a", "b", "c"}) {
    AddDataset(name);
  }
  v1::ListDatasetsRequest request;
  request.set_page_size(2);
  v1::ListDatasetsResponse list;
  ASSERT_THAT(ListDatasets(deps_, call_, request, &list), IsOk());
  EXPECT_EQ(list.datasets_size(), 2);
  request.set_page_token(list.next_page_token());
  list.Clear();
  ASSERT_THAT(ListDatasets(deps_, call_, request, &list), IsOk());
  ASSERT_EQ(list.datasets_size(), 1);
  EXPECT_EQ(list.datasets(0).name(), "c");
  EXPECT_EQ(list.next_page_token(), "");
  request.set_page_token("99");
  list.Clear();
  ASSERT_THAT(ListDatasets(deps_, call_, request, &list), IsOk());
  EXPECT_EQ(list.datasets_size(), 0);
}

TEST_F(DatasetHandlersTest, OneThatAJobUsesIsKept) {
  AddDataset("pets");
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(Train("m", "pets")));
  EXPECT_THAT(Delete("pets"), StatusIs(StatusCode::kFailedPrecondition, HasSubstr(job.id())));
  EXPECT_THAT(Get("pets"), IsOk());
  EXPECT_THAT(Delete("none"), StatusIs(StatusCode::kNotFound, HasSubstr("'none'")));
  EXPECT_THAT(Delete(""), StatusIs(StatusCode::kInvalidArgument, HasSubstr("name")));
}

TEST_F(DatasetHandlersTest, AnUploadIsTakenFileByFile) {
  auto upload = UploadImages(deps_, call_);
  EXPECT_THAT(upload->Add(Chunk("x")), StatusIs(StatusCode::kInvalidArgument, HasSubstr("path")));
  EXPECT_THAT(upload->Add({}), StatusIs(StatusCode::kInvalidArgument, HasSubstr("not set")));
  ASSERT_THAT(upload->Add(Path("cat/1.jpg")), IsOk());
  ASSERT_THAT(upload->Add(Chunk("one")), IsOk());
  ASSERT_THAT(upload->Add(Path("dog/ü 2.jpg")), IsOk());
  ASSERT_THAT(upload->Add(Chunk("tw")), IsOk());
  ASSERT_THAT(upload->Add(Chunk("o")), IsOk());
  v1::UploadImagesResponse response;
  ASSERT_THAT(upload->Close(&response), IsOk());
  EXPECT_EQ(response.files(), 2);
  EXPECT_EQ(response.bytes(), 6);
  EXPECT_EQ(testing::ReadText(data_->Upload(response.upload_id()) / "dog/ü 2.jpg"), "two");
  v1::JobSpec spec = Split("pets");
  spec.mutable_split()->set_upload_id(response.upload_id());
  EXPECT_THAT(Submit(spec), IsOk());
}

TEST_F(DatasetHandlersTest, AnUploadThatIsGivenUpLeavesNothing) {
  for (const char* path : {"../x", "a\xc2\x9b", "\xe2\x80\xae", "good/below", "good"}) {
    auto upload = UploadImages(deps_, call_);
    ASSERT_THAT(upload->Add(Path("good")), IsOk());
    const absl::Status status = upload->Add(Path(path));
    EXPECT_THAT(status, StatusIs(StatusCode::kInvalidArgument, HasSubstr("path: '")));
    EXPECT_THAT(status, StatusIs(StatusCode::kInvalidArgument, Not(HasSubstr(root_.string()))));
  }
  EXPECT_TRUE(fs::is_empty(root_ / "data/incoming"));
  EXPECT_TRUE(fs::is_empty(root_ / "data/uploads"));
}

}  // namespace
}  // namespace graft
