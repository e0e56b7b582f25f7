#include "client/job_text.h"

#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/model_ref.h"
#include "client/training_options.h"
#include "core/base/text.h"

namespace graft {
namespace {

using google::protobuf::DynamicCastToGenerated;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The field of `message`'s oneof `kind` that is set; null: none that we know.
const FieldDescriptor* KindField(const Message& message) {
  return message.GetReflection()->GetOneofFieldDescriptor(message, message.GetDescriptor()->FindOneofByName("kind"));
}

// The text of the first of these fields that `message` has and that isn't empty.
std::string FirstText(const Message& message, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) {
      continue;
    }
    std::string text;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      text = message.GetReflection()->GetString(message, field);
    } else if (field->message_type() == v1::ModelRef::descriptor()) {
      text = ModelText(static_cast<const v1::ModelRef&>(message.GetReflection()->GetMessage(message, field)));
    }
    if (!text.empty()) {
      return text;
    }
  }
  return "";
}

std::string Text(const v1::SplitResult& result) {
  return absl::StrCat("data set ", Printable(result.dataset()), ", ", Thousands(result.images()), " images, ",
                      Thousands(result.skipped()), " files skipped");
}

std::string Text(const v1::TrainResult& result) {
  return absl::StrCat(Printable(result.model()), "@", result.version(),
                      absl::StrFormat(", validation accuracy %.4f", result.kept_epoch().validation_accuracy()), ", in ",
                      Duration(result.seconds()));
}

std::string Text(const v1::ExtractFeaturesResult& result) {
  return absl::StrCat(Thousands(result.dimension()), " numbers for each of ", Thousands(result.images()), " images",
                      result.cached() ? ", cached already" : absl::StrCat(", in ", Duration(result.seconds())));
}

std::string Text(const v1::EvaluateResult& result) {
  return absl::StrCat(Printable(result.model()), "@", result.version(), " on ", Printable(result.dataset()), " (",
                      ShortName(*v1::Part_descriptor(), result.part()),
                      absl::StrFormat("), accuracy %.4f", result.report().accuracy()));
}

std::string Text(const v1::FindMistakesResult& result) {
  return absl::StrCat(Printable(result.model()), "@", result.version(), " on ", Printable(result.dataset()), ", ",
                      Thousands(result.suspected()), " of ", Thousands(result.images()), " labels suspected");
}

std::string Text(const v1::RecommendResult& result) {
  return absl::StrCat(Printable(result.variant()), " for ", Printable(result.dataset()), ", of ",
                      result.candidates_size(), " trunks");
}

}  // namespace

std::vector<std::string> JobKinds() {
  std::vector<std::string> kinds;
  const auto* kind = v1::JobSpec::descriptor()->FindOneofByName("kind");
  kinds.reserve(static_cast<size_t>(kind->field_count()));
  for (int i = 0; i < kind->field_count(); ++i) {
    kinds.push_back(kind->field(i)->name());
  }
  return kinds;
}

std::string KindText(const v1::JobSpec& spec) {
  const FieldDescriptor* field = KindField(spec);
  return field == nullptr ? "?" : field->name();
}

std::string SubjectText(const v1::JobSpec& spec) {
  const FieldDescriptor* field = KindField(spec);
  return field == nullptr ? "?" : SpecSubject(spec.GetReflection()->GetMessage(spec, field));
}

std::string SpecSubject(const Message& spec) {
  const std::string what = FirstText(spec, {"model", "trunk"});
  const std::string dataset = FirstText(spec, {"dataset"});
  if (what.empty() && dataset.empty()) {
    return Printable(JsonText(spec));
  }
  return Printable(absl::StrCat(what, what.empty() || dataset.empty() ? "" : " on ", dataset));
}

std::string StateText(const v1::Job& job) {
  const std::string state = ShortName(*v1::JobState_descriptor(), job.state());
  if (job.queue_position() > 0) {
    return absl::StrCat(state, " (", job.queue_position(), " in line)");
  }
  if (job.cancel_requested()) {
    return "stopping";
  }
  if (job.pause_requested()) {
    return "pausing";
  }
  return job.keep_best_requested() ? "finishing" : state;
}

std::string ResultText(const v1::JobResult& result) {
  const FieldDescriptor* field = KindField(result);
  return field == nullptr ? "of a kind that this graft doesn't know; use the server's version of graft"
                          : KindResultText(result.GetReflection()->GetMessage(result, field));
}

std::string KindResultText(const Message& result) {
  if (const auto* split = DynamicCastToGenerated<v1::SplitResult>(&result)) {
    return Text(*split);
  }
  if (const auto* train = DynamicCastToGenerated<v1::TrainResult>(&result)) {
    return Text(*train);
  }
  if (const auto* features = DynamicCastToGenerated<v1::ExtractFeaturesResult>(&result)) {
    return Text(*features);
  }
  if (const auto* evaluate = DynamicCastToGenerated<v1::EvaluateResult>(&result)) {
    return Text(*evaluate);
  }
  if (const auto* mistakes = DynamicCastToGenerated<v1::FindMistakesResult>(&result)) {
    return Text(*mistakes);
  }
  if (const auto* recommended = DynamicCastToGenerated<v1::RecommendResult>(&result)) {
    return Text(*recommended);
  }
  return Printable(JsonText(result));
}

}  // namespace graft
