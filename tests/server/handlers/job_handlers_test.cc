#include <limits>
#include <variant>

#include "core/viz/charts.h"
#include "jobs/learning_curves.h"
#include "jobs/recommend.h"
#include "tests/server/handlers/fixture.h"

namespace graft {
namespace {

using absl::StatusCode;
using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class JobHandlersTest : public testing::HandlersTest {
 protected:
  absl::StatusOr<std::vector<std::string>> List(const v1::ListJobsRequest& request) {
    v1::ListJobsResponse response;
    if (absl::Status status = ListJobs(deps_, call_, request, &response); !status.ok()) {
      return status;
    }
    std::vector<std::string> ids;
    for (const v1::Job& job : response.jobs()) {
      ids.push_back(job.id());
    }
    if (!response.next_page_token().empty()) {
      ids.push_back("more:" + response.next_page_token());
    }
    return ids;
  }
  // The worker of a job's only attempt says so.
  void Report(const std::string& id, int64_t first, const std::vector<JobEventBody>& events) {
    v1::ReportRequest request;
    request.set_job_id(id);
    request.set_attempt(1);
    for (const WorkerLaunch& launch : executor_.launches()) {
      if (launch.job_id == id) {
        request.set_incarnation(launch.incarnation);
      }
    }
    request.set_first_sequence(first);
    for (const JobEventBody& event : events) {
      request.add_events(DocumentText(ToJson(event)));
    }
    ASSERT_OK_AND_ASSIGN(const v1::ReportResponse response, jobs_->Report(request));
    ASSERT_EQ(response.acknowledged(), first + static_cast<int64_t>(events.size()) - 1);
  }
  absl::StatusOr<v1::GetLearningCurvesResponse> Curves(const std::string& id, const Call& call = Call()) {
    v1::GetLearningCurvesRequest request;
    request.set_id(id);
    v1::GetLearningCurvesResponse response;
    absl::Status status = GetLearningCurves(deps_, call, request, &response);
    return status.ok() ? absl::StatusOr<v1::GetLearningCurvesResponse>(response) : status;
  }
  static JobEventBody Epoch(int number, double validation_accuracy, const std::string& stage = "") {
    EpochMetrics epoch;
    epoch.epoch = number;
    epoch.loss = 1.0 / number;
    epoch.accuracy = 0.5;
    epoch.validation_loss = 0.5;
    epoch.validation_accuracy = validation_accuracy;
    epoch.stage = stage;
    return epoch;
  }
};

TEST_F(JobHandlersTest, ASubmittedJobIsShownWithItsDefaults) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(Split("pets")));
  EXPECT_EQ(job.id(), "job-1");
  EXPECT_EQ(job.spec().split().label_rule(), v1::LABEL_RULE_FILENAME);
  EXPECT_EQ(job.spec().split().folder(), (root_ / "pictures/pets").string());
  v1::GetJobRequest get;
  get.set_id("job-1");
  v1::Job same;
  ASSERT_THAT(GetJob(deps_, call_, get, &same), IsOk());
  EXPECT_EQ(same.spec().DebugString(), job.spec().DebugString());
  get.set_id("job-2");
  EXPECT_THAT(GetJob(deps_, call_, get, &same), StatusIs(StatusCode::kNotFound, HasSubstr("job-2")));
  get.set_id("../jobs");
  EXPECT_THAT(GetJob(deps_, call_, get, &same), StatusIs(StatusCode::kInvalidArgument, HasSubstr("id")));
}

TEST_F(JobHandlersTest, ARequestIdIsAnsweredWithItsFirstJob) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(Split("pets"), "r1"));
  ASSERT_OK_AND_ASSIGN(const v1::Job same, Submit(Split("pets"), "r1"));
  EXPECT_EQ(same.id(), job.id());
  EXPECT_THAT(Submit(Split("birds"), "r1"), StatusIs(StatusCode::kAlreadyExists, HasSubstr("r1")));
  for (const std::string& id : {std::string(129, 'x'), std::string("a\nb"), std::string("\xff"),
                                std::string("\xc2\x9b"), std::string(20 << 20, 'x')}) {
    const absl::StatusOr<v1::Job> refused = Submit(Split("birds"), id);
    EXPECT_THAT(refused, StatusIs(StatusCode::kInvalidArgument, HasSubstr("request_id")));
    EXPECT_LT(refused.status().message().size(), 1000U);
  }
}

TEST_F(JobHandlersTest, ValidationQueuesNothing) {
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(Split("pets"), "", /*validate_only=*/true));
  EXPECT_EQ(job.id(), "");
  EXPECT_EQ(job.spec().split().copy_mode(), v1::COPY_MODE_COPY);
  EXPECT_THAT(Submit(v1::JobSpec(), "", true), StatusIs(StatusCode::kInvalidArgument, HasSubstr("split, train")));
  EXPECT_THAT(List({}).value(), ElementsAre());
  EXPECT_THAT(executor_.launches(), ElementsAre());
}

TEST_F(JobHandlersTest, WhatAJobMakesIsNotReadyBefore) {
  ASSERT_THAT(Submit(Split("pets")), IsOk());
  EXPECT_THAT(Submit(Train("m", "pets")), StatusIs(StatusCode::kNotFound, HasSubstr("job-1 is making it")));
  EXPECT_THAT(Submit(Split("pets")), StatusIs(StatusCode::kAlreadyExists, HasSubstr("pets")));
  AddDataset("birds");
  ASSERT_OK_AND_ASSIGN(const v1::Job train, Submit(Train("m", "birds")));
  v1::JobSpec evaluate;
  evaluate.mutable_evaluate()->mutable_model()->set_name("m");
  EXPECT_THAT(Submit(evaluate), StatusIs(StatusCode::kNotFound, HasSubstr(train.id() + " is making it")));
}

TEST_F(JobHandlersTest, ErrorsNameNoFolderOfTheServer) {
  AddDataset("pets");
  testing::WriteText(data_->Dataset("pets") / "dataset.json", "{}");
  const absl::StatusOr<v1::Job> job = Submit(Train("m", "pets"));
  EXPECT_THAT(job, StatusIs(StatusCode::kDataLoss, HasSubstr("datasets/pets/dataset.json")));
  EXPECT_THAT(job, StatusIs(StatusCode::kDataLoss, Not(HasSubstr(root_.string()))));
}

TEST_F(JobHandlersTest, ListsAreFilteredAndPaged) {
  AddDataset("birds");
  for (int i = 0; i < 4; ++i) {
    ASSERT_THAT(Submit(Split("pets" + std::to_string(i))), IsOk());
  }
  ASSERT_THAT(Submit(Train("m", "birds")), IsOk());
  EXPECT_THAT(List({}).value(), ElementsAre("job-5", "job-4", "job-3", "job-2", "job-1"));
  v1::ListJobsRequest request;
  request.set_page_size(2);
  EXPECT_THAT(List(request).value(), ElementsAre("job-5", "job-4", "more:4"));
  request.set_page_token("4");
  EXPECT_THAT(List(request).value(), ElementsAre("job-3", "job-2", "more:2"));
  request.set_page_token("2");
  EXPECT_THAT(List(request).value(), ElementsAre("job-1"));
  request.Clear();
  request.set_kind("train");
  EXPECT_THAT(List(request).value(), ElementsAre("job-5"));
  request.Clear();
  request.set_dataset("pets2");
  EXPECT_THAT(List(request).value(), ElementsAre("job-3"));
  request.Clear();
  request.set_model("m");
  EXPECT_THAT(List(request).value(), ElementsAre("job-5"));
  request.Clear();
  request.add_states(v1::JOB_STATE_RUNNING);
  EXPECT_THAT(List(request).value(), ElementsAre("job-1"));
  request.add_states(v1::JOB_STATE_QUEUED);
  EXPECT_EQ(List(request)->size(), 5U);

  const auto refuses = [&](const std::function<void(v1::ListJobsRequest*)>& change, const std::string& part) {
    v1::ListJobsRequest bad;
    change(&bad);
    EXPECT_THAT(List(bad), StatusIs(StatusCode::kInvalidArgument, HasSubstr(part)));
  };
  refuses([](auto* r) { r->set_kind("dream"); }, "kind: 'dream' is unknown; use split, train");
  refuses([](auto* r) { r->add_states(v1::JOB_STATE_UNSPECIFIED); }, "states");
  refuses([](auto* r) { r->add_states(static_cast<v1::JobState>(99)); }, "states: 99");
  refuses([](auto* r) { r->set_page_size(-1); }, "page_size");
  refuses([](auto* r) { r->set_page_token("x"); }, "page_token");
  refuses([](auto* r) { r->set_page_token("-4"); }, "page_token");
  refuses([](auto* r) { r->set_dataset(std::string(1 << 20, 'x')); }, "dataset");
  refuses([](auto* r) { r->set_model("\xff"); }, "model");
}

TEST_F(JobHandlersTest, JobsArePausedAndResumed) {
  ASSERT_THAT(Submit(Split("pets")), IsOk());  // runs
  ASSERT_THAT(Submit(Split("birds")), IsOk());
  v1::PauseJobRequest pause;
  pause.set_id("job-2");
  v1::Job job;
  ASSERT_THAT(PauseJob(deps_, call_, pause, &job), IsOk());
  EXPECT_EQ(job.state(), v1::JOB_STATE_PAUSED);
  v1::ListJobsRequest list;
  list.add_states(v1::JOB_STATE_PAUSED);
  v1::ListJobsResponse listed;
  ASSERT_THAT(ListJobs(deps_, call_, list, &listed), IsOk());
  EXPECT_EQ(listed.jobs_size(), 1);
  v1::ResumeJobRequest resume;
  resume.set_id("job-2");
  ASSERT_THAT(ResumeJob(deps_, call_, resume, &job), IsOk());
  EXPECT_EQ(job.state(), v1::JOB_STATE_QUEUED);
  v1::CancelJobRequest keep_best;
  keep_best.set_id("job-2");
  keep_best.set_keep_best(true);
  EXPECT_THAT(CancelJob(deps_, call_, keep_best, &job),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("keep_best")));
  pause.set_id("job-7");
  EXPECT_THAT(PauseJob(deps_, call_, pause, &job), StatusIs(StatusCode::kNotFound, _));
  resume.set_id("x");
  EXPECT_THAT(ResumeJob(deps_, call_, resume, &job), StatusIs(StatusCode::kInvalidArgument, _));
}

TEST_F(JobHandlersTest, AWatchReplaysEventsAndEndsWithTheJob) {
  ASSERT_THAT(Submit(Split("pets")), IsOk());
  ASSERT_THAT(Submit(Split("birds")), IsOk());
  v1::WatchJobRequest request;
  request.set_id("job-2");
  const auto watch = WatchJob(deps_, call_, request);
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::JobEvent> first, ReadAll(watch.get()));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].job_id(), "job-2");
  EXPECT_EQ(first[0].sequence(), 1);
  EXPECT_EQ(first[0].state().state(), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(watch->Aborted(), StatusIs(StatusCode::kUnavailable, HasSubstr("after_sequence 1")));
  v1::CancelJobRequest cancel;
  cancel.set_id("job-2");
  v1::Job job;
  ASSERT_THAT(CancelJob(deps_, call_, cancel, &job), IsOk());
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(CancelJob(deps_, call_, cancel, &job), IsOk());  // as asked, however often
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::JobEvent> rest, ReadAll(watch.get()));
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].state().state(), v1::JOB_STATE_CANCELLED);

  for (const auto& [id, after, code] : {std::tuple{"job-9", 0, StatusCode::kNotFound},
                                        {"x", 0, StatusCode::kInvalidArgument},
                                        {"job-2", -1, StatusCode::kInvalidArgument},
                                        {"job-2", 99, StatusCode::kOutOfRange}}) {
    request.set_id(id);
    request.set_after_sequence(after);
    EXPECT_THAT(ReadAll(WatchJob(deps_, call_, request).get()), StatusIs(code, _)) << id << after;
  }
}

TEST_F(JobHandlersTest, LearningCurvesAreThoseOfTheEpochsSoFar) {
  AddDataset("birds");
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(Train("m", "birds")));
  EXPECT_THAT(Curves(job.id()),
              StatusIs(StatusCode::kFailedPrecondition, HasSubstr("no epoch of job-1 has ended yet")));
  JobProgress progress;
  progress.phase = "train";
  progress.epochs = 150;
  Report(job.id(), 1, {progress, Epoch(1, 0.5)});
  ASSERT_OK_AND_ASSIGN(const v1::GetLearningCurvesResponse first, Curves(job.id()));
  EXPECT_EQ(first.epoch(), 1);
  // What is drawn, and in which order, charts_test.cc tests; here, that it is this.
  std::vector<EpochMetrics> history = {std::get<EpochMetrics>(Epoch(1, 0.5))};
  EXPECT_EQ(first.png(), *DrawLearningCurves("m@1 (basic_cnn), job-1, epoch 1 of 150", history, 1));
  EXPECT_EQ(Curves(job.id())->png(), first.png());
  // More than a page of events.
  std::vector<JobEventBody> more;
  for (int epoch = 2; epoch <= 150; ++epoch) {
    more.push_back(Epoch(epoch, epoch == 70 ? 0.75 : 0.5));
    history.push_back(std::get<EpochMetrics>(more.back()));
  }
  Report(job.id(), 3, more);
  ASSERT_OK_AND_ASSIGN(const v1::GetLearningCurvesResponse all, Curves(job.id()));
  EXPECT_EQ(all.epoch(), 150);
  EXPECT_EQ(all.png(), *DrawLearningCurves("m@1 (basic_cnn), job-1, epoch 150 of 150", history, 70));
  EXPECT_NE(all.png(), *DrawLearningCurves("m@1 (basic_cnn), job-1, epoch 150 of 150", history, 71));

  // An ended job's stay.
  Report(job.id(), 152, {JobStateChange{JobState::kFailed, absl::InternalError("its loss"), nullptr}});
  EXPECT_EQ(Curves(job.id())->png(), all.png());
  Call gone;
  gone.cancelled = [] { return true; };
  EXPECT_THAT(Curves(job.id(), gone), StatusIs(StatusCode::kCancelled, _));
}

TEST_F(JobHandlersTest, LearningCurvesShadeTheHeadsEpochsAndTakeWhatIsNotFinite) {
  AddDataset("birds");
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(Train("m", "birds")));
  EpochMetrics odd = std::get<EpochMetrics>(Epoch(3, 0.5));
  odd.validation_loss = std::numeric_limits<double>::quiet_NaN();
  Report(job.id(), 1, {Epoch(1, 0.5, "head"), Epoch(2, 0.5, "head"), odd, Epoch(4, 0.25)});
  std::vector<EpochMetrics> history = {std::get<EpochMetrics>(Epoch(1, 0.5, "head")),
                                       std::get<EpochMetrics>(Epoch(2, 0.5, "head")), odd,
                                       std::get<EpochMetrics>(Epoch(4, 0.25))};
  EXPECT_EQ(Curves(job.id())->png(), *DrawLearningCurves("m@1 (basic_cnn), job-1, epoch 4", history, 4));
  history[0].stage = history[1].stage = "";
  EXPECT_NE(Curves(job.id())->png(), *DrawLearningCurves("m@1 (basic_cnn), job-1, epoch 4", history, 4));
}

TEST_F(JobHandlersTest, WhatHasNoLearningCurvesSaysSo) {
  AddDataset("birds");
  ASSERT_THAT(Submit(Split("pets")), IsOk());
  ASSERT_THAT(Submit(Train("m", "birds")), IsOk());
  EXPECT_THAT(Curves("job-1"), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("job-1 is of the kind split")));
  v1::CancelJobRequest cancel;
  cancel.set_id("job-2");
  v1::Job job;
  ASSERT_THAT(CancelJob(deps_, call_, cancel, &job), IsOk());
  EXPECT_THAT(Curves("job-2"), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("ended before its first epoch")));
  EXPECT_THAT(Curves("job-3"), StatusIs(StatusCode::kNotFound, HasSubstr("job-3")));
  EXPECT_THAT(Curves("../jobs"), StatusIs(StatusCode::kInvalidArgument, HasSubstr("id")));
}

TEST_F(JobHandlersTest, ARecommendationIsDrawnOnceItIsThere) {
  AddDataset("pets");
  DatasetInfo info = *data_->GetDataset("pets");
  for (DatasetInfo::Class& of : info.classes) {
    of.train = 10;
  }
  ASSERT_THAT(SaveDatasetInfo(info, data_->Dataset("pets")), IsOk());
  const auto drawn = [&](const std::string& id) -> absl::StatusOr<std::string> {
    v1::DrawRecommendationRequest request;
    request.set_id(id);
    v1::DrawRecommendationResponse response;
    if (const absl::Status status = DrawRecommendation(deps_, call_, request, &response); !status.ok()) {
      return status;
    }
    return response.png();
  };
  testing::WriteText(root_ / "weights/vgg16.safetensors", "");
  v1::JobSpec spec;
  spec.mutable_recommend()->set_dataset("pets");
  spec.mutable_recommend()->set_folds(2);
  ASSERT_OK_AND_ASSIGN(const v1::Job job, Submit(spec));
  EXPECT_THAT(drawn(job.id()), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("hasn't ended yet")));
  RecommendJobResult result;
  result.job_id = job.id();
  result.dataset = "pets";
  result.images = 20;
  result.candidates = {{"vgg16", "vgg16_features", 30, 2, false, 0.95, {0.9, 0.97}},
                       {"big", "big_features", 900, 60, true, 0, {}}};
  result.variant = "vgg16_features";
  Report(job.id(), 1, {JobStateChange{JobState::kSucceeded, absl::OkStatus(), ToJson(result)}});
  executor_.Exit(job.id(), 1, absl::OkStatus());
  jobs_->Tick();
  EXPECT_EQ(*drawn(job.id()), *AccuracyByTime("Trunks for pets, 20 images", {{"vgg16", 0.95, {0.9, 0.97}, 30, true}}));
  EXPECT_THAT(drawn("job-99"), StatusIs(StatusCode::kNotFound, _));
  ASSERT_OK_AND_ASSIGN(const v1::Job other, Submit(Train("m", "pets")));
  EXPECT_THAT(drawn(other.id()), StatusIs(StatusCode::kFailedPrecondition, HasSubstr("of the kind train")));
}

}  // namespace
}  // namespace graft
