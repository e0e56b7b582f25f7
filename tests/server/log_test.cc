#include "server/log.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace graft {
namespace {

using ::testing::HasSubstr;

std::string Logged(const std::string& value) {
  std::ostringstream out;
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out)));
  Log(LogLevel::kInfo, "event", {{"first", value}, {"empty", ""}, {"second", "2"}});
  return out.str();
}

TEST(LogTest, AValueIsCutAndCannotPlayTricks) {
  EXPECT_THAT(Logged("plain"), HasSubstr("event first=plain second=2\n"));
  EXPECT_THAT(Logged("two words, \"quoted\""), HasSubstr(R"(first="two words, \"quoted\"" second=2)"));
  EXPECT_THAT(Logged("a\nb\x1b[31m \xc2\x9b \xe2\x80\xae \xff"),
              HasSubstr(R"(first="a\nb\x1b[31m \xc2\x9b \xe2\x80\xae \xff")"));
  // 20 MB of what grows when it is escaped.
  EXPECT_LT(Logged(std::string(20'000'000, '\x01')).size(), 700U);
  EXPECT_LT(Logged(std::string(20'000'000, '"')).size(), 1200U);
  EXPECT_THAT(Logged(std::string(300, 'x')), HasSubstr("x... second=2"));
}

}  // namespace
}  // namespace graft
