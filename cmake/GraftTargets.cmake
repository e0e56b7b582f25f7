# Helpers for our own targets: one place for warnings, sanitizers and names.

set(GRAFT_WARNINGS -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  list(APPEND GRAFT_WARNINGS -Wthread-safety)
endif()

# Everything of ours, compiled the same way.
function(graft_common TARGET)
  target_compile_options(${TARGET} PRIVATE ${GRAFT_WARNINGS})
  target_include_directories(${TARGET} PRIVATE ${CMAKE_SOURCE_DIR})
  if(GRAFT_SANITIZE)
    target_compile_options(${TARGET} PRIVATE -fsanitize=${GRAFT_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${TARGET} PRIVATE -fsanitize=${GRAFT_SANITIZE})
  endif()
endfunction()

# graft_precompiled(NAME HEADERS <torch/types.h> LIBS graft_torch): headers that take longer to read than what includes them,
# read once for all targets that say graft_use_precompiled(TARGET NAME). tests/tidy goes without, and so finds an
# include that is missing.
function(graft_precompiled NAME)
  cmake_parse_arguments(ARG "" "" "HEADERS;LIBS" ${ARGN})
  file(WRITE ${CMAKE_BINARY_DIR}/precompiled/${NAME}.cc "")
  add_library(graft_${NAME} OBJECT ${CMAKE_BINARY_DIR}/precompiled/${NAME}.cc)
  target_link_libraries(graft_${NAME} PRIVATE ${ARG_LIBS})
  graft_common(graft_${NAME})
  target_precompile_headers(graft_${NAME} PRIVATE ${ARG_HEADERS})
endfunction()
function(graft_use_precompiled TARGET NAME)
  target_precompile_headers(${TARGET} REUSE_FROM graft_${NAME})
endfunction()

# What about every file includes; for what speaks gRPC, messages and services too. No more than that: GCC instantiates what
# a precompiled header asks for anew in each unit, so that CLI11 here would cost each unit of the server seconds (look at
# "lang. deferred" of -ftime-report).
set(GRAFT_HEADERS <algorithm> <atomic> <chrono> <cmath> <filesystem> <functional> <map> <memory> <optional> <random> <set>
  <string> <thread> <utility> <variant> <vector> <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_format.h>
  <absl/strings/str_join.h> <absl/strings/str_split.h> <absl/synchronization/mutex.h> <absl/time/time.h> <absl/types/span.h>
  <nlohmann/json.hpp>)
set(GRAFT_HEADERS_LIBS absl::status absl::statusor absl::strings absl::span absl::synchronization absl::time
  nlohmann_json::nlohmann_json)
set(GRAFT_RPC_HEADERS ${GRAFT_HEADERS} <grpcpp/grpcpp.h> <google/protobuf/util/json_util.h> <graft/v1/datasets.grpc.pb.h>
  <graft/v1/jobs.grpc.pb.h> <graft/v1/models.grpc.pb.h> <graft/v1/prediction.grpc.pb.h> <graft/v1/server.grpc.pb.h>
  <graft/v1/worker.grpc.pb.h>)
set(GRAFT_RPC_HEADERS_LIBS ${GRAFT_HEADERS_LIBS} graft_worker_proto)

# graft_library(core_data SOURCES a.cc b.cc PUBLIC graft::core_base PRIVATE opencv_core [TORCH] [PRECOMPILED precompiled_rpc])
# TORCH: the sources may include LibTorch. It stays private: no header that others include needs it.
function(graft_library NAME)
  cmake_parse_arguments(ARG "TORCH" "PRECOMPILED" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(graft_${NAME} STATIC ${ARG_SOURCES})
  add_library(graft::${NAME} ALIAS graft_${NAME})
  target_link_libraries(graft_${NAME} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  if(ARG_TORCH)
    target_link_libraries(graft_${NAME} PRIVATE graft_torch)
    graft_use_precompiled(graft_${NAME} precompiled_torch)
  elseif(ARG_PRECOMPILED)
    graft_use_precompiled(graft_${NAME} ${ARG_PRECOMPILED})
  else()
    graft_use_precompiled(graft_${NAME} precompiled)
  endif()
  graft_common(graft_${NAME})
endfunction()

# graft_program(graftd SOURCES main.cc LIBS graft::server)
function(graft_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS})
  graft_use_precompiled(${NAME} precompiled_rpc)
  graft_common(${NAME})
  install(TARGETS ${NAME})
endfunction()
