#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/training_options.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct ImportArguments {
  std::string file;
  std::string name;
  std::string like;
  v1::Preprocessing preprocessing = v1::PREPROCESSING_UNSPECIFIED;
};

// "0.86 billion".
std::string Billions(int64_t n) { return absl::StrFormat("%.2f billion", static_cast<double>(n) / 1e9); }

int TrunkList(const Cli& cli) {
  return Show(cli, Call(*cli.models, &v1::ModelService::Stub::ListTrunks, v1::ListTrunksRequest()),
              [&](const v1::ListTrunksResponse& list) {
                std::vector<std::vector<std::string>> rows = {
                    {"NAME", "WEIGHTS", "PARAMETERS", "MULTIPLY-ADDS", "SIZE", "WHAT IT IS"}};
                for (const v1::Trunk& trunk : list.trunks()) {
                  rows.push_back({Printable(trunk.name()), trunk.available() ? "there" : "missing",
                                  Thousands(trunk.parameters()), Billions(trunk.multiply_adds()),
                                  absl::StrCat(trunk.image_size()),
                                  absl::StrCat(Printable(trunk.title()), " (", Printable(trunk.paper()), ")")});
                }
                *cli.out << Table(rows, {false, false, true, true, true, false});
                for (const v1::Trunk& trunk : list.trunks()) {
                  if (!trunk.available()) {
                    *cli.out << Printable(trunk.hint()) << "\n";
                  }
                }
              });
}

int PrintTrunk(const Cli& cli, const absl::StatusOr<v1::Trunk>& found) {
  return Show(cli, found, [&](const v1::Trunk& trunk) {
    const auto printable = [](const std::string& text) { return Printable(text); };
    *cli.out << Printable(trunk.title()) << ": " << Printable(trunk.paper()) << "\n"
             << "weights        " << (trunk.available() ? "there" : Printable(trunk.hint())) << "\n"
             << (trunk.like().empty() ? "" : absl::StrCat("like           ", Printable(trunk.like()), "\n"))
             << "licence        " << Printable(trunk.licence()) << "\n"
             << "trained by     " << Printable(trunk.source()) << "\n"
             << "parameters     " << Thousands(trunk.parameters()) << "\n"
             << "multiply-adds  " << Billions(trunk.multiply_adds()) << " an image\n"
             << "image size     " << trunk.image_size() << "\n"
             << "preprocessing  " << ShortName(*v1::Preprocessing_descriptor(), trunk.preprocessing()) << "\n"
             << "features       " << absl::StrJoin(trunk.feature_shape(), "x") << "\n"
             << "blocks         "
             << absl::StrJoin(trunk.blocks(), ", ",
                              [&](std::string* out, const std::string& text) { absl::StrAppend(out, printable(text)); })
             << "\n"
             << "variants       "
             << absl::StrJoin(trunk.variants(), ", ",
                              [&](std::string* out, const std::string& text) { absl::StrAppend(out, printable(text)); })
             << "\n";
  });
}

int TrunkShow(const Cli& cli, const std::string& name) {
  v1::GetTrunkRequest request;
  request.set_name(name);
  return PrintTrunk(cli, Call(*cli.models, &v1::ModelService::Stub::GetTrunk, request));
}

absl::StatusOr<v1::Trunk> SendTrunk(const Cli& cli, const ImportArguments& arguments) {
  constexpr size_t kChunk = 256 << 10;
  std::ifstream in(arguments.file, std::ios::binary);
  std::error_code error;
  const uintmax_t size = fs::file_size(arguments.file, error);
  if (!in || error) {
    return absl::NotFoundError(absl::StrCat("cannot read ", arguments.file));
  }
  grpc::ClientContext context;
  v1::Trunk trunk;
  const auto stream = cli.models->ImportTrunk(&context, &trunk);
  v1::ImportTrunkRequest request;
  request.mutable_header()->set_name(arguments.name);
  request.mutable_header()->set_like(arguments.like);
  request.mutable_header()->set_preprocessing(arguments.preprocessing);
  request.mutable_header()->set_source(fs::path(arguments.file).filename().string());
  bool open = stream->Write(request);
  int64_t sent = 0;
  while (open && in) {
    std::string& chunk = *request.mutable_chunk();
    chunk.resize(kChunk);
    in.read(chunk.data(), kChunk);
    chunk.resize(static_cast<size_t>(in.gcount()));
    sent += in.gcount();
    open = chunk.empty() || stream->Write(request);
    if (cli.err_is_terminal) {
      *cli.err << "\r\x1b[Kimport " << Bar(size == 0 ? 1 : static_cast<double>(sent) / static_cast<double>(size), 20)
               << " " << Bytes(sent) << std::flush;
    }
  }
  if (cli.err_is_terminal) {
    *cli.err << "\r\x1b[K" << std::flush;
  }
  if (in.bad()) {
    context.TryCancel();  // half a file is none
    (void)stream->Finish();
    return absl::InternalError(absl::StrCat("cannot read all of ", arguments.file));
  }
  stream->WritesDone();
  GRAFT_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return trunk;
}

int TrunkImport(const Cli& cli, const ImportArguments& arguments) { return PrintTrunk(cli, SendTrunk(cli, arguments)); }

}  // namespace

void AddTrunkCommands(CommandLine& line) {
  CLI::App* group = line.AddGroup("trunk", "Pretrained networks, whose features variants are trained on",
                                  "  graft trunk list\n  graft trunk show efficientnet_lite2\n"
                                  "  graft trunk import model.safetensors --as plants --like resnet50");
  line.AddCommand(group, "list", "List trunks, and whether their weights are there", "  graft trunk list", TrunkList);
  const auto [show, shown] =
      line.AddCommand(group, "show", "Show a trunk: cost, input, licence, how to get its weights",
                      "  graft trunk show efficientnet_lite2", TrunkShow);
  line.Complete(show->add_option("NAME", *shown, "The trunk")->required(), TrunkNames);
  const auto [import, imported] =
      line.AddCommand(group, "import", "Add weights of your own for an architecture that is there",
                      "  graft trunk import model.safetensors --as plants --like resnet50\n"
                      "  graft train leaves --dataset leaves --variant plants_features",
                      TrunkImport);
  import->add_option("FILE", imported->file, "A .safetensors file with the tensors' names of timm or torchvision")
      ->required();
  import->add_option("--as", imported->name, "What the trunk is to be called")->required();
  line.Complete(import->add_option("--like", imported->like, "The trunk whose architecture it has")->required(),
                TrunkNames);
  line.AddEnumOption(import, "--preprocessing", &imported->preprocessing,
                     "What the weights were trained with; else as the trunk that they are like");
}

}  // namespace graft
