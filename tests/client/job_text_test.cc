// Jobs in words, those of unknown kinds too.
#include "client/job_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace graft {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// A message with only field 99, as a newer server may send one.
template <typename Message>
Message FromTheFuture() {
  Message message;
  EXPECT_TRUE(message.ParseFromString("\x9a\x06\x03new"));
  return message;
}

TEST(JobTextTest, SubjectsAreTheModelOrTrunkAndTheDataSet) {
  v1::JobSpec spec;
  spec.mutable_split()->set_dataset("pets");
  EXPECT_EQ(SubjectText(spec), "pets");
  spec.mutable_train()->set_model("m");
  spec.mutable_train()->set_dataset("pets");
  EXPECT_EQ(SubjectText(spec), "m on pets");
  spec.mutable_extract_features()->set_trunk("vgg16");
  spec.mutable_extract_features()->set_dataset("pets");
  EXPECT_EQ(SubjectText(spec), "vgg16 on pets");
  spec.mutable_evaluate()->mutable_model()->set_name("m");
  EXPECT_EQ(SubjectText(spec), "m");
  spec.mutable_evaluate()->mutable_model()->set_version(2);
  spec.mutable_evaluate()->set_dataset("more\n");
  EXPECT_EQ(SubjectText(spec), "m@2 on more\\n");
  spec.mutable_evaluate()->mutable_model()->set_alias("production");
  EXPECT_EQ(SubjectText(spec), "m@production on more\\n");
}

TEST(JobTextTest, EveryKindOfTheContractHasItsNameAndItsResultASentence) {
  const auto* specs = v1::JobSpec::descriptor()->FindOneofByName("kind");
  const auto* results = v1::JobResult::descriptor()->FindOneofByName("kind");
  ASSERT_GT(specs->field_count(), 0);
  EXPECT_EQ(JobKinds().size(), static_cast<size_t>(specs->field_count()));
  for (int i = 0; i < specs->field_count(); ++i) {
    v1::JobSpec spec;
    spec.GetReflection()->MutableMessage(&spec, specs->field(i));
    EXPECT_EQ(KindText(spec), specs->field(i)->name());
    EXPECT_THAT(JobKinds(), Contains(KindText(spec)));
  }
  for (int i = 0; i < results->field_count(); ++i) {
    v1::JobResult result;
    result.GetReflection()->MutableMessage(&result, results->field(i));
    EXPECT_THAT(ResultText(result), AllOf(Not(HasSubstr("doesn't know")), Not("")));
  }
}

TEST(JobTextTest, WhatHasNoSentenceIsShownByItsFields) {
  v1::LogLine line;  // in the place of a result of a new kind
  line.set_text("a\x1b");
  line.set_warning(true);
  EXPECT_THAT(KindResultText(line),
              AllOf(HasSubstr("\"text\""), HasSubstr("\"warning\":true"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(SpecSubject(line), HasSubstr("\"warning\":true"));
}

TEST(JobTextTest, WhatOnlyANewerGraftKnowsIsNamedSo) {
  EXPECT_EQ(KindText(FromTheFuture<v1::JobSpec>()), "?");
  EXPECT_EQ(SubjectText(FromTheFuture<v1::JobSpec>()), "?");
  EXPECT_THAT(ResultText(FromTheFuture<v1::JobResult>()), HasSubstr("use the server's version of graft"));
}

TEST(JobTextTest, States) {
  v1::Job job;
  job.set_state(v1::JOB_STATE_QUEUED);
  EXPECT_EQ(StateText(job), "queued");
  job.set_queue_position(2);
  EXPECT_EQ(StateText(job), "queued (2 in line)");
  job.set_queue_position(0);
  job.set_state(v1::JOB_STATE_RUNNING);
  job.set_keep_best_requested(true);
  EXPECT_EQ(StateText(job), "finishing");
  job.set_pause_requested(true);
  EXPECT_EQ(StateText(job), "pausing");
  job.set_cancel_requested(true);
  EXPECT_EQ(StateText(job), "stopping");
}

}  // namespace
}  // namespace graft
