// --set KEY=VALUE, and sizes of a split.
#include "client/training_options.h"

#include <utility>

#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace graft
