#include "server/model_cache.h"

#include <future>
#include <map>

#include "tests/testing/files.h"
#include "tests/testing/puppets.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::PuppetEngine;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Found = absl::StatusOr<std::shared_ptr<const LoadedModel>>;

class ModelCacheTest : public ::testing::Test {
 protected:
  ModelCacheTest() {
    for (const char* name : {"cats", "dogs", "pets"}) {
      ModelDescription model;
      model.name = name;
      model.version = 3;
      model.variant = "basic_cnn";
      model.labels = {"cat", "dog"};
      std::filesystem::create_directories(dir_ / name);
      EXPECT_THAT(SaveModel(model, dir_ / name), IsOk());
    }
  }

  absl::StatusOr<ModelCache::Located> Locate(const std::string& name, int version) {
    if (!std::filesystem::exists(dir_ / name) || (version != 0 && version != 3)) {
      return absl::NotFoundError(name);
    }
    return ModelCache::Located{3, dir_ / name};
  }
  std::future<Found> Get(const std::string& name, int version = 0, std::function<bool()> abandoned = nullptr) {
    auto promise = std::make_shared<std::promise<Found>>();
    cache_.GetModel({name, version, ""}, std::move(abandoned),
                    [promise](Found found) { promise->set_value(std::move(found)); });
    return promise->get_future();
  }

  const testing::TempDir dir_;
  PuppetEngine engine_;
  ModelCache cache_{&engine_, [this](const ModelRef& ref) { return Locate(ref.name, ref.version); },
                    /*capacity=*/2};
};

TEST_F(ModelCacheTest, OneLoadForAllWhoWaitAndForTheSameVersionByAnyName) {
  engine_.CloseGate();
  std::future<Found> newest = Get("pets", 0);
  engine_.AwaitLoads(1);
  std::future<Found> numbered = Get("pets", 3);
  engine_.OpenGate();
  const Found first = newest.get();
  ASSERT_THAT(first, IsOk());
  EXPECT_EQ(numbered.get().value(), *first);
  EXPECT_EQ(Get("pets").get().value(), *first);
  EXPECT_EQ(engine_.loads(), 1);
  EXPECT_THAT(cache_.names(), ElementsAre("pets@3"));
}

TEST_F(ModelCacheTest, TheOneUsedLongestAgoGoes) {
  for (const char* name : {"cats", "dogs", "cats", "pets"}) {
    ASSERT_THAT(Get(name).get(), IsOk());
  }
  EXPECT_THAT(cache_.names(), ElementsAre("pets@3", "cats@3"));
  EXPECT_EQ(engine_.loads(), 3);
}

TEST_F(ModelCacheTest, AFailedLoadIsTriedAgain) {
  EXPECT_THAT(Get("nobody").get(), StatusIs(absl::StatusCode::kNotFound, _));
  std::filesystem::rename(dir_ / "pets/model.json", dir_ / "kept");
  EXPECT_THAT(Get("pets").get(), StatusIs(absl::StatusCode::kNotFound, _));
  std::filesystem::rename(dir_ / "kept", dir_ / "pets/model.json");
  EXPECT_THAT(Get("pets").get(), IsOk());
}

TEST_F(ModelCacheTest, AModelThatIsDeletedWhileItLoadsIsNotKept) {
  engine_.CloseGate();
  std::future<Found> early = Get("pets");
  engine_.AwaitLoads(1);
  cache_.Drop("pets", 3);
  std::future<Found> late = Get("pets");  // another by the same name
  engine_.OpenGate();
  EXPECT_THAT(early.get(), IsOk());
  EXPECT_THAT(late.get(), IsOk());
  EXPECT_EQ(engine_.loads(), 2);
  cache_.Drop("pets", 0);
  EXPECT_THAT(cache_.names(), ElementsAre());
}

TEST_F(ModelCacheTest, WhatNobodyWaitsForAnyLongerIsNotLoaded) {
  engine_.CloseGate();
  std::future<Found> running = Get("pets");
  engine_.AwaitLoads(1);
  std::future<Found> gone = Get("cats", 0, [] { return true; });
  engine_.OpenGate();
  EXPECT_THAT(running.get(), IsOk());
  EXPECT_THAT(gone.get(), StatusIs(absl::StatusCode::kCancelled, _));
  EXPECT_EQ(engine_.loads(), 1);
}

TEST_F(ModelCacheTest, StopAnswersWhoWaits) {
  engine_.CloseGate();
  std::future<Found> running = Get("pets");
  std::future<Found> queued = Get("cats");
  engine_.AwaitLoads(1);
  cache_.Stop();
  EXPECT_THAT(running.get(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("shutting down")));
  EXPECT_THAT(queued.get(), StatusIs(absl::StatusCode::kUnavailable, _));
  EXPECT_THAT(Get("dogs").get(), StatusIs(absl::StatusCode::kUnavailable, _));
  engine_.OpenGate();
}

TEST_F(ModelCacheTest, EqualSettingsShareAnExtractor) {
  std::map<int, std::shared_ptr<const BatchRunner>> runners;
  for (const int size : {64, 128, 64}) {
    std::promise<absl::StatusOr<std::shared_ptr<const BatchRunner>>> promise;
    cache_.GetExtractor({"vgg16", size, Preprocessing::kCaffe, Interpolation::kNearest}, nullptr,
                        [&](auto found) { promise.set_value(std::move(found)); });
    const auto runner = promise.get_future().get();
    ASSERT_THAT(runner, IsOk());
    const auto [known, is_new] = runners.emplace(size, *runner);
    EXPECT_EQ(known->second, *runner);
  }
  EXPECT_EQ(engine_.loads(), 2);
}

}  // namespace
}  // namespace graft
