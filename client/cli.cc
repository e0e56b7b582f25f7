#include "client/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands.h"
#include "client/format.h"
#include "client/watch.h"

namespace graft {
namespace {

// What may follow the words on a command line, as far as the commands and options tell.
std::vector<std::string> OptionCandidates(CLI::App* app, const std::vector<std::string>& words) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    for (CLI::App* sub : app->get_subcommands([](CLI::App*) { return true; })) {
      if (sub->get_name() == words[i]) {
        app = sub;
        break;
      }
    }
  }
  std::vector<std::string> candidates;
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App* a) { return !a->get_group().empty(); })) {
    candidates.push_back(sub->get_name());
  }
  const bool wants_option = !words.empty() && !words.back().empty() && words.back()[0] == '-';
  for (const CLI::App* level = app; wants_option && level != nullptr; level = level->get_parent()) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        candidates.push_back("--" + name);
      }
    }
  }
  return candidates;
}

}  // namespace

int RunCli(const std::vector<std::string>& words, std::ostream* out, std::ostream* err, bool out_is_terminal,
           bool err_is_terminal) {
  Cli cli;
  cli.out = out;
  cli.err = err;
  cli.out_is_terminal = out_is_terminal;
  cli.err_is_terminal = err_is_terminal;
  std::string format = "text";
  std::function<int()> run;

  CLI::App app{"Graft: transfer learning as a service. Labelled images in, a served model out."};
  app.name("graft");
  app.fallthrough();
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", "graft 0.1.0");
  app.add_option("--server", cli.server, "graftd's HOST:PORT")->envname("GRAFT_SERVER")->capture_default_str();
  app.add_option("--format", format, "text, or json: one document, or one a line for streams")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  app.footer(
      "Examples:\n"
      "  graft dataset create pets --from ~/pets --train 120 --validation 40 --test 40 --wait\n"
      "  graft train pets --dataset pets --variant vgg16_features --watch\n"
      "  graft evaluate pets\n"
      "  graft classify pets photo.jpg\n"
      "Exit status: 0; 1 something failed; 2 the command line is wrong.");
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return absl::StrCat("graft: ", Printable(error.what()), "; --help shows how\n");
  });
  const auto command = [](CLI::App* parent, const std::string& name, const std::string& help,
                          const std::string& examples) {
    CLI::App* sub = parent->add_subcommand(name, help);
    sub->fallthrough();
    sub->footer("Examples:\n" + examples);
    return sub;
  };
  const auto group = [&](const std::string& name, const std::string& help, const std::string& examples) {
    CLI::App* sub = command(&app, name, help, examples);
    sub->require_subcommand(0, 1);
    return sub;
  };
  const CLI::IsMember preprocessings({"auto", "rescale", "caffe", "torchvision"});
  const CLI::IsMember interpolations({"nearest", "bilinear", "area"});

  command(&app, "status", "Show the server: jobs, models in memory, weights",
          "  graft status\n  graft status --format json")
      ->callback([&] { run = [&] { return ServerStatus(cli); }; });

  // dataset
  CLI::App* dataset = group("dataset", "Data sets: labelled images, split into training, validation and test parts",
                            "  graft dataset create pets --from ~/pets --wait\n  graft dataset show pets");
  SplitArguments split;
  const auto split_options = [&](CLI::App* sub) {
    sub->add_option("--label", split.label, "Where the label is: filename (cat.1.jpg) or folder (cat/1.jpg)")
        ->check(CLI::IsMember({"filename", "folder"}))
        ->capture_default_str();
    sub->add_option("--train", split.train, "Images a class (1500), or a share (0.6, 60%)")->capture_default_str();
    sub->add_option("--validation", split.validation, "The same for validation")->capture_default_str();
    sub->add_option("--test", split.test, "The same for test")->capture_default_str();
    sub->add_option("--seed", split.seed, "Same folder, sizes and seed: same split")->capture_default_str();
    sub->add_flag("--hard-link", split.hard_link, "Link the files instead of copying them");
    sub->add_flag("--wait", split.wait, "Show progress and wait for the end");
  };
  CLI::App* create =
      command(dataset, "create", "Split a folder on the server's machine",
              "  graft dataset create pets --from ~/pets --wait\n"
              "  graft dataset create pets --from ~/pets --train 1500 --validation 500 --test 500 --seed 42\n"
              "  graft dataset create flowers --from ~/flowers --label folder --train 70% --validation 15% --test 15%");
  create->add_option("NAME", split.name, "The data set's name")->required();
  create->add_option("--from", split.folder, "The folder, below one that graftd was given with --allow-dir")
      ->required();
  split_options(create);
  create->callback([&] { run = [&] { return DatasetCreate(cli, split); }; });
  CLI::App* upload = command(dataset, "upload", "Send a folder's images to the server and split them",
                             "  graft dataset upload pets ~/pets --wait\n"
                             "  graft dataset upload flowers ~/flowers --label folder --wait");
  upload->add_option("NAME", split.name, "The data set's name")->required();
  upload->add_option("DIR", split.folder, "The folder on this machine")->required()->check(CLI::ExistingDirectory);
  split_options(upload);
  upload->callback([&] { run = [&] { return DatasetUpload(cli, split); }; });
  command(dataset, "list", "List data sets", "  graft dataset list")->callback([&] {
    run = [&] { return DatasetList(cli); };
  });
  std::string name;
  CLI::App* show_dataset =
      command(dataset, "show", "Show a data set: classes, skipped files, folder", "  graft dataset show pets");
  show_dataset->add_option("NAME", name, "The data set")->required();
  show_dataset->callback([&] { run = [&] { return DatasetShow(cli, name); }; });
  CLI::App* delete_dataset =
      command(dataset, "delete", "Delete a data set; its models stay", "  graft dataset delete pets");
  delete_dataset->add_option("NAME", name, "The data set")->required();
  delete_dataset->callback([&] { run = [&] { return DatasetDelete(cli, name); }; });
  FeatureArguments features;
  CLI::App* cache =
      command(dataset, "features", "Extract and keep a trunk's features of a data set, so that heads train at once",
              "  graft dataset features pets\n  graft dataset features pets --preprocessing rescale --size 224");
  cache->add_option("NAME", name, "The data set")->required();
  cache->add_option("--trunk", features.trunk, "The trunk: vgg16");
  cache->add_option("--preprocessing", features.preprocessing, "auto, rescale, caffe or torchvision")
      ->check(preprocessings);
  cache->add_option("--interpolation", features.interpolation, "nearest, bilinear or area")->check(interpolations);
  cache->add_option("--size", features.size, "Pixels a side; 0: 150");
  cache->callback([&] { run = [&] { return DatasetFeatures(cli, name, features); }; });

  // variant
  CLI::App* variant = group("variant", "Model variants: what can be trained",
                            "  graft variant list\n  graft variant show vgg16_features");
  command(variant, "list", "List variants", "  graft variant list")->callback([&] {
    run = [&] { return VariantList(cli); };
  });
  CLI::App* show_variant =
      command(variant, "show", "Show a variant: layers, parameters, defaults", "  graft variant show vgg16_features");
  show_variant->add_option("NAME", name, "The variant")->required();
  show_variant->callback([&] { run = [&] { return VariantShow(cli, name); }; });

  // train, evaluate
  TrainArguments train;
  CLI::App* train_command =
      command(&app, "train", "Train a new version of a model in the background",
              "  graft train pets --dataset pets --variant vgg16_features --watch\n"
              "  graft train pets --dataset pets --variant basic_cnn --set epochs=10 --set learning_rate=5e-4\n"
              "  graft train pets --dataset pets --variant vgg16_features --set preprocessing=rescale --validate");
  train_command->add_option("MODEL", train.model, "The model's name; one that exists gets its next version")
      ->required();
  train_command->add_option("--dataset", train.dataset, "The data set")->required();
  train_command->add_option("--variant", train.variant, "The variant (graft variant list)")->required();
  train_command->add_option("--set", train.set, "An option (graft variant show): KEY=VALUE; may be given several times")
      ->allow_extra_args(false);
  train_command->add_flag("--watch", train.watch, "Follow the job until it ends");
  train_command->add_flag("--validate", train.validate, "Check everything, train nothing");
  train_command->callback([&] { run = [&] { return Train(cli, train); }; });
  EvaluateArguments evaluate;
  CLI::App* evaluate_command =
      command(&app, "evaluate", "Score a model on a part of a data set",
              "  graft evaluate pets\n  graft evaluate pets@2 --dataset more-pets --split validation");
  evaluate_command->add_option("MODEL", evaluate.model, "MODEL or MODEL@VERSION")->required();
  evaluate_command->add_option("--dataset", evaluate.dataset, "Another data set than the model was trained on");
  evaluate_command->add_option("--split", evaluate.split, "train, validation or test")
      ->check(CLI::IsMember({"train", "validation", "test"}))
      ->capture_default_str();
  evaluate_command->add_flag("--no-wait", evaluate.no_wait, "Only queue it");
  evaluate_command->callback([&] { run = [&] { return Evaluate(cli, evaluate); }; });

  // job
  CLI::App* job =
      group("job", "Jobs: long work in the background", "  graft job list --state running\n  graft job watch job-12");
  std::string state;
  std::string kind;
  int limit = 50;
  CLI::App* list_jobs =
      command(job, "list", "List jobs, newest first",
              "  graft job list\n  graft job list --state running\n  graft job list --kind train --limit 200");
  list_jobs->add_option("--state", state, "Only these")
      ->check(CLI::IsMember({"queued", "running", "succeeded", "failed", "cancelled"}));
  list_jobs->add_option("--kind", kind, "Only these")
      ->check(CLI::IsMember({"split", "train", "extract_features", "evaluate"}));
  list_jobs->add_option("--limit", limit, "At most so many")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  list_jobs->callback([&] { run = [&] { return JobList(cli, state, kind, limit); }; });
  CLI::App* show_job = command(job, "show", "Show a job", "  graft job show job-12");
  show_job->add_option("ID", name, "The job")->required();
  show_job->callback([&] { run = [&] { return JobShow(cli, name); }; });
  int64_t after = 0;
  CLI::App* watch = command(job, "watch", "Follow a job until it ends; Ctrl-C leaves it running",
                            "  graft job watch job-12\n  graft job watch job-12 --after 40 --format json");
  watch->add_option("ID", name, "The job")->required();
  watch->add_option("--after", after, "Only events after this sequence number")->check(CLI::NonNegativeNumber);
  watch->callback([&] { run = [&] { return Watch(cli, name, {.after = after}, nullptr); }; });
  CLI::App* cancel = command(job, "cancel", "Stop a queued or running job", "  graft job cancel job-12");
  cancel->add_option("ID", name, "The job")->required();
  cancel->callback([&] { run = [&] { return JobCancel(cli, name); }; });

  // model
  CLI::App* model = group("model", "Trained models and their versions",
                          "  graft model show pets\n  graft model download pets@2 --out pets-model");
  CLI::App* list_models = command(model, "list", "List models", "  graft model list\n  graft model list pets");
  list_models->add_option("MODEL", name, "Only this one's versions");
  list_models->callback([&] { run = [&] { return ModelList(cli, name); }; });
  CLI::App* show_model = command(model, "show", "Show a model: layers, options, scores, pictures",
                                 "  graft model show pets\n  graft model show pets@2");
  show_model->add_option("MODEL", name, "MODEL or MODEL@VERSION")->required();
  show_model->callback([&] { run = [&] { return ModelShow(cli, name); }; });
  bool all = false;
  CLI::App* delete_model = command(model, "delete", "Delete a version, or all",
                                   "  graft model delete pets@1\n  graft model delete pets --all");
  delete_model->add_option("MODEL", name, "MODEL or MODEL@VERSION")->required();
  delete_model->add_flag("--all", all, "Every version");
  delete_model->callback([&] { run = [&] { return ModelDelete(cli, name, all); }; });
  std::string target;
  CLI::App* download = command(model, "download", "Fetch a version's files: weights, reports, pictures",
                               "  graft model download pets --out pets-model");
  download->add_option("MODEL", name, "MODEL or MODEL@VERSION")->required();
  download->add_option("--out", target, "A folder")->required();
  download->callback([&] { run = [&] { return ModelDownload(cli, name, target); }; });

  // classify, features
  int top = 0;
  std::vector<std::string> files;
  CLI::App* classify =
      command(&app, "classify", "Classify images",
              "  graft classify pets photo.jpg\n  graft classify pets@2 ~/photos --top 1 --format json");
  classify->add_option("MODEL", name, "MODEL or MODEL@VERSION")->required();
  classify->add_option("FILE", files, "Images, or folders of images")->required();
  classify->add_option("--top", top, "Only the most probable labels; 0: all")->check(CLI::NonNegativeNumber);
  classify->callback([&] { run = [&] { return Classify(cli, name, top, files); }; });
  CLI::App* extract = command(&app, "features", "Extract features of images into a safetensors file",
                              "  graft features --trunk vgg16 --out features.safetensors ~/photos\n"
                              "  graft features --model pets --pooling average --out features.safetensors a.jpg b.jpg");
  CLI::Option* trunk = extract->add_option("--trunk", features.trunk, "vgg16");
  CLI::Option* of_model =
      extract->add_option("--model", features.model, "A model's trunk, with the model's preprocessing")
          ->excludes(trunk);
  extract->add_option("--preprocessing", features.preprocessing, "auto, rescale, caffe or torchvision")
      ->check(preprocessings)
      ->excludes(of_model);
  extract->add_option("--interpolation", features.interpolation, "nearest, bilinear or area")
      ->check(interpolations)
      ->excludes(of_model);
  extract->add_option("--size", features.size, "Pixels a side, 32 to 512; 0: 150")->excludes(of_model);
  extract->add_option("--pooling", features.pooling, "none (height x width x channels), average or max")
      ->check(CLI::IsMember({"none", "average", "max"}))
      ->capture_default_str();
  extract->add_option("--out", features.out, "The file")->required();
  extract->add_option("FILE", features.files, "Images, or folders of images")->required();
  extract->callback([&] {
    if (features.trunk.empty() && features.model.empty()) {
      throw CLI::RequiredError("--trunk or --model");
    }
    run = [&] { return ExtractFeatures(cli, features); };
  });

  // completion
  std::string shell;
  CLI::App* completion = command(&app, "completion", "Print a completion script",
                                 "  source <(graft completion bash)\n  source <(graft completion zsh)");
  completion->add_option("SHELL", shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  completion->callback([&] { run = [&] { return Completion(cli, shell); }; });

  // Before parsing: the words to be completed are no command line yet.
  if (!words.empty() && words[0] == "__complete") {
    const std::vector<std::string> rest(words.begin() + (words.size() > 1 && words[1] == "--" ? 2 : 1), words.end());
    if (const char* server = std::getenv("GRAFT_SERVER"); server != nullptr && *server != '\0') {
      cli.server = server;
    }
    for (size_t i = 0; i + 1 < rest.size(); ++i) {
      if (absl::StartsWith(rest[i], "--server=")) {
        cli.server = rest[i].substr(std::string("--server=").size());
      } else if (rest[i] == "--server" && i + 2 < rest.size()) {
        cli.server = rest[i + 1];
      }
    }
    cli.Connect();
    return Complete(cli, rest, OptionCandidates(&app, rest));
  }
  try {
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error, *out, *err);
    return code == 0 ? kOk : kUsage;
  }
  if (!run) {
    // A group alone, or nothing: what may follow.
    CLI::App* level = &app;
    while (!level->get_subcommands().empty()) {
      level = level->get_subcommands()[0];
    }
    *err << level->help(level == &app ? "" : "graft");
    return kUsage;
  }
  cli.json = format == "json";
  cli.Connect();
  return run();
}

}  // namespace graft
