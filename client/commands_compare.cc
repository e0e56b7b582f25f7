#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/call.h"
#include "client/commands.h"
#include "client/completion.h"
#include "client/format.h"
#include "client/model_ref.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace graft {
namespace {

namespace fs = std::filesystem;

struct CompareArguments {
  std::vector<std::string> models;
  std::string dataset;
  v1::Part part = v1::PART_TEST;
  std::string out;
};

std::string Score(double value) { return absl::StrFormat("%.4f", value); }

std::vector<std::string> Row(const v1::ComparedModel& model) {
  return {absl::StrCat(Printable(model.name()), "@", model.version()),
          Printable(model.variant()),
          Score(model.accuracy()),
          absl::StrFormat("%.4f-%.4f", model.accuracy_low(), model.accuracy_high()),
          model.has_p_value() ? absl::StrFormat("%.3g", model.p_value()) : "best",
          Score(model.precision()),
          Score(model.recall()),
          Score(model.f1()),
          model.has_roc_auc() ? Score(model.roc_auc()) : "-",
          Thousands(model.parameters()),
          Bytes(model.size_bytes()),
          model.milliseconds_per_image() > 0 ? absl::StrFormat("%.1f", model.milliseconds_per_image()) : "-",
          Duration(model.training_seconds())};
}

void PrintComparison(const Cli& cli, const v1::CompareModelsResponse& response) {
  std::vector<std::vector<std::string>> rows = {{"MODEL", "VARIANT", "ACCURACY", "95 %", "P", "PRECISION", "RECALL",
                                                 "F1", "AUC", "PARAMETERS", "SIZE", "MS/IMAGE", "TRAINED IN"}};
  std::vector<int> threads;
  for (const v1::ComparedModel& model : response.models()) {
    rows.push_back(Row(model));
    if (model.milliseconds_per_image() > 0) {
      threads.push_back(model.threads());
    }
  }
  std::vector<bool> right(rows[0].size(), true);
  right[0] = right[1] = false;
  *cli.out << Printable(response.dataset()) << " (" << ShortName(*v1::Part_descriptor(), response.part()) << ", "
           << Thousands(response.images()) << " images)\n\n"
           << Table(rows, right);
  if (response.models_size() > 1) {
    *cli.out << "\np: McNemar's exact test against the best, on the same images; above 0.05, the difference may be "
                "noise.\n";
  }
  if (!threads.empty()) {
    const auto [fewest, most] = std::minmax_element(threads.begin(), threads.end());
    *cli.out << "ms/image: one image at a time, decoding not included, " << *fewest
             << (*fewest == *most ? "" : absl::StrCat(" to ", *most)) << (*most == 1 ? " thread.\n" : " threads.\n");
  }
}

// The comparison as files: compare.json, and compare.png where the server drew it.
absl::Status WriteFiles(const fs::path& folder, const std::string& picture, const v1::CompareModelsResponse& response) {
  GRAFT_RETURN_IF_ERROR(CreateFolders(folder));
  GRAFT_RETURN_IF_ERROR(WriteFileAtomic(folder / "compare.png", picture));
  return WriteFileAtomic(folder / "compare.json", absl::StrCat(JsonText(response), "\n"));
}

int Compare(const Cli& cli, const CompareArguments& arguments) {
  v1::CompareModelsRequest request;
  for (const std::string& text : arguments.models) {
    const absl::StatusOr<v1::ModelRef> model = ParseModel(text);
    if (!model.ok()) {
      return cli.FailUsage(model.status());
    }
    *request.add_models() = *model;
  }
  request.set_dataset(arguments.dataset);
  request.set_part(arguments.part);
  request.set_picture(!arguments.out.empty());
  absl::StatusOr<v1::CompareModelsResponse> response =
      Call(*cli.models, &v1::ModelService::Stub::CompareModels, request);
  if (response.ok() && request.picture()) {
    const std::string picture = std::move(*response->mutable_picture());
    response->clear_picture();
    if (const absl::Status status = WriteFiles(arguments.out, picture, *response); !status.ok()) {
      return cli.Fail(status);
    }
  }
  return Show(cli, response, [&](const v1::CompareModelsResponse& comparison) {
    PrintComparison(cli, comparison);
    if (request.picture()) {
      for (const char* name : {"compare.png", "compare.json"}) {
        *cli.out << "file      " << Printable((fs::path(arguments.out) / name).string()) << "\n";
      }
    }
  });
}

}  // namespace

void AddCompareCommand(CommandLine& line) {
  const auto [compare, compared] = line.AddCommand(
      line.app(), "compare", "Compare models that were evaluated on the same images",
      "  graft compare pets@1 pets@2 other\n  graft compare pets other --dataset more-pets --split validation\n"
      "  graft compare pets@1 pets@2 --out comparison",
      Compare);
  line.Complete(compare->add_option("MODEL", compared->models, kModelHelp)->required(), ModelRefs);
  line.Complete(compare->add_option("--dataset", compared->dataset,
                                    "The data set; else the one that the first model was trained on"),
                DatasetNames);
  line.AddEnumOption(compare, "--split,--part", &compared->part, "The part that they were evaluated on");
  compare->add_option("--out", compared->out, "Also write compare.png and compare.json into this folder");
}

}  // namespace graft
