#include "core/train/checkpoints.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKept = 2;
constexpr int kCostFactor = 100;
constexpr auto kBetween = std::chrono::minutes(2);

}  // namespace

Checkpoints::Checkpoints(fs::path folder, std::chrono::milliseconds least)
    : folder_(std::move(folder)), least_(least), last_(Clock::now()) {}

absl::StatusOr<Checkpoints> Checkpoints::Open(fs::path folder, std::chrono::milliseconds least) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return ErrnoStatus(error.value(), "create", folder);
  }
  return Checkpoints(std::move(folder), least);
}

std::vector<Checkpoints::Entry> Checkpoints::Entries(absl::string_view stage) const {
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    absl::string_view rest = name;
    Entry entry;
    if (absl::ConsumePrefix(&rest, absl::StrCat(stage, "-")) && absl::ConsumeSuffix(&rest, ".safetensors") &&
        absl::SimpleAtoi(rest, &entry.number)) {
      entry.path = it->path();
      entries.push_back(std::move(entry));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.number < b.number; });
  return entries;
}

std::optional<Safetensors> Checkpoints::Newest(absl::string_view stage) {
  std::vector<Entry> entries = Entries(stage);
  for (; !entries.empty(); entries.pop_back()) {
    absl::StatusOr<Safetensors> file = Safetensors::OpenSealed(entries.back().path);
    if (file.ok()) {
      return *std::move(file);
    }
    std::error_code error;
    fs::remove(entries.back().path, error);
  }
  return std::nullopt;
}

bool Checkpoints::Due(bool between) const {
  const Clock::duration passed = Clock::now() - last_;
  if (least_.count() == 0) {
    return true;
  }
  return passed >= least_ && passed >= kCostFactor * cost_ && (!between || passed >= kBetween);
}

absl::Status Checkpoints::Save(absl::string_view stage, const std::vector<TensorView>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  const Clock::time_point start = Clock::now();
  std::vector<Entry> entries = Entries(stage);
  const int64_t number = entries.empty() ? 1 : entries.back().number + 1;
  GRAFT_RETURN_IF_ERROR(Failpoint("checkpoint.before"));
  GRAFT_RETURN_IF_ERROR(
      WriteSafetensors(folder_ / absl::StrCat(stage, "-", number, ".safetensors"), tensors, metadata));
  GRAFT_RETURN_IF_ERROR(Failpoint("checkpoint.after"));
  for (size_t i = 0; i + (kKept - 1) < entries.size(); ++i) {
    std::error_code error;
    fs::remove(entries[i].path, error);
  }
  last_ = Clock::now();
  cost_ = last_ - start;
  return absl::OkStatus();
}

}  // namespace graft
