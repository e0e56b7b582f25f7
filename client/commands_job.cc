#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/training_options.h"
#include "client/watch.h"
#include "core/base/status.h"

namespace graft {
namespace {

std::string Kind(const v1::JobSpec& spec) {
  const auto* kind = v1::JobSpec::descriptor()->FindOneofByName("kind");
  const auto* field = spec.GetReflection()->GetOneofFieldDescriptor(spec, kind);
  return field == nullptr ? "?" : field->name();
}

std::string Subject(const v1::JobSpec& spec) {
  switch (spec.kind_case()) {
    case v1::JobSpec::kSplit:
      return spec.split().dataset();
    case v1::JobSpec::kTrain:
      return absl::StrCat(spec.train().model(), " on ", spec.train().dataset());
    case v1::JobSpec::kExtractFeatures:
      return absl::StrCat(spec.extract_features().trunk(), " on ", spec.extract_features().dataset());
    case v1::JobSpec::kEvaluate:
      return absl::StrCat(
          spec.evaluate().model().name(),
          spec.evaluate().model().version() > 0 ? absl::StrCat("@", spec.evaluate().model().version()) : "",
          spec.evaluate().dataset().empty() ? "" : absl::StrCat(" on ", spec.evaluate().dataset()));
    case v1::JobSpec::KIND_NOT_SET:
      break;
  }
  return "";
}

std::string State(const v1::Job& job) {
  std::string text = ShortName(*v1::JobState_descriptor(), job.state());
  if (job.queue_position() > 0) {
    absl::StrAppend(&text, " (", job.queue_position(), " in line)");
  } else if (job.cancel_requested()) {
    text = "stopping";
  }
  return text;
}

std::string ResultText(const v1::JobResult& result) {
  switch (result.kind_case()) {
    case v1::JobResult::kSplit:
      return absl::StrCat("data set ", Printable(result.split().dataset()), ", ", Thousands(result.split().images()),
                          " images, ", Thousands(result.split().skipped()), " files skipped");
    case v1::JobResult::kTrain:
      return absl::StrCat(
          Printable(result.train().model()), "@", result.train().version(),
          absl::StrFormat(", validation accuracy %.4f", result.train().last_epoch().validation_accuracy()), ", in ",
          Duration(result.train().seconds()));
    case v1::JobResult::kExtractFeatures:
      return absl::StrCat(Thousands(result.extract_features().dimension()), " numbers for each of ",
                          Thousands(result.extract_features().images()), " images",
                          result.extract_features().cached()
                              ? ", cached already"
                              : absl::StrCat(", in ", Duration(result.extract_features().seconds())));
    case v1::JobResult::kEvaluate:
      return absl::StrCat(Printable(result.evaluate().model()), "@", result.evaluate().version(), " on ",
                          Printable(result.evaluate().dataset()), " (",
                          ShortName(*v1::Part_descriptor(), result.evaluate().part()),
                          absl::StrFormat("), accuracy %.4f", result.evaluate().report().accuracy()));
    case v1::JobResult::KIND_NOT_SET:
      break;
  }
  return "-";
}

int PrintSubmitted(const Cli& cli, const v1::Job& job) {
  if (cli.json) {
    cli.PrintJson(job);
  } else {
    *cli.out << job.id() << " is " << State(job) << "; follow it with: graft job watch " << job.id() << "\n";
  }
  return kOk;
}

}  // namespace

absl::StatusOr<v1::ModelRef> ParseModel(const std::string& text) {
  const size_t at = text.find('@');
  v1::ModelRef model;
  model.set_name(text.substr(0, at));
  if (at == std::string::npos) {
    return model;
  }
  const std::string which = text.substr(at + 1);
  int version = 0;
  if (absl::SimpleAtoi(which, &version) && version > 0) {
    model.set_version(version);
  } else if (!which.empty() && absl::ascii_isalpha(static_cast<unsigned char>(which[0]))) {
    model.set_alias(which);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' isn't MODEL, MODEL@VERSION or MODEL@ALIAS, such as pets@2"));
  }
  return model;
}

int Train(const Cli& cli, const TrainArguments& arguments) {
  v1::JobSpec spec;
  v1::TrainSpec* train = spec.mutable_train();
  train->set_model(arguments.model);
  train->set_dataset(arguments.dataset);
  train->set_variant(arguments.variant);
  for (const std::string& assignment : arguments.set) {
    const absl::Status status = SetTrainingOption(assignment, train->mutable_options());
    if (!status.ok()) {
      return cli.FailUsage(status);
    }
  }
  const absl::StatusOr<v1::Job> job = Submit(cli, spec, arguments.validate);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  if (arguments.validate) {
    if (cli.json) {
      cli.PrintJson(*job);
    } else {
      *cli.out << "would train " << arguments.model << " on " << arguments.dataset << " with\n";
      for (const auto& [key, value] : TrainingOptionValues(job->spec().train().options())) {
        *cli.out << absl::StrFormat("  %-16s %s\n", key, value);
      }
    }
    return kOk;
  }
  if (!arguments.watch) {
    return PrintSubmitted(cli, *job);
  }
  v1::StateChange end;
  const int status = Watch(cli, job->id(), {.submitted = true}, &end);
  if (status == kOk && !cli.json) {
    const v1::TrainResult& result = end.result().train();
    *cli.out << absl::StrFormat("%s@%d: validation accuracy %.4f, trained in %s\n", result.model(), result.version(),
                                result.last_epoch().validation_accuracy(), Duration(result.seconds()))
             << "next: graft evaluate " << result.model() << "   and: graft classify " << result.model()
             << " FILE...\n";
  }
  return status;
}

int Evaluate(const Cli& cli, const EvaluateArguments& arguments) {
  const auto model = ParseModel(arguments.model);
  const absl::StatusOr<int> part = EnumByShortName(*v1::Part_descriptor(), arguments.split);
  for (const absl::Status& status : {model.status(), Annotate(part.status(), "--split")}) {
    if (!status.ok()) {
      return cli.FailUsage(status);
    }
  }
  v1::JobSpec spec;
  v1::EvaluateSpec* evaluate = spec.mutable_evaluate();
  *evaluate->mutable_model() = *model;
  evaluate->set_dataset(arguments.dataset);
  evaluate->set_part(static_cast<v1::Part>(*part));
  const absl::StatusOr<v1::Job> job = Submit(cli, spec);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  if (arguments.no_wait) {
    return PrintSubmitted(cli, *job);
  }
  v1::StateChange end;
  const int status = Watch(cli, job->id(), {.show = WatchOptions::Show::kResult, .submitted = true}, &end);
  if (status != kOk) {
    return status;
  }
  const v1::EvaluateResult& result = end.result().evaluate();
  if (cli.json) {
    cli.PrintJson(result);
  } else {
    *cli.out << "\n"
             << Printable(result.model()) << "@" << result.version() << " on " << Printable(result.dataset()) << " ("
             << arguments.split << ", " << result.report().images() << " images)\n\n"
             << ReportText(result.report());
  }
  return status;
}

int DatasetFeatures(const Cli& cli, const std::string& name, const FeatureArguments& arguments) {
  v1::JobSpec spec;
  v1::ExtractFeaturesSpec* extract = spec.mutable_extract_features();
  extract->set_dataset(name);
  extract->set_trunk(arguments.trunk);
  extract->set_image_size(arguments.size);
  if (!arguments.preprocessing.empty()) {
    extract->set_preprocessing(
        static_cast<v1::Preprocessing>(*EnumByShortName(*v1::Preprocessing_descriptor(), arguments.preprocessing)));
  }
  if (!arguments.interpolation.empty()) {
    extract->set_interpolation(
        static_cast<v1::Interpolation>(*EnumByShortName(*v1::Interpolation_descriptor(), arguments.interpolation)));
  }
  const absl::StatusOr<v1::Job> job = Submit(cli, spec);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  v1::StateChange end;
  const int status = Watch(cli, job->id(), {.show = WatchOptions::Show::kResult, .submitted = true}, &end);
  if (status != kOk) {
    return status;
  }
  if (cli.json) {
    cli.PrintJson(end.result().extract_features());
  } else {
    *cli.out << ResultText(end.result()) << "\n";
  }
  return status;
}

int JobList(const Cli& cli, const std::string& state, const std::string& kind, int limit) {
  v1::ListJobsRequest request;
  request.set_kind(kind);
  if (!state.empty()) {
    request.add_states(static_cast<v1::JobState>(*EnumByShortName(*v1::JobState_descriptor(), state)));
  }
  v1::ListJobsResponse all;
  do {
    request.set_page_size(limit - all.jobs_size());
    v1::ListJobsResponse page;
    const absl::Status status = FromGrpc(cli.jobs->ListJobs(UnaryContext().get(), request, &page));
    if (!status.ok()) {
      return cli.Fail(status);
    }
    all.mutable_jobs()->MergeFrom(page.jobs());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.jobs_size() < limit);
  all.set_next_page_token(request.page_token());
  if (cli.json) {
    cli.PrintJson(all);
    return kOk;
  }
  std::vector<std::vector<std::string>> rows = {{"ID", "KIND", "OF", "STATE", "CREATED", "TOOK"}};
  for (const v1::Job& job : all.jobs()) {
    const bool ended = job.has_end_time() && job.has_start_time();
    const double seconds = static_cast<double>(job.end_time().seconds() - job.start_time().seconds()) +
                           (job.end_time().nanos() - job.start_time().nanos()) * 1e-9;
    rows.push_back({job.id(), Kind(job.spec()), Printable(Subject(job.spec())), State(job),
                    Time(job.create_time().seconds()), ended ? Duration(seconds) : "-"});
  }
  *cli.out << Table(rows);
  if (!all.next_page_token().empty()) {
    *cli.out << "... and older ones; --limit shows more\n";
  }
  return kOk;
}

int JobShow(const Cli& cli, const std::string& id) {
  v1::GetJobRequest request;
  request.set_id(id);
  v1::Job job;
  const absl::Status status = FromGrpc(cli.jobs->GetJob(UnaryContext().get(), request, &job));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(job);
    return kOk;
  }
  *cli.out << Printable(job.id()) << ": " << Kind(job.spec()) << " " << Printable(Subject(job.spec())) << "\nstate     "
           << State(job) << "\ncreated   " << Time(job.create_time().seconds()) << "\nstarted   "
           << Time(job.start_time().seconds()) << "\nended     " << Time(job.end_time().seconds()) << "\nattempt   "
           << job.attempt() << "\nevents    " << job.last_sequence() << "\n";
  if (job.has_progress()) {
    const v1::Progress& progress = job.progress();
    *cli.out << "progress  " << Printable(progress.phase());
    if (progress.epochs() > 0) {
      *cli.out << ", epoch " << progress.epoch() << "/" << progress.epochs();
    }
    *cli.out << ", " << Thousands(progress.done());
    if (progress.total() > 0) {
      *cli.out << "/" << Thousands(progress.total());
    }
    *cli.out << " " << Printable(progress.unit());
    if (progress.has_eta_seconds()) {
      *cli.out << ", ETA " << Duration(progress.eta_seconds());
    }
    *cli.out << "\n";
  }
  if (job.has_error()) {
    *cli.out << "error     " << Printable(job.error().message()) << "\n";
  }
  if (job.has_result()) {
    *cli.out << "result    " << ResultText(job.result()) << "\n";
  }
  if (job.spec().has_train()) {
    *cli.out << "variant   " << Printable(job.spec().train().variant()) << "\nOptions\n";
    for (const auto& [key, value] : TrainingOptionValues(job.spec().train().options())) {
      *cli.out << absl::StrFormat("  %-16s %s\n", key, Printable(value));
    }
  }
  return kOk;
}

int JobCancel(const Cli& cli, const std::string& id) {
  v1::CancelJobRequest request;
  request.set_id(id);
  v1::Job job;
  const absl::Status status = FromGrpc(cli.jobs->CancelJob(UnaryContext().get(), request, &job));
  if (!status.ok()) {
    return cli.Fail(status);
  }
  if (cli.json) {
    cli.PrintJson(job);
  } else {
    *cli.out << job.id() << " is " << State(job) << "\n";
  }
  return kOk;
}

}  // namespace graft
