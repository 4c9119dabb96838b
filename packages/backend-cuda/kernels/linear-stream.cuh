// out = x · weightᵀ + bias for up to 16 rows, for weights that should arrive as fast as memory gives them. Every warp keeps
// several tiles of outputs x 128 columns on their way into shared memory, across the ends of its outputs, and starts before the
// launch before is done; that takes no registers, and it waits for nobody but itself. The tiles' numbers enter m16n8k16 products
// as in linear-few.cuh: 4-bit numbers as exact integers that a group's scale multiplies in f32.
#pragma once
#include <type_traits>

#include "common/copy-async.cuh"
#include "gated.cuh"
#include "linear-few.cuh"

constexpr int kStreamOutputs = 16;

// How a warp's R tiles of 16 outputs lie in the matrix: one below the other, or (Gated, R = 2) one of the gate's half with that
// of the same outputs in the other half, whose swiglu is then the result.
template <int R>
struct Below {
  static __device__ __forceinline__ int tiles(int outs) { return (outs + R * kStreamOutputs - 1) / (R * kStreamOutputs); }
  static __device__ __forceinline__ int tile(int place, int r, int outs) { return place * R + r; }
};
struct Gated {
  static __device__ __forceinline__ int tiles(int outs) { return outs / (2 * kStreamOutputs); }
  static __device__ __forceinline__ int tile(int place, int r, int outs) { return place + r * tiles(outs); }
};

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

  template <typename Order, typename T>
  __device__ __forceinline__ void finish(const Linear<T>& op, Shared& shared, int tile, int buffer) const {
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    if constexpr (kBuffers == 1) __syncthreads();
    auto& parts = shared.parts[kBuffers == 1 ? 0 : buffer];
#pragma unroll
    for (int i = 0; i < R * NT * 4; i++)
      parts[warp][8 * (i / 4 % NT) + 2 * t + i % 2][kStreamOutputs * (i / 4 / NT) + g + i / 2 % 2 * 8] = part[i / 4 / NT][i / 4 % NT][i % 4];
    __syncthreads();
    auto total = [&](int row, int in_tile) {
      float sum = 0.f;
#pragma unroll
      for (int w = 0; w < WARPS; w++) sum += parts[w][row][in_tile];
      return sum;
    };
    constexpr bool kGated = std::is_same<Order, Gated>::value;
    constexpr int kResults = kGated ? kStreamOutputs : R * kStreamOutputs;
    for (int i = threadIdx.x; i < kResults * op.rows; i += blockDim.x) {
      const int in_tile = i % kResults, output = tile * kResults + in_tile, row = i / kResults;
      if constexpr (kGated) {
        // As two ops would round them.
        auto rounded = [&](int at) { return to_float(from_float<T>(total(row, at))); };
        op.store(row, output, gated(rounded(in_tile), rounded(kStreamOutputs + in_tile)));
      } else if (output < op.outs) {
        op.store(row, output, total(row, in_tile));
      }
    }
  }
};
