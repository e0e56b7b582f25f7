#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/training_options.h"
#include "core/base/file.h"
#include "core/base/safetensors.h"
#include "core/base/status.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxImageBytes = 20 << 20;

// Files as they are, folders as the images below them, sorted.
std::vector<std::string> Expand(const std::vector<std::string>& arguments) {
  std::vector<std::string> files;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (!fs::is_directory(argument, error)) {
      files.push_back(argument);
      continue;
    }
    std::vector<std::string> below;
    fs::recursive_directory_iterator it(argument, error);
    for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
      const std::string extension = absl::AsciiStrToLower(it->path().extension().string());
      if (it->is_regular_file(error) && (extension == ".jpg" || extension == ".jpeg" || extension == ".png" ||
                                         extension == ".webp" || extension == ".bmp")) {
        below.push_back(it->path().string());
      }
    }
    std::sort(below.begin(), below.end());
    files.insert(files.end(), below.begin(), below.end());
  }
  return files;
}

// Sends each file that can be read over a bidirectional stream, a bounded number ahead of the answers, and hands each
// file's answer or error to `answer`, in the files' order. The Status is the stream's.
template <typename Request, typename Response>
absl::Status Stream(
    const Cli& cli, const std::vector<std::string>& files,
    std::unique_ptr<grpc::ClientReaderWriter<Request, Response>> stream, const Request& common,
    const std::function<void(const std::string& file, const absl::StatusOr<Response>& response)>& answer) {
  constexpr size_t kAhead = 16;
  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex: for each file that was taken up, the error that kept it from being sent.
  std::vector<std::optional<absl::Status>> unsent;
  size_t answered = 0;
  bool broken = false;
  std::thread writer([&] {
    for (const std::string& file : files) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return broken || unsent.size() - answered < kAhead; });
        if (broken) {
          break;
        }
      }
      const absl::StatusOr<std::vector<uint8_t>> bytes = ReadFile(file, kMaxImageBytes);
      bool written = true;
      if (bytes.ok()) {
        Request request = common;
        request.set_image(bytes->data(), bytes->size());
        written = stream->Write(request);
      }
      const std::lock_guard lock(mutex);
      unsent.push_back(bytes.ok() ? std::optional<absl::Status>() : bytes.status());
      broken = broken || !written;
      changed.notify_all();
    }
    stream->WritesDone();
  });
  const bool show_progress = cli.err_is_terminal && files.size() > 20;
  for (size_t i = 0; i < files.size(); ++i) {
    std::optional<absl::Status> failure;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return broken || unsent.size() > i; });
      if (unsent.size() <= i) {
        break;
      }
      failure = unsent[i];
    }
    Response response;
    if (!failure.has_value() && !stream->Read(&response)) {
      break;
    }
    if (show_progress) {
      *cli.err << "\r\x1b[K";
    }
    if (failure.has_value()) {
      answer(files[i], *failure);
    } else if (response.has_error()) {
      answer(files[i],
             absl::Status(static_cast<absl::StatusCode>(response.error().code()), response.error().message()));
    } else {
      answer(files[i], response);
    }
    if (show_progress) {
      *cli.err << Bar(static_cast<double>(i + 1) / static_cast<double>(files.size()), 20) << " " << i + 1 << "/"
               << files.size() << " images" << std::flush;
    }
    const std::lock_guard lock(mutex);
    ++answered;
    changed.notify_all();
  }
  {
    const std::lock_guard lock(mutex);
    broken = true;
    changed.notify_all();
  }
  writer.join();
  if (show_progress) {
    *cli.err << "\r\x1b[K" << std::flush;
  }
  Response rest;
  while (stream->Read(&rest)) {
  }
  return FromGrpc(stream->Finish());
}

nlohmann::json ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

void PrintLine(const Cli& cli, const nlohmann::json& json) {
  *cli.out << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

}  // namespace

int Classify(const Cli& cli, const std::string& text, int top, const std::vector<std::string>& arguments) {
  const auto model = ParseModel(text);
  if (!model.ok()) {
    *cli.err << "graft: " << model.status().message() << "\n";
    return kUsage;
  }
  const std::vector<std::string> files = Expand(arguments);
  if (files.empty()) {
    *cli.err << "graft: there are no images (.jpg, .jpeg, .png, .webp, .bmp) in those folders\n";
    return kFailed;
  }
  size_t width = 0;
  for (const std::string& file : files) {
    width = std::max(width, Printable(file).size());
  }
  v1::ClassifyRequest request;
  request.set_model(model->first);
  request.set_version(model->second);
  request.set_top_k(top);
  grpc::ClientContext context;
  int failed = 0;
  std::string last_message;
  const absl::Status status = Stream<v1::ClassifyRequest, v1::ClassifyStreamResponse>(
      cli, files, cli.predictions->ClassifyStream(&context), request,
      [&](const std::string& file, const absl::StatusOr<v1::ClassifyStreamResponse>& response) {
        if (!response.ok()) {
          ++failed;
          const std::string message(response.status().message());
          if (message != last_message) {  // a model that isn't there is one error, not one a file
            *cli.err << "graft: " << Printable(file) << ": " << Printable(message) << "\n";
            last_message = message;
          }
          if (cli.json) {
            PrintLine(cli, {{"file", file},
                            {"error",
                             {{"code", static_cast<int>(response.status().code())},
                              {"message", message}}}});
          }
          return;
        }
        if (cli.json) {
          PrintLine(cli, {{"file", file}, {"response", ToJson(response->response())}});
          return;
        }
        std::string line = Printable(file);
        line.resize(std::max(line.size(), width), ' ');
        for (const v1::Prediction& prediction : response->response().predictions()) {
          absl::StrAppend(&line, "  ", Printable(prediction.label()),
                          absl::StrFormat(" %.4f", prediction.probability()));
        }
        *cli.out << line << std::endl;
      });
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (failed > 1) {
    *cli.err << "graft: " << failed << " of " << files.size() << " images failed\n";
  }
  return failed > 0 ? kFailed : kOk;
}

int ExtractFeatures(const Cli& cli, const FeatureArguments& arguments) {
  v1::ExtractFeaturesRequest request;
  if (!arguments.model.empty()) {
    const auto model = ParseModel(arguments.model);
    if (!model.ok()) {
      *cli.err << "graft: " << model.status().message() << "\n";
      return kUsage;
    }
    request.set_model(model->first);
    request.set_version(model->second);
  } else {
    request.set_trunk(arguments.trunk);
  }
  if (!arguments.preprocessing.empty()) {
    request.set_preprocessing(
        static_cast<v1::Preprocessing>(*EnumByShortName(*v1::Preprocessing_descriptor(), arguments.preprocessing)));
  }
  if (!arguments.interpolation.empty()) {
    request.set_interpolation(
        static_cast<v1::Interpolation>(*EnumByShortName(*v1::Interpolation_descriptor(), arguments.interpolation)));
  }
  request.set_pooling(static_cast<v1::Pooling>(*EnumByShortName(*v1::Pooling_descriptor(), arguments.pooling)));
  request.set_image_size(arguments.size);

  const std::vector<std::string> files = Expand(arguments.files);
  std::vector<float> values;
  std::vector<int64_t> shape;
  std::vector<std::string> kept;
  std::string preprocessing;
  int failed = 0;
  std::string last_message;
  grpc::ClientContext context;
  const absl::Status status = Stream<v1::ExtractFeaturesRequest, v1::ExtractFeaturesStreamResponse>(
      cli, files, cli.predictions->ExtractFeaturesStream(&context), request,
      [&](const std::string& file, const absl::StatusOr<v1::ExtractFeaturesStreamResponse>& response) {
        if (!response.ok()) {
          const std::string message(response.status().message());
          if (message != last_message) {
            *cli.err << "graft: " << Printable(file) << ": " << Printable(message) << "\n";
            last_message = message;
          }
          ++failed;
          return;
        }
        const v1::ExtractFeaturesResponse& features = response->response();
        values.insert(values.end(), features.values().begin(), features.values().end());
        shape.assign(features.shape().begin(), features.shape().end());
        preprocessing = ShortName(*v1::Preprocessing_descriptor(), features.preprocessing());
        kept.push_back(file);
      });
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (kept.empty()) {
    *cli.err << "graft: no features, so " << Printable(arguments.out) << " isn't written\n";
    return kFailed;
  }
  shape.insert(shape.begin(), static_cast<int64_t>(kept.size()));
  const absl::Status written =
      WriteSafetensors(arguments.out, {{"features", DType::kF32, shape, AsBytes(absl::MakeConstSpan(values))}},
                       {{"files", nlohmann::json(kept).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)},
                        {"preprocessing", preprocessing},
                        {"source", arguments.model.empty() ? arguments.trunk : arguments.model}});
  if (!written.ok()) {
    return cli.Fail(written);
  }
  if (cli.json) {
    PrintLine(cli, {{"out", arguments.out}, {"shape", shape}, {"preprocessing", preprocessing}, {"failed", failed}});
  } else {
    std::string text;
    for (const int64_t n : shape) {
      absl::StrAppend(&text, text.empty() ? "" : " x ", n);
    }
    *cli.out << Printable(arguments.out) << ": features, float32, " << text << ", preprocessing " << preprocessing
             << "\n";
  }
  return failed > 0 ? kFailed : kOk;
}

}  // namespace graft
