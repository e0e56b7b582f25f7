#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/job_text.h"
#include "client/local_files.h"
#include "client/submit.h"
#include "client/training_options.h"
#include "client/trunk_options.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct SplitArguments {
  std::string name;
  std::string folder;
  v1::LabelRule label = v1::LABEL_RULE_FILENAME;
  std::string train = "0.6";
  std::string validation = "0.2";
  std::string test = "0.2";
  uint64_t seed = 42;
  bool hard_link = false;
  bool wait = false;
};

struct PreviewArguments {
  std::string name;
  std::string out;
  std::vector<std::string> augment;
  std::string variant;
  bool duplicates = false;
  uint64_t seed = 42;
  int images = 0;
  int columns = 0;
};

struct FeaturesArguments {
  std::string name;
  TrunkOptions trunk;
};

std::string ImageText(const v1::NearDuplicates::Image& image) {
  return absl::StrCat(Printable(image.path()), " (", Printable(image.label()), ", ",
                      ShortName(*v1::Part_descriptor(), image.part()), ")");
}

// Every line whole; empty when there is nothing to say.
std::string QualityText(const v1::DatasetQuality& quality) {
  if (!quality.damaged().empty()) {
    return absl::StrCat("quality      its report can't be read: ", Printable(quality.damaged()), "\n");
  }
  std::string text;
  const int64_t pairs = quality.pairs_across_parts() + quality.pairs_within_parts();
  absl::StrAppend(&text, "duplicates   ", quality.pairs_cut_short() ? "at least " : "",
                  Thousands(quality.pairs_across_parts()),
                  quality.pairs_across_parts() == 1 ? " near-duplicate pair" : " near-duplicate pairs",
                  " across parts, ", Thousands(quality.pairs_within_parts()), " within one; ",
                  Thousands(quality.exact_copies()), " exact copies left out\n");
  constexpr int kShown = 10;
  for (int i = 0; i < std::min(kShown, quality.near_duplicates_size()); ++i) {
    const v1::NearDuplicates& near = quality.near_duplicates(i);
    absl::StrAppend(&text, "  ", ImageText(near.first()), " and ", ImageText(near.second()), ": ",
                    near.same_pixels() ? "the same pixels" : absl::StrCat(near.hash_bits(), " of 64 bits differ"),
                    "\n");
  }
  if (pairs > kShown) {
    absl::StrAppend(&text, "  ... --format json shows ", quality.near_duplicates_size(), "\n");
  }
  if (!quality.largest_class().empty()) {
    absl::StrAppendFormat(&text, "balance      %.3g : 1 training images", quality.imbalance());
    absl::StrAppend(&text,
                    quality.imbalance() > 1 ? absl::StrCat(" (", Printable(quality.largest_class()), " to ",
                                                           Printable(quality.smallest_class()), ")")
                                            : "",
                    "\n");
  }
  for (const std::string& warning : quality.warnings()) {
    absl::StrAppend(&text, "warning: ", Printable(warning), "\n");
  }
  return text;
}

int DatasetShow(const Cli& cli, const std::string& name) {
  v1::GetDatasetRequest request;
  request.set_name(name);
  return Show(
      cli, Call(*cli.datasets, &v1::DatasetService::Stub::GetDataset, request), [&](const v1::Dataset& dataset) {
        if (!dataset.damaged().empty()) {
          *cli.out << DamageText(dataset.name(), dataset.damaged(), "graft dataset delete");
          return;
        }
        std::vector<std::vector<std::string>> rows = {{"CLASS", "TRAIN", "VALIDATION", "TEST"}};
        v1::ClassCount total;
        for (const v1::ClassCount& count : dataset.classes()) {
          rows.push_back({Printable(count.label()), Thousands(count.train()), Thousands(count.validation()),
                          Thousands(count.test())});
          total.set_train(total.train() + count.train());
          total.set_validation(total.validation() + count.validation());
          total.set_test(total.test() + count.test());
        }
        rows.push_back({"all", Thousands(total.train()), Thousands(total.validation()), Thousands(total.test())});
        *cli.out << "Data set " << Printable(dataset.name()) << ", created " << Time(dataset.create_time().seconds())
                 << " UTC, " << Bytes(dataset.size_bytes()) << "\n"
                 << Table(rows, {false, true, true, true}) << "folder       " << Printable(dataset.folder())
                 << "\nfingerprint  " << dataset.fingerprint() << "\n";
        if (dataset.has_quality()) {
          *cli.out << QualityText(dataset.quality());
        }
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
      });
}

absl::StatusOr<v1::SplitSpec> MakeSplit(const SplitArguments& arguments) {
  v1::SplitSpec split;
  split.set_dataset(arguments.name);
  split.set_seed(arguments.seed);
  split.set_label_rule(arguments.label);
  split.set_copy_mode(arguments.hard_link ? v1::COPY_MODE_HARD_LINK : v1::COPY_MODE_COPY);
  GRAFT_RETURN_IF_ERROR(SetSplitSizes(arguments.train, arguments.validation, arguments.test, &split));
  return split;
}

// Submits and, when asked, waits; shows what came of it.
int RunSplit(const Cli& cli, const v1::SplitSpec& split, bool wait) {
  v1::JobSpec spec;
  *spec.mutable_split() = split;
  if (!wait) {
    return SubmitAndLeave(cli, spec);
  }
  return SubmitAndWait(cli, spec, [&](const v1::JobResult&) { return DatasetShow(cli, split.dataset()); });
}

int DatasetCreate(const Cli& cli, const SplitArguments& arguments) {
  absl::StatusOr<v1::SplitSpec> split = MakeSplit(arguments);
  if (!split.ok()) {
    return cli.FailUsage(split.status());
  }
  std::error_code error;
  split->set_folder(fs::absolute(arguments.folder, error).lexically_normal().string());
  return RunSplit(cli, *split, arguments.wait);
}

// Sends a file's path and bytes. False: the stream takes no more.
absl::StatusOr<bool> SendFile(std::ifstream& in, const std::string& path,
                              grpc::ClientWriter<v1::UploadImagesRequest>& stream, int64_t* sent) {
  constexpr size_t kChunk = 256 << 10;
  v1::UploadImagesRequest request;
  request.set_path(path);
  bool open = stream.Write(request);
  while (open && in) {
    std::string& chunk = *request.mutable_chunk();
    chunk.resize(kChunk);
    in.read(chunk.data(), kChunk);
    chunk.resize(static_cast<size_t>(in.gcount()));
    if (!chunk.empty()) {
      *sent += in.gcount();
      open = stream.Write(request);
    }
  }
  if (in.bad()) {
    return absl::InternalError(absl::StrCat("cannot read all of ", path));
  }
  return open;
}

// Sends files below `folder`; those that can't be opened are named and left out.
absl::StatusOr<v1::UploadImagesResponse> Upload(const Cli& cli, const fs::path& folder,
                                                const std::vector<std::string>& files) {
  grpc::ClientContext context;
  v1::UploadImagesResponse response;
  const auto stream = cli.datasets->UploadImages(&context, &response);
  int64_t sent = 0;
  bool open = true;
  for (size_t i = 0; open && i < files.size(); ++i) {
    std::ifstream in(folder / files[i], std::ios::binary);
    if (!in) {
      *cli.err << "graft: cannot read " << Printable(files[i]) << "; it is left out\n";
      continue;
    }
    const absl::StatusOr<bool> taken = SendFile(in, files[i], *stream, &sent);
    if (!taken.ok()) {
      // Half a file must not become part of a data set.
      context.TryCancel();
      (void)stream->Finish();
      return taken.status();
    }
    open = *taken;
    if (cli.err_is_terminal) {
      *cli.err << "\r\x1b[Kupload " << Bar(static_cast<double>(i + 1) / static_cast<double>(files.size()), 20) << " "
               << i + 1 << "/" << files.size() << " files  " << Bytes(sent) << std::flush;
    }
  }
  stream->WritesDone();
  const absl::Status status = FromGrpc(stream->Finish());
  if (cli.err_is_terminal) {
    *cli.err << "\r\x1b[K" << std::flush;
  }
  GRAFT_RETURN_IF_ERROR(status);
  return response;
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
  const absl::StatusOr<v1::UploadImagesResponse> upload = Upload(cli, arguments.folder, *files);
  if (!upload.ok()) {
    return cli.Fail(upload.status());
  }
  if (!cli.json) {
    *cli.out << "uploaded " << upload->files() << " files, " << Bytes(upload->bytes()) << std::endl;
  }
  split->set_upload_id(upload->upload_id());
  return RunSplit(cli, *split, arguments.wait);
}

// A line of the list.
std::vector<std::string> Row(const v1::Dataset& dataset) {
  if (!dataset.damaged().empty()) {
    return {Printable(dataset.name()), "damaged", "-", "-", "-", Bytes(dataset.size_bytes()), "-"};
  }
  v1::ClassCount total;
  for (const v1::ClassCount& count : dataset.classes()) {
    total.set_train(total.train() + count.train());
    total.set_validation(total.validation() + count.validation());
    total.set_test(total.test() + count.test());
  }
  return {Printable(dataset.name()),
          absl::StrCat(dataset.classes_size()),
          Thousands(total.train()),
          Thousands(total.validation()),
          Thousands(total.test()),
          Bytes(dataset.size_bytes()),
          Time(dataset.create_time().seconds())};
}

int DatasetList(const Cli& cli) {
  return Show(cli, CallForAllPages(*cli.datasets, &v1::DatasetService::Stub::ListDatasets, v1::ListDatasetsRequest()),
              [&](const v1::ListDatasetsResponse& list) {
                std::vector<std::vector<std::string>> rows = {
                    {"NAME", "CLASSES", "TRAIN", "VALIDATION", "TEST", "SIZE", "CREATED"}};
                for (const v1::Dataset& dataset : list.datasets()) {
                  rows.push_back(Row(dataset));
                }
                *cli.out << Table(rows, {false, true, true, true, true, true, false});
                for (const v1::Dataset& dataset : list.datasets()) {
                  *cli.out << DamageText(dataset.name(), dataset.damaged(), "graft dataset delete");
                }
              });
}

int DatasetDelete(const Cli& cli, const std::string& name) {
  v1::DeleteDatasetRequest request;
  request.set_name(name);
  return Show(cli, Call(*cli.datasets, &v1::DatasetService::Stub::DeleteDataset, request),
              [&](const v1::DeleteDatasetResponse&) { *cli.out << "deleted data set " << Printable(name) << "\n"; });
}

absl::StatusOr<v1::PreviewDatasetRequest> MakePreview(const PreviewArguments& arguments) {
  v1::PreviewDatasetRequest request;
  request.set_name(arguments.name);
  request.set_seed(arguments.seed);
  request.set_columns(arguments.columns);
  const bool augmented = !arguments.augment.empty() || !arguments.variant.empty();
  if (arguments.duplicates && (augmented || arguments.images != 0 || arguments.columns != 0)) {
    return InvalidField("--duplicates", "shows pairs and takes none of --augment, --variant, --images and --columns");
  }
  if (arguments.images != 0 && !augmented) {
    return InvalidField("--images", "is the number of augmented images; give --augment or --variant, or use --columns");
  }
  if (arguments.duplicates) {
    request.mutable_duplicates();
  }
  if (augmented) {
    request.mutable_augmented()->set_variant(arguments.variant);
    request.mutable_augmented()->set_images(arguments.images);
    for (const std::string& assignment : arguments.augment) {
      GRAFT_RETURN_IF_ERROR(SetAugmentation(assignment, request.mutable_augmented()->mutable_options()));
    }
  }
  return request;
}

int DatasetPreview(const Cli& cli, const PreviewArguments& arguments) {
  const absl::StatusOr<v1::PreviewDatasetRequest> request = MakePreview(arguments);
  if (!request.ok()) {
    return cli.FailUsage(request.status());
  }
  const absl::StatusOr<v1::PreviewDatasetResponse> response =
      Call(*cli.datasets, &v1::DatasetService::Stub::PreviewDataset, *request);
  if (!response.ok()) {
    return cli.Fail(response.status());
  }
  const absl::Status written = WriteFileAtomic(arguments.out, response->png());
  if (!written.ok()) {
    return cli.Fail(written);
  }
  if (cli.json) {
    *cli.out << nlohmann::json{{"files", {arguments.out}}}.dump() << std::endl;
  } else {
    *cli.out << Printable(arguments.out) << "\n";
  }
  return kOk;
}

int DatasetFeatures(const Cli& cli, const FeaturesArguments& arguments) {
  v1::JobSpec spec;
  spec.mutable_extract_features()->set_dataset(arguments.name);
  SetTrunk(arguments.trunk, spec.mutable_extract_features());
  return SubmitAndWait(cli, spec, [&](const v1::JobResult& result) {
    if (cli.json) {
      cli.PrintJson(result.extract_features());
    } else {
      *cli.out << ResultText(result) << "\n";
    }
    return kOk;
  });
}

void AddSplitOptions(CommandLine& line, CLI::App* command, SplitArguments* split) {
  line.AddEnumOption(command, "--label", &split->label,
                     "Where the label is: filename (cat.1.jpg) or folder (cat/1.jpg)");
  command->add_option("--train", split->train, "Images a class (1500), or a share (0.6, 60%)")->capture_default_str();
  command->add_option("--validation", split->validation, "The same for validation")->capture_default_str();
  command->add_option("--test", split->test, "The same for test")->capture_default_str();
  command->add_option("--seed", split->seed, "Same folder, sizes and seed: same split")
      ->check(NotNegative())
      ->capture_default_str();
  command->add_flag("--hard-link", split->hard_link, "Link the files instead of copying them");
  command->add_flag("--wait", split->wait, "Show progress and wait for the end");
}

// The positional argument of a command on one data set.
void AddName(CommandLine& line, CLI::App* command, std::string* name) {
  line.Complete(command->add_option("NAME", *name, "The data set")->required(), DatasetNames);
}

}  // namespace

void AddDatasetCommands(CommandLine& line) {
  CLI::App* group =
      line.AddGroup("dataset", "Data sets: labelled images, split into training, validation and test parts",
                    "  graft dataset create pets --from ~/pets --wait\n  graft dataset show pets");

  const auto [create, created] = line.AddCommand(
      group, "create", "Split a folder on the server's machine",
      "  graft dataset create pets --from ~/pets --wait\n"
      "  graft dataset create pets --from ~/pets --train 1500 --validation 500 --test 500 --seed 42\n"
      "  graft dataset create flowers --from ~/flowers --label folder --train 70% --validation 15% --test 15%",
      DatasetCreate);
  create->add_option("NAME", created->name, "The data set's name")->required();
  create->add_option("--from", created->folder, "The folder, below one that graftd was given with --allow-dir")
      ->required();
  AddSplitOptions(line, create, created);

  const auto [upload, uploaded] =
      line.AddCommand(group, "upload", "Send a folder's images to the server and split them",
                      "  graft dataset upload pets ~/pets --wait\n"
                      "  graft dataset upload flowers ~/flowers --label folder --wait",
                      DatasetUpload);
  upload->add_option("NAME", uploaded->name, "The data set's name")->required();
  upload->add_option("DIR", uploaded->folder, "The folder on this machine")->required()->check(CLI::ExistingDirectory);
  AddSplitOptions(line, upload, uploaded);

  line.AddCommand(group, "list", "List data sets", "  graft dataset list", DatasetList);

  const auto [show, shown] = line.AddCommand(group, "show", "Show a data set: classes, skipped files, folder",
                                             "  graft dataset show pets", DatasetShow);
  AddName(line, show, shown);

  const auto [preview, previewed] =
      line.AddCommand(group, "preview", "Draw its images: labelled, augmented, or near-duplicates in pairs",
                      "  graft dataset preview pets --out pets.png\n"
                      "  graft dataset preview pets --augment rotation=40 --augment flip=true --out augmented.png\n"
                      "  graft dataset preview pets --duplicates --out pairs.png",
                      DatasetPreview);
  AddName(line, preview, &previewed->name);
  preview->add_option("--out", previewed->out, "The PNG file to write")->required();
  line.Complete(preview
                    ->add_option("--augment", previewed->augment,
                                 "What training makes of a few images: KEY=VALUE; may be given several times")
                    ->allow_extra_args(false),
                AugmentationAssignments);
  line.Complete(preview->add_option("--variant", previewed->variant, "The same, by a variant's own augmentation"),
                VariantNames);
  preview->add_flag("--duplicates", previewed->duplicates, "Images that show the same, those in two parts first");
  preview->add_option("--seed", previewed->seed, "Which images, and how training with it changes them")
      ->check(NotNegative())
      ->capture_default_str();
  preview->add_option("--images", previewed->images, "Augmented images, 1 to 32; 4 unless told");
  preview->add_option("--columns", previewed->columns, "Images a row, 1 to 16");

  const auto [remove, removed] = line.AddCommand(group, "delete", "Delete a data set; its models stay",
                                                 "  graft dataset delete pets", DatasetDelete);
  AddName(line, remove, removed);

  const auto [features, extracted] = line.AddCommand(
      group, "features", "Extract and keep a trunk's features of a data set, so that heads train at once",
      "  graft dataset features pets\n  graft dataset features pets --preprocessing rescale --size 224",
      DatasetFeatures);
  AddName(line, features, &extracted->name);
  AddTrunkOptions(line, features, &extracted->trunk);
}

}  // namespace graft
