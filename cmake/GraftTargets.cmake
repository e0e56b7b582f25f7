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

# graft_precompiled(NAME HEADERS <torch/torch.h> LIBS graft_torch): headers that take longer to read than what includes them,
# read once for all targets that say graft_use_precompiled(TARGET NAME). The tidy preset builds without, and so finds an
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

# graft_library(core_data SOURCES a.cc b.cc PUBLIC graft::core_base PRIVATE opencv_core [TORCH])
# TORCH: the sources may include LibTorch. It stays private: no header that others include needs it.
function(graft_library NAME)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(graft_${NAME} STATIC ${ARG_SOURCES})
  add_library(graft::${NAME} ALIAS graft_${NAME})
  target_link_libraries(graft_${NAME} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  if(ARG_TORCH)
    target_link_libraries(graft_${NAME} PRIVATE graft_torch)
    graft_use_precompiled(graft_${NAME} precompiled_torch)
  endif()
  graft_common(graft_${NAME})
endfunction()

# graft_program(graftd SOURCES main.cc LIBS graft::server)
function(graft_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS})
  graft_common(${NAME})
  install(TARGETS ${NAME})
endfunction()
