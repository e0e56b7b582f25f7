#include "server/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "server/catalog.h"
#include "server/handlers/handlers.h"
#include "server/jobs/job_manager.h"
#include "server/jobs/local_executor.h"
#include "server/log.h"
#include "server/services.h"

namespace graft {
namespace {

constexpr int kPoolThreads = 4;
constexpr size_t kPoolQueue = 1024;
constexpr int kMaxMessage = 24 << 20;  // an image of 20 MiB and its envelope

int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// A lock on the data folder that goes with the process, however it ends.
class FolderLock {
 public:
  ~FolderLock() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  absl::Status Take(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "lock";
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) {
      return ErrnoStatus(errno, "open", path);
    }
    if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("--data-dir: another graftd uses ", folder.string(), "; stop it or use another folder"));
    }
    return absl::OkStatus();
  }

 private:
  int fd_ = -1;
};

void Configure(grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(kMaxMessage);
  // Two servers on one port would both start and share its callers.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A small compressed message would inflate to hundreds of megabytes before its size is checked.
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder->SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
}

}  // namespace

// Members go down in the reverse order of this list.
struct Server::Impl {
  ServerOptions options;
  FolderLock lock;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Catalog> catalog;
  std::unique_ptr<ModelCache> models;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<JobManager> jobs;
  std::unique_ptr<Batcher> batcher;
  OpenStreams streams;
  std::unique_ptr<ThreadPool> pool;
  // Of its own: a crowd of callers can't keep the workers' reports out.
  std::unique_ptr<ThreadPool> worker_pool;
  RpcRuntime runtime{};
  RpcRuntime worker_runtime{};
  Deps deps;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<grpc::Service> worker_service;
  std::unique_ptr<grpc::Server> worker_server;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  bool shut_down = false;
};

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

int Server::port() const { return impl_->port; }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, std::unique_ptr<Engine> engine,
                                                      std::unique_ptr<Executor> executor) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  const ServerOptions& o = impl->options;
  std::error_code error;
  std::filesystem::create_directories(o.data_dir, error);
  if (error) {
    return ErrnoStatus(error.value(), "create", o.data_dir);
  }
  GRAFT_RETURN_IF_ERROR(impl->lock.Take(o.data_dir));
  impl->engine = std::move(engine);
  GRAFT_ASSIGN_OR_RETURN(impl->catalog, Catalog::Open(o.data_dir));
  impl->models = std::make_unique<ModelCache>(impl->engine.get(), impl->catalog.get());

  const std::filesystem::path socket = o.data_dir / "worker.sock";
  constexpr size_t kMaxSocketPath = 107;
  if (socket.string().size() > kMaxSocketPath) {
    return InvalidField("--data-dir",
                        absl::StrCat("'", o.data_dir.string(), "' is too long for a Unix socket in it; use at most ",
                                     kMaxSocketPath - 12, " characters"));
  }
  unlink(socket.c_str());  // of an earlier server: the lock says that none is left
  impl->executor = executor != nullptr
                       ? std::move(executor)
                       : std::make_unique<LocalExecutor>(o.worker_program, absl::StrCat("unix:", socket.string()));
  JobManagerOptions job_options;
  job_options.data_dir = o.data_dir;
  job_options.weights_dir = o.weights_dir;
  job_options.max_running = o.max_running_jobs;
  job_options.max_queued = o.max_queued_jobs;
  job_options.threads = o.threads;
  job_options.device = o.device;
  job_options.convolution = o.convolution;
  job_options.now_ms = &NowMs;
  GRAFT_ASSIGN_OR_RETURN(
      impl->jobs,
      JobManager::Open(job_options, impl->executor.get(),
                       [catalog = impl->catalog.get()](const StoredJob& job, const std::filesystem::path& staging) {
                         return catalog->Publish(job.job.spec(), job.model_version, staging);
                       }));
  BatcherOptions batcher_options;
  batcher_options.max_batch = o.max_batch;
  batcher_options.prepare_thread = [engine_ptr = impl->engine.get()] { engine_ptr->PrepareThread(); };
  batcher_options.idle = [engine_ptr = impl->engine.get()] { engine_ptr->ReleaseMemory(); };
  GRAFT_ASSIGN_OR_RETURN(impl->batcher, Batcher::Start(batcher_options));
  impl->pool = std::make_unique<ThreadPool>(kPoolThreads, kPoolQueue);
  impl->worker_pool = std::make_unique<ThreadPool>(1, kPoolQueue);
  impl->runtime = {impl->pool.get(), &impl->streams};
  impl->worker_runtime = {impl->worker_pool.get(), &impl->streams};
  impl->deps = {&impl->options,     impl->catalog.get(), impl->jobs.get(), impl->engine.get(),
                impl->models.get(), impl->batcher.get(), NowMs()};

  impl->worker_service = MakeWorkerService(impl->jobs.get(), &impl->worker_runtime);
  {
    grpc::ServerBuilder builder;
    Configure(&builder);
    builder.AddListeningPort(absl::StrCat("unix:", socket.string()), grpc::InsecureServerCredentials());
    builder.RegisterService(impl->worker_service.get());
    const mode_t old_mask = umask(0077);  // for this user's processes only
    impl->worker_server = builder.BuildAndStart();
    umask(old_mask);
    if (impl->worker_server == nullptr) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", socket.string()));
    }
  }

  grpc::EnableDefaultHealthCheckService(true);
  static const bool reflection = [] {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)reflection;
  impl->services = MakePublicServices(&impl->deps, &impl->runtime);
  grpc::ServerBuilder builder;
  Configure(&builder);
  builder.AddListeningPort(o.listen, grpc::InsecureServerCredentials(), &impl->port);
  for (const auto& service : impl->services) {
    builder.RegisterService(service.get());
  }
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || impl->port == 0) {
    impl->server = nullptr;
    return absl::UnavailableError(absl::StrCat("--listen: cannot listen on ", o.listen, "; is the port taken?"));
  }
  for (const std::string& name : PublicServiceNames()) {
    impl->server->GetHealthCheckService()->SetServingStatus(name, true);
  }
  // From here on there are jobs and callers, which Shutdown must see off, also when the port file can't be written.
  auto server = std::unique_ptr<Server>(new Server(std::move(impl)));
  server->impl_->jobs->Start();
  if (!o.port_file.empty()) {
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(o.port_file, absl::StrCat(server->port(), "\n")));
  }
  return server;
}

void Server::Shutdown(absl::Duration drain) {
  if (impl_->shut_down) {
    return;
  }
  impl_->shut_down = true;
  impl_->server->GetHealthCheckService()->SetServingStatus(false);
  impl_->streams.AbortAll();
  impl_->server->Shutdown(absl::ToChronoTime(absl::Now() + drain));
  impl_->jobs->Shutdown();
  // Waits for the workers: they stop at their next step.
  impl_->executor.reset();
  impl_->worker_server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  impl_->server->Wait();
  impl_->worker_server->Wait();
  impl_->worker_pool.reset();
  impl_->pool.reset();
  impl_->batcher.reset();
}

}  // namespace graft
