// Products of many rows with 4-bit weights on Hopper. Weights are the first operand of warpgroup products: each warp copies the
// tiles of its own 16 outputs and turns them into operand registers, in T, while the product before runs; x comes through the
// copy engine. So nobody writes weights in T anywhere. Columns may be split over a cluster (linear-parts.cuh).
#include "common/copy-async.cuh"
#include "dequantize.cuh"
#include "linear-parts.cuh"

namespace {

// One warp loads x; with 256 rows a whole warpgroup, so that the consumers can have its registers.
constexpr int threads_of(int n) { return kConsumers + (n == 256 ? 128 : 32); }
constexpr int kWarps = kConsumers / 32;
constexpr int kUnitSteps = kUnit / kStepColumns;

// Shared memory: STAGES tiles [N, 64] of x, TILES tiles of weights a warp, the barriers of x. Sums, or the results, take the place of the first two.
template <int N, int STAGES, int TILES>
struct Layout {
  static constexpr int x_bytes = N * kStepColumns * 2;
  static constexpr int sum_bytes = N * kSumPitch * 4;
  static constexpr int used = STAGES * x_bytes + kWarps * TILES * kTileBytes;
  static constexpr int barriers = (used > sum_bytes ? used : sum_bytes) / 16 * 16 + 16;
  uint32_t base;

  __device__ __forceinline__ Layout(const char* raw) : base((shared_address(raw) + 1023) / 1024 * 1024) {}
  __device__ __forceinline__ uint32_t x(int stage) const { return base + stage * x_bytes; }
  __device__ __forceinline__ uint32_t weights(int warp) const { return base + STAGES * x_bytes + warp * TILES * kTileBytes; }
  __device__ __forceinline__ uint32_t full(int stage) const { return base + barriers + 16 * stage; }
  __device__ __forceinline__ uint32_t empty(int stage) const { return full(stage) + 8; }
};

// The tiles of a warp's 16 outputs, TILES of them on their way.
template <int TILES>
struct WeightRing {
  const uint8_t* from;  // the next tile
  uint32_t slots;
  int left, slot = 0;

  __device__ __forceinline__ WeightRing(const uint8_t* weight, uint32_t slots, int tile, int units, const Part& part)
      : from(weight + (static_cast<int64_t>(tile) * units + part.begin) * kTileBytes), slots(slots), left(part.steps()) {
    for (int i = 0; i < TILES; i++) fetch(i);
  }
  __device__ __forceinline__ void fetch(int to_slot) {
    const int lane = threadIdx.x % 32;
    const uint32_t to = slots + to_slot * kTileBytes;
    if (left-- > 0) {
      copy_async(to + lane * 16, from + lane * 16, true);
      copy_async(to + 512 + lane * 16, from + 512 + lane * 16, true);
      if (lane < kTileRows / 4) copy_async(to + kTileScales + lane * 16, from + kTileScales + lane * 16, true);
      from += kTileBytes;
    }
    copies_commit();
  }
  // The oldest tile's rows g and g + 8; its place takes the next one.
  __device__ __forceinline__ void take(Packed<kQ4_G128, 2>& low, Packed<kQ4_G128, 2>& high) {
    const int lane = threadIdx.x % 32;
    const uint32_t at = slots + slot * kTileBytes;
    copies_wait<TILES - 1>();
    __syncwarp();
    load_four(low.quant, at + lane * 16);
    load_four(high.quant, at + 512 + lane * 16);
    low.scale[0] = load_one(at + kTileScales + lane / 4 * 4);
    high.scale[0] = load_one(at + kTileScales + 32 + lane / 4 * 4);
    __syncwarp();
    fetch(slot);
    slot = slot + 1 == TILES ? 0 : slot + 1;
  }
  static __device__ __forceinline__ void load_four(uint32_t (&to)[4], uint32_t at) {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
  }
  static __device__ __forceinline__ uint32_t load_one(uint32_t at) {
    uint32_t v;
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(v) : "r"(at) : "memory");
    return v;
  }
};

// Operands of the four products of half a unit: groups 2 half and 2 half + 1.
template <typename T>
__device__ __forceinline__ void operands(uint32_t (&a)[16], const Packed<kQ4_G128, 2>& low, const Packed<kQ4_G128, 2>& high, int half) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    float x[8], y[8];
    low.numbers(2 * half + i, x);
    high.numbers(2 * half + i, y);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      a[8 * i + 2 * p] = pack<T>(x[2 * p], x[2 * p + 1]);
      a[8 * i + 2 * p + 1] = pack<T>(y[2 * p], y[2 * p + 1]);
    }
  }
}

template <typename T, int N, int STAGES, int TILES>
__device__ __forceinline__ void multiply(float (&acc)[N / 2], const Layout<N, STAGES, TILES>& shared, WeightRing<TILES>& ring, int units) {
#pragma unroll
  for (int i = 0; i < N / 2; i++) acc[i] = 0.f;
  pin(acc);
  Ring<STAGES> stages;
  int before = -1;
  uint32_t a[kUnitSteps][16];
#pragma unroll 1
  for (int unit = 0; unit < units; unit++) {
    Packed<kQ4_G128, 2> low, high;
    ring.take(low, high);
#pragma unroll
    for (int half = 0; half < kUnitSteps; half++) {
      operands<T>(a[half], low, high, half);
      barrier_wait(shared.full(stages.stage), stages.phase);
      const uint64_t b = tile_descriptor(shared.x(stages.stage));
      pin(a[half]);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; k++)
        wgmma_tile<T>(acc, a[half][4 * k], a[half][4 * k + 1], a[half][4 * k + 2], a[half][4 * k + 3], advance(b, 32 * k));
      wgmma_commit();
      wgmma_wait<1>();  // the step before is done: its operands and its tile of x are free
      if (before >= 0 && threadIdx.x % 32 == 0) barrier_arrive(shared.empty(before));
      before = stages.stage;
      stages.next();
    }
  }
  wgmma_wait<0>();
  pin(acc);
}

// Without splits and in T, a tile goes through shared memory as [N, 128] in T, so that rows are stored 16 bytes at a time.
constexpr int kOutPitch = kFirstRows * 2 + 16;

template <typename T>
__device__ __forceinline__ bool stores_directly(const LinearHopper& op, int splits) {
  return splits == 1 && !op.out_f32 && op.out_stride % 8 == 0 && reinterpret_cast<uintptr_t>(op.out) % 16 == 0;
}

template <typename T, int N>
__device__ __forceinline__ void store_tile(const float (&acc)[N / 2], const LinearHopper& op, const Part& part, uint32_t tile) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, output = part.first_output + 16 * warp + lane / 4;
  const float low = op.bias && output < op.outs ? op.bias[output] : 0.f;
  const float high = op.bias && output + 8 < op.outs ? op.bias[output + 8] : 0.f;
  const uint32_t to = tile + (lane / 16 * 8 + lane % 8) * kOutPitch + 32 * warp + lane / 8 % 2 * 16;
#pragma unroll
  for (int j = 0; j < N / 8; j += 2)
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to + 8 * j * kOutPitch),
                 "r"(pack<T>(acc[4 * j] + low, acc[4 * j + 1] + low)), "r"(pack<T>(acc[4 * j + 2] + high, acc[4 * j + 3] + high)),
                 "r"(pack<T>(acc[4 * j + 4] + low, acc[4 * j + 5] + low)), "r"(pack<T>(acc[4 * j + 6] + high, acc[4 * j + 7] + high))
                 : "memory");
  named_barrier(1, kConsumers);
  const int chunk = threadIdx.x % 16, at = part.first_output + 8 * chunk, rows = min(N, op.rows - part.first_row);
  for (int row = threadIdx.x / 16; row < rows; row += kConsumers / 16) {
    alignas(16) uint32_t eight[4];
    WeightRing<1>::load_four(eight, tile + row * kOutPitch + 16 * chunk);
    T* out = static_cast<T*>(op.out) + (part.first_row + row) * op.out_stride + at;
    if (at + 8 <= op.outs) {
      *reinterpret_cast<uint4*>(out) = *reinterpret_cast<uint4*>(eight);
    } else {
      for (int i = 0; i < op.outs - at; i++) out[i] = reinterpret_cast<const T*>(eight)[i];
    }
  }
}

template <int N, int STAGES, int TILES>
__device__ __forceinline__ void load_x(const Part& part, const CUtensorMap* x, const Layout<N, STAGES, TILES>& shared) {
  Ring<STAGES> ring;
  for (int step = kUnitSteps * part.begin; step < kUnitSteps * part.end; step++, ring.next()) {
    barrier_wait(shared.empty(ring.stage), ring.phase ^ 1);
    barrier_arrive_expect(shared.full(ring.stage), shared.x_bytes);
    copy_tile_2d(shared.x(ring.stage), x, shared.full(ring.stage), step * kStepColumns, part.first_row);
  }
}

template <typename T, int N, int STAGES, int TILES>
__device__ __forceinline__ void linear_four_bit(const LinearHopper& op, const uint8_t* weight, const CUtensorMap* x) {
  extern __shared__ char raw[];
  const Layout<N, STAGES, TILES> shared(raw);
  float* sums = reinterpret_cast<float*>(raw + (shared.base - shared_address(raw)));
  const int split = cluster_rank(), splits = cluster_blocks();
  const int units = (op.columns + kUnit - 1) / kUnit;
  const Part part = Part::of<N>(op, split, splits, units);
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < STAGES; stage++) {
      barrier_init(shared.full(stage), 1);
      barrier_init(shared.empty(stage), kWarps);
    }
    barrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < kConsumers) {
    if constexpr (N == 256) registers_grow<232>();
    const int warp = threadIdx.x / 32, last = (op.outs + kTileRows - 1) / kTileRows - 1;
    WeightRing<TILES> ring(weight, shared.weights(warp), min(part.first_output / kTileRows + warp, last), units, part);
    wait_for_previous();
    allow_next();
    float acc[N / 2];
    multiply<T, N, STAGES, TILES>(acc, shared, ring, part.steps());
    named_barrier(1, kConsumers);  // nobody reads tiles any more
    if (stores_directly<T>(op, splits)) {
      store_tile<T, N>(acc, op, part, shared.base);
      return;
    }
    write_sums<N>(acc, sums);
  } else {
    if constexpr (N == 256) registers_shrink<32>();
    if (threadIdx.x == kConsumers) {
      wait_for_previous();
      load_x(part, x, shared);
    }
    if (stores_directly<T>(op, splits)) return;
  }
  blocks_sync(splits);
  if (threadIdx.x < kConsumers) add_sums<T, N>(op, part, shared.base, split, splits);
  blocks_leave(splits);
}

}  // namespace

// Grid: (row tiles x tiles of 128 outputs x splits), in clusters of `splits` blocks, at most 8 and no more than there are units
// of 128 columns. Map: x [rows, columns] in boxes of [N, 64].
#define LINEAR_FOUR_BIT_ONE(T, N, STAGES, TILES, BLOCKS)                                                                       \
  extern "C" __global__ void __launch_bounds__(threads_of(N), BLOCKS)                                                             \
      linear_four_bit_##T##_##N(const __grid_constant__ LinearHopper op, const uint8_t* weight, const __grid_constant__ CUtensorMap x) { \
    linear_four_bit<T, N, STAGES, TILES>(op, weight, &x);                                                                      \
  }
#define LINEAR_FOUR_BIT(N, STAGES, TILES, BLOCKS)         \
  LINEAR_FOUR_BIT_ONE(bf16, N, STAGES, TILES, BLOCKS)     \
  LINEAR_FOUR_BIT_ONE(f16, N, STAGES, TILES, BLOCKS)

LINEAR_FOUR_BIT(32, 6, 6, 2)
LINEAR_FOUR_BIT(64, 6, 4, 2)
LINEAR_FOUR_BIT(128, 6, 4, 1)
LINEAR_FOUR_BIT(256, 4, 4, 1)
