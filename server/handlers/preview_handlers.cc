#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "convert/convert.h"
#include "core/base/file.h"
#include "core/base/memory_budget.h"
#include "core/base/mutex.h"
#include "core/base/parallel.h"
#include "core/base/readable.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/data/augment.h"
#include "core/data/image.h"
#include "core/viz/contact_sheet.h"
#include "server/handlers/handlers.h"

namespace graft {
namespace {

constexpr size_t kMaxClasses = 20;
constexpr size_t kMaxPairs = 40;

// Of all previews together, beside the pictures themselves.
MemoryBudget& DecodingMemory() {
  static auto* const memory = new MemoryBudget(512'000'000);
  return *memory;
}

// What a preview is made of.
struct Source {
  const Deps& deps;
  const Call& call;
  std::filesystem::path folder;
  Manifest manifest;
};

absl::StatusOr<int> InRange(absl::string_view field, int value, int most, int otherwise) {
  if (value < 0 || value > most) {
    return InvalidField(field, absl::StrCat(value, " is out of range; use 1 to ", most, ", or 0 for ", otherwise));
  }
  return value == 0 ? otherwise : value;
}

std::string Images(int64_t count) { return absl::StrCat(Thousands(count), count == 1 ? " image" : " images"); }

absl::string_view PartTitle(Part part) {
  switch (part) {
    case Part::kTrain:
      return "Training";
    case Part::kValidation:
      return "Validation";
    case Part::kTest:
      return "Test";
  }
  return "";
}

const std::string& Label(const Source& source, const ManifestEntry& entry) {
  return source.manifest.labels[static_cast<size_t>(entry.label)];
}

// The image's file with what its header says, once there is memory to decode it; `use` does.
absl::Status WithImage(const Source& source, const ManifestEntry& entry,
                       const std::function<absl::Status(absl::Span<const uint8_t> bytes, const ImageInfo& info)>& use) {
  const auto read = [&]() -> absl::Status {
    GRAFT_ASSIGN_OR_RETURN(
        const std::vector<uint8_t> bytes,
        ReadFile(source.folder / std::string(PartFolder(entry.part)) / entry.path, ImageLimits().max_bytes));
    if (Sha256Hex(bytes) != entry.sha256) {
      return absl::DataLossError("its bytes aren't those of the manifest");
    }
    GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes));
    const MemoryBudget::Share share = DecodingMemory().Take(info.decoded_bytes);
    return use(bytes, info);
  };
  absl::Status status = read();
  if (status.ok() || absl::IsResourceExhausted(status)) {
    return status;
  }
  // The reason may name the file with all folders above it, which is nobody's business.
  return absl::DataLossError(
      absl::StrCat(entry.path, " of the data set isn't what it was when it was split",
                   absl::IsNotFound(status)   ? ": it is gone"
                   : absl::IsInternal(status) ? ""
                                              : ": ",
                   absl::IsNotFound(status) || absl::IsInternal(status) ? absl::string_view() : status.message()));
}

// Calls make(i) for each of `count` pictures, on a few threads, until one fails or nobody waits any more.
absl::Status ForEachPicture(const Source& source, size_t count, const std::function<absl::Status(size_t)>& make) {
  Mutex mutex;
  absl::Status failure;  // guarded by mutex
  ParallelFor(static_cast<int64_t>(count), std::min(source.deps.options->threads, 4), [&](int64_t i) {
    {
      const MutexLock lock(&mutex);
      if (!failure.ok()) {
        return;
      }
    }
    absl::Status status =
        source.call.Cancelled() ? absl::CancelledError("the caller has gone") : make(static_cast<size_t>(i));
    const MutexLock lock(&mutex);
    failure.Update(status);
  });
  return failure;
}

// Entries in an order that the seed alone decides.
std::vector<size_t> Shuffled(const Source& source, uint64_t seed, std::vector<size_t> entries) {
  std::vector<std::pair<std::string, size_t>> order;
  order.reserve(entries.size());
  for (const size_t i : entries) {
    order.emplace_back(Sha256Hex(absl::StrCat("preview\n", seed, "\n", source.manifest.entries[i].path)), i);
  }
  std::sort(order.begin(), order.end());
  std::transform(order.begin(), order.end(), entries.begin(), [](const auto& pair) { return pair.second; });
  return entries;
}

std::vector<size_t> EntriesOf(const Manifest& manifest, Part part, int label) {
  std::vector<size_t> entries;
  for (size_t i = 0; i < manifest.entries.size(); ++i) {
    if (manifest.entries[i].part == part && manifest.entries[i].label == label) {
      entries.push_back(i);
    }
  }
  return entries;
}

// Fills sheet->rows' pictures with these entries, row by row.
absl::Status AddThumbnails(const Source& source, const std::vector<std::vector<size_t>>& rows, Sheet* sheet) {
  struct Place {
    size_t entry;
    SheetPicture* picture;
  };
  std::vector<Place> places;
  for (size_t r = 0; r < rows.size(); ++r) {
    sheet->rows[r].pictures.resize(rows[r].size());
    for (size_t c = 0; c < rows[r].size(); ++c) {
      places.push_back({rows[r][c], &sheet->rows[r].pictures[c]});
    }
  }
  return ForEachPicture(source, places.size(), [&](size_t i) {
    return WithImage(source, source.manifest.entries[places[i].entry],
                     [&](absl::Span<const uint8_t> bytes, const ImageInfo& info) -> absl::Status {
                       GRAFT_ASSIGN_OR_RETURN(RgbImage image, DecodeThumbnail(bytes, info, 2 * sheet->picture_side));
                       places[i].picture->width = image.width;
                       places[i].picture->height = image.height;
                       places[i].picture->rgb = std::move(image.pixels);
                       return absl::OkStatus();
                     });
  });
}

absl::StatusOr<Sheet> Labelled(const Source& source, const v1::PreviewDatasetRequest& request) {
  GRAFT_ASSIGN_OR_RETURN(const int columns, InRange("columns", request.columns(), 16, 8));
  const Manifest& manifest = source.manifest;
  const size_t classes = std::min(manifest.labels.size(), kMaxClasses);
  Sheet sheet;
  sheet.title = request.name();
  sheet.subtitle =
      absl::StrCat(Images(static_cast<int64_t>(manifest.entries.size())), " of ", manifest.labels.size(), " classes",
                   classes < manifest.labels.size() ? absl::StrCat(", the first ", classes) : "",
                   "; shown are some of each, picked by seed ", request.seed());
  std::vector<std::vector<size_t>> rows;
  for (const Part part : kParts) {
    bool first = true;
    for (size_t label = 0; label < classes; ++label) {
      std::vector<size_t> entries = EntriesOf(manifest, part, static_cast<int>(label));
      if (entries.empty()) {
        continue;
      }
      SheetRow row;
      row.heading = first ? absl::StrCat(PartTitle(part), ": ", Images(manifest.Count(part))) : "";
      row.label = manifest.labels[label];
      row.note = Images(static_cast<int64_t>(entries.size()));
      first = false;
      entries = Shuffled(source, request.seed(), std::move(entries));
      entries.resize(std::min(entries.size(), static_cast<size_t>(columns)));
      rows.push_back(std::move(entries));
      sheet.rows.push_back(std::move(row));
    }
  }
  // The more rows, the smaller, so that a page stays a few megabytes.
  sheet.picture_side = rows.size() <= 12 ? 80 : rows.size() <= 30 ? 56 : 44;
  GRAFT_RETURN_IF_ERROR(AddThumbnails(source, rows, &sheet));
  return sheet;
}

SheetPicture Square(absl::Span<const float> pixels, int side) {
  SheetPicture picture{side, side, std::vector<uint8_t>(pixels.size())};
  std::transform(pixels.begin(), pixels.end(), picture.rgb.begin(),
                 [](float value) { return static_cast<uint8_t>(std::clamp(value + 0.5F, 0.0F, 255.0F)); });
  return picture;
}

// "rotation 40, zoom 0.3, fill reflect": what isn't as it is in options that change nothing.
std::string AugmentationText(const TrainingOptions& options) {
  std::string text;
  for (const OptionField& field : TrainingOptionFields()) {
    absl::string_view name = field.name;
    if (absl::ConsumePrefix(&name, "augment_") && field.get(options) != field.get(TrainingOptions())) {
      const std::string value = OptionText(field.get(options));
      absl::StrAppend(&text, text.empty() ? "" : ", ", name, value == "true" ? "" : absl::StrCat(" ", value));
    }
  }
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

absl::StatusOr<Sheet> Augmented(const Source& source, const v1::PreviewDatasetRequest& request) {
  const v1::PreviewDatasetRequest::Augmented& view = request.augmented();
  GRAFT_ASSIGN_OR_RETURN(const int columns, InRange("columns", request.columns(), 16, 5));
  GRAFT_ASSIGN_OR_RETURN(const int images, InRange("augmented.images", view.images(), 32, 4));
  TrainingOptions defaults;
  if (!view.variant().empty()) {
    GRAFT_RETURN_IF_ERROR(CheckText("augmented.variant", view.variant(), 100));
    GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(view.variant()));
    defaults = variant->recommended;
  }
  GRAFT_ASSIGN_OR_RETURN(const TrainingOptions options, FromProto(view.options(), defaults));
  if (!options.augmentation.any()) {
    return InvalidField("augmented.options",
                        absl::StrCat(view.variant().empty() ? "they change" : view.variant() + " changes",
                                     " no image; set one of augment_rotation, augment_zoom, augment_flip, ..."));
  }

  // One class after the other, so that few images show many of them.
  std::vector<std::vector<size_t>> by_label;
  by_label.reserve(source.manifest.labels.size());
  for (size_t label = 0; label < source.manifest.labels.size(); ++label) {
    by_label.push_back(
        Shuffled(source, request.seed(), EntriesOf(source.manifest, Part::kTrain, static_cast<int>(label))));
  }
  std::vector<size_t> entries;
  for (size_t turn = 0, added = 1; added > 0 && entries.size() < static_cast<size_t>(images); ++turn) {
    added = 0;
    for (const std::vector<size_t>& of : by_label) {
      if (turn < of.size() && entries.size() < static_cast<size_t>(images)) {
        entries.push_back(of[turn]);
        ++added;
      }
    }
  }

  Sheet sheet;
  sheet.title = absl::StrCat(request.name(), ", augmented", view.variant().empty() ? "" : " as by ", view.variant());
  sheet.subtitle =
      absl::StrCat(AugmentationText(options), "; seed ", request.seed(), ", ", options.image_size, " pixels");
  sheet.columns = {"original"};
  for (int epoch = 1; epoch <= columns; ++epoch) {
    sheet.columns.push_back(absl::StrCat("pass ", epoch));
  }
  sheet.picture_side = images * (columns + 1) <= 48 ? 96 : 72;
  sheet.rows.resize(entries.size());
  const int side = options.image_size;
  const absl::Status status = ForEachPicture(source, entries.size(), [&](size_t i) -> absl::Status {
    const ManifestEntry& entry = source.manifest.entries[entries[i]];
    std::vector<uint8_t> original(static_cast<size_t>(side) * static_cast<size_t>(side) * 3);
    absl::Status decoded = WithImage(source, entry, [&](absl::Span<const uint8_t> bytes, const ImageInfo& info) {
      return DecodeImageTo(bytes, info, side, options.interpolation, absl::MakeSpan(original));
    });
    if (!decoded.ok()) {
      return decoded;
    }
    SheetRow& row = sheet.rows[i];
    row.label = Label(source, entry);
    row.note = entry.path;
    row.pictures.push_back({side, side, original});
    std::vector<float> changed(original.size());
    for (int epoch = 1; epoch <= columns; ++epoch) {
      const uint64_t seed = ChangeSeed(request.seed(), epoch, static_cast<int64_t>(entries[i]));
      ApplyChange(DrawChange(options.augmentation, side, seed), original, side, absl::MakeSpan(changed));
      row.pictures.push_back(Square(changed, side));
    }
    return absl::OkStatus();
  });
  GRAFT_RETURN_IF_ERROR(status);
  return sheet;
}

absl::StatusOr<Sheet> Duplicates(const Source& source, const v1::PreviewDatasetRequest& request) {
  absl::StatusOr<DatasetQuality> quality = source.deps.data->GetQuality(request.name());
  if (absl::IsNotFound(quality.status())) {
    return absl::NotFoundError(absl::StrCat("duplicates: '", request.name(),
                                            "' was made before near-duplicates were looked for; split it again"));
  }
  GRAFT_RETURN_IF_ERROR(quality.status());
  if (quality->pairs.empty()) {
    return absl::NotFoundError(absl::StrCat("duplicates: no near-duplicates were found in '", request.name(), "'"));
  }
  const auto find = [&](const DatasetQuality::Image& image) -> absl::StatusOr<size_t> {
    const auto& entries = source.manifest.entries;
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const ManifestEntry& entry) {
      return entry.part == image.part && entry.path == image.path;
    });
    if (found == entries.end()) {
      return absl::DataLossError(absl::StrCat("duplicates: ", image.path, " isn't in the data set"));
    }
    return static_cast<size_t>(found - entries.begin());
  };
  Sheet sheet;
  const int64_t total = quality->crossing_pairs + quality->pairs_in_a_part;
  const size_t shown = std::min(quality->pairs.size(), kMaxPairs);
  sheet.title = absl::StrCat(request.name(), ", near-duplicates");
  sheet.subtitle = absl::StrCat(quality->pairs_cut_short ? "at least " : "", Thousands(quality->crossing_pairs),
                                quality->crossing_pairs == 1 ? " pair" : " pairs", " across parts, ",
                                Thousands(quality->pairs_in_a_part), " within one",
                                static_cast<int64_t>(shown) < total ? absl::StrCat("; shown are ", shown) : "");
  sheet.picture_side = 120;
  std::vector<std::vector<size_t>> rows;
  for (size_t i = 0; i < shown; ++i) {
    const DatasetQuality::Pair& pair = quality->pairs[i];
    SheetRow row;
    row.label = pair.same_pixels ? "same pixels" : absl::StrCat(pair.bits, " of 64 bits differ");
    row.note = pair.CrossesLabels() ? "two labels" : pair.CrossesParts() ? "two parts" : "one part";
    sheet.rows.push_back(std::move(row));
    GRAFT_ASSIGN_OR_RETURN(const size_t first, find(pair.first));
    GRAFT_ASSIGN_OR_RETURN(const size_t second, find(pair.second));
    rows.push_back({first, second});
  }
  GRAFT_RETURN_IF_ERROR(AddThumbnails(source, rows, &sheet));
  for (size_t i = 0; i < shown; ++i) {
    for (size_t side = 0; side < 2; ++side) {
      const DatasetQuality::Image& image = side == 0 ? quality->pairs[i].first : quality->pairs[i].second;
      sheet.rows[i].pictures[side].caption = {image.path, absl::StrCat(image.label, ", ", PartName(image.part))};
    }
  }
  return sheet;
}

}  // namespace

absl::Status PreviewDataset(const Deps& deps, const Call& call, const v1::PreviewDatasetRequest& request,
                            v1::PreviewDatasetResponse* response) {
  GRAFT_RETURN_IF_ERROR(deps.data->GetDataset(request.name()).status());
  Source source{deps, call, deps.data->Dataset(request.name()), {}};
  const absl::StatusOr<Manifest> manifest = LoadManifest(source.folder);
  if (!manifest.ok()) {
    return absl::DataLossError(
        absl::StrCat("'", request.name(), "' is damaged: its manifest can't be read; delete it"));
  }
  source.manifest = *manifest;
  return CatchExceptions("drawing the preview", [&]() -> absl::Status {
    Sheet sheet;
    switch (request.view_case()) {
      case v1::PreviewDatasetRequest::VIEW_NOT_SET: {
        GRAFT_ASSIGN_OR_RETURN(sheet, Labelled(source, request));
        break;
      }
      case v1::PreviewDatasetRequest::kAugmented: {
        GRAFT_ASSIGN_OR_RETURN(sheet, Augmented(source, request));
        break;
      }
      case v1::PreviewDatasetRequest::kDuplicates: {
        GRAFT_ASSIGN_OR_RETURN(sheet, Duplicates(source, request));
        break;
      }
    }
    GRAFT_ASSIGN_OR_RETURN(*response->mutable_png(), ContactSheet(sheet));
    return absl::OkStatus();
  });
}

}  // namespace graft
