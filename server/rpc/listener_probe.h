// Knocks at our own listening sockets, to notice when one has died while the process lives.
#ifndef GRAFT_SERVER_RPC_LISTENER_PROBE_H_
#define GRAFT_SERVER_RPC_LISTENER_PROBE_H_

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "server/rpc/listener.h"

namespace graft {

// Connects every `interval` and waits for the first byte, which an HTTP/2 server sends unasked, or for the connection's
// end, by which one that is full refuses: both mean that somebody accepts. Nobody did when `timeout` passes.
class ListenerProbe {
 public:
  struct Options {
    absl::Duration interval = absl::Seconds(10);
    absl::Duration timeout = absl::Seconds(10);
    int failures = 3;  // in a row: a machine that is busy isn't dead
  };
  // Called once for all, on the probe's thread, with the listener's name.
  using OnDead = std::function<void(const std::string& name)>;

  ListenerProbe(std::vector<std::pair<std::string, SocketAddress>> listeners, const Options& options, OnDead on_dead);
  ~ListenerProbe();
  ListenerProbe(const ListenerProbe&) = delete;
  ListenerProbe& operator=(const ListenerProbe&) = delete;

 private:
  void Loop();

  const std::vector<std::pair<std::string, SocketAddress>> listeners_;
  const Options options_;
  const OnDead on_dead_;
  const int stop_event_;
  // Last: it uses all of the above.
  std::thread thread_;
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_LISTENER_PROBE_H_
