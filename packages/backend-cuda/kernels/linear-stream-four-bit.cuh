// linear-stream.cuh for weights of 4 bits in groups of 128. A unit's columns of x travel through shared memory beside its
// weights: loaded into registers lane by lane they take more instructions than the weights.
#pragma once
#include "linear-stream.cuh"

__device__ __forceinline__ void load_operands(uint32_t (&r)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from)
               : "memory");
}

// R tiles of 16 outputs, one below the other in the matrix, and [rows, 128] of x. Sixteen bytes of x change places within a
// row, so that equal columns of 8 rows lie in different banks.
template <typename T, int R>
struct FourBitStage {
  static constexpr int kWeights = R * kTileBytes;
  static constexpr int kRowBytes = kUnit * 2;
  static __device__ __forceinline__ int bytes(int rows) { return kWeights + rows * kRowBytes; }
  static __device__ __forceinline__ uint32_t x_at(uint32_t stage, int row, int chunk) {
    return stage + kWeights + row * kRowBytes + (chunk ^ (row % 8)) * 16;
  }

  template <typename Order>
  static __device__ __forceinline__ void copy_weights(const Linear<T>& op, uint32_t to, const StreamPlace& at, int units) {
    const int lane = threadIdx.x % 32, last = (op.outs - 1) / kTileRows;
#pragma unroll
    for (int r = 0; r < R; r++, to += kTileBytes) {
      const uint8_t* from = static_cast<const uint8_t*>(op.weight) + (static_cast<int64_t>(min(Order::tile(at.tile, r, op.outs), last)) * units + at.unit) * kTileBytes;
      copy_async(to + lane * 16, from + lane * 16, true);
      copy_async(to + 512 + lane * 16, from + 512 + lane * 16, true);
      if (lane < kTileRows / 4) copy_async(to + kTileScales + lane * 16, from + kTileScales + lane * 16, true);
    }
  }

  static __device__ __forceinline__ void copy_x(const Linear<T>& op, uint32_t stage, int unit) {
    for (int i = threadIdx.x % 32; i < op.rows * 16; i += 32) {
      const int row = i / 16, chunk = i % 16, k = unit * kUnit + 8 * chunk;
      if (op.vectors) {
        copy_async(x_at(stage, row, chunk), op.x + row * op.x_stride + k, true);
      } else {
        uint32_t x[4];
        op.template load_x<8>(x, row, k);
        asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(x_at(stage, row, chunk)), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]) : "memory");
      }
    }
  }

  template <int NT>
  static __device__ __forceinline__ void multiply(const uint8_t* stage, int rows, float (&sums)[R][NT][4]) {
    const int lane = threadIdx.x % 32, g = lane / 4;
    Packed<kQ4_G128, 2> low[R], high[R];
#pragma unroll
    for (int r = 0; r < R; r++) {
      const uint4* words = reinterpret_cast<const uint4*>(stage + r * kTileBytes) + lane;
      const uint32_t* scales = reinterpret_cast<const uint32_t*>(stage + r * kTileBytes + kTileScales);
      *reinterpret_cast<uint4*>(low[r].quant) = words[0];
      *reinterpret_cast<uint4*>(high[r].quant) = words[32];
      low[r].scale[0] = scales[g];
      high[r].scale[0] = scales[g + 8];
    }
    // Products of one accumulator wait for each other, so a unit has several chains where there are few.
    constexpr int kChains = R * NT == 1 ? 4 : R * NT == 2 ? 2 : 1;
    float product[R][NT][kChains][4] = {};
#pragma unroll
    for (int j = 0; j < 4; j++) {
      uint32_t x[NT][4];
      // Rows past x give sums that nobody stores, so they may read any row.
#pragma unroll
      for (int n = 0; n < NT; n++) load_operands(x[n], x_at(shared_at(stage), min(8 * n + lane % 8, rows - 1), 4 * j + lane / 8));
#pragma unroll
      for (int r = 0; r < R; r++) {
        uint32_t a[4], b[4];
        low[r].template integers<T>(j, a);
        high[r].template integers<T>(j, b);
#pragma unroll
        for (int n = 0; n < NT; n++) {
          mma<T>(product[r][n][2 * j % kChains], a[0], b[0], a[1], b[1], x[n][0], x[n][1]);
          mma<T>(product[r][n][(2 * j + 1) % kChains], a[2], b[2], a[3], b[3], x[n][2], x[n][3]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
      const float factors[2] = {low[r].factor(0, false), high[r].factor(0, false)};
#pragma unroll
      for (int n = 0; n < NT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float sum = 0.f;
#pragma unroll
          for (int chain = 0; chain < kChains; chain++) sum += product[r][n][chain][i];
          sums[r][n][i] += factors[i / 2] * sum;
        }
    }
  }
};

// Up to 8 NT rows; a warp takes R tiles of outputs at a time. Shared memory: STAGES stages a warp, then the sums.
template <typename T, typename Order, int R, int NT, int WARPS, int STAGES>
__device__ void linear_stream_four_bit(const Linear<T>& op) {
  typedef FourBitStage<T, R> Stage;
  typedef StreamSums<R, NT, WARPS> Sums;
  extern __shared__ __align__(128) uint8_t ring[];
  const int warp = threadIdx.x / 32, bytes = Stage::bytes(op.rows);
  const int tiles = Order::tiles(op.outs), units = op.columns / kUnit;
  uint8_t* slots = ring + warp * STAGES * bytes;
  auto& shared = *reinterpret_cast<typename Sums::Shared*>(ring + WARPS * STAGES * bytes);
  StreamPlace ahead = {warp < units ? static_cast<int>(blockIdx.x) : tiles, warp};
  const StreamPlace first = ahead;
  for (int slot = 0; slot < STAGES; slot++) {  // depends on no earlier kernel
    if (ahead.tile < tiles) {
      Stage::template copy_weights<Order>(op, shared_at(slots + slot * bytes), ahead, units);
      ahead.next<WARPS>(units);
    }
    copies_commit();
  }
  wait_for_previous();
  allow_next();
  StreamPlace x_ahead = first;
  for (int slot = 0; slot < STAGES && x_ahead.tile < tiles; slot++) {
    Stage::copy_x(op, shared_at(slots + slot * bytes), x_ahead.unit);
    x_ahead.next<WARPS>(units);
  }
  copies_commit();
  copies_wait<0>();
  int slot = 0, buffer = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, buffer ^= 1) {
    Sums sums;
    for (int unit = warp; unit < units; unit += WARPS) {
      uint8_t* stage = slots + slot * bytes;
      copies_wait<STAGES - 1>();
      __syncwarp();
      Stage::template multiply<NT>(stage, op.rows, sums.part);
      __syncwarp();
      if (ahead.tile < tiles) {
        Stage::template copy_weights<Order>(op, shared_at(stage), ahead, units);
        Stage::copy_x(op, shared_at(stage), ahead.unit);
        ahead.next<WARPS>(units);
      }
      copies_commit();
      slot = slot + 1 == STAGES ? 0 : slot + 1;
    }
    sums.template finish<Order>(op, shared, tile, buffer);
  }
}
