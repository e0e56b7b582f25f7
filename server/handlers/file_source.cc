#include "server/handlers/file_source.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace graft {

absl::StatusOr<std::string> FileSource::Piece() {
  constexpr size_t kPiece = 1 << 18;
  const FileList::File& file = files_->files[next_ - 1];
  std::string piece;
  if (file.content.has_value()) {
    piece = file.content->substr(sent_, kPiece);
    sent_ += piece.size();
    return piece;
  }
  piece.resize(kPiece);
  in_.read(piece.data(), kPiece);
  piece.resize(static_cast<size_t>(in_.gcount()));
  if (in_.bad()) {
    return absl::DataLossError(absl::StrCat(files_->what, ": cannot read '", file.path, "'"));
  }
  return piece;
}

absl::StatusOr<FileSource::State> FileSource::Next(const std::function<void()>&, v1::DownloadModelResponse* out) {
  if (!files_.has_value()) {
    GRAFT_ASSIGN_OR_RETURN(files_, list_());
  }
  if (sending_) {
    GRAFT_ASSIGN_OR_RETURN(std::string piece, Piece());
    if (!piece.empty()) {
      out->set_chunk(std::move(piece));
      return State::kItem;
    }
    in_.close();
    sending_ = false;
  }
  if (next_ == files_->files.size()) {
    return State::kEnd;
  }
  const FileList::File& file = files_->files[next_++];
  sending_ = true;
  sent_ = 0;
  if (!file.content.has_value()) {
    in_.clear();
    in_.open(files_->folder / file.path, std::ios::binary);
    if (!in_) {
      return absl::NotFoundError(absl::StrCat(files_->what, " was deleted or evaluated again meanwhile; try again"));
    }
  }
  out->set_path(file.path);
  return State::kItem;
}

}  // namespace graft
