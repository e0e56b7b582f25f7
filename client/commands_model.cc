#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/training_options.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

int ServerStatus(const Cli& cli) {
  v1::ServerStatus status;
  const absl::Status call = FromGrpc(cli.status->GetStatus(UnaryContext().get(), {}, &status));
  if (!call.ok()) {
    return cli.Fail(call);
  }
  if (cli.json) {
    cli.PrintJson(status);
    return kOk;
  }
  const auto list = [](const auto& items) {
    return items.empty() ? std::string("none") : Printable(absl::StrJoin(items, ", "));
  };
  *cli.out << "graftd " << status.version() << " at " << cli.server << ", up since "
           << Time(status.start_time().seconds()) << " UTC\n"
           << absl::StrFormat("jobs      %d running (at most %d), %d queued\n", status.jobs_running(),
                              status.max_running_jobs(), status.jobs_queued())
           << "data      " << status.datasets() << " data sets, " << status.models() << " model versions\n"
           << "loaded    " << list(status.loaded()) << "\n"
           << "trunks    " << list(status.trunks()) << "\n"
           << "device    " << status.device() << ", " << status.threads() << " threads, LibTorch "
           << status.torch_version() << "\n"
           << "kernels   " << status.instruction_set() << ", convolution " << status.convolution() << "\n"
           << "memory    " << Bytes(status.resident_bytes()) << " resident\n"
           << "folders   " << list(status.allowed_folders()) << "\n";
  if (!status.hint().empty()) {
    *cli.out << "hint      " << Printable(status.hint()) << "\n";
  }
  return kOk;
}

int VariantList(const Cli& cli) {
  v1::ListVariantsResponse response;
  const absl::Status status = FromGrpc(cli.models->ListVariants(UnaryContext().get(), {}, &response));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(response);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"NAME", "TRUNK", "PARAMETERS", "WHAT IT IS"}};
  for (const v1::Variant& variant : response.variants()) {
    rows.push_back({Printable(variant.name()), variant.trunk().empty() ? "-" : Printable(variant.trunk()),
                    Thousands(variant.parameters()), Printable(variant.summary())});
  }
  *cli.out << Table(rows, {false, false, true, false});
  return kOk;
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
  if (!variant.trunk().empty()) {
    *cli.out << "Its input are features of " << Printable(variant.trunk()) << ", frozen.\n";
  }
  *cli.out << "\n" << LayerTable(variant.layers()) << "\nOptions (change with --set OPTION=VALUE)\n";
  std::vector<std::vector<std::string>> rows = {{"OPTION", "DEFAULT", "RANGE", "MEANING"}};
  for (const v1::OptionInfo& option : variant.options()) {
    rows.push_back({Printable(option.name()), Printable(option.default_value()), Printable(option.range()),
                    Printable(option.meaning())});
  }
  *cli.out << Table(rows);
  return kOk;
}

int ModelList(const Cli& cli, const std::string& name) {
  v1::ListModelsRequest request;
  request.set_name(name);
  v1::ListModelsResponse all;
  do {
    v1::ListModelsResponse page;
    const absl::Status status = FromGrpc(cli.models->ListModels(UnaryContext().get(), request, &page));
    if (!status.ok()) {
      return cli.Fail(status);
    }
    all.mutable_models()->MergeFrom(page.models());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (cli.json) {
    cli.PrintJson(all);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"MODEL", "VARIANT", "DATA SET", "CLASSES", "VAL ACC", "TEST ACC", "SIZE", "CREATED"}};
  for (const v1::Model& model : all.models()) {
    std::string test = "-";
    for (const v1::EvaluateResult& evaluation : model.evaluations()) {
      if (evaluation.part() == v1::PART_TEST && evaluation.dataset() == model.dataset()) {
        test = absl::StrFormat("%.4f", evaluation.report().accuracy());
      }
    }
    rows.push_back({absl::StrCat(Printable(model.name()), "@", model.version()), Printable(model.variant()),
                    Printable(model.dataset()), absl::StrCat(model.labels_size()),
                    model.history_size() == 0
                        ? "-"
                        : absl::StrFormat("%.4f", model.history(model.history_size() - 1).validation_accuracy()),
                    test, Bytes(model.size_bytes()), Time(model.create_time().seconds())});
  }
  *cli.out << Table(rows, {false, false, false, true, true, true, true, false});
  return kOk;
}

int ModelShow(const Cli& cli, const std::string& text) {
  const auto parsed = ParseModel(text);
  if (!parsed.ok()) {
    return cli.FailUsage(parsed.status());
  }
  v1::GetModelRequest request;
  request.set_name(parsed->first);
  request.set_version(parsed->second);
  v1::Model model;
  const absl::Status status = FromGrpc(cli.models->GetModel(UnaryContext().get(), request, &model));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(model);
    return kOk;
  }
  *cli.out << Printable(model.name()) << "@" << model.version() << ", " << Printable(model.variant()) << ", trained on "
           << Printable(model.dataset()) << " by " << Printable(model.job_id()) << ", "
           << Time(model.create_time().seconds()) << " UTC, in " << Duration(model.training_seconds())
           << "\nclasses: " << Printable(absl::StrJoin(model.labels(), ", ")) << "\n\n"
           << LayerTable(model.layers()) << "\nOptions\n";
  PrintOptions(cli, model.options());
  if (model.history_size() > 0) {
    const v1::EpochMetrics& last = model.history(model.history_size() - 1);
    *cli.out << absl::StrFormat(
        "\nLast epoch (%d): loss %.4f, accuracy %.4f, validation loss %.4f, validation accuracy %.4f\n", last.epoch(),
        last.loss(), last.accuracy(), last.validation_loss(), last.validation_accuracy());
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
  return kOk;
}

int ModelDelete(const Cli& cli, const std::string& text, bool all) {
  const auto parsed = ParseModel(text);
  if (!parsed.ok() || (all && parsed->second != 0)) {
    *cli.err << "graft: "
             << (parsed.ok() ? "--all deletes every version; leave @VERSION out"
                             : std::string(parsed.status().message()))
             << "\n";
    return kUsage;
  }
  v1::DeleteModelRequest request;
  request.set_name(parsed->first);
  request.set_version(parsed->second);
  if (parsed->second == 0 && !all) {
    // A name alone must not delete what one forgot was there.
    v1::ListModelsRequest list;
    list.set_name(parsed->first);
    v1::ListModelsResponse models;
    const absl::Status status = FromGrpc(cli.models->ListModels(UnaryContext().get(), list, &models));
    if (!status.ok()) {
      return cli.Fail(status);
    }
    if (models.models_size() > 1) {
      *cli.err << "graft: " << parsed->first << " has " << models.models_size() << " versions; name one ("
               << parsed->first << "@" << models.models(0).version() << ") or use --all\n";
      return kUsage;
    }
  }
  v1::DeleteModelResponse response;
  const absl::Status status = FromGrpc(cli.models->DeleteModel(UnaryContext().get(), request, &response));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(response);
  } else {
    *cli.out << "deleted " << Printable(text) << " (" << response.deleted()
             << (response.deleted() == 1 ? " version)\n" : " versions)\n");
  }
  return kOk;
}

int ModelDownload(const Cli& cli, const std::string& text, const std::string& out) {
  const auto parsed = ParseModel(text);
  if (!parsed.ok()) {
    return cli.FailUsage(parsed.status());
  }
  grpc::ClientContext context;
  v1::DownloadModelRequest request;
  request.set_name(parsed->first);
  request.set_version(parsed->second);
  const auto stream = cli.models->DownloadModel(&context, request);
  v1::DownloadModelResponse piece;
  std::ofstream file;
  std::vector<std::string> files;
  absl::Status local;
  while (local.ok() && stream->Read(&piece)) {
    if (piece.has_path()) {
      file.close();
      if (!SafePath(piece.path())) {
        local = absl::DataLossError(absl::StrCat("the server sent an unsafe path: ", piece.path()));
        break;
      }
      const fs::path path = fs::path(out) / piece.path();
      std::error_code error;
      fs::create_directories(path.parent_path(), error);
      file.clear();
      file.open(path, std::ios::binary | std::ios::trunc);
      files.push_back(path.string());
    } else {
      file.write(piece.chunk().data(), static_cast<std::streamsize>(piece.chunk().size()));
    }
    if (!file) {
      local = absl::InternalError(absl::StrCat("cannot write ", files.empty() ? out : files.back()));
    }
  }
  file.close();
  if (!local.ok()) {
    context.TryCancel();
  }
  const absl::Status status = FromGrpc(stream->Finish());
  if (!local.ok() || !status.ok()) {
    return cli.Fail(local.ok() ? status : local);
  }
  for (const std::string& path : files) {
    if (!cli.json) {
      *cli.out << Printable(path) << "\n";
    }
  }
  if (cli.json) {
    *cli.out << nlohmann::json{{"files", files}}.dump() << std::endl;
  }
  return kOk;
}

}  // namespace graft
