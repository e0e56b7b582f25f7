#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/model_ref.h"
#include "client/submit.h"
#include "client/training_options.h"
#include "client/watch.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace graft {
namespace {

constexpr int64_t kMaxSpecBytes = 1 << 20;

struct TrainArguments {
  std::string model;
  std::string dataset;
  std::string variant;
  std::vector<std::string> set;
  bool watch = false;
  bool dry_run = false;
  std::string preset;
  std::string init_from;
  std::string spec_file;
};

struct EvaluateArguments {
  std::string model;
  std::string dataset;
  v1::Part part = v1::PART_TEST;
  bool no_wait = false;
};

// A spec as --dry-run --format json prints it: a job, its spec, or a training's.
absl::StatusOr<v1::TrainSpec> ReadSpec(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> text, ReadFile(path, kMaxSpecBytes));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return InvalidField("--spec", absl::StrCat("'", path,
                                               "' isn't a JSON object; graft train ... --dry-run --format json "
                                               "prints one"));
  }
  nlohmann::json train = json;
  for (const char* level : {"spec", "train"}) {
    if (train.contains(level) && train[level].is_object()) {
      train = nlohmann::json(train[level]);
    }
  }
  v1::TrainSpec spec;
  const auto status = google::protobuf::util::JsonStringToMessage(train.dump(), &spec);
  if (!status.ok()) {
    return InvalidField("--spec", absl::StrCat("'", path, "': ", std::string(status.message())));
  }
  return spec;
}

absl::StatusOr<v1::JobSpec> MakeSpec(const TrainArguments& arguments) {
  GRAFT_RETURN_IF_ERROR(CheckNoVersion(arguments.model, "training makes the next one, so leave it out"));
  v1::JobSpec spec;
  v1::TrainSpec* train = spec.mutable_train();
  if (!arguments.spec_file.empty()) {
    GRAFT_ASSIGN_OR_RETURN(*train, ReadSpec(arguments.spec_file));
  }
  train->set_model(arguments.model);
  if (!arguments.dataset.empty()) {
    train->set_dataset(arguments.dataset);
  } else if (arguments.spec_file.empty()) {
    return InvalidField("--dataset", "not given; give it, or a file that has it with --spec");
  }
  if (!arguments.variant.empty()) {
    train->set_variant(arguments.variant);
  }
  if (!arguments.preset.empty()) {
    train->set_preset(arguments.preset);
  }
  if (!arguments.init_from.empty()) {
    GRAFT_ASSIGN_OR_RETURN(*train->mutable_init_from(), ParseModel(arguments.init_from));
  }
  for (const std::string& assignment : arguments.set) {
    GRAFT_RETURN_IF_ERROR(SetTrainingOption(assignment, train->mutable_options()));
  }
  return spec;
}

int Train(const Cli& cli, const TrainArguments& arguments) {
  const absl::StatusOr<v1::JobSpec> spec = MakeSpec(arguments);
  if (!spec.ok()) {
    return cli.FailUsage(spec.status());
  }
  if (arguments.dry_run) {
    return Show(cli, Submit(cli, *spec, /*validate_only=*/true), [&](const v1::Job& job) {
      const v1::TrainSpec& train = job.spec().train();
      *cli.out << "would train " << Printable(train.model()) << ", a " << Printable(train.variant()) << ", on "
               << Printable(train.dataset());
      if (train.has_init_from()) {
        *cli.out << " from " << Printable(train.init_from().name()) << "@" << train.init_from().version();
      }
      *cli.out << " with (preset " << Printable(train.preset()) << ")\n";
      for (const auto& [key, value] : TrainingOptionValues(train.options())) {
        *cli.out << absl::StrFormat("  %-20s %s\n", key, Printable(value));
      }
    });
  }
  if (!arguments.watch) {
    return SubmitAndLeave(cli, *spec);
  }
  const absl::StatusOr<v1::Job> job = Submit(cli, *spec);
  if (!job.ok()) {
    return cli.Fail(job.status());
  }
  v1::StateChange end;
  const int status = Watch(cli, job->id(), {.submitted = true}, &end);
  if (status == kOk && !cli.json) {
    const v1::TrainResult& result = end.result().train();
    const std::string model = Printable(result.model());
    *cli.out << absl::StrFormat("%s@%d: validation accuracy %.4f, trained in %s\n", model, result.version(),
                                result.kept_epoch().validation_accuracy(), Duration(result.seconds()))
             << "next: graft evaluate " << model << "   and: graft classify " << model << " FILE...\n";
  }
  return status;
}

int Evaluate(const Cli& cli, const EvaluateArguments& arguments) {
  const absl::StatusOr<v1::ModelRef> model = ParseModel(arguments.model);
  if (!model.ok()) {
    return cli.FailUsage(model.status());
  }
  v1::JobSpec spec;
  v1::EvaluateSpec* evaluate = spec.mutable_evaluate();
  *evaluate->mutable_model() = *model;
  evaluate->set_dataset(arguments.dataset);
  evaluate->set_part(arguments.part);
  if (arguments.no_wait) {
    return SubmitAndLeave(cli, spec);
  }
  return SubmitAndWait(cli, spec, [&](const v1::JobResult& outcome) {
    const v1::EvaluateResult& result = outcome.evaluate();
    if (cli.json) {
      cli.PrintJson(result);
    } else {
      *cli.out << "\n"
               << Printable(result.model()) << "@" << result.version() << " on " << Printable(result.dataset()) << " ("
               << ShortName(*v1::Part_descriptor(), result.part()) << ", " << result.report().images() << " images)\n\n"
               << ReportText(result.report());
    }
    return kOk;
  });
}

}  // namespace

void AddTrainingCommands(CommandLine& line) {
  const auto [train, trained] =
      line.AddCommand(line.app(), "train", "Train a new version of a model in the background",
                      "  graft train pets --dataset pets --watch\n"
                      "  graft train pets --dataset pets --variant vgg16_features --watch\n"
                      "  graft train pets --dataset pets --variant basic_cnn --set epochs=10 --set learning_rate=5e-4\n"
                      "  graft train pets --dataset pets --variant vgg16_finetuned --preset reference --dry-run\n"
                      "  graft train pets --dataset more-pets --variant vgg16_finetuned --init-from pets@2\n"
                      "  graft train pets --spec spec.json --set seed=7",
                      Train);
  line.Complete(
      train->add_option("MODEL", trained->model, "The model's name; one that exists gets its next version")->required(),
      ModelNames);
  line.Complete(train->add_option("--dataset", trained->dataset, "The data set"), DatasetNames);
  line.Complete(train->add_option("--variant", trained->variant,
                                  "The variant (graft variant list); unset: the best on features whose trunk is there"),
                VariantNames);
  line.OneOf(train->add_option("--preset", trained->preset,
                               "What unset options are: the best that was measured for its time, or the write-up's"),
             {"recommended", "reference"});
  line.Complete(
      train->add_option("--init-from", trained->init_from, "Start from this model's weights: MODEL[@VERSION]"),
      ModelRefs);
  train->add_option("--spec", trained->spec_file, "A file with the spec, as --dry-run --format json prints it");
  line.Complete(
      train->add_option("--set", trained->set, "An option (graft variant show): KEY=VALUE; may be given several times")
          ->allow_extra_args(false),
      TrainingOptionAssignments);
  train->add_flag("--watch", trained->watch, "Follow the job until it ends");
  train->add_flag("--dry-run", trained->dry_run, "Check everything, print the full spec, train nothing");

  const auto [evaluate, evaluated] = line.AddCommand(
      line.app(), "evaluate", "Score a model on a part of a data set",
      "  graft evaluate pets\n  graft evaluate pets@2 --dataset more-pets --split validation", Evaluate);
  line.Complete(evaluate->add_option("MODEL", evaluated->model, kModelHelp)->required(), ModelRefs);
  line.Complete(evaluate->add_option("--dataset", evaluated->dataset, "Another data set than the model was trained on"),
                DatasetNames);
  line.AddEnumOption(evaluate, "--split", &evaluated->part, "The part to score on");
  evaluate->add_flag("--no-wait", evaluated->no_wait, "Only queue it");
}

}  // namespace graft
