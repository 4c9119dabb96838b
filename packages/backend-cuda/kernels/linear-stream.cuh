// out = x · weightᵀ + bias for up to 16 rows, for weights that should arrive as fast as memory gives them. Every warp keeps
// several tiles of outputs x 128 columns on their way into shared memory, across the ends of its outputs, and starts before the
// launch before is done; that takes no registers, and it waits for nobody but itself. The tiles' numbers enter m16n8k16 products
// as in linear-few.cuh: 4-bit numbers as exact integers that a group's scale multiplies in f32.
#pragma once
#include "common/copy-async.cuh"
#include "linear-few.cuh"

constexpr int kStreamOutputs = 16;

// Where a warp of block x is: tiles x, x + gridDim.x, .. of outputs, of each every WARPS-th unit of 128 columns.
struct StreamPlace {
  int tile, unit;

  template <int WARPS>
  __device__ __forceinline__ void next(int units) {
    unit += WARPS;
    if (unit >= units) unit = threadIdx.x / 32, tile += gridDim.x;
  }
};

// Sums of a warp's R x 16 outputs x NT x 8 rows of x, in the layout of a product's result, and their way into `out`.
template <int R, int NT, int WARPS>
struct StreamSums {
  // With little to add up two buffers, since a warp is at most one tile ahead of those that still read.
  static constexpr int kBuffers = R * NT >= 4 ? 1 : 2;
  struct Shared {
    float parts[kBuffers][WARPS][8 * NT][R * kStreamOutputs + 1];
  };
  float part[R][NT][4] = {};

  template <typename T>
  __device__ __forceinline__ void finish(const Linear<T>& op, Shared& shared, int tile, int buffer) const {
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    if constexpr (kBuffers == 1) __syncthreads();
    auto& parts = shared.parts[kBuffers == 1 ? 0 : buffer];
#pragma unroll
    for (int i = 0; i < R * NT * 4; i++)
      parts[warp][8 * (i / 4 % NT) + 2 * t + i % 2][kStreamOutputs * (i / 4 / NT) + g + i / 2 % 2 * 8] = part[i / 4 / NT][i / 4 % NT][i % 4];
    __syncthreads();
    for (int i = threadIdx.x; i < R * kStreamOutputs * op.rows; i += blockDim.x) {
      const int in_tile = i % (R * kStreamOutputs), output = tile * R * kStreamOutputs + in_tile, row = i / (R * kStreamOutputs);
      if (output >= op.outs) continue;
      float sum = 0.f;
#pragma unroll
      for (int w = 0; w < WARPS; w++) sum += parts[w][row][in_tile];
      op.store(row, output, sum);
    }
  }
};
