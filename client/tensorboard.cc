#include "client/tensorboard.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "client/job_text.h"
#include "client/training_options.h"
#include "core/base/text.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/util/json_util.h"
#include "tensorboard/hparams.pb.h"

namespace graft {
namespace {

using tensorboard::Event;
using tensorboard::Summary;

// What a server could send without end.
constexpr int kMostLines = 1000;
constexpr size_t kMostPhases = 100;
constexpr size_t kMostText = 64 << 10;

double Seconds(const google::protobuf::Timestamp& time) {
  return static_cast<double>(time.seconds()) + time.nanos() * 1e-9;
}

Event At(double time, int64_t step) {
  Event event;
  event.set_wall_time(time);
  event.set_step(step);
  return event;
}

void AddScalar(const std::string& tag, double value, Event* event) {
  // What no float holds is infinite, as it would be had it been computed in floats.
  constexpr double kMost = std::numeric_limits<float>::max();
  Summary::Value* const added = event->mutable_summary()->add_value();
  added->set_tag(tag);
  added->set_simple_value(value > kMost    ? std::numeric_limits<float>::infinity()
                          : value < -kMost ? -std::numeric_limits<float>::infinity()
                                           : static_cast<float>(value));
}

// Markdown.
void AddText(const std::string& tag, const std::string& text, Event* event) {
  Summary::Value* const added = event->mutable_summary()->add_value();
  added->set_tag(tag);
  added->mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  added->mutable_metadata()->set_data_class(tensorboard::DATA_CLASS_TENSOR);
  added->mutable_tensor()->set_dtype(tensorboard::DT_STRING);
  added->mutable_tensor()->mutable_tensor_shape()->add_dim()->set_size(1);
  added->mutable_tensor()->add_string_val(std::string(Clipped(text, kMostText)));
}

// As it is, in a fixed pitch: nothing in it is Markdown.
std::string Code(const std::string& text) {
  std::string code = "    ";
  for (const char c : text) {
    code += c;
    if (c == '\n') {
      code += "    ";
    }
  }
  return code;
}

std::string PrettyJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

// The same each time, which a map's order isn't otherwise.
std::string DeterministicBytes(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  {
    google::protobuf::io::CodedOutputStream coded(&stream);  // writes what is left when it ends
    coded.SetSerializationDeterministic(true);
    (void)message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

Event HParams(double time, const std::string& tag, const tensorboard::hparams::HParamsPluginData& data) {
  Event event = At(time, 0);
  Summary::Value* const value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  value->mutable_metadata()->mutable_plugin_data()->set_plugin_name("hparams");
  value->mutable_metadata()->mutable_plugin_data()->set_content(DeterministicBytes(data));
  value->mutable_metadata()->set_data_class(tensorboard::DATA_CLASS_TENSOR);
  // The plugin reads the metadata only, but no value is without a tensor: an empty one.
  value->mutable_tensor()->set_dtype(tensorboard::DT_FLOAT);
  value->mutable_tensor()->mutable_tensor_shape()->add_dim();
  return event;
}

tensorboard::hparams::HParamsPluginData StartOf(const v1::TrainSpec& spec, double time) {
  tensorboard::hparams::HParamsPluginData data;
  tensorboard::hparams::SessionStartInfo* const start = data.mutable_session_start_info();
  start->set_start_time_secs(time);
  auto& values = *start->mutable_hparams();
  values["variant"].set_string_value(Printable(spec.variant()));
  values["dataset"].set_string_value(Printable(spec.dataset()));
  for (const auto& [key, text] : TrainingOptionValues(spec.options())) {
    double number = 0;
    if (absl::SimpleAtod(text, &number)) {
      values[key].set_number_value(number);
    } else if (text == "true" || text == "false") {
      values[key].set_bool_value(text == "true");
    } else {
      values[key].set_string_value(Printable(text));
    }
  }
  return data;
}

// Four bytes, the highest first.
int32_t BigEndian(absl::string_view bytes) {
  uint32_t value = 0;
  for (const char byte : bytes.substr(0, 4)) {
    value = value << 8 | static_cast<unsigned char>(byte);
  }
  return static_cast<int32_t>(value);
}

}  // namespace

std::vector<Event> TensorBoardEvents::Begin() const {
  const double created = Seconds(job_.create_time());
  std::vector<Event> events = {At(created, 0), At(created, 0)};
  events[0].set_file_version("brain.Event:2");
  AddText("spec",
          job_.has_spec() ? absl::StrCat(KindText(job_.spec()), " ", SubjectText(job_.spec()), ", ",
                                         Printable(job_.id()), "\n\n", Code(PrettyJson(job_.spec())))
                          : "The job's spec can't be read any more.",
          &events[1]);
  if (job_.spec().has_train()) {
    events.push_back(HParams(created, "_hparams_/session_start_info", StartOf(job_.spec().train(), created)));
  }
  return events;
}

std::vector<Event> TensorBoardEvents::Take(const v1::JobEvent& event) {
  time_ = Seconds(event.time());
  switch (event.kind_case()) {
    case v1::JobEvent::kState:
      return TakeState(event);
    case v1::JobEvent::kProgress:
      TakeProgress(event.progress());
      return {};
    case v1::JobEvent::kEpoch:
      return {TakeEpoch(event)};
    case v1::JobEvent::kLog: {
      if (++lines_ > kMostLines) {
        return {};
      }
      Event line = At(time_, event.sequence());
      AddText("log", Code(absl::StrCat(event.log().warning() ? "warning: " : "", Printable(event.log().text()))),
              &line);
      return {line};
    }
    case v1::JobEvent::KIND_NOT_SET:
      return {};  // a newer server's
  }
  return {};
}

std::vector<Event> TensorBoardEvents::TakeState(const v1::JobEvent& event) const {
  const v1::StateChange& change = event.state();
  const bool ended = change.state() == v1::JOB_STATE_SUCCEEDED || change.state() == v1::JOB_STATE_FAILED ||
                     change.state() == v1::JOB_STATE_CANCELLED;
  std::string text = ShortName(*v1::JobState_descriptor(), change.state());
  if (event.attempt() > 1) {
    absl::StrAppend(&text, ", attempt ", event.attempt());
  }
  if (change.has_error()) {
    absl::StrAppend(&text, "\n\n", Code(Printable(change.error().message())));
  }
  if (change.has_result()) {
    absl::StrAppend(&text, "\n\n", Code(ResultText(change.result())));
    if (change.result().has_evaluate()) {
      absl::StrAppend(&text, "\n\n", Code(ReportText(change.result().evaluate().report())));
    }
  }
  if (ended) {
    absl::StrAppend(&text, "\n\n", PhaseTable());
  }
  std::vector<Event> events = {At(time_, event.sequence())};
  AddText("state", text, &events.back());
  if (ended && job_.spec().has_train()) {
    tensorboard::hparams::HParamsPluginData data;
    data.mutable_session_end_info()->set_end_time_secs(time_);
    data.mutable_session_end_info()->set_status(
        change.state() == v1::JOB_STATE_SUCCEEDED ? tensorboard::hparams::STATUS_SUCCESS
        : change.state() == v1::JOB_STATE_FAILED  ? tensorboard::hparams::STATUS_FAILURE
                                                  : tensorboard::hparams::STATUS_UNKNOWN);
    events.push_back(HParams(time_, "_hparams_/session_end_info", data));
  }
  return events;
}

Event TensorBoardEvents::TakeEpoch(const v1::JobEvent& event) {
  const v1::EpochMetrics& epoch = event.epoch();
  Event out = At(time_, epoch.epoch());
  AddScalar("accuracy/training", epoch.accuracy(), &out);
  AddScalar("accuracy/validation", epoch.validation_accuracy(), &out);
  AddScalar("loss/training", epoch.loss(), &out);
  AddScalar("loss/validation", epoch.validation_loss(), &out);
  AddScalar("learning_rate", epoch.learning_rate(), &out);
  AddScalar("seconds/epoch", epoch.seconds(), &out);
  AddScalar("seconds/input_wait", epoch.input_wait_seconds(), &out);
  if (job_.spec().train().options().head_epochs() > 0) {
    AddScalar("stage/head_alone", epoch.stage() == "head" ? 1 : 0, &out);
  }
  if (epoch.stage() != stage_) {
    AddText("stage",
            epoch.stage().empty()     ? "All that is to be trained is trained from here on."
            : epoch.stage() == "head" ? "Only the head is trained from here on, on features."
                                      : Code(Printable(epoch.stage())),
            &out);
  }
  stage_ = epoch.stage();
  epoch_ = std::max(epoch_, epoch.epoch());
  return out;
}

void TensorBoardEvents::TakeProgress(const v1::Progress& progress) {
  if (phases_.empty() || phases_.back().name != progress.phase()) {
    if (phases_.size() == kMostPhases) {
      return;
    }
    phases_.push_back({progress.phase(), ""});
  }
  phases_.back().done =
      progress.epochs() > 0
          ? absl::StrCat(progress.epoch(), " of ", progress.epochs(), " epochs")
          : absl::StrCat(Thousands(progress.done()),
                         progress.total() > 0 ? absl::StrCat(" of ", Thousands(progress.total())) : "", " ",
                         Printable(progress.unit()));
}

std::string TensorBoardEvents::PhaseTable() const {
  if (phases_.empty()) {
    return "";
  }
  std::string table = "phase | done\n--- | ---\n";
  for (const Phase& phase : phases_) {
    absl::StrAppend(&table, Printable(phase.name), " | ", phase.done, "\n");
  }
  return table;
}

absl::StatusOr<Event> TensorBoardEvents::Picture(const std::string& tag, absl::string_view png) const {
  // The signature; a chunk's length, "IHDR", width, height, bits, kind of colours.
  constexpr absl::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
  constexpr size_t kHeader = 26;
  if (png.size() < kHeader || png.substr(0, 8) != kSignature || png.substr(12, 4) != "IHDR") {
    return absl::DataLossError(absl::StrCat("the picture ", tag, " is no PNG"));
  }
  Event event = At(time_, epoch_);
  Summary::Value* const value = event.mutable_summary()->add_value();
  value->set_tag(tag);
  Summary::Image* const image = value->mutable_image();
  image->set_width(BigEndian(png.substr(16)));
  image->set_height(BigEndian(png.substr(20)));
  image->set_colorspace(png[25] == 0 ? 1 : png[25] == 6 ? 4 : 3);
  image->set_encoded_image_string(std::string(png));
  return event;
}

}  // namespace graft
