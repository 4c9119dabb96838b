// Launches that overlap: a kernel launched with programmatic stream serialisation may start while the one before it is
// still running, and waits here before it touches anything that one writes. Without that attribute, and before sm_90,
// these do nothing. Call `allow_next` after `wait_for_previous`: then what earlier kernels wrote is visible to the next
// one even before its own wait.
#pragma once

__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void allow_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
