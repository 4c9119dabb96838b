// Clusters of 16 blocks of threads along x, which reach each other's shared memory (sm_90; larger than the portable 8).
#pragma once
#include <stdint.h>

constexpr int kCluster = 16;

// What a thread wrote to any shared memory of the cluster before `cluster_arrive` is seen after `cluster_wait`. Every
// thread calls both. A block whose memory others still read must not end: it passes another pair.
__device__ __forceinline__ void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_sync() {
  cluster_arrive();
  cluster_wait();
}

// Address, in the shared memory of block `rank` of the cluster, of the variable that is at `own` here.
__device__ __forceinline__ uint32_t cluster_address(const void* own, int rank) {
  uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(own));
#if __CUDA_ARCH__ >= 900
  asm("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(at) : "r"(rank));
#endif
  return at;
}

__device__ __forceinline__ void cluster_store(uint32_t at, float2 value) {
#if __CUDA_ARCH__ >= 900
  asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" ::"r"(at), "f"(value.x), "f"(value.y) : "memory");
#endif
}
__device__ __forceinline__ float cluster_load(uint32_t at) {
  float value = 0.f;
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(at) : "memory");
#endif
  return value;
}
__device__ __forceinline__ float2 cluster_load_pair(uint32_t at) {
  float2 value = {};
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];" : "=f"(value.x), "=f"(value.y) : "r"(at) : "memory");
#endif
  return value;
}
__device__ __forceinline__ void cluster_max(uint32_t at, uint32_t value) {
#if __CUDA_ARCH__ >= 900
  asm volatile("red.relaxed.cluster.shared::cluster.max.u32 [%0], %1;" ::"r"(at), "r"(value) : "memory");
#endif
}
