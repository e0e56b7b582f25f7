#include "core/data/packed_images.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/memory_budget.h"
#include "core/base/parallel.h"
#include "core/base/sha256.h"
#include "core/base/status.h"

namespace graft {
namespace {

constexpr char kTensor[] = "images";
constexpr char kManifestKey[] = "manifest";
constexpr char kRuleKey[] = "pixel_rule";

absl::Status Build(const std::filesystem::path& path, const std::filesystem::path& dataset, const Manifest& manifest,
                   int image_size, Interpolation interpolation, int threads, const ProgressFn& progress) {
  const auto total = static_cast<int64_t>(manifest.entries.size());
  GRAFT_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(path, {{kTensor, DType::kU8, {total, image_size, image_size, 3}, {}}},
                                {{kManifestKey, manifest.fingerprint}, {kRuleKey, kPixelRule}}));
  const size_t image_bytes = static_cast<size_t>(image_size) * static_cast<size_t>(image_size) * 3;
  MemoryBudget memory(kDecodingBytes);
  constexpr int64_t kChunk = 128;  // images in memory at a time
  std::vector<uint8_t> buffer(static_cast<size_t>(std::min(kChunk, total)) * image_bytes);
  for (int64_t from = 0; from < total; from += kChunk) {
    const int64_t count = std::min(kChunk, total - from);
    std::mutex mutex;
    absl::Status failure;  // guarded by mutex
    ParallelFor(count, threads, [&](int64_t i) {
      const ManifestEntry& entry = manifest.entries[static_cast<size_t>(from + i)];
      const auto decode = [&]() -> absl::Status {
        GRAFT_ASSIGN_OR_RETURN(
            const std::vector<uint8_t> bytes,
            ReadFile(dataset / std::string(PartFolder(entry.part)) / entry.path, ImageLimits().max_bytes));
        if (Sha256Hex(bytes) != entry.sha256) {
          return absl::DataLossError("its bytes aren't those of the manifest");
        }
        GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes));
        const MemoryBudget::Share share = memory.Take(info.decoded_bytes);
        return DecodeImageTo(bytes, info, image_size, interpolation,
                             absl::MakeSpan(buffer).subspan(static_cast<size_t>(i) * image_bytes, image_bytes));
      };
      if (absl::Status status = decode(); !status.ok()) {
        const std::lock_guard lock(mutex);
        failure.Update(
            absl::IsResourceExhausted(status)
                ? status  // not the image's fault
                : absl::DataLossError(absl::StrCat(
                      entry.path, " of the data set isn't what it was when it was split: ", status.message())));
      }
    });
    GRAFT_RETURN_IF_ERROR(failure);
    GRAFT_RETURN_IF_ERROR(writer.Append(absl::MakeConstSpan(buffer).first(static_cast<size_t>(count) * image_bytes)));
    GRAFT_RETURN_IF_ERROR(progress({"decode", from + count, total, "images"}));
  }
  return writer.Commit();
}

}  // namespace

PackedImages::PackedImages(Safetensors file, int64_t count, int image_size)
    : file_(std::move(file)), pixels_(file_.Find(kTensor)->data), count_(count), image_size_(image_size) {}

absl::Span<const uint8_t> PackedImages::image(int64_t i) const {
  const size_t bytes = static_cast<size_t>(image_size_) * static_cast<size_t>(image_size_) * 3;
  return pixels_.subspan(static_cast<size_t>(i) * bytes, bytes);
}

absl::StatusOr<std::shared_ptr<const PackedImages>> PackedImages::OpenOrBuild(const std::filesystem::path& dataset,
                                                                              const Manifest& manifest, int image_size,
                                                                              Interpolation interpolation, int threads,
                                                                              const ProgressFn& progress) {
  const std::filesystem::path path =
      dataset / "cache" / absl::StrCat("images-", image_size, "-", InterpolationName(interpolation), ".safetensors");
  const auto count = static_cast<int64_t>(manifest.entries.size());
  const auto open = [&]() -> absl::StatusOr<std::shared_ptr<const PackedImages>> {
    GRAFT_ASSIGN_OR_RETURN(Safetensors file, Safetensors::OpenSealed(path, Safetensors::Access::kMap));
    GRAFT_RETURN_IF_ERROR(file.Get(kTensor, DType::kU8, {count, image_size, image_size, 3}).status());
    if (file.Metadata(kManifestKey) != manifest.fingerprint || file.Metadata(kRuleKey) != kPixelRule) {
      return absl::DataLossError(absl::StrCat(path.string(), " belongs to another split or another version of Graft"));
    }
    return std::shared_ptr<const PackedImages>(new PackedImages(std::move(file), count, image_size));
  };
  SweepTemporaries(path.parent_path());  // of jobs that were killed while they made a cache
  if (auto opened = open(); opened.ok()) {
    return opened;
  }
  // A cache can always be made again, so a damaged one is no error.
  GRAFT_RETURN_IF_ERROR(CreateFolders(path.parent_path()));
  GRAFT_RETURN_IF_ERROR(CatchExceptions("decoding the data set", [&] {
    return Build(path, dataset, manifest, image_size, interpolation, threads, progress);
  }));
  return open();
}

}  // namespace graft
