#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/image_stream.h"
#include "client/local_files.h"
#include "client/model_ref.h"
#include "client/training_options.h"
#include "client/trunk_options.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

struct ClassifyArguments {
  std::string model;
  int top = 0;
  std::vector<std::string> files;
};

struct FeaturesArguments {
  TrunkOptions trunk;
  std::string model;
  v1::Pooling pooling = v1::POOLING_NONE;
  std::string out;
  std::vector<std::string> files;
};

std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void PrintLine(const Cli& cli, const nlohmann::json& json) { *cli.out << Dump(json) << std::endl; }

// One file's answer: a line, or with --format json a document.
void PrintClassified(const Cli& cli, const std::string& file, size_t width,
                     const absl::StatusOr<v1::ClassifyStreamResponse>& response) {
  if (cli.json && response.ok()) {
    PrintLine(cli, {{"file", file}, {"response", nlohmann::json::parse(JsonText(response->response()))}});
  } else if (cli.json) {
    PrintLine(cli, {{"file", file},
                    {"error",
                     {{"code", static_cast<int>(response.status().code())},
                      {"message", std::string(response.status().message())}}}});
  } else if (response.ok()) {
    std::string line = Padded(Printable(file), width);
    for (const v1::Prediction& prediction : response->response().predictions()) {
      absl::StrAppend(&line, "  ", Printable(prediction.label()), absl::StrFormat(" %.4f", prediction.probability()));
    }
    *cli.out << line << std::endl;
  }
}

int Classify(const Cli& cli, const ClassifyArguments& arguments) {
  const absl::StatusOr<v1::ModelRef> model = ParseModel(arguments.model);
  if (!model.ok()) {
    return cli.FailUsage(model.status());
  }
  const absl::StatusOr<std::vector<std::string>> files = ImagesOf(arguments.files);
  if (!files.ok()) {
    return cli.Fail(files.status());
  }
  size_t width = 0;
  for (const std::string& file : *files) {
    width = std::max(width, Columns(Printable(file)));
  }
  v1::ClassifyRequest request;
  *request.mutable_model() = *model;
  request.set_top_k(arguments.top);
  grpc::ClientContext context;
  ImageStream<v1::ClassifyRequest, v1::ClassifyStreamResponse> stream(cli, *files, request, &context,
                                                                      cli.predictions->ClassifyStream(&context));
  int failed = 0;
  const absl::Status status =
      stream.Run([&](const std::string& file, const absl::StatusOr<v1::ClassifyStreamResponse>& response) {
        failed += response.ok() ? 0 : 1;
        PrintClassified(cli, file, width, response);
      });
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (failed > 1) {
    *cli.err << "graft: " << failed << " of " << files->size() << " images failed\n";
  }
  return failed > 0 ? kFailed : kOk;
}

// Features of several images, all of one shape.
struct Features {
  std::vector<std::string> files;
  std::vector<int64_t> shape;  // of one image's
  std::vector<float> values;
  std::string preprocessing;
};

// Adds a file's. False: they have another shape than those before.
bool AddFeatures(const std::string& file, const v1::ExtractFeaturesResponse& response, Features* features) {
  const std::vector<int64_t> shape(response.shape().begin(), response.shape().end());
  if (!features->files.empty() && shape != features->shape) {
    return false;
  }
  features->files.push_back(file);
  features->shape = shape;
  features->values.insert(features->values.end(), response.values().begin(), response.values().end());
  features->preprocessing = ShortName(*v1::Preprocessing_descriptor(), response.preprocessing());
  return true;
}

absl::Status WriteFeatures(const FeaturesArguments& arguments, const std::vector<int64_t>& shape,
                           const Features& features) {
  return WriteSafetensors(arguments.out,
                          {{"features", DType::kF32, shape, AsBytes(absl::MakeConstSpan(features.values))}},
                          {{"files", Dump(features.files)},
                           {"preprocessing", features.preprocessing},
                           {"source", arguments.model.empty() ? arguments.trunk.trunk : arguments.model}});
}

absl::StatusOr<v1::ExtractFeaturesRequest> MakeRequest(const FeaturesArguments& arguments) {
  v1::ExtractFeaturesRequest request;
  request.set_pooling(arguments.pooling);
  if (!arguments.model.empty()) {
    GRAFT_ASSIGN_OR_RETURN(*request.mutable_model(), ParseModel(arguments.model));
  } else if (!arguments.trunk.trunk.empty()) {
    SetTrunk(arguments.trunk, &request);
  } else {
    return absl::InvalidArgumentError("--trunk or --model is required; --help shows how");
  }
  return request;
}

int ExtractFeatures(const Cli& cli, const FeaturesArguments& arguments) {
  const absl::StatusOr<v1::ExtractFeaturesRequest> request = MakeRequest(arguments);
  if (!request.ok()) {
    return cli.FailUsage(request.status());
  }
  const absl::StatusOr<std::vector<std::string>> files = ImagesOf(arguments.files);
  if (!files.ok()) {
    return cli.Fail(files.status());
  }
  grpc::ClientContext context;
  ImageStream<v1::ExtractFeaturesRequest, v1::ExtractFeaturesStreamResponse> stream(
      cli, *files, *request, &context, cli.predictions->ExtractFeaturesStream(&context));
  Features features;
  int failed = 0;
  const absl::Status status =
      stream.Run([&](const std::string& file, const absl::StatusOr<v1::ExtractFeaturesStreamResponse>& response) {
        if (!response.ok()) {
          ++failed;
        } else if (!AddFeatures(file, response->response(), &features)) {
          // A new newest version, of another size, came between.
          *cli.err << "graft: " << Printable(file) << ": its features have another shape than those before\n";
          ++failed;
        }
      });
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (features.files.empty()) {
    *cli.err << "graft: no features, so " << Printable(arguments.out) << " isn't written\n";
    return kFailed;
  }
  std::vector<int64_t> shape = features.shape;
  shape.insert(shape.begin(), static_cast<int64_t>(features.files.size()));
  const absl::Status written = WriteFeatures(arguments, shape, features);
  if (!written.ok()) {
    return cli.Fail(written);
  }
  if (cli.json) {
    PrintLine(
        cli, {{"out", arguments.out}, {"shape", shape}, {"preprocessing", features.preprocessing}, {"failed", failed}});
  } else {
    *cli.out << Printable(arguments.out) << ": features, float32, " << absl::StrJoin(shape, " x ") << ", preprocessing "
             << features.preprocessing << "\n";
  }
  return failed > 0 ? kFailed : kOk;
}

}  // namespace

void AddPredictionCommands(CommandLine& line) {
  const auto [classify, classified] = line.AddCommand(
      line.app(), "classify", "Classify images",
      "  graft classify pets photo.jpg\n  graft classify pets@2 ~/photos --top 1 --format json", Classify);
  line.Complete(classify->add_option("MODEL", classified->model, kModelHelp)->required(), ModelRefs);
  classify->add_option("FILE", classified->files, "Images, or folders of images")->required();
  classify->add_option("--top", classified->top, "Only the most probable labels; 0: all")
      ->check(CLI::NonNegativeNumber);

  const auto [extract, extracted] =
      line.AddCommand(line.app(), "features", "Extract features of images into a safetensors file",
                      "  graft features --trunk vgg16 --out features.safetensors ~/photos\n"
                      "  graft features --model pets --pooling average --out features.safetensors a.jpg b.jpg",
                      ExtractFeatures);
  CLI::Option* of_model =
      extract->add_option("--model", extracted->model, "A model's trunk, with the model's preprocessing");
  line.Complete(of_model, ModelRefs);
  AddTrunkOptions(line, extract, &extracted->trunk, of_model);
  line.AddEnumOption(extract, "--pooling", &extracted->pooling, "Over height and width; none keeps both");
  extract->add_option("--out", extracted->out, "The file")->required();
  extract->add_option("FILE", extracted->files, "Images, or folders of images")->required();
}

}  // namespace graft
