#include "server/rpc/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/mutex.h"
#include "core/base/status.h"
#include "server/log.h"

namespace graft {
namespace {

absl::StatusOr<SocketAddress> TcpAddress(const std::string& host_port) {
  const size_t colon = host_port.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(host_port.substr(colon + 1), &port)) {
    return InvalidField("--listen", absl::StrCat("'", host_port, "' isn't HOST:PORT"));
  }
  const std::string host = host_port.substr(0, colon);
  SocketAddress address;
  if (host == "[::1]") {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(static_cast<uint16_t>(port));
    in6.sin6_addr = in6addr_loopback;
    std::memcpy(&address.storage, &in6, sizeof(in6));
    address.size = sizeof(in6);
    return address;
  }
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host.c_str(), &in.sin_addr) != 1) {
    return InvalidField("--listen", absl::StrCat("'", host, "' isn't an address; use 127.0.0.1"));
  }
  std::memcpy(&address.storage, &in, sizeof(in));
  address.size = sizeof(in);
  return address;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Tcp(const std::string& host_port, size_t max_connections) {
  auto listener = std::unique_ptr<Listener>(new Listener(max_connections));
  GRAFT_ASSIGN_OR_RETURN(listener->address_, TcpAddress(host_port));
  GRAFT_RETURN_IF_ERROR(listener->Listen(absl::StrCat("--listen: ", host_port)));
  // Port 0 has become a real one.
  listener->address_.size = sizeof(listener->address_.storage);
  getsockname(listener->socket_, reinterpret_cast<sockaddr*>(&listener->address_.storage), &listener->address_.size);
  // At the same place in both families' structs.
  listener->port_ = ntohs(reinterpret_cast<const sockaddr_in*>(&listener->address_.storage)->sin_port);
  return listener;
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Unix(const std::filesystem::path& path, size_t max_connections) {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof(un.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path.string(), "' is too long for a Unix socket; at most ",
                                                   sizeof(un.sun_path) - 1, " bytes are possible"));
  }
  std::memcpy(un.sun_path, path.c_str(), path.string().size() + 1);
  auto listener = std::unique_ptr<Listener>(new Listener(max_connections));
  std::memcpy(&listener->address_.storage, &un, sizeof(un));
  listener->address_.size = sizeof(un);
  unlink(path.c_str());
  listener->path_ = path;
  GRAFT_RETURN_IF_ERROR(listener->Listen(path.string()));
  return listener;
}

absl::Status Listener::Listen(const std::string& name) {
  const auto failed = [&](int error) {
    return absl::UnavailableError(absl::StrCat(name, ": cannot listen: ", std::strerror(error),
                                               error == EADDRINUSE ? "; the port is taken, choose another" : ""));
  };
  stop_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  socket_ = socket(address_.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (stop_event_ < 0 || socket_ < 0) {
    return failed(errno);
  }
  // A port whose last server has just gone may be taken again; one that is served may not.
  const int yes = 1;
  setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (bind(socket_, address_.get(), address_.size) != 0) {
    return failed(errno);
  }
  // Before listen: until then nobody can connect.
  if ((!path_.empty() && chmod(path_.c_str(), S_IRWXU) != 0) || listen(socket_, SOMAXCONN) != 0) {
    return failed(errno);
  }
  return absl::OkStatus();
}

Listener::~Listener() {
  Stop();
  if (stop_event_ >= 0) {
    close(stop_event_);
  }
}

void Listener::Start(OnConnection on_connection) {
  thread_ = std::thread([this, on_connection = std::move(on_connection)] { Loop(on_connection); });
}

void Listener::Stop() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    (void)!write(stop_event_, &one, sizeof(one));
    thread_.join();
  }
  if (socket_ >= 0) {
    close(socket_);
    socket_ = -1;
    if (!path_.empty()) {
      unlink(path_.c_str());
    }
  }
}

void Listener::Loop(const OnConnection& on_connection) {
  constexpr int kPauseMs = 100;
  bool reported = false;
  for (;;) {
    pollfd polled[] = {{stop_event_, POLLIN, 0}, {socket_, POLLIN, 0}};
    poll(polled, 2, -1);
    if (polled[0].revents != 0) {
      return;
    }
    const int error = Accept(on_connection);
    if (error == 0) {
      reported = false;
      continue;
    }
    // Mostly no descriptors or memory. Who connects waits in the kernel's queue until there are some again.
    if (!std::exchange(reported, true)) {
      Log(LogLevel::kError, "accept_failed", {{"error", std::strerror(error)}, {"remedy", "raise ulimit -n"}});
    }
    poll(polled, 1, kPauseMs);
  }
}

int Listener::Accept(const OnConnection& on_connection) {
  const int fd = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    const bool nobody = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ECONNABORTED;
    return nobody ? 0 : errno;
  }
  if (path_.empty()) {
    const int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  }
  struct stat info {};
  {
    const MutexLock lock(&mutex_);
    if (!HasPlace() || fstat(fd, &info) != 0) {
      close(fd);
      return 0;
    }
    connections_.push_back({fd, info.st_ino});
  }
  on_connection(fd);
  return 0;
}

bool Listener::HasPlace() {
  if (connections_.size() >= max_connections_) {
    connections_.erase(std::remove_if(connections_.begin(), connections_.end(),
                                      [](const Connection& connection) { return !IsOpen(connection); }),
                       connections_.end());
  }
  return connections_.size() < max_connections_;
}

bool Listener::IsOpen(const Connection& connection) {
  struct stat info {};
  return fstat(connection.fd, &info) == 0 && S_ISSOCK(info.st_mode) && info.st_ino == connection.inode;
}

void Listener::HangUp() {
  const MutexLock lock(&mutex_);
  for (const Connection& connection : connections_) {
    if (IsOpen(connection)) {
      shutdown(connection.fd, SHUT_RDWR);
    }
  }
  connections_.clear();
}

}  // namespace graft
