#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/data/image.h"
#include "core/infer/explanation.h"
#include "core/viz/feature_maps.h"
#include "core/viz/heat_map.h"
#include "server/handlers/handlers.h"

namespace graft {
namespace {

using Model = std::shared_ptr<const LoadedModel>;
using Done = std::function<void(absl::StatusOr<v1::ExplainResponse>)>;

absl::Span<const uint8_t> ImageBytes(const v1::ExplainRequest& request) {
  return {reinterpret_cast<const uint8_t*>(request.image().data()), request.image().size()};
}

std::string ModelText(const LoadedModel& model) {
  return absl::StrCat(model.description.name, "@", model.description.version);
}

v1::ExplainResponse Begun(const LoadedModel& model) {
  v1::ExplainResponse response;
  response.set_model(model.description.name);
  response.set_version(model.description.version);
  return response;
}

absl::StatusOr<v1::ExplainResponse> WithLayers(const LoadedModel& model) {
  v1::ExplainResponse response = Begun(model);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<LayerInfo> layers, MapLayers(model.description));
  for (const LayerInfo& layer : layers) {
    *response.add_layers() = ToProto(layer);
  }
  return response;
}

ExplainOptions OptionsOf(const v1::ExplainRequest& request) {
  ExplainOptions options;
  options.label = request.label();
  options.layers.assign(request.layers().begin(), request.layers().end());
  if (request.channels() != 0) {
    options.channels = request.channels();
  }
  return options;
}

// Labels by their probability, the greatest first.
std::vector<size_t> Order(absl::Span<const float> probabilities) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  return order;
}

absl::Status AddHeatMap(const v1::ExplainRequest& request, const LoadedModel& model, const Explanation& explanation,
                        v1::HeatMap* map) {
  const ExplainPlan::Layer& target = explanation.plan().target;
  const std::vector<std::string>& labels = model.description.labels;
  map->set_label(labels[explanation.label()]);
  map->set_probability(static_cast<double>(explanation.probabilities()[explanation.label()]));
  map->set_layer(target.name);
  map->set_height(static_cast<int32_t>(target.shape[0]));
  map->set_width(static_cast<int32_t>(target.shape[1]));
  map->mutable_values()->Assign(explanation.heat().begin(), explanation.heat().end());
  map->set_peak(static_cast<double>(explanation.peak()));

  const absl::Span<const uint8_t> bytes = ImageBytes(request);
  GRAFT_ASSIGN_OR_RETURN(const ImageInfo info, ProbeImage(bytes));
  GRAFT_ASSIGN_OR_RETURN(RgbImage image, DecodeThumbnail(bytes, info, kHeatMapSide));
  const size_t first = Order(explanation.probabilities()).front();
  HeatMapPicture picture;
  picture.label = map->label();
  picture.probability = map->probability();
  picture.subtitle =
      absl::StrCat(first == explanation.label() ? "" : absl::StrCat(labels[first], " is the most probable; "),
                   explanation.peak() > 0 ? "" : "nothing speaks for it; ", ModelText(model), ", Grad-CAM of ",
                   target.name, ", ", target.shape[0], " x ", target.shape[1]);
  picture.width = image.width;
  picture.height = image.height;
  picture.pixels = std::move(image.pixels);
  picture.rows = target.shape[0];
  picture.columns = target.shape[1];
  picture.heat = explanation.heat();
  GRAFT_ASSIGN_OR_RETURN(*map->mutable_picture(), HeatMap(picture));
  return absl::OkStatus();
}

absl::Status AddFeatureMaps(const LoadedModel& model, const Explanation& explanation, size_t layer,
                            v1::FeatureMaps* maps) {
  const ExplainPlan::Layer& shown = explanation.plan().layers[layer];
  maps->set_layer(shown.name);
  maps->mutable_shape()->Assign(shown.shape.begin(), shown.shape.end());
  maps->set_channels(static_cast<int32_t>(shown.channels));
  FeatureMapsPicture picture;
  picture.title = shown.name;
  picture.subtitle =
      absl::StrCat(ModelText(model), ", ", shown.shape[0], " x ", shown.shape[1], "; ",
                   shown.channels < shown.shape[2] ? absl::StrCat("the first ", shown.channels, " of ", shown.shape[2])
                                                   : absl::StrCat("all ", shown.shape[2]),
                   " channels");
  picture.channels = shown.channels;
  picture.height = shown.shape[0];
  picture.width = shown.shape[1];
  picture.values = explanation.maps(layer);
  GRAFT_ASSIGN_OR_RETURN(*maps->mutable_picture(), FeatureMaps(picture));
  return absl::OkStatus();
}

absl::StatusOr<v1::ExplainResponse> Drawn(const Call& call, const v1::ExplainRequest& request, const LoadedModel& model,
                                          const Explanation& explanation) {
  constexpr absl::string_view kGone = "the caller has gone";
  if (call.Cancelled()) {
    return absl::CancelledError(kGone);
  }
  v1::ExplainResponse response = Begun(model);
  for (const size_t i : Order(explanation.probabilities())) {
    v1::Prediction* prediction = response.add_predictions();
    prediction->set_label(model.description.labels[i]);
    prediction->set_probability(static_cast<double>(explanation.probabilities()[i]));
  }
  GRAFT_RETURN_IF_ERROR(AddHeatMap(request, model, explanation, response.mutable_heat_map()));
  for (size_t layer = 0; layer < explanation.plan().layers.size(); ++layer) {
    if (call.Cancelled()) {
      return absl::CancelledError(kGone);
    }
    GRAFT_RETURN_IF_ERROR(AddFeatureMaps(model, explanation, layer, response.add_feature_maps()));
  }
  return response;
}

// Calls `done` later when what it returns is OK, and never otherwise.
absl::Status Begin(const Deps& deps, const Call& call, const v1::ExplainRequest& request, const Model& model,
                   const Done& done) {
  GRAFT_ASSIGN_OR_RETURN(const ExplainPlan plan, PlanExplanation(model->description, OptionsOf(request)));
  // Of a batch, and of its image: the same numbers twice.
  std::optional<ByteBudget::Reservation> bytes =
      deps.explanations->TryTake(static_cast<int64_t>(2 * plan.size * sizeof(float)));
  if (!bytes.has_value()) {
    return absl::ResourceExhaustedError(
        "the server is busy: explanations that wait fill its memory for them; try again in a second");
  }
  const Done finish = [held = std::make_shared<ByteBudget::Reservation>(*std::move(bytes)), done, &deps,
                       &call](absl::StatusOr<v1::ExplainResponse> response) {
    if (response.ok() && call.keep) {  // the pictures stay in memory until they are sent
      call.keep(std::make_shared<const ByteBudget::Reservation>(
          deps.explanations->Take(static_cast<int64_t>(response->ByteSizeLong()))));
    }
    *held = ByteBudget::Reservation();
    done(std::move(response));
  };
  return deps.batcher->Submit({MakeExplainRunner(model, plan), ImageBytes(request), call.cancelled,
                               [&deps, &call, &request, model, plan, finish](absl::StatusOr<std::vector<float>> row) {
                                 const absl::Status status = CatchExceptions("internal error", [&]() -> absl::Status {
                                   GRAFT_RETURN_IF_ERROR(Annotate(row.status(), "image"));
                                   const auto explanation = std::make_shared<const Explanation>(plan, *std::move(row));
                                   deps.drawing->Post([&call, &request, model, explanation, finish] {
                                     finish(CatchExceptions("drawing the explanation", [&] {
                                       return Drawn(call, request, *model, *explanation);
                                     }));
                                   });
                                   return absl::OkStatus();
                                 });
                                 if (!status.ok()) {
                                   finish(status);
                                 }
                               }});
}

}  // namespace

void Explain(const Deps& deps, const Call& call, const v1::ExplainRequest& request, const Done& done) {
  const absl::StatusOr<ModelRef> ref = FromProto(request.model());
  if (!ref.ok()) {
    done(ref.status());
    return;
  }
  deps.models->GetModel(*ref, call.cancelled, [&deps, &call, &request, done](absl::StatusOr<Model> model) {
    if (model.ok() && request.layers_only()) {
      done(CatchExceptions("internal error", [&] { return WithLayers(**model); }));
      return;
    }
    const absl::Status status = CatchExceptions("internal error", [&]() -> absl::Status {
      GRAFT_RETURN_IF_ERROR(model.status());
      return Begin(deps, call, request, *model, done);
    });
    if (!status.ok()) {
      done(status);
    }
  });
}

}  // namespace graft
