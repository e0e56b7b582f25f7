// Test helpers: temporary folders, files, status matchers.
#ifndef GRAFT_TESTS_TESTING_FILES_H_
#define GRAFT_TESTS_TESTING_FILES_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace graft::testing {

// A fresh folder, removed with everything in it at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(absl::string_view name) const { return path_ / std::string(name); }

 private:
  std::filesystem::path path_;
};

// Both end the test program when the file can't be read or written.
std::string ReadText(const std::filesystem::path& path);
void WriteText(const std::filesystem::path& path, absl::string_view content);
std::vector<uint8_t> ReadBytes(const std::filesystem::path& path);

// tests/golden/NAME and samples/NAME in the source tree.
std::filesystem::path Golden(absl::string_view name);
std::filesystem::path Sample(absl::string_view name);

// Calls `check` for damaged versions of `path`: each of `flips` bytes spread over the file flipped, then cut at `cuts`
// lengths. The file is whole again afterwards.
void ForEachDamage(const std::filesystem::path& path, int flips, int cuts,
                   const std::function<void(const std::string& what)>& check);

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

// EXPECT_THAT(result, StatusIs(absl::StatusCode::kNotFound, HasSubstr("pets")));
MATCHER_P2(StatusIs, code, message, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && ::testing::Matches(message)(std::string(status.message()));
}
MATCHER(IsOk, "") {
  *result_listener << StatusOf(arg).ToString();
  return StatusOf(arg).ok();
}

// ASSERT_OK_AND_ASSIGN(auto x, F());
#define GRAFT_TEST_CONCAT_INNER(a, b) a##b
#define GRAFT_TEST_CONCAT(a, b) GRAFT_TEST_CONCAT_INNER(a, b)
#define ASSERT_OK_AND_ASSIGN(lhs, expr) ASSERT_OK_AND_ASSIGN_INNER(GRAFT_TEST_CONCAT(result_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_INNER(result, lhs, expr) \
  auto result = (expr);                               \
  ASSERT_THAT(result, ::graft::testing::IsOk());      \
  lhs = *std::move(result)

}  // namespace graft::testing

#endif  // GRAFT_TESTS_TESTING_FILES_H_
