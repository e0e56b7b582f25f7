#include "core/train/features.h"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/data/packed_images.h"

namespace graft {
namespace {

constexpr char kTensor[] = "features";
constexpr char kManifestKey[] = "manifest";
constexpr char kRuleKey[] = "pixel_rule";
constexpr char kTrunkKey[] = "trunk_sha256";
constexpr int64_t kBatch = 32;  // images a pass

// Of images of side x side x 3 bytes, one behind another.
void Mirror(absl::Span<const uint8_t> images, int64_t side, std::vector<uint8_t>* out) {
  out->resize(images.size());
  for (size_t line = 0; line < images.size(); line += static_cast<size_t>(side) * 3) {
    for (int64_t i = 0; i < side; ++i) {
      std::copy_n(images.begin() + static_cast<int64_t>(line) + i * 3, 3,
                  out->begin() + static_cast<int64_t>(line) + (side - 1 - i) * 3);
    }
  }
}

absl::Status Extract(const std::filesystem::path& path, const std::filesystem::path& dataset, const Manifest& manifest,
                     const Trunk& trunk, const FeatureOptions& options, const ProgressFn& progress) {
  GRAFT_ASSIGN_OR_RETURN(const auto images,
                         PackedImages::OpenOrBuild(dataset, manifest, options.image_size, options.interpolation,
                                                   options.threads, progress));
  const int64_t count = images->size();
  const int64_t dimension = trunk.dimension(options.image_size);
  GRAFT_ASSIGN_OR_RETURN(
      SafetensorsWriter writer,
      SafetensorsWriter::Create(
          path, {{kTensor, DType::kF32, {count, dimension}, {}}},
          {{kManifestKey, manifest.fingerprint}, {kRuleKey, kPixelRule}, {kTrunkKey, trunk.fingerprint()}}));
  std::vector<float> out(static_cast<size_t>(kBatch * dimension));
  std::vector<uint8_t> mirrored;
  const auto image_bytes = static_cast<size_t>(options.image_size) * static_cast<size_t>(options.image_size) * 3;
  for (int64_t from = 0; from < count; from += kBatch) {
    const int64_t n = std::min(kBatch, count - from);
    // Images lie one behind another in the packed file, so a batch is a span of it.
    absl::Span<const uint8_t> batch(images->image(from).data(), static_cast<size_t>(n) * image_bytes);
    if (options.mirrored) {
      Mirror(batch, options.image_size, &mirrored);
      batch = mirrored;
    }
    const absl::Span<float> rows = absl::MakeSpan(out).first(static_cast<size_t>(n * dimension));
    GRAFT_RETURN_IF_ERROR(trunk.Extract(batch, n, options.image_size, options.preprocessing, rows));
    GRAFT_RETURN_IF_ERROR(writer.Append(AsBytes(absl::Span<const float>(rows))));
    GRAFT_RETURN_IF_ERROR(progress({options.mirrored ? "mirrored features" : "features", from + n, count, "images"}));
  }
  return writer.Commit();
}

}  // namespace

Features::Features(Safetensors file, int64_t count, Shape shape, bool cached)
    : file_(std::move(file)), count_(count), shape_(std::move(shape)), cached_(cached) {
  const TensorView& tensor = *file_.Find(kTensor);
  values_ = {reinterpret_cast<const float*>(tensor.data.data()), tensor.data.size() / sizeof(float)};
}

absl::StatusOr<std::shared_ptr<const Features>> Features::OpenOrExtract(const std::filesystem::path& dataset,
                                                                        const Manifest& manifest, const Trunk& trunk,
                                                                        const FeatureOptions& options,
                                                                        const ProgressFn& progress) {
  if (options.preprocessing == Preprocessing::kAuto) {
    return InvalidField("preprocessing", "auto isn't resolved; use the one that stands in the trunk's row");
  }
  const std::filesystem::path path =
      dataset / "cache" /
      absl::StrCat("features-", trunk.info().name, "-", PreprocessingName(options.preprocessing), "-",
                   options.image_size, "-", InterpolationName(options.interpolation),
                   options.mirrored ? "-mirrored" : "", ".safetensors");
  const auto count = static_cast<int64_t>(manifest.entries.size());
  const int64_t dimension = trunk.dimension(options.image_size);
  const auto open = [&](bool cached) -> absl::StatusOr<std::shared_ptr<const Features>> {
    GRAFT_ASSIGN_OR_RETURN(Safetensors file, Safetensors::OpenSealed(path, Safetensors::Access::kMap));
    GRAFT_RETURN_IF_ERROR(file.Get(kTensor, DType::kF32, {count, dimension}).status());
    if (file.Metadata(kManifestKey) != manifest.fingerprint || file.Metadata(kRuleKey) != kPixelRule ||
        file.Metadata(kTrunkKey) != trunk.fingerprint()) {
      return absl::DataLossError(
          absl::StrCat(path.string(), " belongs to another split, other weights or another version of Graft"));
    }
    return std::shared_ptr<const Features>(
        new Features(std::move(file), count, FeatureShape(trunk.info(), options.image_size), cached));
  };
  if (auto opened = open(true); opened.ok()) {
    return opened;
  }
  // A cache can always be made again, so a damaged one is no error.
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) {
    return ErrnoStatus(error.value(), "create", path.parent_path());
  }
  GRAFT_RETURN_IF_ERROR(Extract(path, dataset, manifest, trunk, options, progress));
  return open(false);
}

}  // namespace graft
