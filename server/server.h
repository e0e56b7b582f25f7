// graftd's life: everything that it is made of, in the order in which it comes up and goes down.
#ifndef GRAFT_SERVER_SERVER_H_
#define GRAFT_SERVER_SERVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/infer/engine.h"
#include "server/jobs/executors/executor.h"
#include "server/options.h"
#include "server/rpc/listener_probe.h"

namespace graft {

class Server {
 public:
  // Serves once this returns. `options` are resolved. `executor`: null for worker processes on this machine; a test
  // brings its own. FAILED_PRECONDITION: another server uses the data folder; UNAVAILABLE: the port is taken.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, std::unique_ptr<Engine> engine,
                                                       std::unique_ptr<Executor> executor = nullptr);
  // Shuts down at once when Shutdown wasn't called.
  ~Server();

  int port() const;
  // Knocks at both listening sockets from here on; see ListenerProbe. Once.
  void WatchListeners(const ListenerProbe::Options& options, ListenerProbe::OnDead on_dead);
  // Tells health checks and watchers, lets running calls finish for `drain`, stops workers (their jobs are queued
  // again). A call ends as if nothing were or with UNAVAILABLE. Not from a signal handler.
  void Shutdown(absl::Duration drain);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_SERVER_H_
