// A listening socket of our own, whose connections are handed to gRPC.
//
// gRPC 1.51's own listener stops for ever when accept fails once for want of descriptors (CVE-2023-4785), and it takes
// as many connections as come. This one waits and goes on, and closes what is too much.
#ifndef GRAFT_SERVER_RPC_LISTENER_H_
#define GRAFT_SERVER_RPC_LISTENER_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/mutex.h"

namespace graft {

// An address to bind and to knock at.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Start and Stop from one thread; the rest is thread-safe.
class Listener {
 public:
  // Takes a connected, non-blocking descriptor, which is its own then.
  using OnConnection = std::function<void(int fd)>;

  // `host_port`: "127.0.0.1:0", "localhost:7077" (which is 127.0.0.1) or "[::1]:7077"; port 0 takes a free one.
  // UNAVAILABLE: the port is taken.
  static absl::StatusOr<std::unique_ptr<Listener>> Tcp(const std::string& host_port, size_t max_connections);
  // In the place of a socket that nobody serves any longer; for this user's processes only.
  static absl::StatusOr<std::unique_ptr<Listener>> Unix(const std::filesystem::path& path, size_t max_connections);
  // Stops. The path of a Unix socket goes.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void Start(OnConnection on_connection);
  // Nobody connects from here on.
  void Stop();
  // Hangs up on all that were handed out and are still open: their calls end as UNAVAILABLE for the client. After Stop.
  void HangUp();

  int port() const { return port_; }
  const SocketAddress& address() const { return address_; }

 private:
  // A descriptor's number is used again once gRPC has closed it; the socket's inode isn't.
  struct Connection {
    int fd;
    ino_t inode;
  };

  explicit Listener(size_t max_connections) : max_connections_(max_connections) {}

  absl::Status Listen(const std::string& name);
  void Loop(const OnConnection& on_connection);
  // 0, or the error that the next try may not meet again so soon.
  int Accept(const OnConnection& on_connection);
  bool HasPlace() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static bool IsOpen(const Connection& connection);

  const size_t max_connections_;
  SocketAddress address_;
  std::filesystem::path path_;  // of a Unix socket
  int port_ = 0;
  int socket_ = -1;
  int stop_event_ = -1;
  std::thread thread_;

  Mutex mutex_;
  std::vector<Connection> connections_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace graft

#endif  // GRAFT_SERVER_RPC_LISTENER_H_
