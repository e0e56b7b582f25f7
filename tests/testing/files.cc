#include "tests/testing/files.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace graft::testing {
namespace {

[[noreturn]] void Die(absl::string_view what, const std::filesystem::path& path) {
  std::fprintf(stderr, "%s %s\n", std::string(what).c_str(), path.c_str());
  std::abort();
}

}  // namespace

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "graft-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    Die("cannot create", name);
  }
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    Die("cannot read", path);
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void WriteText(const std::filesystem::path& path, absl::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) {
    Die("cannot write", path);
  }
}

std::vector<uint8_t> ReadBytes(const std::filesystem::path& path) {
  const std::string text = ReadText(path);
  return std::vector<uint8_t>(text.begin(), text.end());
}

std::filesystem::path Golden(absl::string_view name) {
  return std::filesystem::path(GRAFT_SOURCE_DIR) / "tests" / "golden" / std::string(name);
}

std::filesystem::path Sample(absl::string_view name) {
  return std::filesystem::path(GRAFT_SOURCE_DIR) / "samples" / std::string(name);
}

void ForEachDamage(const std::filesystem::path& path, int flips, int cuts,
                   const std::function<void(const std::string& what)>& check) {
  const std::string whole = ReadText(path);
  const size_t size = whole.size();
  for (int i = 0; i < flips; ++i) {
    const size_t at = size * static_cast<size_t>(i) / static_cast<size_t>(flips);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (i % 8)));
    WriteText(path, damaged);
    check(absl::StrCat("byte ", at, " of ", size, " flipped"));
  }
  for (int i = 0; i < cuts; ++i) {
    const size_t at = size * static_cast<size_t>(i) / static_cast<size_t>(cuts);
    WriteText(path, whole.substr(0, at));
    check(absl::StrCat("cut to ", at, " of ", size, " bytes"));
  }
  WriteText(path, whole);
}

}  // namespace graft::testing
