// The safetensors format (https://github.com/huggingface/safetensors): eight bytes of header length, a JSON header, raw
// tensors.
//
// What we write also carries a SHA-256 over header and data in its metadata ("graft.sha256"), so that damage is found
// on opening. Reading accepts files without one (weights from elsewhere) and checks everything else: the header's size,
// types, shapes against bytes, no overlap, no hole, no bytes left over.
#ifndef GRAFT_CORE_BASE_SAFETENSORS_H_
#define GRAFT_CORE_BASE_SAFETENSORS_H_

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace graft {

enum class DType { kU8, kI32, kI64, kF32, kF64 };

int64_t DTypeSize(DType dtype);
absl::string_view DTypeName(DType dtype);

// A tensor's description and, where it has any, its bytes: little-endian, row-major.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  absl::Span<const uint8_t> data;

  int64_t elements() const;
};

// The bytes of a span of numbers.
template <typename T>
absl::Span<const uint8_t> AsBytes(absl::Span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

// An opened file; its tensors point into it. Immutable, so any thread may read.
class Safetensors {
 public:
  enum class Access {
    kRead,  // copied into memory: for files that somebody else could truncate
    kMap,   // memory-mapped: for large caches
  };
  // NOT_FOUND, or DATA_LOSS that says what is wrong.
  static absl::StatusOr<Safetensors> Open(const std::filesystem::path& path, Access access = Access::kRead);
  // The same for a file of our own: one without a SHA-256 is DATA_LOSS too.
  static absl::StatusOr<Safetensors> OpenSealed(const std::filesystem::path& path, Access access = Access::kRead);

  const std::vector<TensorView>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Whether it carries our SHA-256, which was then right.
  bool sealed() const { return metadata_.count("graft.sha256") > 0; }
  // Nullptr when it isn't there.
  const TensorView* Find(absl::string_view name) const;
  // The tensor with this type and shape (-1 stands for any length), else DATA_LOSS.
  absl::StatusOr<TensorView> Get(absl::string_view name, DType dtype, absl::Span<const int64_t> shape) const;
  // Empty when it isn't there.
  std::string Metadata(const std::string& key) const;

 private:
  Safetensors() = default;
  absl::Status Parse(absl::Span<const uint8_t> bytes);

  std::vector<uint8_t> memory_;
  std::optional<MappedFile> map_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Writes a file piece by piece, for tensors that don't fit into memory at once.
class SafetensorsWriter {
 public:
  // `tensors` say name, type and shape; their data is ignored.
  static absl::StatusOr<SafetensorsWriter> Create(const std::filesystem::path& path,
                                                  const std::vector<TensorView>& tensors,
                                                  std::map<std::string, std::string> metadata);
  // The next bytes of the tensors, in their order.
  absl::Status Append(absl::Span<const uint8_t> bytes);
  // INTERNAL when too few or too many bytes came.
  absl::Status Commit();

 private:
  SafetensorsWriter(AtomicFile file, int64_t expected, int64_t hash_offset)
      : file_(std::move(file)), hash_(std::make_unique<Sha256>()), missing_(expected), hash_offset_(hash_offset) {}

  AtomicFile file_;
  std::unique_ptr<Sha256> hash_;
  int64_t missing_;
  int64_t hash_offset_;
};

// The whole of it at once, atomically.
absl::Status WriteSafetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace graft

#endif  // GRAFT_CORE_BASE_SAFETENSORS_H_
