// The table of options, row by row.
#include "core/model/options.h"

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "core/model/artifact.h"
#include "tests/testing/files.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

const OptionField& Field(absl::string_view name) {
  for (const OptionField& field : TrainingOptionFields()) {
    if (field.name == name) {
      return field;
    }
  }
  ADD_FAILURE() << "no option " << name;
  return TrainingOptionFields()[0];
}

// Defaults but for one option.
TrainingOptions With(const OptionField& field, const OptionValue& value) {
  TrainingOptions options;
  EXPECT_THAT(field.set(value, &options), IsOk()) << field.name;
  return options;
}

// Any value that the option may have.
OptionValue Draw(const OptionField& field, std::mt19937_64* random) {
  const OptionValue like = field.get(TrainingOptions());
  if (!field.names.empty()) {
    return std::string(field.names[(*random)() % field.names.size()]);
  }
  if (std::holds_alternative<int>(like)) {
    return std::uniform_int_distribution(static_cast<int>(field.range->low),
                                         static_cast<int>(field.range->high))(*random);
  }
  if (std::holds_alternative<double>(like)) {
    const double low = std::nextafter(field.range->low, kInfinity);
    return std::uniform_real_distribution(low, field.range->high)(*random);
  }
  if (std::holds_alternative<bool>(like)) {
    return (*random)() % 2 == 0;
  }
  if (std::holds_alternative<uint64_t>(like)) {
    return uint64_t{(*random)()};
  }
  if (field.name == "class_weights") {
    return std::string((*random)() % 2 == 0 ? "balanced" : "cat=2,a=b=0.5");
  }
  return std::string((*random)() % 2 == 0 ? "cpu" : "cuda:7");
}

TEST(OptionsTest, EveryRowIsWhole) {
  std::set<absl::string_view> names;
  for (const OptionField& field : TrainingOptionFields()) {
    SCOPED_TRACE(std::string(field.name));
    EXPECT_TRUE(names.insert(field.name).second);
    EXPECT_THAT(std::string(field.meaning), EndsWith("."));
    EXPECT_FALSE(field.values.empty());
    EXPECT_TRUE(field.accepts(field.get(TrainingOptions())));
  }
  EXPECT_THAT(TrainingOptions().Validate(), IsOk());
}

TEST(OptionsTest, ARowSetsItsOptionAndNoOther) {
  std::mt19937_64 random(1);
  for (const OptionField& field : TrainingOptionFields()) {
    SCOPED_TRACE(std::string(field.name));
    OptionValue value = field.get(TrainingOptions());
    while (value == field.get(TrainingOptions())) {
      value = Draw(field, &random);
    }
    const TrainingOptions options = With(field, value);
    for (const OptionField& other : TrainingOptionFields()) {
      EXPECT_EQ(other.get(options) == other.get(TrainingOptions()), &other != &field) << other.name;
    }
    EXPECT_EQ(field.get(options), value);
    TrainingOptions unchanged = options;
    for (const OptionValue& wrong : {OptionValue(1), OptionValue(uint64_t{1}), OptionValue(0.5), OptionValue(true),
                                     OptionValue(std::string("words"))}) {
      if (wrong.index() != value.index()) {
        EXPECT_THAT(field.set(wrong, &unchanged), StatusIs(kInvalid, HasSubstr(std::string(field.name))));
        EXPECT_EQ(field.get(unchanged), value);
      }
    }
  }
}

TEST(OptionsTest, NumbersEndWhereTheirRangeDoes) {
  int ranges = 0;
  for (const OptionField& field : TrainingOptionFields()) {
    if (!field.range.has_value()) {
      continue;
    }
    SCOPED_TRACE(std::string(field.name));
    ++ranges;
    const auto expect = [&](const OptionValue& value, bool good) {
      const absl::Status status = With(field, value).Validate();
      if (good) {
        EXPECT_THAT(status, IsOk());
      } else {
        EXPECT_EQ(status.message(), "options." + std::string(field.name) + ": " + OptionText(value) +
                                        " is out of range; use " + field.range->Text());
        EXPECT_EQ(status.code(), kInvalid);
      }
    };
    const OptionRange& range = *field.range;
    ASSERT_LT(range.low, range.high);
    if (std::holds_alternative<int>(field.get(TrainingOptions()))) {
      EXPECT_FALSE(range.low_open || range.high_open) << "a whole number can be named instead";
      const int low = static_cast<int>(range.low);
      const int high = static_cast<int>(range.high);
      expect(low, true);
      expect(high, true);
      expect(low - 1, false);
      expect(high + 1, false);
      expect(std::numeric_limits<int>::min(), false);
      expect(std::numeric_limits<int>::max(), false);
    } else {
      expect(range.low, !range.low_open);
      expect(range.high, !range.high_open);
      expect(std::nextafter(range.low, -kInfinity), false);
      expect(std::nextafter(range.low, kInfinity), true);
      expect(std::nextafter(range.high, -kInfinity), true);
      expect(std::nextafter(range.high, kInfinity), false);
      expect(kNan, false);
      expect(kInfinity, false);
      expect(-kInfinity, false);
    }
  }
  EXPECT_GT(ranges, 10);
}

TEST(OptionsTest, ErrorsNameOptionValueAndRemedy) {
  for (const auto& [name, value, message] :
       {std::tuple{"epochs", OptionValue(0), "options.epochs: 0 is out of range; use 1 to 10000"},
        {"learning_rate", OptionValue(kNan), "options.learning_rate: nan is out of range; use above 0 to 10"},
        {"augment_zoom", OptionValue(1.0), "options.augment_zoom: 1 is out of range; use 0 to below 1"},
        {"device", OptionValue("gpu"), "options.device: 'gpu' is unknown; use auto, cpu or cuda:N"}}) {
    EXPECT_THAT(With(Field(name), value).Validate(), StatusIs(kInvalid, message));
  }
}

TEST(OptionsTest, EnumsTakeTheirNamesOnly) {
  int enums = 0;
  for (const OptionField& field : TrainingOptionFields()) {
    SCOPED_TRACE(std::string(field.name));
    TrainingOptions options;
    for (const absl::string_view name : field.names) {
      EXPECT_THAT(field.set(std::string(name), &options), IsOk());
      EXPECT_EQ(OptionText(field.get(options)), name);
      EXPECT_THAT(options.Validate(), IsOk());
    }
    if (!field.names.empty()) {
      ++enums;
      EXPECT_THAT(field.set(std::string("lion"), &options),
                  StatusIs(kInvalid, AllOf(StartsWith("options." + std::string(field.name) + ": 'lion' is unknown"),
                                           HasSubstr(std::string(field.names.back())))));
    }
  }
  EXPECT_GE(enums, 6);
  EXPECT_EQ(Field("optimizer").values, "rmsprop, sgd, adam, adamw");
  TrainingOptions options;
  options.optimizer = static_cast<OptimizerKind>(99);
  EXPECT_THAT(options.Validate(), StatusIs(kInvalid, HasSubstr("options.optimizer")));
}

TEST(OptionsTest, Devices) {
  for (const char* device : {"auto", "cpu", "cuda", "cuda:0", "cuda:3"}) {
    EXPECT_THAT(With(Field("device"), device).Validate(), IsOk()) << device;
  }
  for (const char* device : {"", "gpu", "cuda:x", "cuda:-1", "cuda:", "cpu:0"}) {
    EXPECT_THAT(With(Field("device"), device).Validate(), StatusIs(kInvalid, StartsWith("options.device: ")));
  }
}

TEST(OptionsTest, ClassWeights) {
  for (const char* good : {"none", "balanced", "cat=1", "cat=0,dog=2.5", "a=b=2"}) {
    EXPECT_THAT(With(Field("class_weights"), good).Validate(), IsOk()) << good;
  }
  for (const char* bad : {"", "cat", "cat=", "=1", "cat=-1", "cat=nan", "cat=inf", "cat=1,cat=2", "cat=1,"}) {
    EXPECT_THAT(With(Field("class_weights"), bad).Validate(), StatusIs(kInvalid, StartsWith("options.class_weights: ")))
        << bad;
  }
  EXPECT_THAT(*ParseClassWeights("cat=0.5,a=b=2"),
              ::testing::ElementsAre(std::pair<const std::string, double>("a=b", 2),
                                     std::pair<const std::string, double>("cat", 0.5)));
}

// An error goes to the caller and the log.
TEST(OptionsTest, ALongOrHarmfulTextIsNotRepeatedWhole) {
  const absl::Status status = With(Field("device"), "\x1b[2J" + std::string(1 << 20, 'x')).Validate();
  EXPECT_THAT(status, StatusIs(kInvalid, StartsWith("options.device: '\\x1b[2Jxxx")));
  EXPECT_LT(status.message().size(), 200U);
}

TEST(OptionsTest, TextIsWhatAPersonWrites) {
  EXPECT_EQ(OptionText(1e-4), "0.0001");
  EXPECT_EQ(OptionText(30), "30");
  EXPECT_EQ(OptionText(std::numeric_limits<uint64_t>::max()), "18446744073709551615");
  EXPECT_EQ(OptionText(true), "true");
  EXPECT_EQ(OptionText("cpu"), "cpu");
}

TEST(OptionsTest, JsonRoundTrip) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    TrainingOptions options;
    for (const OptionField& field : TrainingOptionFields()) {
      ASSERT_THAT(field.set(Draw(field, &random), &options), IsOk());
    }
    ASSERT_THAT(options.Validate(), IsOk());
    ASSERT_OK_AND_ASSIGN(const TrainingOptions read,
                         TrainingOptionsFromJson(nlohmann::json::parse(ToJson(options).dump())));
    for (const OptionField& field : TrainingOptionFields()) {
      EXPECT_EQ(field.get(read), field.get(options)) << field.name;
    }
  }
}

// A model stays readable when an option comes after it.
TEST(OptionsTest, JsonHasEveryOptionAndOneThatIsMissingIsItsDefault) {
  std::mt19937_64 random(8);
  TrainingOptions options;
  for (const OptionField& field : TrainingOptionFields()) {
    ASSERT_THAT(field.set(Draw(field, &random), &options), IsOk());
  }
  const nlohmann::json whole = ToJson(options);
  for (const OptionField& missing : TrainingOptionFields()) {
    ASSERT_TRUE(whole.contains(std::string(missing.name)));
    nlohmann::json json = whole;
    json.erase(std::string(missing.name));
    ASSERT_OK_AND_ASSIGN(const TrainingOptions read, TrainingOptionsFromJson(json));
    for (const OptionField& field : TrainingOptionFields()) {
      EXPECT_EQ(field.get(read), field.get(field.name == missing.name ? TrainingOptions() : options)) << field.name;
    }
  }
}

TEST(OptionsTest, JsonHasNoOtherOption) {
  const nlohmann::json whole = ToJson(TrainingOptions());
  nlohmann::json json = whole;
  json["epoch"] = 3;
  EXPECT_THAT(TrainingOptionsFromJson(json), StatusIs(absl::StatusCode::kDataLoss, "options.epoch: unknown"));
  for (const nlohmann::json& other : {nlohmann::json(nullptr), nlohmann::json::array(), nlohmann::json(3)}) {
    EXPECT_THAT(TrainingOptionsFromJson(other), StatusIs(absl::StatusCode::kDataLoss, _)) << other;
  }
}

TEST(OptionsTest, JsonOfAnotherTypeOrOutOfRangeIsDamage) {
  const nlohmann::json whole = ToJson(TrainingOptions());
  for (const OptionField& field : TrainingOptionFields()) {
    std::vector<nlohmann::json> wrong = {nullptr, "words", nlohmann::json::array({1}), nlohmann::json::object()};
    switch (field.get(TrainingOptions()).index()) {
      case 0:  // int
        wrong.insert(wrong.end(), {true, 30.5, int64_t{1} << 32, (int64_t{1} << 32) + 30, -(int64_t{1} << 40),
                                   std::numeric_limits<uint64_t>::max(), -5});
        break;
      case 1:  // uint64_t
        wrong.insert(wrong.end(), {true, 0.5, -1});
        break;
      case 2:  // double
        wrong.insert(wrong.end(), {true, -0.5});
        break;
      case 3:  // bool
        wrong.insert(wrong.end(), {0, 1.0});
        break;
      default:
        wrong.insert(wrong.end(), {true, 1, ""});
    }
    for (const nlohmann::json& value : wrong) {
      nlohmann::json json = whole;
      json[std::string(field.name)] = value;
      EXPECT_THAT(TrainingOptionsFromJson(json),
                  StatusIs(absl::StatusCode::kDataLoss, StartsWith("options." + std::string(field.name) + ": ")))
          << value;
    }
  }
}

}  // namespace
}  // namespace graft
