#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "convert/convert.h"
#include "core/base/version.h"
#include "core/kernels/conv3x3.h"
#include "core/model/trunks.h"
#include "server/handlers/handlers.h"

namespace graft {
namespace {

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

absl::Status GetStatus(const Deps& deps, const Call&, const v1::GetStatusRequest&, v1::ServerStatus* response) {
  response->set_version(kVersion);
  *response->mutable_start_time() = ToTimestamp(deps.start_time_ms);
  response->set_jobs_running(deps.jobs->running());
  response->set_jobs_queued(deps.jobs->queued());
  response->set_jobs_paused(deps.jobs->paused());
  response->set_max_running_jobs(deps.jobs->max_running());
  response->set_datasets(static_cast<int32_t>(deps.data->DatasetNames().size()));
  response->set_models(static_cast<int32_t>(deps.data->ModelVersions().size()));
  for (const std::string& name : deps.models->names()) {
    response->add_loaded(name);
  }
  for (const std::string& name : deps.engine->loaded_trunks()) {
    response->add_loaded(name);
  }
  for (const TrunkInfo& trunk : Trunks()) {
    if (const absl::Status there = CheckTrunkWeights(deps.options->weights_dir, trunk.name); there.ok()) {
      response->add_trunks(std::string(trunk.name));
    } else if (trunk.name == DefaultTrunk().name) {
      response->set_hint(std::string(there.message()));
    }
  }
  response->set_device(deps.engine->device());
  response->set_threads(deps.options->threads);
  response->set_torch_version(deps.engine->version());
  response->set_instruction_set(kernels::IsaName(kernels::BestIsa()));
  response->set_convolution(deps.options->convolution);
  response->set_resident_bytes(ResidentBytes());
  for (const std::filesystem::path& folder : deps.options->allow_dirs) {
    response->add_allowed_folders(folder.string());
  }
  return absl::OkStatus();
}

}  // namespace graft
