// out = x · weightᵀ + bias for weights of 4 bits in groups of 128 and very few rows, in whole numbers: x becomes multiples of 2^-23 of
// the largest number of its unit, whose three bytes are three columns of m16n8k32 products with the weights' 4 bits. Such sums are
// exact, a row of x leaves the columns of a product unused anyway, and it takes 3 instructions for 8 weights where operands of
// bf16 take 11: those, not memory, are what a multiprocessor would wait for. The code is short, too, since it runs once a block
// and comes from L2: loops over x and over the first copies are not unrolled.
#pragma once
#include "linear-stream-four-bit.cuh"

__device__ __forceinline__ void mma_whole(int (&acc)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(acc[0]), "+r"(acc[1]), "+r"(acc[2]), "+r"(acc[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// What belongs to a product in a decoder's layer: the RMS norm before it (`gains` [columns], or null), whose factor waits for the
// sums, and where the results are added, rounded and times `scale`: the residual stream [rows, outs], or null for op.out.
template <typename T>
struct Around {
  const float* gains;
  T* stream;
  int64_t stream_stride;
  float epsilon, scale;
};

// x [rows, columns] as whole numbers in shared memory: [rows, units, 2 halves] of 3 bytes' planes [4 lanes] x 16 bytes, in the
// order in which q4_g128 words give their numbers, then the units' steps. A half takes 16 bytes more, so that a warp's stores fall
// into different banks.
struct WholeRows {
  static constexpr float kMost = 8323072.f;  // 127 * 2^16: with signs, no byte of a rounded number runs over
  static constexpr int kHalfBytes = 208, kUnitBytes = 2 * kHalfBytes + 4;
  uint8_t* planes;
  float* steps;  // [rows, units]
  int units;

  static __device__ __forceinline__ int bytes(int rows, int units) { return units * rows * kUnitBytes; }
  __device__ __forceinline__ WholeRows(uint8_t* at, int rows, int units)
      : planes(at), steps(reinterpret_cast<float*>(at + units * rows * 2 * kHalfBytes)), units(units) {}

  // A thread's gains of the norm, of its i-th columns: they come from memory, so the first are asked for early.
  struct Gains {
    float4 of[4];
    __device__ __forceinline__ void load(const float* gains, int i) {
#pragma unroll
      for (int c = 0; c < 4; c++) of[c] = __ldg(reinterpret_cast<const float4*>(gains + column(i) + c / 2 * 16 + c % 2 * 4));
    }
  };

  // All of x, by the whole block: a thread takes 8 columns and the 8 sixteen further, 8 threads a unit. With a norm, `squares`
  // [rows][WARPS] get each warp's part of the sums of squares; `gain` holds the thread's first.
  template <typename T, int WARPS>
  __device__ __forceinline__ void put(const Linear<T>& op, const float* gains, Gains& gain, float (*squares)[WARPS]) const {
    const int count = op.columns / 16;
    const bool several = count > static_cast<int>(blockDim.x);
#pragma unroll 1
    for (int row = 0; row < op.rows; row++) {
      float sum = 0.f;
      uint32_t x[8], next[8];
      int i = threadIdx.x;
      if (i < count) load(op, row, i, next);
#pragma unroll 1
      for (; i < count; i += blockDim.x) {
#pragma unroll
        for (int p = 0; p < 8; p++) x[p] = next[p];
        if (i + static_cast<int>(blockDim.x) < count) load(op, row, i + blockDim.x, next);
        float v[16];
#pragma unroll
        for (int p = 0; p < 8; p++) {
          const float2 pair = unpack<T>(x[p]);
          v[2 * p] = pair.x, v[2 * p + 1] = pair.y;
        }
        if (gains) {
          if (several) gain.load(gains, i);
#pragma unroll
          for (int c = 0; c < 4; c++) {
            float* of = v + 4 * c;
            sum += of[0] * of[0] + of[1] * of[1] + of[2] * of[2] + of[3] * of[3];
            of[0] *= gain.of[c].x, of[1] *= gain.of[c].y, of[2] *= gain.of[c].z, of[3] *= gain.of[c].w;
          }
        }
        put_columns(row * units + i / 8, i % 8, v);
      }
      if (gains) {
        for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, lanes);
        if (threadIdx.x % 32 == 0) squares[row][threadIdx.x / 32] = sum;
      }
    }
    __syncthreads();
  }

  static __device__ __forceinline__ int column(int i) { return i / 2 * 32 + i % 2 * 8; }

  // The 16 columns from column(i) on, in pairs.
  template <typename T>
  static __device__ __forceinline__ void load(const Linear<T>& op, int row, int i, uint32_t (&x)[8]) {
    if (op.vectors) {
      const uint4* from = reinterpret_cast<const uint4*>(op.x + row * op.x_stride + column(i));
      const uint4 first = from[0], second = from[2];
      x[0] = first.x, x[1] = first.y, x[2] = first.z, x[3] = first.w;
      x[4] = second.x, x[5] = second.y, x[6] = second.z, x[7] = second.w;
      return;
    }
    const uint16_t* from = reinterpret_cast<const uint16_t*>(op.x + row * op.x_stride + column(i));
#pragma unroll
    for (int p = 0; p < 8; p++) {
      const int at = p / 4 * 16 + p % 4 * 2;
      x[p] = from[at] | static_cast<uint32_t>(from[at + 1]) << 16;
    }
  }

  // `unit` is counted over all rows.
  __device__ __forceinline__ void put_columns(int unit, int part, const float (&v)[16]) const {
    // Compared as bits, so that a NaN counts as the largest and makes the step and every result one.
    uint32_t most = 0;
#pragma unroll
    for (int c = 0; c < 16; c++) most = max(most, __float_as_uint(fabsf(v[c])));
    const uint32_t threads = 0xFFu << (threadIdx.x % 32 & 24);
#pragma unroll
    for (int lanes = 4; lanes > 0; lanes /= 2) most = max(most, __shfl_xor_sync(threads, most, lanes));
    const float largest = __uint_as_float(most), inverse = largest > 1e-30f ? __fdividef(kMost, largest) : 0.f;
    if (part == 0) steps[unit] = largest * (1.f / kMost);
    // Signed bytes are those of the number plus 128 in each, less 128.
    uint32_t whole[16];
#pragma unroll
    for (int c = 0; c < 16; c++) whole[c] = __float2int_rn(v[c] * inverse) + 0x808080;
    uint8_t* to = planes + (unit * 2 + part / 4) * kHalfBytes + part % 4 * 4;
#pragma unroll
    for (int t = 0; t < 4; t++)
#pragma unroll
      for (int byte = 0; byte < 3; byte++) {
        const uint32_t which = byte | (4 + byte) << 4;
        const uint32_t even = __byte_perm(whole[2 * t], whole[8 + 2 * t], which), odd = __byte_perm(whole[2 * t + 1], whole[9 + 2 * t], which);
        *reinterpret_cast<uint32_t*>(to + byte * 64 + t * 16) = __byte_perm(even, odd, 0x5410) ^ 0x80808080u;
      }
  }

  // Second operands of a unit's four products; column n is byte n % 4 of row n / 4, and the fourth of a row counts for nothing.
  __device__ __forceinline__ void operands(int unit, int n, int rows, uint32_t (&to)[8]) const {
    const uint8_t* from = planes + (min(n / 4, rows - 1) * units + unit) * 2 * kHalfBytes + min(n % 4, 2) * 64 + threadIdx.x % 4 * 16;
#pragma unroll
    for (int half = 0; half < 2; half++) *reinterpret_cast<uint4*>(&to[4 * half]) = *reinterpret_cast<const uint4*>(from + half * kHalfBytes);
  }
  __device__ __forceinline__ float step(int unit, int row, int rows) const { return steps[min(row, rows - 1) * units + unit]; }
};

// Sums of a warp's R x 16 outputs x 2 NT rows: of outputs g and g + 8, lane 2i those of the lower two bytes of row i, lane 2i + 1
// those of the third.
template <int R, int NT, int WARPS>
struct WholeSums {
  struct Shared {
    float parts[2][WARPS][4 * NT][R * kStreamOutputs + 1];
    float squares[2 * NT][WARPS];
  };
  float part[R][NT][2] = {};

  __device__ __forceinline__ void add(const uint8_t* stage, const WholeRows& x, int unit, int rows) {
    const int lane = threadIdx.x % 32, g = lane / 4, second = lane % 2 == 0 ? 256 : 0;
    alignas(16) uint32_t b[NT][8];
    float all[NT], steps[NT];  // the unit's numbers added up, for the zero points
#pragma unroll
    for (int n = 0; n < NT; n++) {
      x.operands(unit, 8 * n + g, rows, b[n]);
      constexpr uint32_t kOnes = 0x01010101u;
      int sum[4] = {};
#pragma unroll
      for (int j = 0; j < 4; j++) mma_whole(sum, kOnes, kOnes, kOnes, kOnes, b[n][2 * j], b[n][2 * j + 1]);
      all[n] = static_cast<float>(sum[1] * second + sum[0]);
      steps[n] = x.step(unit, 2 * n + lane % 4 / 2, rows);
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
      const uint8_t* tile = stage + r * kTileBytes;
      const uint4 low = reinterpret_cast<const uint4*>(tile)[lane], high = reinterpret_cast<const uint4*>(tile)[32 + lane];
      const uint32_t* scales = reinterpret_cast<const uint32_t*>(tile + kTileScales);
      const uint32_t pair[2] = {scales[g], scales[g + 8]};
      int product[NT][4] = {};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        constexpr uint32_t kLow = 0x0F0F0F0Fu;
        const uint32_t l = (&low.x)[j], h = (&high.x)[j];
#pragma unroll
        for (int n = 0; n < NT; n++)
          mma_whole(product[n], l & kLow, h & kLow, l >> 4 & kLow, h >> 4 & kLow, b[n][2 * j], b[n][2 * j + 1]);
      }
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float scale = half_bits(pair[half] & 0xFFFF), zero = half_bits(pair[half] >> 16);
#pragma unroll
        for (int n = 0; n < NT; n++) {
          const float sum = static_cast<float>(product[n][2 * half + 1] * second + product[n][2 * half]);
          part[r][n][half] = fmaf(scale * steps[n], fmaf(-zero, all[n], sum), part[r][n][half]);
        }
      }
    }
  }

  __device__ __forceinline__ void share(Shared& shared, int turn) const {
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    auto& parts = shared.parts[turn % 2];
#pragma unroll
    for (int i = 0; i < R * NT * 2; i++) parts[warp][4 * (i / 2 % NT) + t][kStreamOutputs * (i / 2 / NT) + g + i % 2 * 8] = part[i / 2 / NT][i / 2 % NT][i % 2];
    __syncthreads();
  }
  static __device__ __forceinline__ float total(const Shared& shared, int turn, int row, int in_tile) {
    float lower = 0.f, third = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) lower += shared.parts[turn % 2][w][2 * row][in_tile], third += shared.parts[turn % 2][w][2 * row + 1][in_tile];
    return fmaf(third, 65536.f, lower);
  }
};

// The result that a thread makes of a tile, if any. Threads take turns, so that no warp is always the last.
template <typename T, typename Order, int R, int THREADS>
struct WholeResult {
  static constexpr bool kGated = std::is_same<Order, Gated>::value;
  static constexpr int kResults = kGated ? kStreamOutputs : R * kStreamOutputs;
  int row, in_tile, output;
  T before;

  __device__ __forceinline__ WholeResult(const Linear<T>& op, const Around<T>& around, int tile, int turn) {
    const int i = (threadIdx.x + 32 * turn) % THREADS;
    row = i / kResults, in_tile = i % kResults, output = tile * kResults + in_tile;
    if (row >= op.rows || output >= (kGated ? op.outs / 2 : op.outs)) row = -1;
    // On its way while the products are made.
    if (row >= 0 && around.stream) before = around.stream[row * around.stream_stride + output];
  }

  template <typename Sums>
  __device__ __forceinline__ void store(const Linear<T>& op, const Around<T>& around, const typename Sums::Shared& shared, int turn) const {
    if (row < 0) return;
    float factor = 1.f;
    if (around.gains) {
      float squares = 0.f;
#pragma unroll
      for (int w = 0; w < THREADS / 32; w++) squares += shared.squares[row][w];
      factor = rsqrtf(__fdividef(squares, static_cast<float>(op.columns)) + around.epsilon);
    }
    // As separate ops would round it.
    auto rounded = [&](int at, float bias = 0.f) { return to_float(from_float<T>(factor * Sums::total(shared, turn, row, at) + bias)); };
    if constexpr (kGated)
      op.store(row, output, gated(rounded(in_tile), rounded(kStreamOutputs + in_tile)));
    else if (around.stream)
      around.stream[row * around.stream_stride + output] = from_float<T>(to_float(before) + around.scale * rounded(in_tile, op.bias ? op.bias[output] : 0.f));
    else
      op.store(row, output, factor * Sums::total(shared, turn, row, in_tile));
  }
};

// A warp's way through the weights: R tiles at a time of units warp, warp + WARPS, .. of the block's tiles of outputs.
template <typename T, typename Order, int R, int WARPS>
struct WholeCopies {
  const uint8_t* from[R];
  int tile, unit;

  __device__ __forceinline__ void begin(const Linear<T>& op, int first, int units) {
    tile = first, unit = threadIdx.x / 32;
    const int last = (op.outs - 1) / kTileRows;
#pragma unroll
    for (int r = 0; r < R; r++)
      from[r] = static_cast<const uint8_t*>(op.weight) + (static_cast<int64_t>(min(Order::tile(tile, r, op.outs), last)) * units + unit) * kTileBytes + threadIdx.x % 32 * 16;
  }
  __device__ __forceinline__ void next(const Linear<T>& op, uint32_t to, int tiles, int units) {
    if (tile < tiles) {
      const int lane = threadIdx.x % 32;
#pragma unroll
      for (int r = 0; r < R; r++, to += kTileBytes) {
        copy_async(to + lane * 16, from[r], true);
        copy_async(to + lane * 16 + 512, from[r] + 512, true);
        if (lane < kTileRows / 4) copy_async(to + lane * 16 + kTileScales, from[r] + kTileScales, true);
        from[r] += WARPS * kTileBytes;
      }
      unit += WARPS;
      if (unit >= units) begin(op, tile + gridDim.x, units);
    }
    copies_commit();
  }
};

// Up to 2 NT rows; a warp takes R tiles of outputs at a time. Shared memory: STAGES times as many a warp, x, then the sums.
template <typename T, typename Order, int R, int NT, int WARPS, int STAGES>
__device__ void linear_whole(const Linear<T>& op, const Around<T>& around) {
  typedef WholeSums<R, NT, WARPS> Sums;
  static_assert(R * kStreamOutputs * 2 * NT <= 32 * WARPS, "a thread makes one result at most");
  constexpr int kBytes = R * kTileBytes;
  extern __shared__ __align__(128) uint8_t ring[];
  const int warp = threadIdx.x / 32, tiles = Order::tiles(op.outs), units = op.columns / kUnit;
  uint8_t* slots = ring + warp * STAGES * kBytes;
  const WholeRows x(ring + WARPS * STAGES * kBytes, op.rows, units);
  auto& shared = *reinterpret_cast<typename Sums::Shared*>(x.planes + WholeRows::bytes(op.rows, units));
  WholeCopies<T, Order, R, WARPS> copies;
  copies.begin(op, warp < units ? static_cast<int>(blockIdx.x) : tiles, units);
#pragma unroll 1
  for (int slot = 0; slot < STAGES; slot++) copies.next(op, shared_at(slots + slot * kBytes), tiles, units);  // depends on no earlier kernel
  WholeRows::Gains gains;
  if (around.gains && 16 * static_cast<int>(threadIdx.x) < op.columns) gains.load(around.gains, threadIdx.x);
  wait_for_previous();
  allow_next();
  x.put(op, around.gains, gains, shared.squares);
  int slot = 0, turn = 0;
#pragma unroll 1
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn++) {
    const WholeResult<T, Order, R, 32 * WARPS> result(op, around, tile, turn);
    Sums sums;
#pragma unroll 1
    for (int unit = warp; unit < units; unit += WARPS) {
      uint8_t* stage = slots + slot * kBytes;
      copies_wait<STAGES - 1>();
      __syncwarp();
      sums.add(stage, x, unit, op.rows);
      __syncwarp();
      copies.next(op, shared_at(stage), tiles, units);
      slot = slot + 1 == STAGES ? 0 : slot + 1;
    }
    sums.share(shared, turn);
    result.template store<Sums>(op, around, shared, turn);
  }
}
