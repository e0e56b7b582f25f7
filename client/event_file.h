// TensorBoard's event files: records with checksums, in a file that is read while it grows.
#ifndef GRAFT_CLIENT_EVENT_FILE_H_
#define GRAFT_CLIENT_EVENT_FILE_H_

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "tensorboard/event.pb.h"

namespace graft {

// A TFRecord: the bytes' length (8 bytes, the lowest first), its masked CRC-32C (4 bytes), the bytes, and their masked
// CRC-32C.
std::string EventRecord(absl::string_view bytes);

// The one event file of a folder. A reader finds whole records in it at any moment, and perhaps the start of another,
// which TensorBoard takes for one that is still being written.
//
// What is added before Publish is only kept in memory. Publish makes it the file: where the file that is there is a
// start of that, as one is that an earlier run left, it gets the rest, so that a TensorBoard that has it open reads on;
// any other file is replaced by a rename. From then on each event is appended as it comes. Not thread-safe.
class EventFile {
 public:
  // Makes the folder where it isn't there. FAILED_PRECONDITION: another process is writing there.
  static absl::StatusOr<EventFile> Open(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }
  bool published() const { return file_.ok(); }

  // A record that doesn't fit on the disk leaves nothing of itself in the file.
  absl::Status Add(const tensorboard::Event& event);
  absl::Status Publish();
  // What was added is durable. Published before.
  absl::Status Sync();

 private:
  EventFile(std::filesystem::path path, UniqueFd folder) : path_(std::move(path)), folder_(std::move(folder)) {}

  // Puts a file of these bytes in the place of what is there.
  absl::Status Replace(absl::string_view bytes);
  absl::Status Append(absl::string_view bytes);

  std::filesystem::path path_;
  UniqueFd folder_;  // locked
  UniqueFd file_;
  std::string pending_;  // until Publish
};

}  // namespace graft

#endif  // GRAFT_CLIENT_EVENT_FILE_H_
