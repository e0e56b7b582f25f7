#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "convert/convert.h"
#include "core/base/status.h"
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

// Mean or maximum over height and width of height x width x channels numbers.
std::vector<float> Pool(const std::vector<float>& values, size_t channels, bool average) {
  const size_t positions = values.size() / channels;
  std::vector<float> pooled(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(channels));
  for (size_t p = 1; p < positions; ++p) {
    for (size_t c = 0; c < channels; ++c) {
      const float value = values[p * channels + c];
      pooled[c] = average ? pooled[c] + value : std::max(pooled[c], value);
    }
  }
  if (average) {
    for (float& value : pooled) {
      value /= static_cast<float>(positions);
    }
  }
  return pooled;
}

struct Extraction {
  std::shared_ptr<const BatchRunner> runner;
  Preprocessing preprocessing = Preprocessing::kAuto;
};

// The same settings give the same runner, so that their images share batches.
absl::StatusOr<Extraction> FindExtractor(const Deps& deps, const v1::ExtractFeaturesRequest& request) {
  std::string trunk_name = request.trunk();
  TrainingOptions options;
  GRAFT_ASSIGN_OR_RETURN(options.preprocessing, FromProto(request.preprocessing()));
  GRAFT_ASSIGN_OR_RETURN(options.interpolation, FromProto(request.interpolation()));
  if (request.image_size() != 0) {
    options.image_size = request.image_size();
  }
  if (request.has_model()) {
    GRAFT_ASSIGN_OR_RETURN(const auto model, deps.models->Get(request.model(), request.version()));
    GRAFT_ASSIGN_OR_RETURN(const Variant* variant, FindVariant(model->description.variant));
    if (variant->trunk == nullptr) {
      return InvalidField("model",
                          absl::StrCat("'", request.model(), "' is a ", variant->name,
                                       ", which has no trunk to extract features with; use a trunk: ", TrunkNames()));
    }
    if (request.image_size() != 0 || request.preprocessing() != v1::PREPROCESSING_UNSPECIFIED ||
        request.interpolation() != v1::INTERPOLATION_UNSPECIFIED) {
      return InvalidField("model", "a model has its own image_size, preprocessing and interpolation; leave them unset");
    }
    trunk_name = std::string(variant->trunk->name);
    options = model->description.options;
  } else if (!request.has_trunk()) {
    return InvalidField("source", absl::StrCat("not set; give a trunk (", TrunkNames(), ") or a model"));
  }
  GRAFT_RETURN_IF_ERROR(options.Validate());
  GRAFT_ASSIGN_OR_RETURN(const TrunkInfo* trunk, FindTrunk(trunk_name));
  Extraction extraction;
  extraction.preprocessing = ResolvePreprocessing(options.preprocessing, trunk);
  GRAFT_ASSIGN_OR_RETURN(extraction.runner, deps.engine->Extractor(trunk_name, options.image_size,
                                                                   extraction.preprocessing, options.interpolation));
  return extraction;
}

}  // namespace

void Classify(const Deps& deps, const v1::ClassifyRequest& request, const std::function<bool()>& abandoned,
              const std::function<void(absl::StatusOr<v1::ClassifyResponse>)>& done) {
  if (request.top_k() < 0) {
    done(InvalidField("top_k", absl::StrCat(request.top_k(), " is negative; use 1 or more, or 0 for all")));
    return;
  }
  absl::StatusOr<std::shared_ptr<const LoadedModel>> found = deps.models->Get(request.model(), request.version());
  if (!found.ok()) {
    done(found.status());
    return;
  }
  const std::shared_ptr<const LoadedModel> model = *std::move(found);
  absl::Status status =
      deps.batcher->Submit({model->classifier, ImageBytes(request.image()), abandoned,
                            [model, done, top_k = request.top_k()](absl::StatusOr<std::vector<float>> probabilities) {
                              if (probabilities.ok()) {
                                done(ToResponse(*model, *probabilities, top_k));
                              } else {
                                done(Annotate(probabilities.status(), "image"));
                              }
                            }});
  if (!status.ok()) {
    done(std::move(status));
  }
}

void ExtractFeatures(const Deps& deps, const v1::ExtractFeaturesRequest& request,
                     const std::function<bool()>& abandoned,
                     const std::function<void(absl::StatusOr<v1::ExtractFeaturesResponse>)>& done) {
  const v1::Pooling pooling = request.pooling() == v1::POOLING_UNSPECIFIED ? v1::POOLING_NONE : request.pooling();
  if (pooling < v1::POOLING_NONE || pooling > v1::POOLING_MAX) {
    done(InvalidField("pooling", absl::StrCat(static_cast<int>(pooling), " is unknown; use none, average or max")));
    return;
  }
  absl::StatusOr<Extraction> extraction = FindExtractor(deps, request);
  if (!extraction.ok()) {
    done(extraction.status());
    return;
  }
  absl::Status status =
      deps.batcher->Submit({extraction->runner, ImageBytes(request.image()), abandoned,
                            [extraction = *extraction, pooling, done](absl::StatusOr<std::vector<float>> features) {
                              if (!features.ok()) {
                                done(Annotate(features.status(), "image"));
                                return;
                              }
                              std::vector<int64_t> shape = extraction.runner->output_shape();
                              if (pooling != v1::POOLING_NONE) {
                                *features =
                                    Pool(*features, static_cast<size_t>(shape.back()), pooling == v1::POOLING_AVERAGE);
                                shape = {shape.back()};
                              }
                              v1::ExtractFeaturesResponse response;
                              response.mutable_values()->Assign(features->begin(), features->end());
                              response.mutable_shape()->Assign(shape.begin(), shape.end());
                              response.set_preprocessing(ToProto(extraction.preprocessing));
                              done(std::move(response));
                            }});
  if (!status.ok()) {
    done(std::move(status));
  }
}

}  // namespace graft
