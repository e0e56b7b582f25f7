// graftd's settings: command line, configuration file and environment all end here.
#ifndef GRAFT_SERVER_OPTIONS_H_
#define GRAFT_SERVER_OPTIONS_H_

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace graft {

struct ServerOptions {
  // HOST:PORT; port 0 takes a free one. Only loopback addresses: the connection is neither encrypted nor authenticated.
  std::string listen = "127.0.0.1:7077";
  // Data sets, models, jobs. One server at a time.
  std::filesystem::path data_dir;
  // Folders that a caller may name as a source of images.
  std::vector<std::filesystem::path> allow_dirs;
  // Holds vgg16.safetensors.
  std::filesystem::path weights_dir;
  // graft-worker.
  std::filesystem::path worker_program;
  // Gets the bound port's number once the server serves; empty: none.
  std::filesystem::path port_file;
  int max_running_jobs = 1;
  int max_queued_jobs = 1000;
  // Of the networks, in the server and in each worker; 0: one a core.
  int threads = 0;
  std::string device = "auto";
  // Who computes convolutions on the CPU: auto, winograd or onednn.
  std::string convolution = "auto";
  // Images that run through a network at a time when many callers wait.
  int max_batch = 8;
  // Connections at a time; one more is closed at once.
  int max_connections = 4096;
  // Open WatchJob streams.
  int max_watch_streams = 2000;
  // Open uploads, downloads and streams of images, together.
  int max_bulk_streams = 64;
  // MiB of requests in memory, received and not yet answered. Streams read on when there is room, and may exceed it by
  // a message each; other calls are refused.
  int max_request_mib = 256;
  // Longest wait for running calls at shutdown.
  int drain_seconds = 20;

  // INVALID_ARGUMENT names the option; FAILED_PRECONDITION for an address that is not loopback. Makes paths absolute.
  absl::Status Resolve();
};

}  // namespace graft

#endif  // GRAFT_SERVER_OPTIONS_H_
