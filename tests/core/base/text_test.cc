#include "core/base/text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace graft {
namespace {

TEST(Text, KnowsWhatIsUtf8) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("Kätzchen, 猫, \xF0\x9F\x90\xB1"));
  for (const char* bad : {"\xff", "\xc3", "a\x80", "\xc0\xaf" /* overlong */, "\xed\xa0\x80" /* a surrogate */,
                          "\xf4\x90\x80\x80" /* above U+10FFFF */, "\xe7\x8c"}) {
    EXPECT_FALSE(IsUtf8(bad)) << Printable(bad);
  }
}

TEST(Text, ANameMustNotSteerATerminalOrTurnTextRound) {
  EXPECT_TRUE(IsCleanText("naïve 猫.jpg"));
  for (const char* bad : {"a\nb", "\x1b[2J",
                          "\xc2\x9b"
                          "2J" /* U+009B */,
                          "\xe2\x80\xae"
                          "gpj" /* U+202E */,
                          "\x7f"}) {
    EXPECT_FALSE(IsCleanText(bad)) << Printable(bad);
  }
}

TEST(Text, NearNamesAreThoseOfASlipOfTheFingers) {
  const std::vector<std::string> names = {"block1_conv1", "block1_conv2", "block1_pool", "ab"};
  EXPECT_EQ(NearNames("block1_conv3", names), (std::vector<std::string>{"block1_conv1", "block1_conv2"}));
  EXPECT_EQ(NearNames("blck1_pol", names), std::vector<std::string>{"block1_pool"});
  EXPECT_TRUE(NearNames("x", names).empty()) << "anything is two slips from a short name";
  EXPECT_TRUE(NearNames("", names).empty());
  EXPECT_TRUE(NearNames("dense", names).empty());
}

TEST(Text, IsNeverCutInsideOfACodePoint) {
  const std::string cats = "猫猫猫";
  for (size_t bytes = 0; bytes <= cats.size() + 1; ++bytes) {
    const std::string cut(Clipped(cats, bytes));
    EXPECT_TRUE(IsUtf8(cut));
    EXPECT_LE(cut.size(), bytes);
    EXPECT_GT(cut.size() + 3, std::min(bytes, cats.size()));
  }
  EXPECT_EQ(Clipped("abc", 2), "ab");
}

TEST(Text, PrintableIsAlwaysCleanAndBounded) {
  EXPECT_EQ(Printable("a\nb\x1b\xff猫"), "a\\nb\\x1b\\xff猫");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");
  EXPECT_EQ(Printable(std::string(1000, 'x'), 4), "xxxx...");
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_TRUE(IsCleanText(Printable(std::string(3, static_cast<char>(byte)))));
  }
}

TEST(Text, CheckTextNamesTheFieldAndNeverRepeatsALongValue) {
  EXPECT_TRUE(CheckText("name", "pets", 10).ok());
  const absl::Status longer = CheckText("split.folder", std::string(1 << 20, 'x'), 4096);
  EXPECT_EQ(longer.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(longer.message().substr(0, 14), "split.folder: ");
  EXPECT_LT(longer.message().size(), 300U);
  EXPECT_EQ(CheckText("name", "a\x1b", 10).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace graft
