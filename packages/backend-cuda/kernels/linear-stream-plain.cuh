// linear-stream.cuh for weights of the activations' type.
#pragma once
#include "linear-stream.cuh"

// A tile [16, 128] in shared memory, odd rows' halves of 128 bytes swapped so that the lanes of two rows read different banks.
template <typename T>
struct PlainTile {
  static constexpr int kBytes = kStreamOutputs * kUnit * 2;

  static __device__ __forceinline__ uint32_t chunk_at(int row, int chunk) { return row * 256 + (chunk ^ (row % 2 * 4)) * 16; }

  static __device__ __forceinline__ void copy(const Linear<T>& op, uint32_t to, int tile, int unit) {
    const int lane = threadIdx.x % 32, chunk = lane % 16, pitch = plain_pitch(op.columns), k = unit * kUnit + 8 * chunk;
    const T* weight = static_cast<const T*>(op.weight);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int row = 2 * i + lane / 16, output = min(tile * kStreamOutputs + row, op.outs - 1);
      const T* from = weight + static_cast<int64_t>(output) * pitch;
      copy_async(to + chunk_at(row, chunk), k < pitch ? from + k : from, k < pitch);
    }
  }

  // Lane t multiplies columns 8t .. 8t+7 of every run of 32.
  static __device__ __forceinline__ void multiply(const uint8_t* tile, const uint32_t (&x)[4][4], float (&sums)[4]) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      const uint4 low = *reinterpret_cast<const uint4*>(tile + chunk_at(g, 4 * j + t));
      const uint4 high = *reinterpret_cast<const uint4*>(tile + chunk_at(g + 8, 4 * j + t));
      mma<T>(sums, low.x, high.x, low.y, high.y, x[j][0], x[j][1]);
      mma<T>(sums, low.z, high.z, low.w, high.w, x[j][2], x[j][3]);
    }
  }
};

// Up to 8 rows; a warp takes R tiles of outputs at a time. Shared memory: STAGES times as many a warp, then the sums.
template <typename T, typename Order, int R, int WARPS, int STAGES>
__device__ void linear_stream_plain(const Linear<T>& op) {
  typedef PlainTile<T> Tile;
  typedef StreamSums<R, 1, WARPS> Sums;
  constexpr int kBytes = R * Tile::kBytes;
  extern __shared__ __align__(128) uint8_t ring[];
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int tiles = Order::tiles(op.outs), units = (op.columns + kUnit - 1) / kUnit;
  uint8_t* slots = ring + warp * STAGES * kBytes;
  auto& shared = *reinterpret_cast<typename Sums::Shared*>(ring + WARPS * STAGES * kBytes);
  StreamPlace ahead = {warp < units ? static_cast<int>(blockIdx.x) : tiles, warp};
  auto fetch = [&](int slot) {
    if (ahead.tile < tiles) {
#pragma unroll
      for (int r = 0; r < R; r++)
        Tile::copy(op, shared_at(slots + slot * kBytes + r * Tile::kBytes), Order::tile(ahead.tile, r, op.outs), ahead.unit);
      ahead.next<WARPS>(units);
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
  const T* row = op.x + min(g, op.rows - 1) * op.x_stride + 8 * t;
  alignas(16) uint32_t next_x[4][4];
  auto load_x = [&](int unit) {
    if (whole) {
#pragma unroll
      for (int j = 0; j < 4; j++) *reinterpret_cast<uint4*>(next_x[j]) = *reinterpret_cast<const uint4*>(row + unit * kUnit + 32 * j);
    } else {
#pragma unroll
      for (int j = 0; j < 4; j++) op.template load_x<8>(next_x[j], g, unit * kUnit + 32 * j + 8 * t);
    }
  };
  load_x(warp);
  int slot = 0, buffer = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, buffer ^= 1) {
    Sums sums;
    for (int unit = warp; unit < units; unit += WARPS) {
      uint32_t x[4][4];
#pragma unroll
      for (int i = 0; i < 16; i++) x[i / 4][i % 4] = next_x[i / 4][i % 4];
      load_x(unit + WARPS < units ? unit + WARPS : warp);
      copies_wait<STAGES - 1>();
      __syncwarp();
#pragma unroll
      for (int r = 0; r < R; r++) Tile::multiply(slots + slot * kBytes + r * Tile::kBytes, x, sums.part[r][0]);
      __syncwarp();
      fetch(slot);
      slot = slot + 1 == STAGES ? 0 : slot + 1;
    }
    sums.template finish<Order>(op, shared, tile, buffer);
  }
}
