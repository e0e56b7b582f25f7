#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/training_options.h"
#include "client/watch.h"
#include "core/base/status.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<v1::SplitSpec> MakeSplit(const SplitArguments& arguments) {
  v1::SplitSpec split;
  split.set_dataset(arguments.name);
  split.set_seed(arguments.seed);
  split.set_label_rule(arguments.label == "folder" ? v1::LABEL_RULE_FOLDER : v1::LABEL_RULE_FILENAME);
  split.set_copy_mode(arguments.hard_link ? v1::COPY_MODE_HARD_LINK : v1::COPY_MODE_COPY);
  GRAFT_RETURN_IF_ERROR(SetSplitSizes(arguments.train, arguments.validation, arguments.test, &split));
  return split;
}

// Submits and, when asked, waits; prints what came of it.
int RunSplit(const Cli& cli, const v1::SplitSpec& split, bool wait) {
  v1::JobSpec spec;
  *spec.mutable_split() = split;
  const absl::StatusOr<v1::Job> job = Submit(cli, spec);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  if (!wait) {
    if (cli.json) {
      cli.PrintJson(*job);
    } else {
      *cli.out << job->id() << " makes " << split.dataset() << "; follow it with: graft job watch " << job->id()
               << "\n";
    }
    return kOk;
  }
  const int status = Watch(cli, job->id(), {.show = WatchOptions::Show::kResult, .submitted = true}, nullptr);
  return status != kOk ? status : DatasetShow(cli, split.dataset());
}

// Relative paths of all files below `root`, sorted; hidden ones are left out.
absl::StatusOr<std::vector<std::string>> FilesBelow(const fs::path& root) {
  std::error_code error;
  std::vector<std::string> files;
  fs::recursive_directory_iterator it(root, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (it->path().filename().string().front() == '.') {
      if (it->is_directory(error)) {
        it.disable_recursion_pending();
      }
    } else if (it->is_regular_file(error)) {
      files.push_back(it->path().lexically_relative(root).generic_string());
    }
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot list ", root.string(), ": ", error.message()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int DatasetCreate(const Cli& cli, const SplitArguments& arguments) {
  absl::StatusOr<v1::SplitSpec> split = MakeSplit(arguments);
  if (!split.ok()) {
    return cli.FailUsage(split.status());
  }
  std::error_code error;
  split->set_folder(fs::absolute(arguments.folder, error).lexically_normal().string());
  return RunSplit(cli, *split, arguments.wait);
}

int DatasetUpload(const Cli& cli, const SplitArguments& arguments) {
  absl::StatusOr<v1::SplitSpec> split = MakeSplit(arguments);
  if (!split.ok()) {
    return cli.FailUsage(split.status());
  }
  const absl::StatusOr<std::vector<std::string>> files = FilesBelow(arguments.folder);
  if (!files.ok()) {
    return cli.Fail(files.status());
  }
  if (files->empty()) {
    return cli.Fail(absl::NotFoundError(absl::StrCat("there is no file in ", arguments.folder)));
  }
  grpc::ClientContext context;
  v1::UploadImagesResponse response;
  const auto stream = cli.datasets->UploadImages(&context, &response);
  constexpr size_t kChunk = 256 << 10;
  int64_t sent = 0;
  bool open = true;
  for (size_t i = 0; open && i < files->size(); ++i) {
    std::ifstream in(fs::path(arguments.folder) / (*files)[i], std::ios::binary);
    if (!in) {
      *cli.err << "graft: cannot read " << Printable((*files)[i]) << "; it is left out\n";
      continue;
    }
    v1::UploadImagesRequest request;
    request.set_path((*files)[i]);
    open = stream->Write(request);
    while (open && in) {
      std::string& chunk = *request.mutable_chunk();
      chunk.resize(kChunk);
      in.read(chunk.data(), kChunk);
      chunk.resize(static_cast<size_t>(in.gcount()));
      if (!chunk.empty()) {
        sent += in.gcount();
        open = stream->Write(request);
      }
    }
    if (in.bad()) {
      // Half a file must not become part of a data set.
      context.TryCancel();
      (void)stream->Finish();
      return cli.Fail(absl::InternalError(absl::StrCat("cannot read all of ", (*files)[i])));
    }
    if (cli.err_is_terminal) {
      *cli.err << "\r\x1b[Kupload " << Bar(static_cast<double>(i + 1) / static_cast<double>(files->size()), 20) << " "
               << i + 1 << "/" << files->size() << " files  " << Bytes(sent) << std::flush;
    }
  }
  stream->WritesDone();
  const absl::Status status = FromGrpc(stream->Finish());
  if (cli.err_is_terminal) {
    *cli.err << "\r\x1b[K" << std::flush;
  }
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (!cli.json) {
    *cli.out << "uploaded " << response.files() << " files, " << Bytes(response.bytes()) << std::endl;
  }
  split->set_upload_id(response.upload_id());
  return RunSplit(cli, *split, arguments.wait);
}

int DatasetList(const Cli& cli) {
  v1::ListDatasetsRequest request;
  v1::ListDatasetsResponse all;
  do {
    v1::ListDatasetsResponse page;
    const absl::Status status = FromGrpc(cli.datasets->ListDatasets(UnaryContext().get(), request, &page));
    if (!status.ok()) {
      return cli.Fail(status);
    }
    all.mutable_datasets()->MergeFrom(page.datasets());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (cli.json) {
    cli.PrintJson(all);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "CLASSES", "TRAIN", "VALIDATION", "TEST", "SIZE", "CREATED"}};
  for (const v1::Dataset& dataset : all.datasets()) {
    int64_t train = 0;
    int64_t validation = 0;
    int64_t test = 0;
    for (const v1::ClassCount& count : dataset.classes()) {
      train += count.train();
      validation += count.validation();
      test += count.test();
    }
    rows.push_back({Printable(dataset.name()), absl::StrCat(dataset.classes_size()), Thousands(train),
                    Thousands(validation), Thousands(test), Bytes(dataset.size_bytes()),
                    Time(dataset.create_time().seconds())});
  }
  *cli.out << Table(rows, {false, true, true, true, true, true, false});
  return kOk;
}

int DatasetShow(const Cli& cli, const std::string& name) {
  v1::GetDatasetRequest request;
  request.set_name(name);
  v1::Dataset dataset;
  const absl::Status status = FromGrpc(cli.datasets->GetDataset(UnaryContext().get(), request, &dataset));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(dataset);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"CLASS", "TRAIN", "VALIDATION", "TEST"}};
  v1::ClassCount total;
  for (const v1::ClassCount& count : dataset.classes()) {
    rows.push_back(
        {Printable(count.label()), Thousands(count.train()), Thousands(count.validation()), Thousands(count.test())});
    total.set_train(total.train() + count.train());
    total.set_validation(total.validation() + count.validation());
    total.set_test(total.test() + count.test());
  }
  rows.push_back({"all", Thousands(total.train()), Thousands(total.validation()), Thousands(total.test())});
  *cli.out << "Data set " << Printable(dataset.name()) << ", created " << Time(dataset.create_time().seconds())
           << " UTC, " << Bytes(dataset.size_bytes()) << "\n"
           << Table(rows, {false, true, true, true}) << "folder       " << Printable(dataset.folder())
           << "\nfingerprint  " << dataset.fingerprint() << "\n";
  if (dataset.unused() > 0) {
    *cli.out << Thousands(dataset.unused()) << " images are in no part: more than were asked for\n";
  }
  if (dataset.skipped_total() > 0) {
    *cli.out << Thousands(dataset.skipped_total()) << " files were skipped:\n";
    constexpr int kShown = 20;
    for (int i = 0; i < std::min(kShown, dataset.skipped_size()); ++i) {
      *cli.out << "  " << Printable(dataset.skipped(i).path()) << ": " << Printable(dataset.skipped(i).reason())
               << "\n";
    }
    if (dataset.skipped_size() > kShown) {
      *cli.out << "  ... --format json shows " << dataset.skipped_size() << "\n";
    }
  }
  return kOk;
}

int DatasetDelete(const Cli& cli, const std::string& name) {
  v1::DeleteDatasetRequest request;
  request.set_name(name);
  v1::DeleteDatasetResponse response;
  const absl::Status status = FromGrpc(cli.datasets->DeleteDataset(UnaryContext().get(), request, &response));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(response);
  } else {
    *cli.out << "deleted data set " << Printable(name) << "\n";
  }
  return kOk;
}

}  // namespace graft
