#include "server/rpc/request_limits.h"

#include "graft/v1/datasets.pb.h"
#include "graft/v1/jobs.pb.h"
#include "graft/v1/prediction.pb.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

TEST(RequestLimitsTest, ALongStringIsNamedWhereverItIs) {
  v1::SubmitJobRequest request;
  request.mutable_spec()->mutable_split()->set_folder(std::string(kMaxStringBytes, 'x'));
  EXPECT_THAT(CheckStrings(request), IsOk());
  request.mutable_spec()->mutable_split()->mutable_folder()->push_back('x');
  EXPECT_THAT(CheckStrings(request), StatusIs(absl::StatusCode::kInvalidArgument,
                                              HasSubstr("spec.split.folder: has 4097 bytes; at most 4096")));
  EXPECT_THAT(CheckStrings(request, SIZE_MAX), IsOk());
}

TEST(RequestLimitsTest, RepeatedMessagesAreLookedInto) {
  v1::ListDatasetsResponse response;
  response.add_datasets();
  response.add_datasets()->add_skipped()->set_path(std::string(5000, 'x'));
  EXPECT_THAT(CheckStrings(response), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("datasets.skipped.path")));
}

TEST(RequestLimitsTest, BytesAreTheHandlersAffair) {
  v1::ClassifyRequest request;
  request.set_image(std::string(20 << 20, 'x'));
  EXPECT_THAT(CheckStrings(request), IsOk());
}

}  // namespace
}  // namespace graft
