#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
#include "core/model/treatment.h"
#include "core/model/trunks.h"
#include "server/handlers/handlers.h"

namespace graft {
namespace {

absl::Span<const uint8_t> ImageBytes(const std::string& image) {
  return {reinterpret_cast<const uint8_t*>(image.data()), image.size()};
}

v1::ClassifyResponse ToResponse(const LoadedModel& model, const std::vector<float>& probabilities, int top_k) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  if (top_k > 0) {
    order.resize(std::min(order.size(), static_cast<size_t>(top_k)));
  }
  v1::ClassifyResponse response;
  response.set_model(model.description.name);
  response.set_version(model.description.version);
  for (const size_t i : order) {
    v1::Prediction* prediction = response.add_predictions();
    prediction->set_label(model.description.labels[i]);
    prediction->set_probability(static_cast<double>(probabilities[i]));
  }
  return response;
}

// Done with what a function makes, or with what it throws: an answer is made on threads that aren't the caller's.
template <typename Response, typename Fn>
void Answer(const std::function<void(absl::StatusOr<Response>)>& done, Fn&& make) {
  done(CatchExceptions("internal error", std::forward<Fn>(make)));
}

// Begins what will call `done`; what it returns, or throws, when it couldn't goes to `done` here.
template <typename Result, typename Fn>
void OrElse(const std::function<void(absl::StatusOr<Result>)>& done, Fn&& begin) {
  const absl::Status status = CatchExceptions("internal error", std::forward<Fn>(begin));
  if (!status.ok()) {
    done(status);
  }
}

// What runs an image for ExtractFeatures.
struct Extraction {
  std::shared_ptr<const BatchRunner> runner;
  Preprocessing preprocessing = Preprocessing::kAuto;
};
using FoundExtraction = std::function<void(absl::StatusOr<Extraction>)>;

// Each of these that returns a Status calls `found` or `done` later when that is OK, and never otherwise.

absl::Status FindExtractor(const Deps& deps, const Call& call, absl::string_view trunk_name,
                           const TrainingOptions& options, const FoundExtraction& found) {
  GRAFT_RETURN_IF_ERROR(options.Validate());
  GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, FindTrunk(trunk_name));
  const Preprocessing preprocessing = ResolvePreprocessing(options.preprocessing, trunk);
  deps.models->GetExtractor({std::string(trunk_name), options.image_size, preprocessing, options.interpolation},
                            call.cancelled,
                            [found, preprocessing](absl::StatusOr<std::shared_ptr<const BatchRunner>> runner) {
                              if (runner.ok()) {
                                found(Extraction{*std::move(runner), preprocessing});
                              } else {
                                found(runner.status());
                              }
                            });
  return absl::OkStatus();
}

// The trunk that the request names, with the settings that it gives.
absl::StatusOr<TrainingOptions> OwnSettings(const v1::ExtractFeaturesRequest& request) {
  TrainingOptions options;
  GRAFT_ASSIGN_OR_RETURN(options.preprocessing, FromProto(request.preprocessing()));
  GRAFT_ASSIGN_OR_RETURN(options.interpolation, FromProto(request.interpolation(), Interpolation::kBilinear));
  if (!request.has_trunk() && !request.has_model()) {
    return InvalidField("source", absl::StrCat("not set; give a trunk (", TrunkNames(), ") or a model"));
  }
  if (request.image_size() != 0) {
    options.image_size = request.image_size();
  } else if (request.has_trunk()) {
    GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, FindTrunk(request.trunk()));
    options.image_size = trunk->image_size;
  }
  return options;
}

// The trunk below a model, with the model's settings.
absl::StatusOr<const TrunkInfo*> TrunkOfModel(const v1::ExtractFeaturesRequest& request, const LoadedModel& model) {
  GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(model.description.variant));
  if (variant->trunk == nullptr) {
    return InvalidField("model",
                        absl::StrCat("'", request.model().name(), "' is a ", variant->name,
                                     ", which has no trunk to extract features with; use a trunk: ", TrunkNames()));
  }
  if (request.image_size() != 0 || request.preprocessing() != v1::PREPROCESSING_UNSPECIFIED ||
      request.interpolation() != v1::INTERPOLATION_UNSPECIFIED) {
    return InvalidField("model", "a model has its own image_size, preprocessing and interpolation; leave them unset");
  }
  return variant->trunk;
}

absl::Status FindExtraction(const Deps& deps, const Call& call, const v1::ExtractFeaturesRequest& request,
                            const FoundExtraction& found) {
  GRAFT_ASSIGN_OR_RETURN(const TrainingOptions own, OwnSettings(request));
  if (!request.has_model()) {
    return FindExtractor(deps, call, request.trunk(), own, found);
  }
  GRAFT_ASSIGN_OR_RETURN(const ModelRef ref, FromProto(request.model()));
  deps.models->GetModel(ref, call.cancelled,
                        [&deps, &call, &request, found](absl::StatusOr<std::shared_ptr<const LoadedModel>> model) {
                          OrElse(found, [&]() -> absl::Status {
                            GRAFT_RETURN_IF_ERROR(model.status());
                            GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, TrunkOfModel(request, **model));
                            return FindExtractor(deps, call, trunk->name, (*model)->description.options, found);
                          });
                        });
  return absl::OkStatus();
}

absl::StatusOr<v1::ExtractFeaturesResponse> ToResponse(const Extraction& extraction, Pooling pooling,
                                                       const std::vector<float>& features) {
  const Shape grid = extraction.runner->output_shape();
  TrainingOptions options;
  options.pooling = pooling;
  const Shape shape = TreatedShape(grid, pooling);
  v1::ExtractFeaturesResponse response;
  response.mutable_values()->Resize(static_cast<int>(ElementCount(shape)), 0);
  TreatFeatures(features.data(), grid, options, response.mutable_values()->mutable_data());
  response.mutable_shape()->Assign(shape.begin(), shape.end());
  response.set_preprocessing(ToProto(extraction.preprocessing));
  return response;
}

}  // namespace

void Classify(const Deps& deps, const Call& call, const v1::ClassifyRequest& request,
              const std::function<void(absl::StatusOr<v1::ClassifyResponse>)>& done) {
  if (request.top_k() < 0) {
    done(InvalidField("top_k", absl::StrCat(request.top_k(), " is negative; use 1 or more, or 0 for all")));
    return;
  }
  const absl::StatusOr<ModelRef> ref = FromProto(request.model());
  if (!ref.ok()) {
    done(ref.status());
    return;
  }
  deps.models->GetModel(
      *ref, call.cancelled, [&deps, &call, &request, done](absl::StatusOr<std::shared_ptr<const LoadedModel>> model) {
        OrElse(done, [&]() -> absl::Status {
          GRAFT_RETURN_IF_ERROR(model.status());
          return deps.batcher->Submit(
              {(*model)->classifier, ImageBytes(request.image()), call.cancelled,
               [model = *model, done, top_k = request.top_k()](absl::StatusOr<std::vector<float>> probabilities) {
                 Answer(done, [&]() -> absl::StatusOr<v1::ClassifyResponse> {
                   GRAFT_RETURN_IF_ERROR(Annotate(probabilities.status(), "image"));
                   return ToResponse(*model, *probabilities, top_k);
                 });
               }});
        });
      });
}

void ExtractFeatures(const Deps& deps, const Call& call, const v1::ExtractFeaturesRequest& request,
                     const std::function<void(absl::StatusOr<v1::ExtractFeaturesResponse>)>& done) {
  const absl::StatusOr<Pooling> pooling = FromProto(request.pooling());
  if (!pooling.ok()) {
    done(pooling.status());
    return;
  }
  const FoundExtraction found = [&deps, &call, &request, pooling = *pooling,
                                 done](absl::StatusOr<Extraction> extraction) {
    OrElse(done, [&]() -> absl::Status {
      GRAFT_RETURN_IF_ERROR(extraction.status());
      return deps.batcher->Submit(
          {extraction->runner, ImageBytes(request.image()), call.cancelled,
           [extraction = *extraction, pooling, done](absl::StatusOr<std::vector<float>> features) {
             Answer(done, [&]() -> absl::StatusOr<v1::ExtractFeaturesResponse> {
               GRAFT_RETURN_IF_ERROR(Annotate(features.status(), "image"));
               return ToResponse(extraction, pooling, *features);
             });
           }});
    });
  };
  OrElse(done, [&] { return FindExtraction(deps, call, request, found); });
}

}  // namespace graft
