// out = x · weightᵀ + bias for up to 16 rows, for weights that should arrive as fast as memory gives them. Every warp keeps
// several tiles of 16 outputs x 128 columns on their way into shared memory, across the ends of its outputs, and starts before
// the launch before is done; it needs no registers for that and waits for nobody but itself. The tiles' numbers enter m16n8k16
// products as in linear-few.cuh: 4-bit numbers as exact integers that a group's scale multiplies in f32.
#pragma once
#include "common/copy-async.cuh"
#include "linear-few.cuh"

// A tile of q4_g128: stored as one piece.
template <typename T>
struct FourBitTile {
  static constexpr int kBytes = kTileBytes;
  static constexpr int kXRun = 2;  // neighbouring columns of x that a lane multiplies: 2t, 2t + 1 of every 8

  static __device__ __forceinline__ void copy(const Linear<T>& op, uint32_t to, int tile, int unit, int units) {
    const int lane = threadIdx.x % 32;
    const uint8_t* from = static_cast<const uint8_t*>(op.weight) + (static_cast<int64_t>(tile) * units + unit) * kTileBytes;
    copy_async(to + lane * 16, from + lane * 16, true);
    copy_async(to + 512 + lane * 16, from + 512 + lane * 16, true);
    if (lane < kTileRows / 4) copy_async(to + kTileScales + lane * 16, from + kTileScales + lane * 16, true);
  }

  static __device__ __forceinline__ void load_x(uint32_t (&x)[4], const T* from) {
#pragma unroll
    for (int p = 0; p < 4; p++) x[p] = *reinterpret_cast<const uint32_t*>(from + 8 * p);
  }

  // Adds the tile's products with NT x 8 rows of x.
  template <int NT>
  static __device__ __forceinline__ void multiply(const uint8_t* tile, const uint32_t (&x)[NT][4][4], FewSums<NT>& sums) {
    const int g = threadIdx.x % 32 / 4;
    const uint4* words = reinterpret_cast<const uint4*>(tile) + threadIdx.x % 32;
    const uint32_t* scales = reinterpret_cast<const uint32_t*>(tile + kTileScales);
    Packed<kQ4_G128, 2> low, high;
    *reinterpret_cast<uint4*>(low.quant) = words[0];
    *reinterpret_cast<uint4*>(high.quant) = words[32];
    low.scale[0] = scales[g];
    high.scale[0] = scales[g + 8];
    float product[NT][4] = {};
#pragma unroll
    for (int j = 0; j < 4; j++) {
      uint32_t a[4], b[4];
      low.template integers<T>(j, a);
      high.template integers<T>(j, b);
#pragma unroll
      for (int n = 0; n < NT; n++) {
        mma<T>(product[n], a[0], b[0], a[1], b[1], x[n][j][0], x[n][j][1]);
        mma<T>(product[n], a[2], b[2], a[3], b[3], x[n][j][2], x[n][j][3]);
      }
    }
    const float factors[2] = {low.factor(0, false), high.factor(0, false)};
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) sums.part[n][i] += factors[i / 2] * product[n][i];
  }
};

// A tile of plain rows of the activations' type: [16, 128] in shared memory, odd rows' halves of 128 bytes swapped so that the
// lanes of two rows read different banks.
template <typename T>
struct PlainTile {
  static constexpr int kBytes = kTileRows * kUnit * 2;
  static constexpr int kXRun = 8;  // 8t .. of 32

  static __device__ __forceinline__ void load_x(uint32_t (&x)[4], const T* from) {
    *reinterpret_cast<uint4*>(x) = *reinterpret_cast<const uint4*>(from);
  }

  static __device__ __forceinline__ uint32_t chunk_at(int row, int chunk) { return row * 256 + (chunk ^ (row % 2 * 4)) * 16; }

  static __device__ __forceinline__ void copy(const Linear<T>& op, uint32_t to, int tile, int unit, int) {
    const int lane = threadIdx.x % 32, chunk = lane % 16, pitch = plain_pitch(op.columns), k = unit * kUnit + 8 * chunk;
    const T* weight = static_cast<const T*>(op.weight);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int row = 2 * i + lane / 16, output = min(tile * kTileRows + row, op.outs - 1);
      const T* from = weight + static_cast<int64_t>(output) * pitch;
      copy_async(to + chunk_at(row, chunk), k < pitch ? from + k : from, k < pitch);
    }
  }

  template <int NT>
  static __device__ __forceinline__ void multiply(const uint8_t* tile, const uint32_t (&x)[NT][4][4], FewSums<NT>& sums) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const uint4 low = *reinterpret_cast<const uint4*>(tile + chunk_at(g, 4 * j + t));
      const uint4 high = *reinterpret_cast<const uint4*>(tile + chunk_at(g + 8, 4 * j + t));
#pragma unroll
      for (int n = 0; n < NT; n++) {
        mma<T>(sums.part[n], low.x, high.x, low.y, high.y, x[n][j][0], x[n][j][1]);
        mma<T>(sums.part[n], low.z, high.z, low.w, high.w, x[n][j][2], x[n][j][3]);
      }
    }
  }
};

// Block x takes tiles of 16 outputs x, x + gridDim.x, ..; its WARPS warps take turns at units of 128 columns. Shared
// memory: STAGES tiles a warp.
template <typename Tile, typename T, int NT, int WARPS, int STAGES>
__device__ void linear_stream(const Linear<T>& op) {
  extern __shared__ __align__(128) uint8_t ring[];
  __shared__ float parts[2][WARPS][8 * NT][kTileRows + 1];
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int tiles = (op.outs + kTileRows - 1) / kTileRows, units = (op.columns + kUnit - 1) / kUnit;
  uint8_t* slots = ring + warp * STAGES * Tile::kBytes;
  int fetch_tile = warp < units ? blockIdx.x : tiles, fetch_unit = warp;
  auto fetch = [&](int slot) {
    if (fetch_tile < tiles) {
      Tile::copy(op, shared_at(slots + slot * Tile::kBytes), fetch_tile, fetch_unit, units);
      fetch_unit += WARPS;
      if (fetch_unit >= units) fetch_unit = warp, fetch_tile += gridDim.x;
    }
    copies_commit();
  };
#pragma unroll
  for (int slot = 0; slot < STAGES; slot++) fetch(slot);  // depends on no earlier kernel
  wait_for_previous();
  allow_next();
  // Rows past x give sums that nobody stores, so they may read any row. Where no column is past x either, all loads of a unit
  // are issued without a branch or a use between them: each would wait for itself.
  const bool whole = op.vectors && op.columns % kUnit == 0;
  const T* rows[NT];
#pragma unroll
  for (int n = 0; n < NT; n++) rows[n] = op.x + min(8 * n + g, op.rows - 1) * op.x_stride + Tile::kXRun * t;
  alignas(16) uint32_t next_x[NT][4][4];
  auto load_x = [&](int unit) {
    if (whole) {
#pragma unroll
      for (int i = 0; i < 4 * NT; i++) Tile::load_x(next_x[i / 4][i % 4], rows[i / 4] + unit * kUnit + 32 * (i % 4));
      return;
    }
    constexpr int kWords = Tile::kXRun / 2;
#pragma unroll
    for (int i = 0; i < 4 * NT; i++)
#pragma unroll
      for (int p = 0; p < 4 / kWords; p++) {
        uint32_t part[kWords];
        op.template load_x<Tile::kXRun>(part, 8 * (i / 4) + g, unit * kUnit + 32 * (i % 4) + Tile::kXRun * (t + 4 * p));
#pragma unroll
        for (int w = 0; w < kWords; w++) next_x[i / 4][i % 4][p * kWords + w] = part[w];
      }
  };
  load_x(warp);
  int slot = 0, buffer = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, buffer ^= 1) {
    FewSums<NT> sums;
    for (int unit = warp; unit < units; unit += WARPS) {
      uint32_t x[NT][4][4];
#pragma unroll
      for (int i = 0; i < NT * 16; i++) x[i / 16][i / 4 % 4][i % 4] = next_x[i / 16][i / 4 % 4][i % 4];
      load_x(unit + WARPS < units ? unit + WARPS : warp);
      copies_wait<STAGES - 1>();
      __syncwarp();
      Tile::template multiply<NT>(slots + slot * Tile::kBytes, x, sums);
      __syncwarp();
      fetch(slot);
      slot = slot + 1 == STAGES ? 0 : slot + 1;
    }
    // The warps' sums cover different columns. Two buffers: a warp is at most one tile ahead of those that still add up.
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) parts[buffer][warp][8 * n + 2 * t + i % 2][g + i / 2 * 8] = sums.part[n][i];
    __syncthreads();
    for (int i = threadIdx.x; i < kTileRows * op.rows; i += blockDim.x) {
      const int output = tile * kTileRows + i % kTileRows, row = i / kTileRows;
      if (output >= op.outs) continue;
      float sum = 0.f;
#pragma unroll
      for (int w = 0; w < WARPS; w++) sum += parts[buffer][w][row][i % kTileRows];
      op.store(row, output, sum);
    }
  }
}
