# graft_torch: LibTorch as one interface target, from the torch wheel (CPU or CUDA) or the libtorch zip.
#
# Not find_package(Torch): of a CUDA build it asks for a whole CUDA toolkit, which only LibTorch's own build needs.
# Its include folders come last (-idirafter): the wheel ships an old google/protobuf that would hide the system's.

if(NOT EXISTS ${GRAFT_TORCH_DIR}/include/torch/csrc/api/include/torch/torch.h)
  message(FATAL_ERROR "No LibTorch in GRAFT_TORCH_DIR='${GRAFT_TORCH_DIR}'. Run ./deploy/setup, or set GRAFT_TORCH_DIR "
    "to a folder with LibTorch's include/ and lib/.")
endif()

add_library(graft_torch INTERFACE)
# SHELL: keeps CMake from merging repeated -idirafter flags into one.
target_compile_options(graft_torch INTERFACE
  "SHELL:-idirafter ${GRAFT_TORCH_DIR}/include"
  "SHELL:-idirafter ${GRAFT_TORCH_DIR}/include/torch/csrc/api/include"
  -fopenmp -Wno-unused-parameter -Wno-shadow)
set(torch_lib ${GRAFT_TORCH_DIR}/lib)
target_link_options(graft_torch INTERFACE "LINKER:-rpath,${torch_lib}")
target_link_libraries(graft_torch INTERFACE ${torch_lib}/libtorch.so ${torch_lib}/libtorch_cpu.so ${torch_lib}/libc10.so)
if(EXISTS ${torch_lib}/libtorch_cuda.so)
  # Nothing of ours names a symbol of the CUDA libraries: they register themselves when loaded, so the linker must keep them.
  target_link_libraries(graft_torch INTERFACE
    "-Wl,--push-state,--no-as-needed" ${torch_lib}/libtorch_cuda.so ${torch_lib}/libc10_cuda.so "-Wl,--pop-state")
endif()
# The wheel's own OpenMP runtime, so that our loops and LibTorch's share one thread pool. Its name differs between builds.
file(GLOB torch_gomp ${torch_lib}/libgomp*.so*)
if(torch_gomp)
  list(GET torch_gomp 0 torch_gomp)
  target_link_libraries(graft_torch INTERFACE ${torch_gomp})
endif()
