// What the two kernels for many rows on Hopper share (linear-tiles.cu, linear-split.cu): out = x · weightᵀ + bias with both
// operands in T. One warp loads tiles with the copy engine into a ring of buffers, two warpgroups multiply them: 64 rows
// each of the first operand, all N of the second.
#pragma once
#include "common/chain.cuh"
#include "common/cluster-copy.cuh"
#include "common/wgmma-tiles.cuh"

struct LinearHopper {
  const float* bias;   // [outs] or null
  void* out;           // [rows, outs] of T, or of f32 when out_f32
  int64_t out_stride;
  int rows, columns, outs, out_f32;
};

constexpr int kFirstRows = 128;   // of the first operand's tile
constexpr int kStepColumns = 64;  // of both tiles: 128 bytes, the copy engine's swizzle
constexpr int kConsumers = 256;

__device__ __forceinline__ int steps_of(const LinearHopper& op) { return (op.columns + kStepColumns - 1) / kStepColumns; }

// Shared memory: STAGES buffers of a tile [128, 64] and a tile [N, 64], then their barriers "full" and "empty".
template <int N, int STAGES>
struct Buffers {
  static constexpr int first_bytes = kFirstRows * kStepColumns * 2;
  static constexpr int bytes = first_bytes + N * kStepColumns * 2;
  uint32_t base;

  __device__ __forceinline__ Buffers(const char* raw) : base((shared_address(raw) + 1023) / 1024 * 1024) {}
  __device__ __forceinline__ uint32_t first(int stage) const { return base + stage * bytes; }
  __device__ __forceinline__ uint32_t second(int stage) const { return base + stage * bytes + first_bytes; }
  __device__ __forceinline__ uint32_t full(int stage) const { return base + STAGES * bytes + 16 * stage; }
  __device__ __forceinline__ uint32_t empty(int stage) const { return full(stage) + 8; }

  // A buffer is empty when each consumer warp of `blocks` blocks has left it.
  __device__ __forceinline__ void init(int blocks) const {
    for (int stage = 0; stage < STAGES; stage++) {
      barrier_init(full(stage), 1);
      barrier_init(empty(stage), kConsumers / 32 * blocks);
    }
    barrier_init_fence();
  }
};

// acc = the sum of the products of the next `steps` buffers. A buffer is released once its own products are done, which is when the
// next one's are under way.
template <typename T, int N, int STAGES, typename Release>
__device__ __forceinline__ void multiply_steps(float (&acc)[N / 2], const Buffers<N, STAGES>& buffers, Ring<STAGES>& ring,
                                               int steps, Release release) {
  const uint32_t mine = threadIdx.x / 128 * 64 * kStepColumns * 2;
  int before = 0;
#pragma unroll
  for (int i = 0; i < N / 2; i++) acc[i] = 0.f;
  pin(acc);
#pragma unroll 1
  for (int i = 0; i < steps; i++) {
    barrier_wait(buffers.full(ring.stage), ring.phase);
    const uint64_t a = tile_descriptor(buffers.first(ring.stage) + mine), b = tile_descriptor(buffers.second(ring.stage));
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kStepColumns / 16; k++) wgmma_tile<T>(acc, advance(a, 32 * k), advance(b, 32 * k));
    wgmma_commit();
    wgmma_wait<1>();
    if (i > 0) release(before);
    before = ring.stage;
    ring.next();
  }
  wgmma_wait<0>();
  pin(acc);
  if (steps > 0) release(before);
}
