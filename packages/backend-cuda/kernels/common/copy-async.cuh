// Copies of 16 bytes from global into shared memory that a thread does not wait for, in groups, for sm_80 and up.
#pragma once
#include <stdint.h>

__device__ __forceinline__ uint32_t shared_at(const void* shared) { return static_cast<uint32_t>(__cvta_generic_to_shared(shared)); }

// Zeros where not `inside`; `from` must be readable all the same.
__device__ __forceinline__ void copy_async(uint32_t to, const void* from, bool inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16 : 0) : "memory");
}
__device__ __forceinline__ void copies_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
__device__ __forceinline__ void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
