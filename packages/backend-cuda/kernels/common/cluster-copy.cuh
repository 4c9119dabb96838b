// Clusters of any number of blocks along x: bulk tensor copies into all of them, barriers and memory of one another.
#pragma once
#include "cluster.cuh"
#include "hopper.cuh"

__device__ __forceinline__ int cluster_rank() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// 1 where the launch asked for no clusters.
__device__ __forceinline__ int cluster_blocks() {
  uint32_t blocks;
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
  return blocks;
}

// All threads of the cluster's `blocks` blocks; lanes of a warp may arrive apart.
__device__ __forceinline__ void blocks_sync(int blocks) {
  __syncwarp();
  if (blocks > 1)
    cluster_sync();
  else
    __syncthreads();
}

// To be called last: a block must not end while others use its memory.
__device__ __forceinline__ void blocks_leave(int blocks) {
  __syncwarp();
  if (blocks > 1) cluster_sync();
}

// What lies at shared address `own` here, in block `rank` of the cluster.
__device__ __forceinline__ uint32_t address_in(uint32_t own, int rank) {
  uint32_t at;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(own), "r"(rank));
  return at;
}

// Arrives at a barrier that may be another block's; `bar` is from address_in.
__device__ __forceinline__ void barrier_arrive_in(uint32_t bar) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(bar) : "memory");
}

__device__ __forceinline__ float4 load_four_in(uint32_t at) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "r"(at) : "memory");
  return v;
}

// copy_tile_2d into the first `blocks` blocks of the cluster: to the same offset in each, completing on each one's barrier.
__device__ __forceinline__ void copy_tile_2d_to_all(uint32_t to, const CUtensorMap* map, uint32_t bar, int x, int y, int blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], "
      "[%2], %5;" ::"r"(to),
      "l"(map), "r"(bar), "r"(x), "r"(y), "h"(static_cast<uint16_t>((1 << blocks) - 1))
      : "memory");
}
