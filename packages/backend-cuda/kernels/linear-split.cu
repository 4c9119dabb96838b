// Products of some rows on Hopper, bound by reading weights: tiles of 128 outputs x N rows, the columns of a tile split over
// the blocks of a cluster. Their sums meet in shared memory and are added in the blocks' order, so that equal calls give
// equal bits.
#include "linear-parts.cuh"

namespace {

constexpr int kThreads = kConsumers + 32;

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

template <typename T, int N, int STAGES>
__device__ __forceinline__ void linear_split(const LinearHopper& op, const CUtensorMap* x, const CUtensorMap* weight) {
  extern __shared__ char raw[];
  const Buffers<N, STAGES> buffers(raw);
  static_assert(N * kSumPitch * 4 <= STAGES * buffers.bytes, "sums take the place of the buffers");
  float* sums = reinterpret_cast<float*>(raw + (buffers.base - shared_address(raw)));
  const int split = cluster_rank(), splits = cluster_blocks();
  const Part part = Part::of<N>(op, split, splits, steps_of(op));
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
