// Functions compiled for several instruction sets, of which the right one is picked when the program is loaded.
#ifndef GRAFT_CORE_BASE_EACH_CPU_H_
#define GRAFT_CORE_BASE_EACH_CPU_H_

// GRAFT_FOR_EACH_CPU("avx2,fma", "default") void F(): before a function's declaration. Not under the thread sanitizer,
// which isn't up yet when the picking is done and ends the program in it.
#if defined(__SANITIZE_THREAD__)
#define GRAFT_FOR_EACH_CPU(...)
#else
#define GRAFT_FOR_EACH_CPU(...) __attribute__((target_clones(__VA_ARGS__)))
#endif

#endif  // GRAFT_CORE_BASE_EACH_CPU_H_
