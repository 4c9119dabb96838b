// out = x · weightᵀ + bias for many rows: tiles of 128 rows x 128 or 256 outputs, 64 columns at a time, with m16n8k16 products
// and copies that run two steps ahead. Tiles of 128 x 128 are bound by L2 (64 FLOP a byte), wide ones need 144 KiB of shared
// memory. Weights in another type than the activations are converted on their way into shared memory.
#pragma once
#include "common/copy-async.cuh"
#include "linear-few.cuh"

constexpr int kManyTile = 128;
constexpr int kManyColumns = 64;
constexpr int kManyStages = 3;
// A warp makes 64 rows x 64 outputs, so a tile of OUTPUTS outputs takes OUTPUTS threads.
constexpr int kXTileBytes = kManyTile * kManyColumns * 2;

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], uint32_t from) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(from));
}
__device__ __forceinline__ void store_shared(uint32_t to, uint32_t a) {
  asm volatile("st.shared.u32 [%0], %1;" ::"r"(to), "r"(a) : "memory");
}
__device__ __forceinline__ void store_shared(uint32_t to, uint32_t a, uint32_t b) {
  asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(to), "r"(a), "r"(b) : "memory");
}

// Byte of element 8 * chunk of row `row` in a tile [128, 64]: chunks of a row are swapped so that 8 rows' equal chunks lie
// in different banks.
__device__ __forceinline__ uint32_t tile_byte(int row, int chunk) { return row * 128 + ((chunk ^ (row % 8)) * 16); }

// Rows of x, then 0, into a tile.
template <int OUTPUTS, typename T>
__device__ __forceinline__ void copy_x_tile(const Linear<T>& op, uint32_t to, int first_row, int k0) {
  const int chunk = threadIdx.x % 8, k = k0 + 8 * chunk;
#pragma unroll
  for (int i = 0; i < kManyTile * 8 / OUTPUTS; i++) {
    const int in_tile = threadIdx.x / 8 + OUTPUTS / 8 * i, row = first_row + in_tile;
    const uint32_t at = to + tile_byte(in_tile, chunk);
    if (op.vectors) {
      const bool inside = row < op.rows && k < op.columns;
      copy_async(at, inside ? op.x + row * op.x_stride + k : op.x, inside);
    } else {
      alignas(16) uint32_t x[4];
      op.template load_x<8>(x, row, k);
      store_shared(at, x[0], x[1]);
      store_shared(at + 8, x[2], x[3]);
    }
  }
}

// Weights on their way into a tile: those of the activations' type are copied as they are.
template <int W, typename T, int OUTPUTS>
struct WeightTile {
  typedef typename PlainOf<W>::type V;
  static constexpr bool kSame = !is_quantized(W) && PlainEight<V, T>::kSame;
  static constexpr bool kHeld = is_quantized(W);  // fetched early, held in registers until their stage is free
  Packed<is_quantized(W) ? W : kQ4_0, 1> held[kHeld ? 4 : 1];

  // Plain weights go to the tile at once, quantised ones to registers.
  __device__ __forceinline__ void fetch(const Linear<T>& op, uint32_t to, int first_output, int step) {
    if constexpr (kHeld) {
      const Planes<is_quantized(W) ? W : kQ4_0> planes(op.weight, op.outs, op.columns);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int output = min(first_output + static_cast<int>(threadIdx.x) / 4 + OUTPUTS / 4 * i, op.outs - 1);
        held[i].load(planes, output, step / 2, step % 2, threadIdx.x % 4);
      }
    } else {
      const int chunk = threadIdx.x % 8, pitch = plain_pitch(op.columns);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int in_tile = threadIdx.x / 8 + OUTPUTS / 8 * i, output = min(first_output + in_tile, op.outs - 1);
        const V* from = static_cast<const V*>(op.weight) + static_cast<int64_t>(output) * pitch + step * kManyColumns + 8 * chunk;
        const uint32_t at = to + tile_byte(in_tile, chunk);
        if constexpr (kSame) {
          copy_async(at, from, true);
        } else {
          PlainEight<V, T> eight;
          eight.load(from);
          store_shared(at, eight.rounded(0), eight.rounded(1));
          store_shared(at + 8, eight.rounded(2), eight.rounded(3));
        }
      }
    }
  }

  __device__ __forceinline__ void store(uint32_t to) const {
    if constexpr (kHeld) {
      const int t = threadIdx.x % 4;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int in_tile = threadIdx.x / 4 + OUTPUTS / 4 * i;
#pragma unroll
        for (int j = 0; j < 2; j++) {
          float x[8];
          held[i].numbers(j, x);
          if constexpr (W == kQ4_G128) {
#pragma unroll
            for (int p = 0; p < 4; p++) store_shared(to + tile_byte(in_tile, 4 * j + p) + 4 * t, pack<T>(x[2 * p], x[2 * p + 1]));
          } else {
            const int chunk = 4 * j + t / 2;
            store_shared(to + tile_byte(in_tile, chunk) + t % 2 * 8, pack<T>(x[0], x[1]), pack<T>(x[2], x[3]));
            store_shared(to + tile_byte(in_tile, chunk + 2) + t % 2 * 8, pack<T>(x[4], x[5]), pack<T>(x[6], x[7]));
          }
        }
      }
    }
  }
};

// A warp's 64 rows x 64 outputs.
struct ManySums {
  float part[4][8][4];

  template <typename T>
  __device__ __forceinline__ void add(uint32_t x_tile, uint32_t w_tile) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row = warp % 2 * 64 + lane % 16, output = warp / 2 * 64 + lane % 8 + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < kManyColumns / 16; k++) {
      uint32_t a[4][4], b[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++) load_matrices(a[i], x_tile + tile_byte(row + 16 * i, 2 * k + lane / 16));
#pragma unroll
      for (int i = 0; i < 4; i++) load_matrices(b[i], w_tile + tile_byte(output + 16 * i, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int n = 0; n < 8; n++)
          mma<T>(part[i][n], a[i][0], a[i][1], a[i][2], a[i][3], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
    }
  }

  template <typename T>
  __device__ __forceinline__ void store(const Linear<T>& op, int first_row, int first_output) const {
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int bytes = op.out_f32 ? 8 : 4;  // of a pair
    const bool pairs = op.out_stride % 2 == 0 && reinterpret_cast<uintptr_t>(op.out) % bytes == 0;
#pragma unroll
    for (int n = 0; n < 8; n++) {
      const int output = first_output + warp / 2 * 64 + 8 * n + 2 * t;
      if (output >= op.outs) continue;
      const bool both = output + 1 < op.outs;
      const float bias0 = op.bias ? op.bias[output] : 0.f, bias1 = op.bias && both ? op.bias[output + 1] : 0.f;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int row = first_row + warp % 2 * 64 + i / 2 * 16 + i % 2 * 8 + g;
        if (row >= op.rows) continue;
        const float x0 = part[i / 2][n][i % 2 * 2] + bias0, x1 = part[i / 2][n][i % 2 * 2 + 1] + bias1;
        const int64_t at = row * op.out_stride + output;
        if (op.out_f32) {
          float* to = static_cast<float*>(op.out) + at;
          if (pairs && both) {
            *reinterpret_cast<float2*>(to) = make_float2(x0, x1);
          } else {
            to[0] = x0;
            if (both) to[1] = x1;
          }
        } else {
          T* to = static_cast<T*>(op.out) + at;
          if (pairs && both) {
            *reinterpret_cast<uint32_t*>(to) = pack<T>(x0, x1);
          } else {
            to[0] = from_float<T>(x0);
            if (both) to[1] = from_float<T>(x1);
          }
        }
      }
    }
  }
};

// Block (x, y): rows 128 x .. and outputs OUTPUTS y .. ; OUTPUTS threads, shared memory for three stages of both tiles.
template <int W, typename T, int OUTPUTS>
__device__ void linear_many(const Linear<T>& op) {
  extern __shared__ __align__(128) uint8_t stages[];
  wait_for_previous();
  allow_next();
  const int first_row = blockIdx.x * kManyTile, first_output = blockIdx.y * OUTPUTS;
  const uint32_t base = shared_at(stages);
  const int steps = (op.columns + kManyColumns - 1) / kManyColumns;
  constexpr int kStageBytes = kXTileBytes + OUTPUTS * kManyColumns * 2;
  auto next = [](int stage) { return stage + 1 == kManyStages ? 0 : stage + 1; };
  auto x_tile = [&](int stage) { return base + stage * kStageBytes; };
  auto w_tile = [&](int stage) { return base + stage * kStageBytes + kXTileBytes; };
  WeightTile<W, T, OUTPUTS> weights;
  ManySums sums;
#pragma unroll
  for (int i = 0; i < 4 * 8 * 4; i++) sums.part[i / 32][i / 4 % 8][i % 4] = 0.f;

  for (int step = 0; step < kManyStages - 1; step++) {
    if (step < steps) {
      copy_x_tile<OUTPUTS>(op, x_tile(step), first_row, step * kManyColumns);
      weights.fetch(op, w_tile(step), first_output, step);
      weights.store(w_tile(step));
    }
    copies_commit();
  }
  int now = 0, free = kManyStages - 1;
  for (int step = 0; step < steps; step++) {
    copies_wait<kManyStages - 2>();
    __syncthreads();
    const int ahead = step + kManyStages - 1;
    if (ahead < steps) {
      copy_x_tile<OUTPUTS>(op, x_tile(free), first_row, ahead * kManyColumns);
      weights.fetch(op, w_tile(free), first_output, ahead);
    }
    copies_commit();
    sums.add<T>(x_tile(now), w_tile(now));
    if (ahead < steps) weights.store(w_tile(free));
    now = next(now);
    free = next(free);
  }
  sums.store(op, first_row, first_output);
}

// The kernels of one weight type and activation type: for up to 8, 16 and 32 rows, and for more.
#define LINEAR_FEW(name, W, T, type, path, rows)                                                              \
  extern "C" __global__ void __launch_bounds__(256, 2) linear_few_##name##_##type##_##rows(Linear<T> op) {    \
    linear_few_##path<W, T, rows / 8>(op);                                                                    \
  }
#define LINEAR_MANY(name, W, type)                                                                            \
  extern "C" __global__ void __launch_bounds__(128, 2) linear_many_##name##_##type(Linear<type> op) {         \
    linear_many<W, type, 128>(op);                                                                            \
  }
#define LINEAR_ONE(name, W, type, path)                                                                       \
  LINEAR_FEW(name, W, type, type, path, 8)                                                                    \
  LINEAR_FEW(name, W, type, type, path, 16)                                                                   \
  LINEAR_FEW(name, W, type, type, path, 32)                                                                   \
  LINEAR_MANY(name, W, type)
#define LINEAR(name, W, path)       \
  LINEAR_ONE(name, W, bf16, path)   \
  LINEAR_ONE(name, W, f16, path)
