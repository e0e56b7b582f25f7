// How long users wait: the trunk, an epoch of each variant, features from files, a photograph over gRPC. Two threads
// unless GRAFT_BENCH_THREADS says otherwise. tests/bench/run runs this beside other systems.
#include <benchmark/benchmark.h>
#include <grpcpp/grpcpp.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/data/augment.h"
#include "core/data/split.h"
#include "core/heads/trainer.h"
#include "core/infer/engine.h"
#include "core/nn/runtime.h"
#include "core/train/features.h"
#include "core/trunks/trunk.h"
#include "graft/v1/prediction.grpc.pb.h"
#include "server/log.h"
#include "server/server.h"
#include "tests/bench/bench.h"

namespace graft {
namespace {

std::filesystem::path Weights() { return std::filesystem::path(GRAFT_BINARY_DIR) / "share/graft/weights"; }
std::filesystem::path Samples() { return std::filesystem::path(GRAFT_SOURCE_DIR) / "samples"; }

// The sample photographs, split as the quickstart does; in a folder that goes with the program.
struct Dataset {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("graft-bench-" + std::to_string(getpid()));
  Manifest manifest;
  Dataset() {
    std::filesystem::create_directories(folder);
    SplitOptions options;
    options.sizes = SplitCounts{120, 40, 40};
    options.threads = BenchThreads();
    manifest = SplitFolder(Samples(), folder, options, [](const ProgressUpdate&) { return absl::OkStatus(); }).value();
  }
  ~Dataset() { std::filesystem::remove_all(folder); }
};

const Dataset& SampleDataset() {
  static const Dataset dataset;
  return dataset;
}

void BM_Trunk(benchmark::State& state) {
  SetTorchThreads(BenchThreads());
  static const auto trunk = Trunk::Load("vgg16", Weights(), "cpu").value();
  const int64_t side = state.range(0);
  const int64_t count = state.range(1);
  std::vector<uint8_t> images(static_cast<size_t>(count * side * side * 3), 100);
  std::vector<float> out(static_cast<size_t>(count * trunk->dimension(static_cast<int>(side))));
  const auto extract = [&] {
    const absl::Status status =
        trunk->Extract(images, count, static_cast<int>(side), Preprocessing::kCaffe, absl::MakeSpan(out));
    if (!status.ok()) {
      state.SkipWithError(std::string(status.message()).c_str());
    }
  };
  extract();  // chooses the algorithms
  for (auto _ : state) {
    extract();
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK(BM_Trunk)
    ->ArgNames({"side", "batch"})
    ->ArgsProduct({{150}, {1, 30}})
    ->ArgsProduct({{96, 224}, {8}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// The other trunks whose weights set-up fetches, at their own size.
void BM_LiteTrunk(benchmark::State& state, const char* name) {
  SetTorchThreads(BenchThreads());
  const auto trunk = Trunk::Load(name, Weights(), "cpu").value();
  const int side = trunk->info().image_size;
  const int64_t count = state.range(0);
  std::vector<uint8_t> images(static_cast<size_t>(count * side * side * 3), 100);
  std::vector<float> out(static_cast<size_t>(count * trunk->dimension(side)));
  for (auto _ : state) {
    const absl::Status status = trunk->Extract(images, count, side, trunk->info().preprocessing, absl::MakeSpan(out));
    if (!status.ok()) {
      state.SkipWithError(std::string(status.message()).c_str());
    }
  }
  state.SetItemsProcessed(state.iterations() * count);
}
BENCHMARK_CAPTURE(BM_LiteTrunk, efficientnet_lite0, "efficientnet_lite0")
    ->ArgName("batch")
    ->Arg(1)
    ->Arg(8)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_LiteTrunk, efficientnet_lite2, "efficientnet_lite2")
    ->ArgName("batch")
    ->Arg(1)
    ->Arg(8)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// The sample photographs, from their files to the safetensors file with their features.
void BM_FeaturesFromFiles(benchmark::State& state) {
  const Dataset& dataset = SampleDataset();
  SetTorchThreads(BenchThreads());
  const auto trunk = Trunk::Load("vgg16", Weights(), "cpu").value();
  FeatureOptions options;
  options.preprocessing = Preprocessing::kCaffe;
  options.threads = BenchThreads();
  const auto extract = [&] {
    std::filesystem::remove_all(dataset.folder / "cache");
    const auto features = Features::OpenOrExtract(dataset.folder, dataset.manifest, *trunk, options,
                                                  [](const ProgressUpdate&) { return absl::OkStatus(); });
    if (!features.ok()) {
      state.SkipWithError(std::string(features.status().message()).c_str());
    }
  };
  extract();
  for (auto _ : state) {
    extract();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(dataset.manifest.entries.size()));
}
BENCHMARK(BM_FeaturesFromFiles)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

// By the preset `reference`, told to nobody and without checkpoints.
TrainRequest Training(const std::string& variant, const std::filesystem::path& out) {
  const Dataset& dataset = SampleDataset();
  TrainRequest request;
  request.variant = *FindVariant(variant);
  request.options = request.variant->reference;
  request.options.threads = BenchThreads();
  request.options.device = "cpu";
  request.dataset = dataset.folder;
  request.manifest = &dataset.manifest;
  request.weights_dir = Weights();
  request.out = out;
  return request;
}

TrainHooks NoHooks() {
  return {[](const ProgressUpdate&) { return absl::OkStatus(); }, [](const StepUpdate&) { return absl::OkStatus(); },
          [](const EpochMetrics&) { return absl::OkStatus(); }};
}

// An epoch of 240 images in steps of 30, and its validation on 80: the second of two, when everything is warm.
void BM_Epoch(benchmark::State& state, const std::string& variant) {
  TrainRequest request = Training(variant, SampleDataset().folder);
  request.options.epochs = variant == "basic_cnn" ? 3 : 10;
  for (auto _ : state) {
    const auto outcome = Train(request, NoHooks());
    if (!outcome.ok()) {
      state.SkipWithError(std::string(outcome.status().message()).c_str());
      break;
    }
    double best = outcome->history.back().seconds;
    for (size_t i = 1; i < outcome->history.size(); ++i) {
      best = std::min(best, outcome->history[i].seconds);
    }
    state.SetIterationTime(best);
  }
}
BENCHMARK_CAPTURE(BM_Epoch, basic_cnn, "basic_cnn")->Unit(benchmark::kMillisecond)->UseManualTime()->Iterations(2);
BENCHMARK_CAPTURE(BM_Epoch, vgg16_features, "vgg16_features")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(2);

// A hundred steps of 30 augmented images and their validation on 80: what tests/bench/trainings sets jobs beside.
void BM_HundredSteps(benchmark::State& state, const std::string& variant) {
  TrainRequest request = Training(variant, SampleDataset().folder);
  request.options.epochs = 1;
  for (auto _ : state) {
    const auto outcome = Train(request, NoHooks());
    if (!outcome.ok()) {
      state.SkipWithError(std::string(outcome.status().message()).c_str());
      break;
    }
    state.SetIterationTime(outcome->history.back().seconds);
  }
}
BENCHMARK_CAPTURE(BM_HundredSteps, augmented_cnn, "augmented_cnn")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(1);
BENCHMARK_CAPTURE(BM_HundredSteps, vgg16_frozen, "vgg16_frozen")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(1);
BENCHMARK_CAPTURE(BM_HundredSteps, vgg16_finetuned, "vgg16_finetuned")
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Iterations(1);

std::string ReadSample(const std::string& name) {
  std::ifstream in(Samples() / name, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// One caller, one photograph at a time, from its JPEG's bytes to labels; to be set beside BM_Trunk/1.
void BM_ClassifyOverGrpc(benchmark::State& state) {
  const Dataset& dataset = SampleDataset();
  const std::filesystem::path data = dataset.folder / "server";
  const std::filesystem::path model = data / "models/bench/1";
  std::filesystem::create_directories(model);
  TrainRequest request = Training("vgg16_features", model);
  request.options.epochs = 1;
  const TrainOutcome outcome = Train(request, NoHooks()).value();
  ModelDescription description;
  description.name = "bench";
  description.version = 1;
  description.variant = "vgg16_features";
  description.labels = dataset.manifest.labels;
  description.options = outcome.options;
  description.trunk_fingerprint = outcome.trunk_fingerprint;
  (void)SaveModel(description, model);

  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.data_dir = data;
  options.weights_dir = Weights();
  options.worker_program = "graft-worker";
  options.threads = BenchThreads();
  (void)options.Resolve();
  const auto server = Server::Start(options, MakeTorchEngine({Weights(), "cpu", BenchThreads()}).value()).value();
  const auto stub = v1::PredictionService::NewStub(
      grpc::CreateChannel("127.0.0.1:" + std::to_string(server->port()), grpc::InsecureChannelCredentials()));
  v1::ClassifyRequest classify;
  classify.mutable_model()->set_name("bench");
  classify.set_image(ReadSample("cat.199.jpg"));
  for (int warm = 0; warm < 3; ++warm) {
    grpc::ClientContext context;
    v1::ClassifyResponse response;
    stub->Classify(&context, classify, &response);
  }
  for (auto _ : state) {
    grpc::ClientContext context;
    v1::ClassifyResponse response;
    const grpc::Status status = stub->Classify(&context, classify, &response);
    if (!status.ok()) {
      state.SkipWithError(status.error_message().c_str());
    }
  }
}
BENCHMARK(BM_ClassifyOverGrpc)->Unit(benchmark::kMillisecond)->UseRealTime();

void BM_DecodeAndResize(benchmark::State& state) {
  const std::string bytes = ReadSample("cat.199.jpg");
  std::vector<uint8_t> out(150 * 150 * 3);
  for (auto _ : state) {
    benchmark::DoNotOptimize(DecodeImageTo({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, 150,
                                           Interpolation::kNearest, absl::MakeSpan(out)));
  }
}
BENCHMARK(BM_DecodeAndResize)->Unit(benchmark::kMicrosecond);

// One image of 150 x 150, as it is trained on.
void BM_Augment(benchmark::State& state) {
  Augmentation options;
  options.zoom = 0.3;
  options.rotation = 50;
  options.width_shift = options.height_shift = options.shear = 0.2;
  options.flip = true;
  const std::vector<uint8_t> image(150 * 150 * 3, 100);
  std::vector<float> out(image.size());
  uint64_t seed = 0;
  for (auto _ : state) {
    ApplyChange(DrawChange(options, 150, seed++), image, 150, absl::MakeSpan(out));
    for (float& value : out) {
      value /= 255;
    }
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(BM_Augment)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace graft

int main(int argc, char** argv) {
  graft::KeepFreedMemory();
  graft::ConfigureLog("error", false);  // a line a call would end up among the results
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
