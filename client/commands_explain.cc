#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/local_files.h"
#include "client/model_ref.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxImageBytes = 20 << 20;
constexpr char kList[] = "list";

struct ExplainArguments {
  std::string model;
  std::string label;
  std::string layers;
  int channels = 0;
  std::string out;
  std::vector<std::string> files;
};

absl::StatusOr<v1::ExplainRequest> MakeRequest(const ExplainArguments& arguments) {
  v1::ExplainRequest request;
  GRAFT_ASSIGN_OR_RETURN(*request.mutable_model(), ParseModel(arguments.model));
  request.set_label(arguments.label);
  request.set_channels(arguments.channels);
  if (arguments.layers == kList) {
    request.set_layers_only(true);
    return request;
  }
  if (arguments.files.empty()) {
    return InvalidField("FILE", "name images or folders of images, or use --layers list to see a model's layers");
  }
  if (arguments.out.empty()) {
    return InvalidField("--out", "name the folder that the pictures are to go to");
  }
  if (!arguments.layers.empty()) {
    for (const absl::string_view layer : absl::StrSplit(arguments.layers, ',')) {
      if (layer.empty()) {
        return InvalidField(
            "--layers", absl::StrCat("'", arguments.layers, "' has an empty name; separate names by one comma: a,b"));
      }
      request.add_layers(std::string(layer));
    }
  }
  return request;
}

void PrintLayers(const Cli& cli, const v1::ExplainResponse& response) {
  std::vector<std::vector<std::string>> rows = {{"LAYER", "TYPE", "OUTPUT"}};
  for (const v1::Layer& layer : response.layers()) {
    std::string shape;
    for (const int64_t n : layer.output_shape()) {
      absl::StrAppend(&shape, shape.empty() ? "" : " x ", n);
    }
    rows.push_back({Printable(layer.name()), Printable(layer.type()), shape});
  }
  *cli.out << Table(rows);
}

// A name of the server's or of a file as a part of a file's name here.
std::string InFileName(absl::string_view name) {
  constexpr size_t kMostBytes = 100;
  std::string safe = Printable(Clipped(name, kMostBytes));
  std::replace_if(
      safe.begin(), safe.end(),
      [](char c) { return c == '/' || c == '\\' || absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, '_');
  return safe;
}

// Where an image's pictures go. Images of the same name, of several folders, are told apart by a number.
class Names {
 public:
  explicit Names(fs::path folder) : folder_(std::move(folder)) {}

  // DIR/NAME- for an image.
  std::string Begin(const std::string& file) {
    const std::string name = InFileName(fs::path(file).stem().string());
    std::string unique = name;
    for (int n = 2; !taken_.insert(unique).second; ++n) {
      unique = absl::StrCat(name, "-", n);
    }
    return (folder_ / (unique + "-")).string();
  }

 private:
  const fs::path folder_;
  std::set<std::string> taken_;
};

// Writes an answer's pictures, takes them out of it and says where they are.
absl::StatusOr<std::vector<std::string>> WritePictures(const std::string& begin, v1::ExplainResponse* response) {
  std::vector<std::string> written;
  const auto write = [&](const std::string& name, const std::string& bytes) -> absl::Status {
    const std::string path = absl::StrCat(begin, name, ".png");
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(path, bytes));
    written.push_back(path);
    return absl::OkStatus();
  };
  v1::HeatMap& map = *response->mutable_heat_map();
  GRAFT_RETURN_IF_ERROR(write(absl::StrCat("gradcam-", InFileName(map.label())), map.picture()));
  map.clear_picture();
  for (v1::FeatureMaps& maps : *response->mutable_feature_maps()) {
    GRAFT_RETURN_IF_ERROR(write(InFileName(maps.layer()), maps.picture()));
    maps.clear_picture();
  }
  return written;
}

void PrintExplained(const Cli& cli, const std::string& file, const v1::ExplainResponse& response,
                    const std::vector<std::string>& pictures) {
  if (cli.json) {
    const nlohmann::json line = {
        {"file", file}, {"response", nlohmann::json::parse(JsonText(response))}, {"pictures", pictures}};
    *cli.out << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    return;
  }
  std::string text = Printable(file);
  for (const v1::Prediction& prediction : response.predictions()) {
    absl::StrAppend(&text, "  ", Printable(prediction.label()), absl::StrFormat(" %.4f", prediction.probability()));
  }
  if (response.heat_map().peak() == 0) {
    absl::StrAppend(&text, "  (nothing speaks for ", Printable(response.heat_map().label()), ")");
  }
  for (const std::string& picture : pictures) {
    absl::StrAppend(&text, "\n  ", Printable(picture));
  }
  *cli.out << text << std::endl;
}

void PrintFailed(const Cli& cli, const std::string& file, const absl::Status& status) {
  *cli.err << "graft: " << Printable(file) << ": " << Printable(status.message()) << std::endl;
  if (cli.json) {
    const nlohmann::json line = {
        {"file", file},
        {"error", {{"code", static_cast<int>(status.code())}, {"message", std::string(status.message())}}}};
    *cli.out << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
  }
}

int Explain(const Cli& cli, const ExplainArguments& arguments) {
  absl::StatusOr<v1::ExplainRequest> request = MakeRequest(arguments);
  if (!request.ok()) {
    return cli.FailUsage(request.status());
  }
  constexpr auto kMethod = &v1::PredictionService::Stub::Explain;
  if (request->layers_only()) {
    return Show(cli, Call(*cli.predictions, kMethod, *request),
                [&](const v1::ExplainResponse& response) { PrintLayers(cli, response); });
  }
  const absl::StatusOr<std::vector<std::string>> files = ImagesOf(arguments.files);
  if (!files.ok()) {
    return cli.Fail(files.status());
  }
  if (const absl::Status created = CreateFolders(arguments.out); !created.ok()) {
    return cli.Fail(created);
  }
  Names names(arguments.out);
  size_t failed = 0;
  for (const std::string& file : *files) {
    const absl::StatusOr<std::vector<uint8_t>> bytes = ReadFile(file, kMaxImageBytes);
    if (!bytes.ok()) {
      ++failed;
      PrintFailed(cli, file, bytes.status());
      continue;
    }
    request->set_image(bytes->data(), bytes->size());
    absl::StatusOr<v1::ExplainResponse> response = Call(*cli.predictions, kMethod, *request);
    if (absl::IsInvalidArgument(response.status()) && absl::StartsWith(response.status().message(), "image")) {
      ++failed;
      PrintFailed(cli, file, response.status());
      continue;
    }
    if (!response.ok()) {
      return cli.Fail(response.status());  // of the model or the request: the next image would meet it, too
    }
    const absl::StatusOr<std::vector<std::string>> pictures = WritePictures(names.Begin(file), &*response);
    if (!pictures.ok()) {
      return cli.Fail(pictures.status());
    }
    PrintExplained(cli, file, *response, *pictures);
  }
  if (failed > 1) {
    *cli.err << "graft: " << failed << " of " << files->size() << " images failed\n";
  }
  return failed > 0 ? kFailed : kOk;
}

}  // namespace

void AddExplainCommand(CommandLine& line) {
  const auto [explain, explained] = line.AddCommand(
      line.app(), "explain", "Draw where in images a model sees a label, and what its layers make of them",
      "  graft explain pets photo.jpg --out explained\n"
      "  graft explain pets@2 ~/photos --label dog --out explained --format json\n"
      "  graft explain pets --layers list\n"
      "  graft explain pets photo.jpg --layers block1_conv2,block5_pool --out explained",
      Explain);
  line.Complete(explain->add_option("MODEL", explained->model, kModelHelp)->required(), ModelRefs);
  explain->add_option("FILE", explained->files, "Images, or folders of images");
  explain->add_option("--out", explained->out, "The folder for the pictures: NAME-gradcam-LABEL.png, NAME-LAYER.png");
  line.Complete(explain->add_option("--label", explained->label, "What speaks for this one; else the most probable"),
                LabelNames);
  line.Complete(explain->add_option("--layers", explained->layers,
                                    "Also draw these layers' channels: A,B,C, 16 at most; `list` says which there are"),
                MapLayerNames);
  explain->add_option("--channels", explained->channels, "Of each layer, from its first on; 1 to 256, 64 unless told")
      ->check(CLI::Range(1, 256));
}

}  // namespace graft
