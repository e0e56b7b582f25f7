// Files as a stream: each as its path and then its bytes.
#ifndef GRAFT_SERVER_HANDLERS_FILE_SOURCE_H_
#define GRAFT_SERVER_HANDLERS_FILE_SOURCE_H_

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "graft/v1/models.pb.h"
#include "server/rpc/stream.h"

namespace graft {

struct FileList {
  struct File {
    std::string path;  // relative, as the caller sees it
    // What was made for this call; none: it lies in `folder`.
    std::optional<std::string> content;
  };
  std::string what;  // "model: pets", for errors
  std::filesystem::path folder;
  std::vector<File> files;
};

class FileSource : public StreamSource<v1::DownloadModelResponse> {
 public:
  // `list` is called once, with the first Next; its errors end the stream.
  explicit FileSource(std::function<absl::StatusOr<FileList>()> list) : list_(std::move(list)) {}

  // DATA_LOSS: a file can't be read. NOT_FOUND: one has gone meanwhile.
  absl::StatusOr<State> Next(const std::function<void()>& wake, v1::DownloadModelResponse* out) override;

 private:
  // The next piece of the file that is being sent; empty at its end.
  absl::StatusOr<std::string> Piece();

  const std::function<absl::StatusOr<FileList>()> list_;
  std::optional<FileList> files_;
  size_t next_ = 0;
  bool sending_ = false;  // the file before next_
  size_t sent_ = 0;       // bytes of its content
  std::ifstream in_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_HANDLERS_FILE_SOURCE_H_
