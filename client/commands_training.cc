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
#include "core/base/text.h"

namespace graft {
namespace {

struct TrainArguments {
  std::string model;
  std::string dataset;
  std::string variant;
  std::vector<std::string> set;
  bool watch = false;
  bool validate = false;
};

struct EvaluateArguments {
  std::string model;
  std::string dataset;
  v1::Part part = v1::PART_TEST;
  bool no_wait = false;
};

absl::StatusOr<v1::JobSpec> MakeSpec(const TrainArguments& arguments) {
  GRAFT_RETURN_IF_ERROR(CheckNoVersion(arguments.model, "training makes the next one, so leave it out"));
  v1::JobSpec spec;
  v1::TrainSpec* train = spec.mutable_train();
  train->set_model(arguments.model);
  train->set_dataset(arguments.dataset);
  train->set_variant(arguments.variant);
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
  if (arguments.validate) {
    return Show(cli, Submit(cli, *spec, /*validate_only=*/true), [&](const v1::Job& job) {
      *cli.out << "would train " << arguments.model << " on " << arguments.dataset << " with\n";
      for (const auto& [key, value] : TrainingOptionValues(job.spec().train().options())) {
        *cli.out << absl::StrFormat("  %-16s %s\n", key, Printable(value));
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
                                result.last_epoch().validation_accuracy(), Duration(result.seconds()))
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
  const auto [train, trained] = line.AddCommand(
      line.app(), "train", "Train a new version of a model in the background",
      "  graft train pets --dataset pets --variant vgg16_features --watch\n"
      "  graft train pets --dataset pets --variant basic_cnn --set epochs=10 --set learning_rate=5e-4\n"
      "  graft train pets --dataset pets --variant vgg16_features --set preprocessing=rescale --validate",
      Train);
  line.Complete(
      train->add_option("MODEL", trained->model, "The model's name; one that exists gets its next version")->required(),
      ModelNames);
  line.Complete(train->add_option("--dataset", trained->dataset, "The data set")->required(), DatasetNames);
  line.Complete(train->add_option("--variant", trained->variant, "The variant (graft variant list)")->required(),
                VariantNames);
  line.Complete(
      train->add_option("--set", trained->set, "An option (graft variant show): KEY=VALUE; may be given several times")
          ->allow_extra_args(false),
      TrainingOptionAssignments);
  train->add_flag("--watch", trained->watch, "Follow the job until it ends");
  train->add_flag("--validate", trained->validate, "Check everything, train nothing");

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
