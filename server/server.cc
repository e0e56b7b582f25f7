#include "server/server.h"

#include <fcntl.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/store/data_folder.h"
#include "core/store/imported_trunks.h"
#include "server/handlers/handlers.h"
#include "server/jobs/executors/local.h"
#include "server/jobs/hooks.h"
#include "server/jobs/job_manager.h"
#include "server/log.h"
#include "server/rpc/listener.h"
#include "server/rpc/open_calls.h"
#include "server/services.h"

namespace graft {
namespace {

constexpr int kPoolThreads = 4;
constexpr int kStreamThreads = 4;
constexpr size_t kPoolQueue = 1024;
constexpr size_t kMaxUnary = 4096;
constexpr int64_t kExplanationBytes = int64_t{256} << 20;  // of all that are made or wait to be drawn
constexpr int kMaxMessage = 24 << 20;                      // an image of 20 MiB and its envelope

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

// Sends what a listener accepts to a gRPC server.
struct Endpoint {
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<Listener> listener;  // last: it hands connections to both

  // No new connection, and those that are there are hung up on, so that a call that is still open, or comes in this
  // moment, ends as UNAVAILABLE: gRPC's own way to shut down would tell its client CANCELLED.
  void Close() {
    listener->Stop();
    listener->HangUp();
    server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server->Wait();
  }
};

// `quota`: bytes that gRPC may hold of what has come and isn't a message yet.
absl::StatusOr<Endpoint> Serve(std::unique_ptr<Listener> listener,
                               const std::vector<std::unique_ptr<grpc::Service>>& services, size_t quota) {
  grpc::ServerBuilder builder;
  grpc::ResourceQuota resources("graft");
  builder.SetResourceQuota(resources.Resize(quota));
  builder.SetMaxReceiveMessageSize(kMaxMessage);
  // A small compressed message would inflate to hundreds of megabytes before its size is checked.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  // Who says nothing for so long makes place for others; clients connect again by themselves.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  for (const auto& service : services) {
    builder.RegisterService(service.get());
  }
  Endpoint endpoint;
  using Experimental = grpc::ServerBuilder::experimental_type;
  endpoint.acceptor = builder.experimental().AddExternalConnectionAcceptor(
      Experimental::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  endpoint.server = builder.BuildAndStart();
  if (endpoint.server == nullptr) {
    return absl::InternalError("gRPC does not start; its log on standard error says why");
  }
  endpoint.listener = std::move(listener);
  endpoint.listener->Start([acceptor = endpoint.acceptor.get()](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor->HandleNewConnection(&connection);
  });
  return endpoint;
}

// How many connections there may be for this process to have descriptors left for everything else.
size_t AffordableConnections(size_t wanted) {
  constexpr size_t kForElse = 256;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return wanted;
  }
  return std::min<size_t>(wanted, limit.rlim_cur > 2 * kForElse ? limit.rlim_cur - kForElse : limit.rlim_cur / 2);
}

}  // namespace

// Members go down in the reverse order of this list.
struct Server::Impl {
  explicit Impl(ServerOptions resolved)
      : options(std::move(resolved)),
        open(
            {kMaxUnary, static_cast<size_t>(options.max_watch_streams), static_cast<size_t>(options.max_bulk_streams)}),
        worker_open({}),
        bytes(int64_t{options.max_request_mib} << 20),
        explanations(kExplanationBytes) {}
  ~Impl() {
    if (data != nullptr) {
      data->GuardUploads(nullptr);  // it asks the jobs, which go first
    }
  }

  absl::Status TakeFolder();
  absl::Status OpenJobs(std::unique_ptr<Executor> own_executor);
  absl::Status MakeServing();
  absl::Status ServeWorkers();
  absl::Status ServePublic();
  void Shutdown(absl::Duration drain);

  const ServerOptions options;
  OpenCalls open;
  OpenCalls worker_open;
  ByteBudget bytes;
  ByteBudget explanations;
  FolderLock lock;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<DataFolder> data;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<JobManager> jobs;
  // One thread, so that one photograph is decoded and one picture drawn at a time. The batcher hands it work.
  std::unique_ptr<ThreadPool> drawing;
  std::unique_ptr<Batcher> batcher;
  std::unique_ptr<ModelCache> models;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<ThreadPool> stream_pool;
  // Of its own: a crowd of callers can't keep the workers' reports out.
  std::unique_ptr<ThreadPool> worker_pool;
  RpcRuntime runtime;
  RpcRuntime worker_runtime;
  Deps deps;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::vector<std::unique_ptr<grpc::Service>> worker_services;
  Endpoint worker_endpoint;
  Endpoint endpoint;
  std::unique_ptr<ListenerProbe> probe;
  bool shut_down = false;
};

absl::Status Server::Impl::TakeFolder() {
  std::error_code error;
  std::filesystem::create_directories(options.data_dir, error);
  if (error) {
    return ErrnoStatus(error.value(), "create", options.data_dir);
  }
  // What lies below is this user's: images, models, and the socket through which workers report.
  std::filesystem::permissions(options.data_dir, std::filesystem::perms::owner_all, error);
  if (error) {
    return ErrnoStatus(error.value(), "make private", options.data_dir);
  }
  return lock.Take(options.data_dir);
}

absl::Status Server::Impl::OpenJobs(std::unique_ptr<Executor> own_executor) {
  GRAFT_ASSIGN_OR_RETURN(data, DataFolder::Open({options.data_dir}));
  for (const std::string& wrong : AddImportedTrunks(data->Trunks())) {
    Log(LogLevel::kError, "trunks", {{"message", wrong}});
  }
  LocalExecutorOptions local;
  local.program = options.worker_program;
  local.server = absl::StrCat("unix:", data->WorkerSocket().string());
  local.data_dir = options.data_dir;
  local.weights_dir = options.weights_dir;
  executor = own_executor != nullptr ? std::move(own_executor) : std::make_unique<LocalExecutor>(local);
  JobManagerOptions job_options;
  job_options.data = data.get();
  job_options.settings = {options.threads, options.device, options.convolution};
  job_options.max_running = options.max_running_jobs;
  job_options.max_queued = options.max_queued_jobs;
  job_options.now_ms = &NowMs;
  job_options.steady = [] { return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch()); };
  GRAFT_ASSIGN_OR_RETURN(jobs, JobManager::Open(job_options, executor.get(), HooksOf(data.get())));
  data->GuardUploads([jobs_ptr = jobs.get()](const std::string& id, const std::function<void()>& drop) {
    const auto run = [&] {
      drop();
      return absl::OkStatus();
    };
    return jobs_ptr->WhileUnused({Resource::Type::kUpload, id}, run).ok();
  });
  return absl::OkStatus();
}

absl::Status Server::Impl::MakeServing() {
  BatcherOptions batcher_options;
  batcher_options.max_batch = options.max_batch;
  batcher_options.prepare_thread = [engine_ptr = engine.get()] { engine_ptr->PrepareThread(); };
  batcher_options.idle = [engine_ptr = engine.get()] { engine_ptr->ReleaseMemory(); };
  drawing = std::make_unique<ThreadPool>(1);
  GRAFT_ASSIGN_OR_RETURN(batcher, Batcher::Start(batcher_options));
  models = std::make_unique<ModelCache>(
      engine.get(), [files = data.get()](const ModelRef& ref) -> absl::StatusOr<ModelCache::Located> {
        ModelCache::Located located;
        GRAFT_ASSIGN_OR_RETURN(located.version, files->ResolveVersion(ref));
        located.folder = files->Model(ref.name, located.version);
        return located;
      });
  pool = std::make_unique<ThreadPool>(kPoolThreads, kPoolQueue);
  stream_pool = std::make_unique<ThreadPool>(kStreamThreads);
  worker_pool = std::make_unique<ThreadPool>(1, kPoolQueue);
  runtime = {pool.get(), stream_pool.get(), &open, &bytes};
  worker_runtime = {worker_pool.get(), worker_pool.get(), &worker_open, &bytes, /*max_string_bytes=*/SIZE_MAX};
  deps = {&options,      data.get(),    jobs.get(),    engine.get(), models.get(),
          batcher.get(), drawing.get(), &explanations, NowMs()};
  return absl::OkStatus();
}

absl::Status Server::Impl::ServeWorkers() {
  constexpr size_t kWorkerConnections = 1024;
  constexpr size_t kWorkerQuota = 64 << 20;
  GRAFT_ASSIGN_OR_RETURN(auto listener, Listener::Unix(data->WorkerSocket(), kWorkerConnections));
  worker_services.push_back(MakeWorkerService(jobs.get(), &worker_runtime));
  GRAFT_ASSIGN_OR_RETURN(worker_endpoint, Serve(std::move(listener), worker_services, kWorkerQuota));
  return absl::OkStatus();
}

absl::Status Server::Impl::ServePublic() {
  grpc::EnableDefaultHealthCheckService(true);
  static const bool reflection = [] {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  (void)reflection;
  GRAFT_ASSIGN_OR_RETURN(
      auto listener,
      Listener::Tcp(options.listen, AffordableConnections(static_cast<size_t>(options.max_connections))));
  services = MakePublicServices(&deps, &runtime);
  // As much as there may be of messages.
  GRAFT_ASSIGN_OR_RETURN(endpoint,
                         Serve(std::move(listener), services, static_cast<size_t>(options.max_request_mib) << 20));
  for (const std::string& name : PublicServiceNames()) {
    endpoint.server->GetHealthCheckService()->SetServingStatus(name, true);
  }
  return absl::OkStatus();
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

int Server::port() const { return impl_->endpoint.listener->port(); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, std::unique_ptr<Engine> engine,
                                                      std::unique_ptr<Executor> executor) {
  auto impl = std::make_unique<Impl>(std::move(options));
  GRAFT_RETURN_IF_ERROR(impl->TakeFolder());
  impl->engine = std::move(engine);
  GRAFT_RETURN_IF_ERROR(impl->OpenJobs(std::move(executor)));
  GRAFT_RETURN_IF_ERROR(impl->MakeServing());
  GRAFT_RETURN_IF_ERROR(impl->ServeWorkers());
  GRAFT_RETURN_IF_ERROR(impl->ServePublic());
  // From here on there are jobs and callers, which Shutdown must see off, also when the port file can't be written.
  auto server = std::unique_ptr<Server>(new Server(std::move(impl)));
  server->impl_->jobs->Start();
  if (const auto& port_file = server->impl_->options.port_file; !port_file.empty()) {
    GRAFT_RETURN_IF_ERROR(WriteFileAtomic(port_file, absl::StrCat(server->port(), "\n")));
  }
  return server;
}

void Server::WatchListeners(const ListenerProbe::Options& options, ListenerProbe::OnDead on_dead) {
  impl_->probe = std::make_unique<ListenerProbe>(
      std::vector<std::pair<std::string, SocketAddress>>{
          {impl_->options.listen, impl_->endpoint.listener->address()},
          {impl_->data->WorkerSocket().string(), impl_->worker_endpoint.listener->address()}},
      options, std::move(on_dead));
}

void Server::Shutdown(absl::Duration drain) {
  if (!std::exchange(impl_->shut_down, true)) {
    impl_->Shutdown(drain);
  }
}

// Each step leaves nobody who needs what the next one takes away:
void Server::Impl::Shutdown(absl::Duration drain) {
  probe = nullptr;
  // 1. Nobody new: health checks say so, new connections are refused, new calls UNAVAILABLE. Streams are told to end.
  endpoint.server->GetHealthCheckService()->SetServingStatus(false);
  endpoint.listener->Stop();
  open.Close();
  // 2. Calls that run finish. Those that still wait for a model when `drain` is over are told UNAVAILABLE.
  if (!open.AwaitNone(drain)) {
    models->Stop();
    open.AwaitNone(absl::Seconds(1));
  }
  // 3. Who is left is hung up on: readers that don't read, and images in the queue, which their gone callers empty.
  endpoint.Close();
  // 4. Workers stop at their next step, and may report until then; their jobs are queued again.
  jobs->Shutdown();
  executor = nullptr;  // waits for them
  worker_open.Close();
  worker_open.AwaitNone(absl::Seconds(1));
  worker_endpoint.Close();
  // 5. No call is left. What the pools still have is cleaning up, which needs all that is below them.
  worker_pool = nullptr;
  stream_pool = nullptr;
  pool = nullptr;
  models = nullptr;
  batcher = nullptr;
  drawing = nullptr;
}

}  // namespace graft
