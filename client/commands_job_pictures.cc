#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/event_file.h"
#include "client/job_text.h"
#include "client/tensorboard.h"
#include "client/watch.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct PictureArguments {
  std::string id;
  std::string out;
  bool follow = false;
};

absl::StatusOr<v1::Job> GetJob(const Cli& cli, const std::string& id) {
  v1::GetJobRequest request;
  request.set_id(id);
  return Call(*cli.jobs, &v1::JobService::Stub::GetJob, request);
}

// What is said of a file that is written.
void PrintFile(const Cli& cli, const std::string& file) {
  if (cli.json) {
    *cli.out << nlohmann::json{{"files", {file}}}.dump() << std::endl;
  } else {
    *cli.out << Printable(file) << std::endl;
  }
}

// Draws curves into a file until they have all epochs.
class CurvesFile {
 public:
  CurvesFile(const Cli& cli, const PictureArguments& arguments) : cli_(cli), arguments_(arguments) {}

  // The picture is of the last epoch that the server knows of, which may be later than one that has been heard of.
  absl::Status Draw() {
    v1::GetLearningCurvesRequest request;
    request.set_id(arguments_.id);
    GRAFT_ASSIGN_OR_RETURN(const v1::GetLearningCurvesResponse response,
                           Call(*cli_.jobs, &v1::JobService::Stub::GetLearningCurves, request));
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(arguments_.out, response.png()));
    drawn_ = response.epoch();
    return absl::OkStatus();
  }
  absl::Status Take(const v1::JobEvent& event) {
    heard_ = std::max(heard_, event.epoch().epoch());
    if (heard_ <= drawn_) {
      return absl::OkStatus();
    }
    absl::Status status = Draw();
    // A server that is away comes back, with the next event.
    return absl::IsUnavailable(status) || absl::IsCancelled(status) ? absl::OkStatus() : status;
  }

  bool drawn() const { return drawn_ > 0; }

 private:
  const Cli& cli_;
  const PictureArguments& arguments_;
  int drawn_ = 0;
  int heard_ = 0;
};

// Whether a job that can't be drawn yet may be drawn later.
bool MayBeDrawnLater(const Cli& cli, const std::string& id) {
  const absl::StatusOr<v1::Job> job = GetJob(cli, id);
  return job.ok() && job->spec().has_train() && !job->has_end_time();
}

int JobCurves(const Cli& cli, const PictureArguments& arguments) {
  CurvesFile file(cli, arguments);
  const absl::Status first = file.Draw();
  if (!first.ok() && !(arguments.follow && absl::IsFailedPrecondition(first) && MayBeDrawnLater(cli, arguments.id))) {
    return cli.Fail(first);
  }
  if (!arguments.follow) {
    PrintFile(cli, arguments.out);
    return kOk;
  }
  v1::StateChange end;
  const int status = Watch(cli, arguments.id,
                           {.show = WatchOptions::Show::kResult,
                            .submitted = true,
                            .take = [&](const v1::JobEvent& event) { return file.Take(event); }},
                           &end);
  if (file.drawn() && end.state() != v1::JOB_STATE_UNSPECIFIED) {
    PrintFile(cli, arguments.out);
  }
  return status;
}

// The pictures of a model by the names of their files without the ending, those of the model itself before those of its
// evaluations: what comes later lies behind what was there.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> PicturesOf(const Cli& cli,
                                                                            const v1::TrainResult& model) {
  constexpr size_t kMostBytes = 64 << 20;
  constexpr size_t kMostPictures = 1000;
  constexpr absl::string_view kEnding = ".png";
  v1::ReportModelRequest request;
  request.mutable_model()->set_name(model.model());
  request.mutable_model()->set_version(model.version());
  grpc::ClientContext context;
  const auto stream = cli.models->ReportModel(&context, request);
  std::vector<std::pair<std::string, std::string>> pictures;
  v1::DownloadModelResponse piece;
  size_t bytes = 0;
  bool wanted = false;
  while (bytes <= kMostBytes && pictures.size() <= kMostPictures && stream->Read(&piece)) {
    if (piece.has_path()) {
      wanted = absl::EndsWith(piece.path(), kEnding);
      if (wanted) {
        pictures.emplace_back(Printable(piece.path().substr(0, piece.path().size() - kEnding.size())), "");
      }
    } else if (wanted) {
      pictures.back().second += piece.chunk();
      bytes += piece.chunk().size();
    }
  }
  if (bytes > kMostBytes || pictures.size() > kMostPictures) {
    context.TryCancel();
    (void)stream->Finish();
    return absl::ResourceExhaustedError(
        absl::StrCat("there are more than ", kMostPictures, ", or ", kMostBytes >> 20, " MiB of them"));
  }
  GRAFT_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  std::sort(pictures.begin(), pictures.end(), [](const auto& a, const auto& b) {
    const bool of_a = absl::StrContains(a.first, '/');
    const bool of_b = absl::StrContains(b.first, '/');
    return of_a != of_b ? of_b : a.first < b.first;
  });
  return pictures;
}

// A job's event file, from its first event on.
class TensorBoardFile {
 public:
  TensorBoardFile(const Cli& cli, const v1::Job& job, EventFile file)
      : cli_(cli), last_(job.last_sequence()), events_(job), file_(std::move(file)) {}

  absl::Status Begin() { return Add(events_.Begin()); }
  // Puts the file in its place once it has all that there was when the job was asked for.
  absl::Status Take(const v1::JobEvent& event) {
    GRAFT_RETURN_IF_ERROR(Add(events_.Take(event)));
    if (event.has_state()) {
      state_ = event.state();
    }
    return follow_ && !file_.published() && event.sequence() >= last_ ? file_.Publish() : absl::OkStatus();
  }
  // What comes after the job's last event.
  absl::Status End() {
    if (state_.state() == v1::JOB_STATE_SUCCEEDED && state_.result().has_train()) {
      AddPictures(state_.result().train());
    }
    GRAFT_RETURN_IF_ERROR(failure_);
    if (!file_.published()) {
      GRAFT_RETURN_IF_ERROR(file_.Publish());
    }
    return file_.Sync();
  }

  absl::Status ReadAll(const std::string& id) {
    return ReadEvents(cli_, id, last_, [this](const v1::JobEvent& event) { return Take(event); });
  }
  // The exit status; `ended`: whether the job has.
  int Follow(const std::string& id, bool* ended) {
    follow_ = true;
    v1::StateChange end;
    const int status = Watch(cli_, id,
                             {.show = WatchOptions::Show::kResult,
                              .submitted = true,
                              .take = [this](const v1::JobEvent& event) { return Take(event); }},
                             &end);
    *ended = end.state() != v1::JOB_STATE_UNSPECIFIED;
    return status;
  }

  std::string path() const { return file_.path().string(); }

 private:
  absl::Status Add(const std::vector<tensorboard::Event>& events) {
    for (const tensorboard::Event& event : events) {
      GRAFT_RETURN_IF_ERROR(file_.Add(event));
    }
    return absl::OkStatus();
  }
  // A model that has been deleted, or whose pictures are damaged, leaves the rest as it is.
  void AddPictures(const v1::TrainResult& model) {
    const auto pictures = PicturesOf(cli_, model);
    absl::Status missing = pictures.status();
    if (pictures.ok()) {
      for (const auto& [tag, png] : *pictures) {
        const absl::StatusOr<tensorboard::Event> event = events_.Picture(tag, png);
        missing.Update(event.status());
        if (event.ok() && failure_.ok()) {
          failure_ = file_.Add(*event);
        }
      }
    }
    if (!missing.ok()) {
      *cli_.err << "graft: warning: pictures are missing: " << Printable(missing.message()) << std::endl;
    }
  }

  const Cli& cli_;
  const int64_t last_;
  TensorBoardEvents events_;
  EventFile file_;
  bool follow_ = false;
  v1::StateChange state_;  // the last
  absl::Status failure_;
};

// Names a folder: the server's word isn't taken for that.
bool IsJobId(const std::string& id) {
  return !id.empty() && id.size() <= 100 && std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-';
  });
}

int JobTensorBoard(const Cli& cli, const PictureArguments& arguments) {
  const absl::StatusOr<v1::Job> job = GetJob(cli, arguments.id);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  if (!IsJobId(job->id())) {
    return cli.Fail(absl::DataLossError(absl::StrCat("the server sent a job's id that is none: ", job->id())));
  }
  absl::StatusOr<EventFile> opened = EventFile::Open(fs::path(arguments.out) / job->id());
  if (!opened.ok()) {
    return cli.Fail(opened.status());
  }
  TensorBoardFile file(cli, *job, *std::move(opened));
  absl::Status status = file.Begin();
  int exit_status = kOk;
  if (arguments.follow) {
    if (!cli.json) {
      *cli.out << "show it with: tensorboard --logdir " << Printable(arguments.out) << std::endl;
    }
    bool ended = false;
    exit_status = file.Follow(job->id(), &ended);
    if (!ended) {  // as it is, the file can be gone on with
      return exit_status;
    }
  } else {
    status.Update(file.ReadAll(job->id()));
  }
  if (status.ok()) {
    status = file.End();
  }
  if (!status.ok()) {
    return cli.Fail(status);
  }
  PrintFile(cli, file.path());
  if (!arguments.follow && !cli.json) {
    if (!job->has_end_time()) {
      *cli.out << Printable(job->id()) << " is " << StateText(*job) << "; with --follow, what comes is added\n";
    }
    *cli.out << "show it with: tensorboard --logdir " << Printable(arguments.out) << "\n";
  }
  return exit_status;
}

}  // namespace

void AddJobPictureCommands(CommandLine& line, CLI::App* group) {
  const auto [curves, drawn] =
      line.AddCommand(group, "curves", "Draw a training's accuracy and loss by epoch, as far as it has come",
                      "  graft job curves job-12 --out curves.png\n"
                      "  graft job curves job-12 --out curves.png --follow",
                      JobCurves);
  line.Complete(curves->add_option("ID", drawn->id, "The job")->required(), JobIds);
  curves->add_option("--out", drawn->out, "The PNG file to write")->required();
  curves->add_flag("--follow", drawn->follow, "Draw it again after each epoch until the job ends");

  const auto [tensorboard, written] =
      line.AddCommand(group, "tensorboard", "Write a job's figures, texts and pictures for TensorBoard",
                      "  graft job tensorboard job-12 --out runs\n"
                      "  graft job tensorboard job-12 --out runs --follow & tensorboard --logdir runs",
                      JobTensorBoard);
  line.Complete(tensorboard->add_option("ID", written->id, "The job")->required(), JobIds);
  tensorboard->add_option("--out", written->out, "TensorBoard's folder; the job gets one of its own in it")->required();
  tensorboard->add_flag("--follow", written->follow, "Add what comes until the job ends");
}

}  // namespace graft
