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
constexpr char kNoImages[] = "there are no images (.jpg, .jpeg, .png, .webp, .bmp) in those folders";

// Files as they are, folders as the images below them that aren't hidden, sorted.
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
      if (it->path().filename().string().front() == '.') {
        if (it->is_directory(error)) {
          it.disable_recursion_pending();
        }
        continue;
      }
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
// file's answer or error to `answer`, in the files' order; errors are printed already. The Status is the stream's.
template <typename Request, typename Response>
absl::Status Stream(
    const Cli& cli, const std::vector<std::string>& files, grpc::ClientContext* context,
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
  size_t done = 0;       // files that were answered for
  int64_t received = 0;  // answers from the server
  absl::Status fatal;
  for (; done < files.size(); ++done) {
    std::optional<absl::Status> failure;
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return broken || unsent.size() > done; });
      if (unsent.size() <= done) {
        break;
      }
      failure = unsent[done];
    }
    Response response;
    if (!failure.has_value()) {
      if (!stream->Read(&response)) {
        break;
      }
      if (response.index() != received++) {
        fatal = absl::InternalError(absl::StrCat("the server answered request ", response.index(), " instead of ",
                                                 received - 1, "; is it of another version?"));
        break;
      }
      if (response.has_error()) {
        failure = absl::Status(static_cast<absl::StatusCode>(response.error().code()), response.error().message());
        // No model, no weights: that is one error, not one a file.
        if (absl::IsNotFound(*failure) || absl::IsFailedPrecondition(*failure)) {
          fatal = *failure;
          break;
        }
      }
    }
    if (show_progress) {
      *cli.err << "\r\x1b[K";
    }
    if (failure.has_value()) {
      *cli.err << "graft: " << Printable(files[done]) << ": " << Printable(std::string(failure->message()))
               << std::endl;
      answer(files[done], *failure);
    } else {
      answer(files[done], response);
    }
    if (show_progress) {
      *cli.err << Bar(static_cast<double>(done + 1) / static_cast<double>(files.size()), 20) << " " << done + 1 << "/"
               << files.size() << " images" << std::flush;
    }
    const std::lock_guard lock(mutex);
    ++answered;
    changed.notify_all();
  }
  if (!fatal.ok()) {
    context->TryCancel();
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
  const absl::Status status = FromGrpc(stream->Finish());
  if (!fatal.ok() || !status.ok()) {
    return fatal.ok() ? status : fatal;
  }
  if (done < files.size()) {
    return absl::InternalError(
        absl::StrCat("the server ended the stream after ", done, " of ", files.size(), " files"));
  }
  return absl::OkStatus();
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
    return cli.FailUsage(model.status());
  }
  const std::vector<std::string> files = Expand(arguments);
  if (files.empty()) {
    return cli.Fail(absl::NotFoundError(kNoImages));
  }
  size_t width = 0;
  for (const std::string& file : files) {
    width = std::max(width, Columns(Printable(file)));
  }
  v1::ClassifyRequest request;
  *request.mutable_model() = *model;
  request.set_top_k(top);
  grpc::ClientContext context;
  int failed = 0;
  const absl::Status status = Stream<v1::ClassifyRequest, v1::ClassifyStreamResponse>(
      cli, files, &context, cli.predictions->ClassifyStream(&context), request,
      [&](const std::string& file, const absl::StatusOr<v1::ClassifyStreamResponse>& response) {
        if (!response.ok()) {
          ++failed;
          if (cli.json) {
            PrintLine(cli, {{"file", file},
                            {"error",
                             {{"code", static_cast<int>(response.status().code())},
                              {"message", std::string(response.status().message())}}}});
          }
          return;
        }
        if (cli.json) {
          PrintLine(cli, {{"file", file}, {"response", ToJson(response->response())}});
          return;
        }
        std::string line = Padded(Printable(file), width);
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
      return cli.FailUsage(model.status());
    }
    *request.mutable_model() = *model;
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
  if (files.empty()) {
    return cli.Fail(absl::NotFoundError(kNoImages));
  }
  std::vector<float> values;
  std::vector<int64_t> shape;
  std::vector<std::string> kept;
  std::string preprocessing;
  int failed = 0;
  grpc::ClientContext context;
  const absl::Status status = Stream<v1::ExtractFeaturesRequest, v1::ExtractFeaturesStreamResponse>(
      cli, files, &context, cli.predictions->ExtractFeaturesStream(&context), request,
      [&](const std::string& file, const absl::StatusOr<v1::ExtractFeaturesStreamResponse>& response) {
        if (!response.ok()) {
          ++failed;
          return;
        }
        const v1::ExtractFeaturesResponse& features = response->response();
        const std::vector<int64_t> its_shape(features.shape().begin(), features.shape().end());
        if (!kept.empty() && its_shape != shape) {
          // A new newest version, of another size, came between.
          *cli.err << "graft: " << Printable(file) << ": its features have another shape than those before\n";
          ++failed;
          return;
        }
        shape = its_shape;
        values.insert(values.end(), features.values().begin(), features.values().end());
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
