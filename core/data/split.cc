#include "core/data/split.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/failpoint.h"
#include "core/base/file.h"
#include "core/base/memory_budget.h"
#include "core/base/parallel.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

constexpr int64_t kMaxImages = 10'000'000;
constexpr size_t kMinClasses = 2;
constexpr size_t kMaxClasses = 1000;

// How many of a class's `count` images each part gets.
std::array<int64_t, 3> PartSizes(const SplitOptions& options, int64_t count) {
  if (const auto* counts = std::get_if<SplitCounts>(&options.sizes)) {
    return {counts->train, counts->validation, counts->test};
  }
  const auto& fractions = std::get<SplitFractions>(options.sizes);
  const std::array<double, 3> shares = {fractions.train, fractions.validation, fractions.test};
  std::array<int64_t, 3> sizes{};
  std::array<std::pair<double, int>, 3> remainders;
  double sum = 0;
  int64_t given = 0;
  for (int i = 0; i < 3; ++i) {
    const double exact = shares[static_cast<size_t>(i)] * static_cast<double>(count);
    // A hair above, so that 0.2 of 5 is 1 and not 0.
    const double whole = std::floor(exact + 1e-9);
    sizes[static_cast<size_t>(i)] = static_cast<int64_t>(whole);
    remainders[static_cast<size_t>(i)] = {whole - exact, i};  // most negative: the largest remainder
    given += static_cast<int64_t>(whole);
    sum += exact;
  }
  std::sort(remainders.begin(), remainders.end());
  const auto wanted = static_cast<int64_t>(std::floor(sum + 1e-9));
  for (size_t i = 0; given < wanted; ++i, ++given) {
    ++sizes[static_cast<size_t>(remainders[i % 3].second)];
  }
  return sizes;
}

// Marks copies: keeps the first of each content, and none when labels disagree.
void DropCopies(std::vector<Candidate>* candidates, std::vector<SkippedEntry>* skipped) {
  std::map<std::string, std::vector<const Candidate*>> by_content;
  for (const Candidate& candidate : *candidates) {
    by_content[candidate.sha256].push_back(&candidate);
  }
  std::set<std::string> dropped;
  for (const auto& [sha256, copies] : by_content) {
    const Candidate& first = *copies.front();
    const auto other =
        std::find_if(copies.begin(), copies.end(), [&](const Candidate* c) { return c->label != first.label; });
    for (const Candidate* copy : copies) {
      if (other != copies.end()) {
        const Candidate& rival = copy->label == first.label ? **other : first;
        skipped->push_back(
            {copy->path, absl::StrCat("has the same bytes as ", rival.path, ", which is labelled ", rival.label)});
        dropped.insert(copy->path);
      } else if (copy != &first) {
        skipped->push_back({copy->path, absl::StrCat("an exact copy of ", first.path)});
        dropped.insert(copy->path);
      }
    }
  }
  candidates->erase(std::remove_if(candidates->begin(), candidates->end(),
                                   [&](const Candidate& c) { return dropped.count(c.path) > 0; }),
                    candidates->end());
}

// One file as a candidate. Fully decoded here, so that no later epoch meets a file it can't read.
absl::StatusOr<Candidate> ReadCandidate(const SourceFolder& root, const std::string& path, const SplitOptions& options,
                                        MemoryBudget* memory) {
  // Neither JSON nor Protobuf carries a name that isn't UTF-8, and a harmful one would change what others see on their
  // screens.
  if (!IsCleanText(path)) {
    return absl::InvalidArgumentError("its name isn't UTF-8, or holds control or direction characters; rename it");
  }
  Candidate candidate;
  candidate.path = path;
  GRAFT_ASSIGN_OR_RETURN(candidate.label, LabelOf(path, options.label_rule));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, root.Read(path, options.limits.max_bytes));
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes, options.limits));
  {
    const MemoryBudget::Share share = memory->Take(info.decoded_bytes);
    std::array<uint8_t, size_t{ImagePrint::kSide} * ImagePrint::kSide * 3> thumbnail;
    GRAFT_RETURN_IF_ERROR(
        DecodeImageTo(bytes, info, ImagePrint::kSide, Interpolation::kArea, absl::MakeSpan(thumbnail)));
    candidate.print = PrintOf(thumbnail);
  }
  candidate.sha256 = Sha256Hex(bytes);
  candidate.bytes = static_cast<int64_t>(bytes.size());
  return candidate;
}

absl::Status Scan(const SourceFolder& root, const std::vector<TreeFile>& files, const SplitOptions& options,
                  const ProgressFn& progress, std::vector<Candidate>* candidates, std::vector<SkippedEntry>* skipped) {
  const auto total = static_cast<int64_t>(files.size());
  MemoryBudget memory(kDecodingBytes);
  std::mutex mutex;  // guards candidates, skipped and the two below
  int64_t done = 0;
  absl::Status stop;
  ParallelFor(total, options.threads, [&](int64_t i) {
    {
      const std::lock_guard lock(mutex);
      if (!stop.ok()) {
        return;
      }
    }
    const std::string& path = files[static_cast<size_t>(i)].path;
    absl::StatusOr<Candidate> candidate = ReadCandidate(root, path, options, &memory);
    const std::lock_guard lock(mutex);
    if (candidate.ok()) {
      candidates->push_back(*std::move(candidate));
    } else if (absl::IsResourceExhausted(candidate.status())) {
      stop.Update(candidate.status());  // out of memory or file handles: not the image's fault
    } else {
      skipped->push_back({Printable(path), std::string(candidate.status().message())});
    }
    stop.Update(progress({"scan", ++done, total, "files"}));
  });
  return stop;
}

// Before copies are left out.
SplitFindings Find(const std::vector<Candidate>& candidates, const std::vector<SkippedEntry>& skipped) {
  SplitFindings findings;
  findings.unreadable = static_cast<int64_t>(skipped.size());
  struct Content {
    int64_t files = 0;
    std::set<absl::string_view> labels;
  };
  std::map<absl::string_view, Content> contents;
  for (const Candidate& candidate : candidates) {
    Content& content = contents[candidate.sha256];
    ++content.files;
    content.labels.insert(candidate.label);
  }
  for (const auto& [sha256, content] : contents) {
    if (content.labels.size() > 1) {
      findings.conflicting += content.files;
    } else {
      findings.exact_copies += content.files - 1;
    }
  }
  return findings;
}

absl::Status CopyOrLink(const SourceFolder& root, const std::string& path, const std::filesystem::path& target,
                        const SplitOptions& options) {
  GRAFT_RETURN_IF_ERROR(Failpoint("split.copy"));
  return options.hard_link ? root.LinkTo(path, target) : root.CopyTo(path, target);
}

// The parts' folders with their files, checked against the manifest.
absl::Status Fill(const SourceFolder& root, const Manifest& manifest, const std::filesystem::path& dataset,
                  const SplitOptions& options, const ProgressFn& progress) {
  for (Part part : kParts) {  // a part may be empty; its folder is there all the same
    GRAFT_RETURN_IF_ERROR(CreateFolders(dataset / std::string(PartFolder(part))));
  }
  const auto total = static_cast<int64_t>(manifest.entries.size());
  int64_t done = 0;
  for (const ManifestEntry& entry : manifest.entries) {
    const std::filesystem::path target = dataset / std::string(PartFolder(entry.part)) / entry.path;
    GRAFT_RETURN_IF_ERROR(CreateFolders(target.parent_path()));
    GRAFT_RETURN_IF_ERROR(CopyOrLink(root, entry.path, target, options));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(target, options.limits.max_bytes));
    if (Sha256Hex(bytes) != entry.sha256) {
      return absl::AbortedError(
          absl::StrCat(Printable((root.path() / entry.path).string()), " changed while it was being split; try again"));
    }
    GRAFT_RETURN_IF_ERROR(progress({"copy", ++done, total, "files"}));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SplitOptions::Validate() const {
  if (const auto* counts = std::get_if<SplitCounts>(&sizes)) {
    for (const auto& [name, value, least] : {std::tuple{"counts.train", counts->train, int64_t{1}},
                                             {"counts.validation", counts->validation, int64_t{1}},
                                             {"counts.test", counts->test, int64_t{0}}}) {
      if (value < least || value > kMaxImages) {
        return InvalidField(name, absl::StrCat(value, " images per class; use ", least, " to ", kMaxImages));
      }
    }
    return absl::OkStatus();
  }
  const auto& fractions = std::get<SplitFractions>(sizes);
  for (const auto& [name, value] :
       {std::pair{"fractions.train", fractions.train}, {"fractions.validation", fractions.validation}}) {
    if (!(value > 0 && value < 1)) {
      return InvalidField(name, absl::StrCat(value, " of each class; use a share above 0 and below 1"));
    }
  }
  if (!(fractions.test >= 0 && fractions.test < 1)) {
    return InvalidField("fractions.test",
                        absl::StrCat(fractions.test, " of each class; use a share from 0 to below 1"));
  }
  const double sum = fractions.train + fractions.validation + fractions.test;
  if (sum > 1 + 1e-9) {
    return InvalidField("fractions", absl::StrCat("they add up to ", sum, "; at most 1"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> LabelOf(absl::string_view path, LabelRule rule) {
  const size_t slash = path.rfind('/');
  if (rule == LabelRule::kFolder) {
    if (slash == absl::string_view::npos) {
      return absl::InvalidArgumentError("lies in no folder that could be its label");
    }
    const absl::string_view folder = path.substr(0, slash);
    return std::string(folder.substr(folder.rfind('/') + 1));  // npos + 1 is 0
  }
  const absl::string_view name = path.substr(slash + 1);
  const size_t dot = name.find('.');
  if (dot == absl::string_view::npos || dot == 0) {
    return absl::InvalidArgumentError("has no dot in its name that could end a label");
  }
  return std::string(name.substr(0, dot));
}

absl::StatusOr<Manifest> AssignParts(std::vector<Candidate> candidates, std::vector<SkippedEntry> skipped,
                                     const SplitOptions& options) {
  std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  DropCopies(&candidates, &skipped);
  std::map<std::string, std::vector<const Candidate*>> classes;
  for (const Candidate& candidate : candidates) {
    classes[candidate.label].push_back(&candidate);
  }
  if (classes.size() < kMinClasses || classes.size() > kMaxClasses) {
    const std::string found = absl::StrJoin(classes, ", ", [](std::string* out, const auto& c) {
      absl::StrAppend(out, c.first, " (", c.second.size(), ")");
    });
    return absl::InvalidArgumentError(
        absl::StrCat("found ", classes.size(), " classes of readable images",
                     classes.size() < kMinClasses ? ": " + found : "", "; ", kMinClasses, " to ", kMaxClasses,
                     " are needed. Is the label in the file name (label rule filename) or the folder (folder)?"));
  }

  Manifest manifest;
  for (auto& [label, images] : classes) {
    const int label_index = static_cast<int>(manifest.labels.size());
    manifest.labels.push_back(label);
    const std::array<int64_t, 3> sizes = PartSizes(options, static_cast<int64_t>(images.size()));
    const int64_t needed = sizes[0] + sizes[1] + sizes[2];
    const bool wants_test =
        std::holds_alternative<SplitFractions>(options.sizes) && std::get<SplitFractions>(options.sizes).test > 0;
    if (needed > static_cast<int64_t>(images.size()) || sizes[0] < 1 || sizes[1] < 1 || (wants_test && sizes[2] < 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "class ", label, " has ", images.size(), " readable images, too few for ", sizes[0], " training, ", sizes[1],
          " validation and ", sizes[2], " test images (each part needs at least one); add images or ask for fewer"));
    }
    std::vector<std::pair<std::string, const Candidate*>> order;
    order.reserve(images.size());
    for (const Candidate* image : images) {
      order.emplace_back(Sha256Hex(absl::StrCat(options.seed, "\n", image->path)), image);
    }
    std::sort(order.begin(), order.end());
    size_t next = 0;
    for (size_t part = 0; part < kParts.size(); ++part) {
      for (int64_t i = 0; i < sizes[part]; ++i) {
        const Candidate& image = *order[next++].second;
        manifest.entries.push_back({image.path, label_index, kParts[part], image.sha256, image.bytes});
      }
    }
    manifest.unused += static_cast<int64_t>(order.size() - next);
  }
  std::sort(manifest.entries.begin(), manifest.entries.end(),
            [](const auto& a, const auto& b) { return std::tie(a.part, a.path) < std::tie(b.part, b.path); });
  std::sort(skipped.begin(), skipped.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  manifest.skipped = std::move(skipped);
  return manifest;
}

absl::StatusOr<Manifest> SplitFolder(const std::filesystem::path& root, const std::filesystem::path& dataset,
                                     const SplitOptions& options, const ProgressFn& progress, SplitFindings* findings) {
  GRAFT_ASSIGN_OR_RETURN(const SourceFolder folder, SourceFolder::Open(root));
  return SplitFolder(folder, dataset, options, progress, findings);
}

absl::StatusOr<Manifest> SplitFolder(const SourceFolder& root, const std::filesystem::path& dataset,
                                     const SplitOptions& options, const ProgressFn& progress, SplitFindings* findings) {
  GRAFT_RETURN_IF_ERROR(options.Validate());
  return CatchExceptions("splitting", [&]() -> absl::StatusOr<Manifest> {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<TreeFile> files, root.List({.max_files = options.max_files}));
    std::vector<Candidate> candidates;
    std::vector<SkippedEntry> skipped;
    GRAFT_RETURN_IF_ERROR(Scan(root, files, options, progress, &candidates, &skipped));
    SplitFindings found = Find(candidates, skipped);
    std::map<std::string, ImagePrint> prints;  // by path
    for (const Candidate& candidate : candidates) {
      prints[candidate.path] = candidate.print;
    }
    GRAFT_ASSIGN_OR_RETURN(Manifest manifest, AssignParts(std::move(candidates), std::move(skipped), options));
    for (const ManifestEntry& entry : manifest.entries) {
      found.prints.push_back(prints[entry.path]);
    }
    GRAFT_RETURN_IF_ERROR(Fill(root, manifest, dataset, options, progress));
    GRAFT_RETURN_IF_ERROR(Failpoint("split.sync"));
    GRAFT_RETURN_IF_ERROR(SyncFileSystem(dataset));
    GRAFT_RETURN_IF_ERROR(Failpoint("split.manifest"));
    GRAFT_ASSIGN_OR_RETURN(manifest.fingerprint, SaveManifest(manifest, dataset));
    if (findings != nullptr) {
      *findings = std::move(found);
    }
    return manifest;
  });
}

}  // namespace graft
