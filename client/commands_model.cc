#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/model_ref.h"
#include "client/submit.h"
#include "client/training_options.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct DeleteArguments {
  std::string model;
  bool all = false;
};

struct MistakesArguments {
  std::string model;
  int32_t folds = 0;  // 0: the server's
  std::optional<uint64_t> seed;
  int limit = 20;
  std::string out;
  bool again = false;
  bool no_wait = false;
};

struct DownloadArguments {
  std::string model;
  std::string out;
};

void PrintOptions(const Cli& cli, const v1::TrainingOptions& options) {
  for (const auto& [key, value] : TrainingOptionValues(options)) {
    *cli.out << absl::StrFormat("  %-16s %s\n", key, Printable(value));
  }
}

// A server's path that stays below the folder it is joined to.
bool SafePath(const std::string& path) {
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return false;
    }
  }
  return std::none_of(path.begin(), path.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)) || c == '\\'; });
}

int VariantList(const Cli& cli) {
  return Show(cli, Call(*cli.models, &v1::ModelService::Stub::ListVariants, v1::ListVariantsRequest()),
              [&](const v1::ListVariantsResponse& list) {
                std::vector<std::vector<std::string>> rows = {{"NAME", "TRUNK", "PARAMETERS", "WHAT IT IS"}};
                for (const v1::Variant& variant : list.variants()) {
                  rows.push_back({Printable(variant.name()), variant.trunk().empty() ? "-" : Printable(variant.trunk()),
                                  Thousands(variant.parameters()), Printable(variant.summary())});
                }
                *cli.out << Table(rows, {false, false, true, false});
              });
}

// "Share of the last step kept. Only for optimizer=sgd."
std::string Meaning(const v1::OptionInfo& option) {
  absl::string_view only = option.unused();
  return absl::StrCat(Printable(option.meaning()), absl::ConsumePrefix(&only, "is only for ")
                                                       ? absl::StrCat(" Only for ", Printable(only), ".")
                                                       : "");
}

int VariantShow(const Cli& cli, const std::string& name) {
  v1::GetVariantRequest request;
  request.set_name(name);
  v1::Variant variant;
  const absl::Status status = FromGrpc(cli.models->GetVariant(UnaryContext().get(), request, &variant));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(variant);
    return kOk;
  }
  *cli.out << Printable(variant.name()) << ": " << Printable(variant.summary()) << "\n";
  if (!variant.trunk().empty() && !variant.trunk_in_network()) {
    *cli.out << "Its input are features of " << Printable(variant.trunk()) << ", frozen.\n";
  }
  *cli.out
      << "\nLayers for two classes, with the preset reference\n"
      << LayerTable(variant.layers())
      << "\nOptions: what they are when they aren't set, by preset (--preset, else recommended); change with --set "
         "OPTION=VALUE\n";
  std::vector<std::vector<std::string>> rows = {{"OPTION", "RECOMMENDED", "REFERENCE", "RANGE", "MEANING"}};
  for (const v1::OptionInfo& option : variant.options()) {
    rows.push_back({Printable(option.name()), Printable(option.default_value()), Printable(option.reference_value()),
                    Printable(option.range()), Meaning(option)});
  }
  *cli.out << Table(rows);
  return kOk;
}

// The accuracy on the test part of the data set that the model was trained on; "-" when it wasn't evaluated there.
std::string TestAccuracy(const v1::Model& model) {
  std::string text = "-";
  for (const v1::EvaluateResult& evaluation : model.evaluations()) {
    if (evaluation.part() == v1::PART_TEST && evaluation.dataset() == model.dataset()) {
      text = absl::StrFormat("%.4f", evaluation.report().accuracy());
    }
  }
  return text;
}

std::string NameOf(const v1::Model& model) { return absl::StrCat(Printable(model.name()), "@", model.version()); }

// The one whose weights the model has; null: it isn't told.
const v1::EpochMetrics* KeptEpoch(const v1::Model& model) {
  const auto kept = std::find_if(model.history().begin(), model.history().end(),
                                 [&](const v1::EpochMetrics& epoch) { return epoch.epoch() == model.kept_epoch(); });
  return kept == model.history().end() ? nullptr : &*kept;
}

// A line of the list.
std::vector<std::string> Row(const v1::Model& model) {
  if (!model.damaged().empty()) {
    return {NameOf(model), "damaged", "-", "-", "-", "-", Bytes(model.size_bytes()), "-"};
  }
  const v1::EpochMetrics* const kept = KeptEpoch(model);
  return {NameOf(model),
          Printable(model.variant()),
          Printable(model.dataset()),
          absl::StrCat(model.labels_size()),
          kept == nullptr ? "-" : absl::StrFormat("%.4f", kept->validation_accuracy()),
          TestAccuracy(model),
          Bytes(model.size_bytes()),
          Time(model.create_time().seconds())};
}

absl::StatusOr<v1::ListModelsResponse> AllModels(const Cli& cli, const std::string& name) {
  v1::ListModelsRequest request;
  request.set_name(name);
  return CallForAllPages(*cli.models, &v1::ModelService::Stub::ListModels, request);
}

int ModelList(const Cli& cli, const std::string& name) {
  if (const absl::Status status = CheckNoVersion(name, "graft model show shows one version"); !status.ok()) {
    return cli.FailUsage(status);
  }
  return Show(cli, AllModels(cli, name), [&](const v1::ListModelsResponse& list) {
    std::vector<std::vector<std::string>> rows = {
        {"MODEL", "VARIANT", "DATA SET", "CLASSES", "VAL ACC", "TEST ACC", "SIZE", "CREATED"}};
    for (const v1::Model& model : list.models()) {
      rows.push_back(Row(model));
    }
    *cli.out << Table(rows, {false, false, false, true, true, true, true, false});
    for (const v1::Model& model : list.models()) {
      *cli.out << DamageText(NameOf(model), model.damaged(), "graft model delete");
    }
  });
}

void PrintModel(const Cli& cli, const v1::Model& model) {
  *cli.out << DamageText(NameOf(model), model.damaged(), "graft model delete");
  *cli.out << Printable(model.name()) << "@" << model.version() << ", " << Printable(model.variant()) << ", trained on "
           << Printable(model.dataset()) << " by " << Printable(model.job_id()) << ", "
           << Time(model.create_time().seconds()) << " UTC, in " << Duration(model.training_seconds())
           << "\nclasses: " << Printable(absl::StrJoin(model.labels(), ", ")) << "\n\n"
           << LayerTable(model.layers()) << "\nOptions\n";
  PrintOptions(cli, model.options());
  if (const v1::EpochMetrics* const kept = KeptEpoch(model); kept != nullptr) {
    *cli.out << absl::StrFormat(
        "\nEpoch %d of %d was kept: loss %.4f, accuracy %.4f, validation loss %.4f, validation accuracy %.4f\n",
        kept->epoch(), model.history_size(), kept->loss(), kept->accuracy(), kept->validation_loss(),
        kept->validation_accuracy());
  }
  if (model.temperature() != 1 && model.damaged().empty()) {
    *cli.out << absl::StrFormat("Probabilities are scaled by the temperature %.4g.\n", model.temperature());
  }
  if (model.has_made_with()) {
    const v1::Provenance& made_with = model.made_with();
    *cli.out << "Made with Graft " << Printable(made_with.graft()) << ", LibTorch " << Printable(made_with.libtorch())
             << ", kernels " << Printable(made_with.instruction_set()) << " (" << Printable(made_with.convolution())
             << "), on " << Printable(made_with.processor()) << "\n";
  }
  for (const v1::EvaluateResult& evaluation : model.evaluations()) {
    *cli.out << "\nEvaluated on " << Printable(evaluation.dataset()) << " ("
             << ShortName(*v1::Part_descriptor(), evaluation.part()) << ")\n\n"
             << ReportText(evaluation.report());
  }
  *cli.out << "\nfolder    " << Printable(model.folder()) << " (" << Bytes(model.size_bytes()) << ")\n";
  for (const std::string& picture : model.pictures()) {
    *cli.out << "picture   " << Printable(picture) << "\n";
  }
}

int ModelShow(const Cli& cli, const std::string& text) {
  const absl::StatusOr<v1::ModelRef> ref = ParseModel(text);
  if (!ref.ok()) {
    return cli.FailUsage(ref.status());
  }
  v1::GetModelRequest request;
  *request.mutable_model() = *ref;
  return Show(cli, Call(*cli.models, &v1::ModelService::Stub::GetModel, request),
              [&](const v1::Model& model) { PrintModel(cli, model); });
}

// A name alone must not delete what one forgot was there: it stands for the version when there is only one, and for
// that one. OK with no version set: the model isn't there, as the server will say. INVALID_ARGUMENT: there are several.
absl::Status ChooseOnlyVersion(const v1::ListModelsResponse& versions, v1::ModelRef* model) {
  if (versions.models_size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(model->name(), " has ", versions.models_size(),
                                                   " versions; name one (", model->name(), "@",
                                                   versions.models(0).version(), ") or use --all"));
  }
  if (versions.models_size() == 1) {
    model->set_version(versions.models(0).version());
  }
  return absl::OkStatus();
}

int ModelDelete(const Cli& cli, const DeleteArguments& arguments) {
  const absl::StatusOr<v1::ModelRef> ref = ParseModel(arguments.model);
  if (!ref.ok()) {
    return cli.FailUsage(ref.status());
  }
  v1::DeleteModelRequest request;
  *request.mutable_model() = *ref;
  const bool named = ref->which_case() != v1::ModelRef::WHICH_NOT_SET;
  if (arguments.all && named) {
    return cli.FailUsage(absl::InvalidArgumentError("--all deletes every version; leave @VERSION out"));
  }
  if (!arguments.all && !named) {
    const absl::StatusOr<v1::ListModelsResponse> versions = AllModels(cli, ref->name());
    if (!versions.ok()) {
      return cli.Fail(versions.status());
    }
    if (const absl::Status status = ChooseOnlyVersion(*versions, request.mutable_model()); !status.ok()) {
      return cli.FailUsage(status);
    }
  }
  request.set_all_versions(request.model().which_case() == v1::ModelRef::WHICH_NOT_SET);
  return Show(cli, Call(*cli.models, &v1::ModelService::Stub::DeleteModel, request),
              [&](const v1::DeleteModelResponse& response) {
                *cli.out << "deleted " << Printable(arguments.model) << " (" << response.deleted()
                         << (response.deleted() == 1 ? " version)\n" : " versions)\n");
              });
}

// Writes what DownloadModel sends below a folder; each file appears whole or not at all.
class Download {
 public:
  explicit Download(fs::path folder) : folder_(std::move(folder)) {}

  absl::Status Take(const v1::DownloadModelResponse& piece) {
    if (piece.has_path()) {
      GRAFT_RETURN_IF_ERROR(EndFile());
      return BeginFile(piece.path());
    }
    if (!file_.has_value()) {
      return absl::DataLossError("the server sent bytes of no file");
    }
    return file_->Write(piece.chunk());
  }
  absl::Status EndFile() {
    if (!file_.has_value()) {
      return absl::OkStatus();
    }
    absl::Status status = file_->Commit();
    file_.reset();
    return status;
  }

  const std::vector<std::string>& files() const { return files_; }

 private:
  absl::Status BeginFile(const std::string& relative) {
    if (!SafePath(relative)) {
      return absl::DataLossError(absl::StrCat("the server sent an unsafe path: ", relative));
    }
    const fs::path path = folder_ / relative;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) {
      return ErrnoStatus(error.value(), "create", path.parent_path());
    }
    GRAFT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
    file_.emplace(std::move(file));
    files_.push_back(path.string());
    return absl::OkStatus();
  }

  const fs::path folder_;
  std::optional<AtomicFile> file_;  // the one that is being sent
  std::vector<std::string> files_;
};

// Writes the files that a call sends, and says which.
template <typename Request>
int Fetch(const Cli& cli, const DownloadArguments& arguments,
          std::unique_ptr<grpc::ClientReader<v1::DownloadModelResponse>> (v1::ModelService::Stub::*method)(
              grpc::ClientContext*, const Request&)) {
  const absl::StatusOr<v1::ModelRef> ref = ParseModel(arguments.model);
  if (!ref.ok()) {
    return cli.FailUsage(ref.status());
  }
  grpc::ClientContext context;
  Request request;
  *request.mutable_model() = *ref;
  const auto stream = (cli.models.get()->*method)(&context, request);
  Download download(arguments.out);
  v1::DownloadModelResponse piece;
  absl::Status local;
  while (local.ok() && stream->Read(&piece)) {
    local = download.Take(piece);
  }
  if (!local.ok()) {
    context.TryCancel();
  }
  const absl::Status status = FromGrpc(stream->Finish());
  // What the server broke off must not look whole.
  if (local.ok() && status.ok()) {
    local = download.EndFile();
  }
  if (!local.ok() || !status.ok()) {
    return cli.Fail(local.ok() ? status : local);
  }
  if (cli.json) {
    *cli.out << nlohmann::json{{"files", download.files()}}.dump() << std::endl;
    return kOk;
  }
  for (const std::string& path : download.files()) {
    *cli.out << Printable(path) << "\n";
  }
  return kOk;
}

int ModelDownload(const Cli& cli, const DownloadArguments& arguments) {
  return Fetch(cli, arguments, &v1::ModelService::Stub::DownloadModel);
}

int ModelReport(const Cli& cli, const DownloadArguments& arguments) {
  return Fetch(cli, arguments, &v1::ModelService::Stub::ReportModel);
}

std::vector<std::string> Row(const v1::SuspectedLabel& mistake) {
  return {Printable(mistake.path()), Printable(mistake.label()), absl::StrFormat("%.4f", mistake.probability()),
          Printable(mistake.suggested_label()), absl::StrFormat("%.4f", mistake.suggested_probability())};
}

void PrintMistakes(const Cli& cli, const v1::FindMistakesResult& result, int limit) {
  const std::string model = absl::StrCat(Printable(result.model()), "@", result.version());
  *cli.out << model << " on " << Printable(result.dataset()) << ": " << Thousands(result.suspected()) << " of "
           << Thousands(result.images()) << " training labels are suspected to be wrong\n";
  const int shown = std::min(limit, result.mistakes_size());
  if (shown > 0) {
    std::vector<std::vector<std::string>> rows = {{"IMAGE", "LABEL", "PROBABILITY", "SUGGESTED", "PROBABILITY"}};
    for (int i = 0; i < shown; ++i) {
      rows.push_back(Row(result.mistakes(i)));
    }
    *cli.out << "\n" << Table(rows, {false, false, true, false, true});
    if (shown < result.mistakes_size()) {
      *cli.out << "  ... --limit " << result.mistakes_size() << " shows "
               << (result.mistakes_size() < result.suspected() ? "the first " : "all ")
               << Thousands(result.mistakes_size()) << "\n";
    }
    *cli.out << "\nPaths are below training_data in the data set's folder. Look at the images before you change "
                "anything.\n";
  }
  *cli.out << absl::StrFormat(
      "Judged by linear machines on %s's features, each on images that it wasn't fitted on: %d folds, accuracy %.4f\n",
      Printable(result.trunk()), result.folds(), result.accuracy());
}

// Shows what was found and writes the picture.
int ShowMistakes(const Cli& cli, const MistakesArguments& arguments, const v1::GetMistakesResponse& response) {
  if (!arguments.out.empty()) {
    if (const absl::Status status = WriteFileAtomic(arguments.out, response.picture()); !status.ok()) {
      return cli.Fail(status);
    }
  }
  if (cli.json) {
    cli.PrintJson(response.result());
    return kOk;
  }
  PrintMistakes(cli, response.result(), arguments.limit);
  if (!arguments.out.empty()) {
    *cli.out << "picture   " << Printable(arguments.out) << "\n";
  }
  return kOk;
}

int ModelMistakes(const Cli& cli, const MistakesArguments& arguments) {
  const absl::StatusOr<v1::ModelRef> ref = ParseModel(arguments.model);
  if (!ref.ok()) {
    return cli.FailUsage(ref.status());
  }
  v1::GetMistakesRequest request;
  *request.mutable_model() = *ref;
  request.set_picture(!arguments.out.empty());
  if (!arguments.again && !arguments.no_wait) {
    const auto found = Call(*cli.models, &v1::ModelService::Stub::GetMistakes, request);
    const bool asked_for = found.ok() && (arguments.folds == 0 || arguments.folds == found->result().folds()) &&
                           (!arguments.seed.has_value() || *arguments.seed == found->result().seed());
    if (asked_for) {
      return ShowMistakes(cli, arguments, *found);
    }
    // Whether the model itself isn't there, the job's submission says.
    if (!found.ok() && !absl::IsNotFound(found.status())) {
      return cli.Fail(found.status());
    }
  }
  v1::JobSpec spec;
  v1::FindMistakesSpec* find = spec.mutable_find_mistakes();
  *find->mutable_model() = *ref;
  find->set_folds(arguments.folds);
  if (arguments.seed.has_value()) {
    find->set_seed(*arguments.seed);
  }
  if (arguments.no_wait) {
    return SubmitAndLeave(cli, spec);
  }
  return SubmitAndWait(cli, spec, [&](const v1::JobResult& outcome) {
    // The version that was judged, though a newer one may be there by now.
    request.mutable_model()->set_name(outcome.find_mistakes().model());
    request.mutable_model()->set_version(outcome.find_mistakes().version());
    const auto found = Call(*cli.models, &v1::ModelService::Stub::GetMistakes, request);
    if (!found.ok()) {
      return cli.Fail(found.status());
    }
    if (!cli.json) {
      *cli.out << "\n";
    }
    return ShowMistakes(cli, arguments, *found);
  });
}

}  // namespace

void AddVariantCommands(CommandLine& line) {
  CLI::App* group = line.AddGroup("variant", "Model variants: what can be trained",
                                  "  graft variant list\n  graft variant show vgg16_features");
  line.AddCommand(group, "list", "List variants", "  graft variant list", VariantList);
  const auto [show, shown] = line.AddCommand(group, "show", "Show a variant: layers, parameters, defaults",
                                             "  graft variant show vgg16_features", VariantShow);
  line.Complete(show->add_option("NAME", *shown, "The variant")->required(), VariantNames);
}

void AddModelCommands(CommandLine& line) {
  CLI::App* group = line.AddGroup("model", "Trained models and their versions",
                                  "  graft model show pets\n  graft model download pets@2 --out pets-model");

  const auto [list, listed] =
      line.AddCommand(group, "list", "List models", "  graft model list\n  graft model list pets", ModelList);
  line.Complete(list->add_option("MODEL", *listed, "Only this one's versions"), ModelNames);

  const auto [show, shown] = line.AddCommand(group, "show", "Show a model: layers, options, scores, pictures",
                                             "  graft model show pets\n  graft model show pets@2", ModelShow);
  line.Complete(show->add_option("MODEL", *shown, kModelHelp)->required(), ModelRefs);

  const auto [remove, removed] =
      line.AddCommand(group, "delete", "Delete a version, or all",
                      "  graft model delete pets@1\n  graft model delete pets --all", ModelDelete);
  line.Complete(remove->add_option("MODEL", removed->model, kModelHelp)->required(), ModelRefs);
  remove->add_flag("--all", removed->all, "Every version");

  const auto [download, downloaded] =
      line.AddCommand(group, "download", "Fetch a version's files: weights, reports, pictures",
                      "  graft model download pets --out pets-model", ModelDownload);
  line.Complete(download->add_option("MODEL", downloaded->model, kModelHelp)->required(), ModelRefs);
  download->add_option("--out", downloaded->out, "A folder")->required();

  const auto [report, reported] =
      line.AddCommand(group, "report", "Fetch all that is known of a version: report.html, pictures, JSON, CSV",
                      "  graft model report pets --out pets-report", ModelReport);
  line.Complete(report->add_option("MODEL", reported->model, kModelHelp)->required(), ModelRefs);
  report->add_option("--out", reported->out, "A folder")->required();

  const auto [mistakes, found] =
      line.AddCommand(group, "mistakes", "Find training images whose labels are suspect",
                      "  graft model mistakes pets\n  graft model mistakes pets@2 --limit 100 --out mistakes.png\n"
                      "  graft model mistakes pets --again --folds 10",
                      ModelMistakes);
  line.Complete(mistakes->add_option("MODEL", found->model, kModelHelp)->required(), ModelRefs);
  mistakes->add_option("--out", found->out, "Also write a contact sheet of the first 50 to this file (PNG)");
  mistakes->add_option("--limit", found->limit, "Show this many, the most suspect first")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  mistakes->add_flag("--again", found->again, "Look again, though they were looked for before");
  mistakes->add_option("--folds", found->folds, "Parts that images are dealt to, each judged by the others; else 5");
  mistakes->add_option("--seed", found->seed, "Which image is in which part; else 42")->check(NotNegative());
  mistakes->add_flag("--no-wait", found->no_wait, "Only queue it");
}

}  // namespace graft
