#include "core/base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace graft {
namespace {

std::string Rising(int from, int step) {
  std::string bytes;
  for (int i = 0; i < 32; ++i) {
    bytes += static_cast<char>(from + i * step);
  }
  return bytes;
}

// RFC 3720, appendix B.4, whose checksums stand there byte by byte, the lowest first.
TEST(Crc32c, IsThatOfTheRfc) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  EXPECT_EQ(Crc32c(Rising(0, 1)), 0x46DD794EU);
  EXPECT_EQ(Crc32c(Rising(31, -1)), 0x113FDB5CU);
  const std::string read_command =  // an iSCSI read
      std::string("\x01\xc0\0\0", 4) + std::string(12, '\0') + std::string("\x14\0\0\0\0\0\x04\0", 8) +
      std::string("\0\0\0\x14\0\0\0\x18", 8) + std::string("\x28\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0", 16);
  ASSERT_EQ(read_command.size(), 48U);
  EXPECT_EQ(Crc32c(read_command), 0xD9963A56U);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(Crc32c(""), 0U);
}

}  // namespace
}  // namespace graft
