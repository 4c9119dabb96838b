// Products of some rows on Hopper, bound by reading weights: tiles of 128 outputs x N rows, the columns of a tile split over
// the blocks of a cluster. Their sums meet in shared memory and are added in the blocks' order, so that equal calls give
// equal bits.
#include "linear-hopper.cuh"

namespace {

constexpr int kThreads = kConsumers + 32;
constexpr int kMostSplits = 8;
// Floats from one row of a block's sums [N, 128] to the next: columns of a warp's accumulators fall into different banks.
constexpr int kSumPitch = kFirstRows + 4;

// The part of a product that a block makes.
struct Part {
  int first_row, first_output, begin, end;  // steps

  template <int N>
  static __device__ __forceinline__ Part of(const LinearHopper& op, int split, int splits) {
    const int tile = blockIdx.x / splits, row_tiles = (op.rows + N - 1) / N, steps = steps_of(op);
    return {tile % row_tiles * N, tile / row_tiles * kFirstRows, steps * split / splits, steps * (split + 1) / splits};
  }
  __device__ __forceinline__ int steps() const { return end - begin; }
};

// The first weights are on their way before the kernel waits for the launch before it, which must not be their own writing.
template <int N, int STAGES>
__device__ __forceinline__ void load_part(const Part& part, const CUtensorMap* x, const CUtensorMap* weight,
                                          const Buffers<N, STAGES>& buffers) {
  Ring<STAGES> ring;
  auto load_weights = [&](int step) {
    barrier_arrive_expect(buffers.full(ring.stage), buffers.bytes);
    copy_tile_2d(buffers.first(ring.stage), weight, buffers.full(ring.stage), step * kStepColumns, part.first_output);
  };
  auto load_x = [&](int step) {
    copy_tile_2d(buffers.second(ring.stage), x, buffers.full(ring.stage), step * kStepColumns, part.first_row);
  };
  const int early = min(part.begin + STAGES, part.end);
  for (int step = part.begin; step < early; step++, ring.next()) load_weights(step);
  wait_for_previous();
  ring = Ring<STAGES>();
  for (int step = part.begin; step < early; step++, ring.next()) load_x(step);
  for (int step = early; step < part.end; step++, ring.next()) {
    barrier_wait(buffers.empty(ring.stage), ring.phase ^ 1);
    load_weights(step);
    load_x(step);
  }
}

// A thread's accumulators, outputs down and rows across, into the block's sums.
template <int N>
__device__ __forceinline__ void write_sums(const float (&acc)[N / 2], float* sums) {
  const int lane = threadIdx.x % 32, output = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < N / 2; i++) {
    const int row = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
    sums[row * kSumPitch + output + i / 2 % 2 * 8] = acc[i];
  }
}

template <typename T>
__device__ __forceinline__ void store_four(float4 v, const LinearHopper& op, int row, int output) {
  const float four[4] = {v.x, v.y, v.z, v.w};
  const int64_t at = row * op.out_stride + output;
  const int bytes = op.out_f32 ? 16 : 8;
  float* floats = static_cast<float*>(op.out) + at;
  T* halves = static_cast<T*>(op.out) + at;
  if (output + 4 <= op.outs && op.out_stride % 4 == 0 && reinterpret_cast<uintptr_t>(op.out) % bytes == 0) {
    if (op.out_f32)
      *reinterpret_cast<float4*>(floats) = v;
    else
      *reinterpret_cast<uint2*>(halves) = make_uint2(pack<T>(v.x, v.y), pack<T>(v.z, v.w));
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (output + i >= op.outs) break;
    if (op.out_f32)
      floats[i] = four[i];
    else
      halves[i] = from_float<T>(four[i]);
  }
}

// Adds the blocks' sums of every `splits`-th row and stores them.
template <typename T, int N>
__device__ __forceinline__ void add_sums(const LinearHopper& op, const Part& part, uint32_t sums, int split, int splits) {
  const int quad = threadIdx.x % 32 * 4, output = part.first_output + quad;
  if (output >= op.outs) return;
  float bias[4] = {};
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (op.bias && output + i < op.outs) bias[i] = op.bias[output + i];
  const int rows = min(N, op.rows - part.first_row);
  for (int row = split + threadIdx.x / 32 * splits; row < rows; row += kConsumers / 32 * splits) {
    const uint32_t at = sums + (row * kSumPitch + quad) * 4;
    float4 of_split[kMostSplits];
#pragma unroll
    for (int s = 0; s < kMostSplits; s++)
      if (s < splits) of_split[s] = load_four_in(address_in(at, s));
    float4 sum = of_split[0];
#pragma unroll
    for (int s = 1; s < kMostSplits; s++) {
      if (s >= splits) break;
      sum.x += of_split[s].x;
      sum.y += of_split[s].y;
      sum.z += of_split[s].z;
      sum.w += of_split[s].w;
    }
    store_four<T>(make_float4(sum.x + bias[0], sum.y + bias[1], sum.z + bias[2], sum.w + bias[3]), op, part.first_row + row, output);
  }
}

template <typename T, int N, int STAGES>
__device__ __forceinline__ void linear_split(const LinearHopper& op, const CUtensorMap* x, const CUtensorMap* weight) {
  extern __shared__ char raw[];
  const Buffers<N, STAGES> buffers(raw);
  static_assert(N * kSumPitch * 4 <= STAGES * buffers.bytes, "sums take the place of the buffers");
  float* sums = reinterpret_cast<float*>(raw + (buffers.base - shared_address(raw)));
  const int split = cluster_rank(), splits = cluster_blocks();
  const Part part = Part::of<N>(op, split, splits);
  if (threadIdx.x == 0) buffers.init(1);
  __syncthreads();
  if (threadIdx.x < kConsumers) {
    wait_for_previous();
    allow_next();
    Ring<STAGES> ring;
    float acc[N / 2];
    multiply_steps<T>(acc, buffers, ring, part.steps(), [&](int stage) {
      if (threadIdx.x % 32 == 0) barrier_arrive(buffers.empty(stage));
    });
    named_barrier(1, kConsumers);  // neither warpgroup reads tiles any more
    write_sums<N>(acc, sums);
  } else if (threadIdx.x == kConsumers) {
    load_part(part, x, weight, buffers);
  }
  blocks_sync(splits);
  if (threadIdx.x < kConsumers) add_sums<T, N>(op, part, buffers.base, split, splits);
  blocks_leave(splits);
}

}  // namespace

// Grid: (row tiles x tiles of 128 outputs x splits), in clusters of `splits` blocks, at most 8 and no more than there are
// steps of 64 columns. Maps: x [rows, columns] in boxes of [N, 64], the weight [outs, columns] in boxes of [128, 64].
// BLOCKS that share a multiprocessor have 113 KiB of shared memory each.
#define LINEAR_SPLIT_ONE(T, N, STAGES, BLOCKS)                                                                      \
  extern "C" __global__ void __launch_bounds__(kThreads, BLOCKS)                                              \
      linear_split_##T##_##N(const __grid_constant__ LinearHopper op, const __grid_constant__ CUtensorMap x,        \
                             const __grid_constant__ CUtensorMap weight) {                                          \
    linear_split<T, N, STAGES>(op, &x, &weight);                                                                    \
  }
#define LINEAR_SPLIT(N, STAGES, BLOCKS)         \
  LINEAR_SPLIT_ONE(bf16, N, STAGES, BLOCKS)     \
  LINEAR_SPLIT_ONE(f16, N, STAGES, BLOCKS)

LINEAR_SPLIT(16, 6, 2)
LINEAR_SPLIT(32, 5, 2)
LINEAR_SPLIT(64, 4, 2)
LINEAR_SPLIT(128, 3, 2)
LINEAR_SPLIT(256, 4, 1)
