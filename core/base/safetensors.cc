#include "core/base/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

constexpr uint64_t kMaxHeader = 10 << 20;
constexpr int64_t kMaxFile = int64_t{1} << 40;
constexpr absl::string_view kHashKey = "graft.sha256";
constexpr size_t kHashDigits = 64;

std::optional<DType> DTypeFromName(absl::string_view name) {
  for (DType dtype : {DType::kU8, DType::kI32, DType::kI64, DType::kF32, DType::kF64}) {
    if (name == DTypeName(dtype)) {
      return dtype;
    }
  }
  return std::nullopt;
}

std::string ShapeText(absl::Span<const int64_t> shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

// Elements times size, or nothing on overflow or a negative length.
std::optional<int64_t> ByteSize(absl::Span<const int64_t> shape, DType dtype) {
  int64_t bytes = DTypeSize(dtype);
  for (int64_t n : shape) {
    if (n < 0 || __builtin_mul_overflow(bytes, n, &bytes)) {
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace

int64_t DTypeSize(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return 1;
    case DType::kI32:
    case DType::kF32:
      return 4;
    case DType::kI64:
    case DType::kF64:
      return 8;
  }
  return 0;
}

absl::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return "U8";
    case DType::kI32:
      return "I32";
    case DType::kI64:
      return "I64";
    case DType::kF32:
      return "F32";
    case DType::kF64:
      return "F64";
  }
  return "";
}

int64_t TensorView::elements() const {
  int64_t count = 1;
  for (int64_t n : shape) {
    count *= n;
  }
  return count;
}

absl::StatusOr<Safetensors> Safetensors::Open(const std::filesystem::path& path, Access access) {
  Safetensors file;
  absl::Span<const uint8_t> bytes;
  if (access == Access::kMap) {
    GRAFT_ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
    file.map_.emplace(std::move(map));
    bytes = file.map_->bytes();
  } else {
    GRAFT_ASSIGN_OR_RETURN(file.memory_, ReadFile(path, kMaxFile));
    bytes = file.memory_;
  }
  if (absl::Status status = file.Parse(bytes); !status.ok()) {
    return absl::DataLossError(absl::StrCat(path.string(), ": ", status.message()));
  }
  return file;
}

absl::StatusOr<Safetensors> Safetensors::OpenSealed(const std::filesystem::path& path, Access access) {
  GRAFT_ASSIGN_OR_RETURN(Safetensors file, Open(path, access));
  if (!file.sealed()) {
    return absl::DataLossError(
        absl::StrCat(path.string(), ": carries no SHA-256, so it isn't a file that Graft wrote"));
  }
  return file;
}

absl::Status Safetensors::Parse(absl::Span<const uint8_t> bytes) {
  if (bytes.size() < 8) {
    return absl::DataLossError("too short for a safetensors file");
  }
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > kMaxHeader || header_size > bytes.size() - 8) {
    return absl::DataLossError(absl::StrCat("the header claims ", header_size, " bytes"));
  }
  const absl::Span<const uint8_t> header = bytes.subspan(8, header_size);
  const absl::Span<const uint8_t> data = bytes.subspan(8 + header_size);
  // A callback that cuts off deep nesting, which a recursive parser would pay for with its stack.
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) { return depth <= 4; };
  const nlohmann::json json = nlohmann::json::parse(header.begin(), header.end(), shallow, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError("the header isn't a JSON object");
  }
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) {
        return absl::DataLossError("__metadata__ isn't an object");
      }
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) {
          return absl::DataLossError(absl::StrCat("metadata ", key, " isn't a string"));
        }
        metadata_[key] = text.get<std::string>();
      }
      continue;
    }
    TensorView tensor;
    tensor.name = name;
    const auto fail = [&name = name](absl::string_view what) {
      return absl::DataLossError(absl::StrCat("tensor ", name, ": ", what));
    };
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string() || !value.contains("shape") ||
        !value["shape"].is_array() || !value.contains("data_offsets") || !value["data_offsets"].is_array() ||
        value["data_offsets"].size() != 2) {
      return fail("the header lacks dtype, shape or data_offsets");
    }
    const std::optional<DType> dtype = DTypeFromName(value["dtype"].get<std::string>());
    if (!dtype.has_value()) {
      return fail(absl::StrCat("type ", value["dtype"].get<std::string>(), " isn't supported"));
    }
    tensor.dtype = *dtype;
    for (const auto& n : value["shape"]) {
      if (!n.is_number_unsigned() || n.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return fail("a length of its shape isn't a natural number");
      }
      tensor.shape.push_back(n.get<int64_t>());
    }
    uint64_t offsets[2];
    for (int i = 0; i < 2; ++i) {
      const auto& offset = value["data_offsets"][static_cast<size_t>(i)];
      if (!offset.is_number_unsigned() || offset.get<uint64_t>() > data.size()) {
        return fail("an offset lies outside of the file");
      }
      offsets[i] = offset.get<uint64_t>();
    }
    const std::optional<int64_t> size = ByteSize(tensor.shape, tensor.dtype);
    if (offsets[0] > offsets[1] || !size.has_value() || static_cast<uint64_t>(*size) != offsets[1] - offsets[0]) {
      return fail(
          absl::StrCat("shape ", ShapeText(tensor.shape), " doesn't fit its ", offsets[1] - offsets[0], " bytes"));
    }
    tensor.data = data.subspan(offsets[0], offsets[1] - offsets[0]);
    ranges.emplace_back(offsets[0], offsets[1]);
    tensors_.push_back(std::move(tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  int64_t end = 0;
  for (const auto& [from, to] : ranges) {
    if (from != end) {
      return absl::DataLossError("tensors overlap or leave a hole");
    }
    end = to;
  }
  if (end != static_cast<int64_t>(data.size())) {
    return absl::DataLossError(absl::StrCat(data.size(), " bytes of data, but the header describes ", end));
  }
  const auto sealed = metadata_.find(std::string(kHashKey));
  if (sealed != metadata_.end()) {
    // The hash was taken with zeros in its own place.
    std::string text(reinterpret_cast<const char*>(header.data()), header.size());
    const size_t at = text.find(sealed->second);
    if (sealed->second.size() != kHashDigits || at == std::string::npos) {
      return absl::DataLossError("its SHA-256 is damaged");
    }
    text.replace(at, kHashDigits, kHashDigits, '0');
    Sha256 hash;
    hash.Update(text);
    hash.Update(data);
    if (hash.Hex() != sealed->second) {
      return absl::DataLossError("damaged: its content doesn't match its SHA-256");
    }
  }
  return absl::OkStatus();
}

const TensorView* Safetensors::Find(absl::string_view name) const {
  const auto it = std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorView& t) { return t.name == name; });
  return it == tensors_.end() ? nullptr : &*it;
}

absl::StatusOr<TensorView> Safetensors::Get(absl::string_view name, DType dtype,
                                            absl::Span<const int64_t> shape) const {
  const TensorView* tensor = Find(name);
  if (tensor == nullptr) {
    return absl::DataLossError(absl::StrCat("tensor ", name, " is missing"));
  }
  const bool fits = tensor->dtype == dtype && tensor->shape.size() == shape.size() &&
                    std::equal(shape.begin(), shape.end(), tensor->shape.begin(),
                               [](int64_t want, int64_t have) { return want == -1 || want == have; });
  if (!fits) {
    return absl::DataLossError(absl::StrCat("tensor ", name, " is ", DTypeName(tensor->dtype), ShapeText(tensor->shape),
                                            "; expected ", DTypeName(dtype), ShapeText(shape)));
  }
  return *tensor;
}

std::string Safetensors::Metadata(const std::string& key) const {
  const auto it = metadata_.find(key);
  return it == metadata_.end() ? "" : it->second;
}

absl::StatusOr<SafetensorsWriter> SafetensorsWriter::Create(const std::filesystem::path& path,
                                                            const std::vector<TensorView>& tensors,
                                                            std::map<std::string, std::string> metadata) {
  // ordered_json: tensors stand in the header as their bytes do in the file.
  nlohmann::ordered_json header;
  metadata[std::string(kHashKey)] = std::string(kHashDigits, '0');
  header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const std::optional<int64_t> size = ByteSize(tensor.shape, tensor.dtype);
    if (!size.has_value() || header.contains(tensor.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, " has an impossible shape or comes twice"));
    }
    header[tensor.name] = {
        {"dtype", DTypeName(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + *size}}};
    offset += *size;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  const uint64_t header_size = text.size();
  // With its key in front: another value may hold 64 zeros too.
  const std::string key = absl::StrCat("\"", kHashKey, "\":\"");
  const size_t at = text.find(key + std::string(kHashDigits, '0')) + key.size();

  GRAFT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  GRAFT_RETURN_IF_ERROR(file.Write(AsBytes(absl::MakeConstSpan(&header_size, 1))));
  GRAFT_RETURN_IF_ERROR(file.Write(text));
  SafetensorsWriter writer(std::move(file), offset, static_cast<int64_t>(8 + at));
  writer.hash_->Update(text);
  return writer;
}

absl::Status SafetensorsWriter::Append(absl::Span<const uint8_t> bytes) {
  missing_ -= static_cast<int64_t>(bytes.size());
  hash_->Update(bytes);
  return file_.Write(bytes);
}

absl::Status SafetensorsWriter::Commit() {
  if (missing_ != 0) {
    return absl::InternalError(absl::StrCat(missing_, " bytes are missing from a safetensors file"));
  }
  GRAFT_RETURN_IF_ERROR(file_.WriteAt(hash_offset_, hash_->Hex()));
  return file_.Commit();
}

absl::Status WriteSafetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  GRAFT_ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Create(path, tensors, metadata));
  for (const TensorView& tensor : tensors) {
    if (static_cast<int64_t>(tensor.data.size()) != ByteSize(tensor.shape, tensor.dtype)) {
      return absl::InternalError(absl::StrCat("tensor ", tensor.name, ": shape ", ShapeText(tensor.shape),
                                              " doesn't fit its ", tensor.data.size(), " bytes"));
    }
    GRAFT_RETURN_IF_ERROR(writer.Append(tensor.data));
  }
  return writer.Commit();
}

}  // namespace graft
