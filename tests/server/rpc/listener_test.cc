// Our listener beside gRPC's own when descriptors run out, and the probe that tells which one lives.
#include "server/rpc/listener.h"

#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "absl/synchronization/notification.h"
#include "core/base/mutex.h"
#include "graft/v1/server.grpc.pb.h"
#include "server/rpc/listener_probe.h"
#include "tests/testing/server_fixture.h"

namespace graft {
namespace {

using ::graft::testing::IsOk;
using ::graft::testing::StatusIs;
using ::testing::HasSubstr;

// How many descriptors this process may open beyond those that it has, while it lives.
class FewDescriptors {
 public:
  explicit FewDescriptors(int more) {
    getrlimit(RLIMIT_NOFILE, &before_);
    // The lowest free number is the next one to be given.
    const int next = dup(STDIN_FILENO);
    close(next);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(next) + static_cast<rlim_t>(more);
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// Connections that say nothing. Their descriptors are taken before the limit is lowered.
class IdleClients {
 public:
  explicit IdleClients(int count) {
    for (int i = 0; i < count; ++i) {
      sockets_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }
  }
  ~IdleClients() {
    for (const int fd : sockets_) {
      close(fd);
    }
  }
  // The kernel accepts for the listener's queue.
  void Connect(const SocketAddress& address) {
    for (const int fd : sockets_) {
      ASSERT_EQ(connect(fd, address.get(), address.size), 0) << std::strerror(errno);
    }
  }
  // Whether the other side ends the connection.
  static bool AwaitEnd(int fd) {
    char byte = 0;
    return recv(fd, &byte, 1, 0) == 0;
  }
  int at(size_t i) const { return sockets_[i]; }

 private:
  std::vector<int> sockets_;
};

SocketAddress LoopbackPort(int port) {
  SocketAddress address;
  auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
  in->sin_family = AF_INET;
  in->sin_port = htons(static_cast<uint16_t>(port));
  in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.size = sizeof(*in);
  return address;
}

// Counts what it is given, and keeps it open.
class Taken {
 public:
  ~Taken() { Clear(); }
  void Add(int fd) {
    const MutexLock lock(&mutex_);
    fds_.push_back(fd);
    ++count_;
    changed_.SignalAll();
  }
  void Await(int count) {
    const MutexLock lock(&mutex_);
    while (count_ < count) {
      changed_.Wait(&mutex_);
    }
  }
  void Clear() {
    const MutexLock lock(&mutex_);
    for (const int fd : fds_) {
      close(fd);
    }
    fds_.clear();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<int> fds_ ABSL_GUARDED_BY(mutex_);
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

TEST(ListenerTest, OneTooManyIsClosedAndAPlaceThatIsLeftIsTakenAgain) {
  Taken taken;
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Tcp("127.0.0.1:0", 2));
  listener->Start([&](int fd) { taken.Add(fd); });
  IdleClients clients(2);
  clients.Connect(listener->address());
  taken.Await(2);
  IdleClients third(1);
  third.Connect(listener->address());
  EXPECT_TRUE(IdleClients::AwaitEnd(third.at(0)));
  taken.Clear();
  IdleClients next(2);
  next.Connect(listener->address());
  taken.Await(4);
}

TEST(ListenerTest, HangUpEndsWhatIsOpenAndNothingElse) {
  Taken taken;
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Tcp("127.0.0.1:0", 10));
  listener->Start([&](int fd) { taken.Add(fd); });
  IdleClients gone(1);
  gone.Connect(listener->address());
  taken.Await(1);
  taken.Clear();
  // Likely to have the number of the one that has gone.
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  IdleClients open(1);
  open.Connect(listener->address());
  taken.Await(2);
  listener->Stop();
  listener->HangUp();
  EXPECT_TRUE(IdleClients::AwaitEnd(open.at(0)));
  EXPECT_EQ(send(pair[0], "x", 1, MSG_NOSIGNAL), 1);
  char byte = 0;
  EXPECT_EQ(recv(pair[1], &byte, 1, 0), 1);
  close(pair[0]);
  close(pair[1]);
}

TEST(ListenerTest, ATakenPortIsSaid) {
  ASSERT_OK_AND_ASSIGN(const auto listener, Listener::Tcp("127.0.0.1:0", 2));
  EXPECT_THAT(Listener::Tcp("127.0.0.1:" + std::to_string(listener->port()), 2),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("taken")));
  EXPECT_THAT(Listener::Tcp("example.org:1", 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("example.org")));
  EXPECT_THAT(Listener::Tcp("localhost:0", 2), IsOk());
  EXPECT_THAT(Listener::Unix(std::string(200, 'x'), 2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("long")));
}

TEST(ListenerTest, AUnixSocketIsTheUsersOwnAndGoesWithItsListener) {
  const testing::TempDir dir;
  Taken taken;
  testing::WriteText(dir / "socket", "left by a crash");
  ASSERT_OK_AND_ASSIGN(auto listener, Listener::Unix(dir / "socket", 2));
  EXPECT_EQ(std::filesystem::status(dir / "socket").permissions(), std::filesystem::perms::owner_all);
  listener->Start([&](int fd) { taken.Add(fd); });
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(connect(fd, listener->address().get(), listener->address().size), 0);
  taken.Await(1);
  close(fd);
  listener = nullptr;
  EXPECT_FALSE(std::filesystem::exists(dir / "socket"));
}

// The whole server, with more callers than descriptors: it is there again when they have gone.
using OutOfDescriptorsTest = testing::ServerFixture;

TEST_F(OutOfDescriptorsTest, TheServerAcceptsAgainOnceThereAreSome) {
  ASSERT_TRUE(GetStatus().ok());
  {
    IdleClients clients(60);
    const FewDescriptors few(5);
    clients.Connect(LoopbackPort(server_->port()));
    // Who has been accepted is greeted. Nobody is after the fifth.
    for (size_t i = 0; i < 5; ++i) {
      char byte = 0;
      ASSERT_EQ(recv(clients.at(i), &byte, 1, 0), 1);
    }
    EXPECT_EQ(dup(STDIN_FILENO), -1);
  }
  v1::ServerStatus status;
  const auto fresh = v1::ServerService::NewStub(testing::NewChannel(server_->port()));
  EXPECT_TRUE(fresh->GetStatus(testing::Context().get(), {}, &status).ok());
  const auto workers = v1::WorkerService::NewStub(
      grpc::CreateChannel("unix:" + (dir_ / "data/worker.sock").string(), grpc::InsecureChannelCredentials()));
  v1::FetchAssignmentRequest request;
  request.set_job_id("job-1");
  v1::Assignment assignment;
  EXPECT_EQ(workers->FetchAssignment(testing::Context().get(), request, &assignment).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);  // answered: there is no such job
}

TEST_F(OutOfDescriptorsTest, TheProbeFindsBothListenersAlive) {
  absl::Notification dead;
  options_.max_connections = 1;  // a listener that is full lives, too
  StartServer();
  ASSERT_TRUE(GetStatus().ok());
  Taken knocks;
  ASSERT_OK_AND_ASSIGN(const auto counter, Listener::Tcp("127.0.0.1:0", 1000));
  counter->Start([&](int fd) {
    EXPECT_EQ(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    knocks.Add(fd);
  });
  server_->WatchListeners({absl::Milliseconds(1), absl::Seconds(60), 1}, [&](const std::string&) { dead.Notify(); });
  const ListenerProbe other({{"counter", counter->address()}}, {absl::Milliseconds(1), absl::Seconds(60), 1},
                            [&](const std::string&) { dead.Notify(); });
  knocks.Await(20);
  server_ = nullptr;
  EXPECT_FALSE(dead.HasBeenNotified());
}

absl::Notification* accept_failed = nullptr;

// gRPC 1.51's own listener stops at the first failure for want of descriptors (CVE-2023-4785). Should this test fail
// with a newer gRPC, ours is no longer needed.
TEST(ListenerProbeTest, NoticesGrpcsOwnListenerDying) {
  class Service : public v1::ServerService::CallbackService {};
  Service service;
  absl::Notification failed;
  accept_failed = &failed;
  gpr_set_log_function([](gpr_log_func_args* args) {
    if (std::strstr(args->message, "accept4") != nullptr && !accept_failed->HasBeenNotified()) {
      accept_failed->Notify();
    }
  });
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  {
    IdleClients clients(30);
    const FewDescriptors few(5);
    clients.Connect(LoopbackPort(port));
    failed.WaitForNotification();
  }
  absl::Notification dead;
  std::string name;
  const ListenerProbe probe({{"grpc", LoopbackPort(port)}}, {absl::Milliseconds(1), absl::Milliseconds(100), 2},
                            [&](const std::string& listener) {
                              name = listener;
                              dead.Notify();
                            });
  dead.WaitForNotification();
  EXPECT_EQ(name, "grpc");
  gpr_set_log_function(nullptr);  // its own again
}

}  // namespace
}  // namespace graft
