#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/submit.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/text.h"

namespace graft {
namespace {

struct RecommendArguments {
  std::string dataset;
  std::vector<std::string> trunks;
  int folds = 0;
  std::optional<uint64_t> seed;
  std::string budget;
  std::string out;
  bool no_wait = false;
};

// "90", "90s", "5m", "1h30m", in seconds.
absl::StatusOr<double> Seconds(const std::string& text) {
  absl::Duration duration;
  const bool bare = !text.empty() && text.find_first_not_of("0123456789.") == std::string::npos;
  if (!absl::ParseDuration(bare ? text + "s" : text, &duration) || duration <= absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return InvalidField("--budget", absl::StrCat("'", text, "' is no time above 0; use one such as 90s, 5m or 1h30m"));
  }
  return absl::ToDoubleSeconds(duration);
}

void Print(const Cli& cli, const v1::RecommendResult& result) {
  std::vector<std::vector<std::string>> rows = {{"TRUNK", "ACCURACY", "95 %", "MS/IMAGE", "ALL IMAGES", ""}};
  for (const v1::TrunkCandidate& candidate : result.candidates()) {
    const bool tried = !candidate.over_budget();
    rows.push_back({Printable(candidate.trunk()), tried ? absl::StrFormat("%.4f", candidate.accuracy()) : "-",
                    tried ? absl::StrFormat("%.4f-%.4f", candidate.accuracy_low(), candidate.accuracy_high()) : "-",
                    absl::StrFormat("%.1f", candidate.milliseconds_per_image()), Duration(candidate.seconds()),
                    !tried                                    ? "over the budget"
                    : candidate.variant() == result.variant() ? "recommended"
                                                              : ""});
  }
  *cli.out << "\n"
           << Printable(result.dataset()) << " (" << Thousands(result.images())
           << " training images, each judged by what was fitted without it)\n\n"
           << Table(rows, {false, true, true, true, true, false})
           << "\nrecommended: the quickest of those within one standard error of the best\n"
           << "next: graft train MODEL --dataset " << Printable(result.dataset()) << " --variant "
           << Printable(result.variant()) << " --watch\n";
}

int Recommend(const Cli& cli, const RecommendArguments& arguments) {
  v1::JobSpec spec;
  v1::RecommendSpec* recommend = spec.mutable_recommend();
  recommend->set_dataset(arguments.dataset);
  for (const std::string& trunk : arguments.trunks) {
    recommend->add_trunks(trunk);
  }
  recommend->set_folds(arguments.folds);
  if (arguments.seed.has_value()) {
    recommend->set_seed(*arguments.seed);
  }
  if (!arguments.budget.empty()) {
    const absl::StatusOr<double> seconds = Seconds(arguments.budget);
    if (!seconds.ok()) {
      return cli.FailUsage(seconds.status());
    }
    recommend->set_budget_seconds(*seconds);
  }
  if (arguments.no_wait) {
    return SubmitAndLeave(cli, spec);
  }
  return SubmitAndWait(cli, spec, [&](const v1::JobResult& outcome) {
    const v1::RecommendResult& result = outcome.recommend();
    if (cli.json) {
      cli.PrintJson(result);
    } else {
      Print(cli, result);
    }
    if (arguments.out.empty()) {
      return int{kOk};
    }
    v1::DrawRecommendationRequest request;
    request.set_id(result.job_id());
    const auto drawn = Call(*cli.jobs, &v1::JobService::Stub::DrawRecommendation, request);
    if (!drawn.ok()) {
      return cli.Fail(drawn.status());
    }
    if (const absl::Status written = WriteFileAtomic(arguments.out, drawn->png()); !written.ok()) {
      return cli.Fail(written);
    }
    if (!cli.json) {
      *cli.out << "written: " << arguments.out << "\n";
    }
    return int{kOk};
  });
}

}  // namespace

void AddRecommendCommand(CommandLine& line) {
  const auto [recommend, recommended] =
      line.AddCommand(line.app(), "recommend", "Say which pretrained trunk suits a data set best, by trying each",
                      "  graft recommend --dataset pets\n"
                      "  graft recommend --dataset pets --budget 5m --out recommendation.png\n"
                      "  graft recommend --dataset pets --trunk vgg16 --trunk efficientnet_lite0 --folds 10",
                      Recommend);
  line.Complete(recommend->add_option("--dataset", recommended->dataset, "The data set")->required(), DatasetNames);
  line.Complete(recommend
                    ->add_option("--trunk", recommended->trunks,
                                 "Try this one (graft trunk list); may be given several times; unset: all that "
                                 "are there")
                    ->allow_extra_args(false),
                TrunkNames);
  recommend->add_option("--budget", recommended->budget,
                        "Leave out trunks that would take longer for all images: 90s, 5m, 1h30m");
  recommend->add_option("--folds", recommended->folds, "Folds of the cross-validation, 2 to 20; 0: 5");
  recommend->add_option("--seed", recommended->seed, "Which image is in which fold; else 42")->check(NotNegative());
  recommend->add_option("--out", recommended->out, "Also draw accuracy by time into this PNG file");
  recommend->add_flag("--no-wait", recommended->no_wait, "Only queue it");
}

}  // namespace graft
