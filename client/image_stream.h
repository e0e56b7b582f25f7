// Many images over one bidirectional stream.
#ifndef GRAFT_CLIENT_IMAGE_STREAM_H_
#define GRAFT_CLIENT_IMAGE_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "client/connection.h"
#include "client/format.h"
#include "core/base/file.h"
#include "core/base/mutex.h"
#include "core/base/text.h"

namespace graft {

// Sends each file that can be read, a bounded number ahead of the answers, and hands out each file's answer in the
// files' order. Request has an image, Response an index and an error. Run is called once.
template <typename Request, typename Response>
class ImageStream {
 public:
  using Stream = grpc::ClientReaderWriter<Request, Response>;
  // A file's answer, or why it has none, which is printed already.
  using Answer = std::function<void(const std::string& file, const absl::StatusOr<Response>& response)>;

  // `common`: the request without its image. `context` is that of `stream`. What is referred to outlives this.
  ImageStream(const Cli& cli, const std::vector<std::string>& files, Request common, grpc::ClientContext* context,
              std::unique_ptr<Stream> stream)
      : cli_(cli), files_(files), common_(std::move(common)), context_(context), stream_(std::move(stream)) {}

  // The stream's error; a single file's isn't one. OK as well when the output takes no more, which ends it early.
  absl::Status Run(const Answer& answer) {
    std::thread writer([this] { Send(); });
    const absl::Status fatal = Receive(answer);
    if (!fatal.ok() || cli_.out->fail()) {
      context_->TryCancel();
    }
    Stop();
    writer.join();
    WipeProgress();
    Response rest;
    while (stream_->Read(&rest)) {
    }
    const absl::Status status = FromGrpc(stream_->Finish());
    if (cli_.out->fail()) {
      return absl::OkStatus();
    }
    if (!fatal.ok() || !status.ok()) {
      return fatal.ok() ? status : fatal;
    }
    if (done_ < files_.size()) {
      return absl::InternalError(
          absl::StrCat("the server ended the stream after ", done_, " of ", files_.size(), " files"));
    }
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kAhead = 16;
  static constexpr int64_t kMaxImageBytes = 20 << 20;

  // The writer's thread.
  void Send() {
    for (const std::string& file : files_) {
      {
        const MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(this, &ImageStream::MaySend));
        if (stopped_) {
          break;
        }
      }
      const absl::StatusOr<std::vector<uint8_t>> bytes = ReadFile(file, kMaxImageBytes);
      bool open = true;
      if (bytes.ok()) {
        Request request = common_;
        request.set_image(bytes->data(), bytes->size());
        open = stream_->Write(request);
      }
      const MutexLock lock(&mutex_);
      taken_.push_back(bytes.status());
      stopped_ = stopped_ || !open;
    }
    stream_->WritesDone();
  }

  // Answers for one file after the other until the stream is over. An error ends them all.
  absl::Status Receive(const Answer& answer) {
    for (; done_ < files_.size() && !cli_.out->fail(); SetDone(done_ + 1)) {
      absl::StatusOr<Response> response = Response();
      if (!WaitUntilTaken(done_, &response)) {
        return absl::OkStatus();
      }
      if (response.ok()) {
        if (!stream_->Read(&*response)) {
          return absl::OkStatus();
        }
        if (response->index() != received_) {
          return absl::InternalError(absl::StrCat("the server answered request ", response->index(), " instead of ",
                                                  received_, "; is it of another version?"));
        }
        ++received_;
        if (response->has_error()) {
          response = absl::Status(static_cast<absl::StatusCode>(response->error().code()), response->error().message());
          // No model, no weights: that is one error, not one a file.
          if (absl::IsNotFound(response.status()) || absl::IsFailedPrecondition(response.status())) {
            return response.status();
          }
        }
      }
      WipeProgress();
      if (!response.ok()) {
        *cli_.err << "graft: " << Printable(files_[done_]) << ": " << Printable(response.status().message())
                  << std::endl;
      }
      answer(files_[done_], response);
      ShowProgress();
    }
    return absl::OkStatus();
  }

  bool MaySend() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || taken_.size() < answered_ + kAhead; }
  bool NextIsTaken() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || taken_.size() > answered_; }

  // False when the file won't be sent any more. `response` gets the error of one that couldn't be read.
  bool WaitUntilTaken(size_t file, absl::StatusOr<Response>* response) {
    const MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(this, &ImageStream::NextIsTaken));
    if (taken_.size() <= file) {
      return false;
    }
    if (!taken_[file].ok()) {
      *response = taken_[file];
    }
    return true;
  }

  void SetDone(size_t done) {
    done_ = done;
    const MutexLock lock(&mutex_);
    answered_ = done;
  }

  void Stop() {
    const MutexLock lock(&mutex_);
    stopped_ = true;
  }

  bool shows_progress() const { return cli_.err_is_terminal && files_.size() > 20; }
  void WipeProgress() const {
    if (shows_progress()) {
      *cli_.err << "\r\x1b[K" << std::flush;
    }
  }
  void ShowProgress() const {
    if (shows_progress()) {
      *cli_.err << Bar(static_cast<double>(done_ + 1) / static_cast<double>(files_.size()), 20) << " " << done_ + 1
                << "/" << files_.size() << " images" << std::flush;
    }
  }

  const Cli& cli_;
  const std::vector<std::string>& files_;
  const Request common_;
  grpc::ClientContext* const context_;
  const std::unique_ptr<Stream> stream_;
  // The reader's own.
  size_t done_ = 0;       // files that were answered for
  int64_t received_ = 0;  // answers from the server

  Mutex mutex_;
  // Of each file that was taken up, what kept it from being read.
  std::vector<absl::Status> taken_ ABSL_GUARDED_BY(mutex_);
  size_t answered_ ABSL_GUARDED_BY(mutex_) = 0;  // done_, for the writer
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace graft

#endif  // GRAFT_CLIENT_IMAGE_STREAM_H_
