// Products of many rows on Hopper: tiles of 128 rows x 192 or 256 outputs, each block taking every n-th of them. Two blocks
// in a cluster make neighbouring rows of the same outputs: each loads half of the weights for both, so that L2 serves 128
// (192 wide: 110) FLOP a byte instead of 85 (77).
#include "linear-hopper.cuh"

namespace {

// The loading warp brings three idle ones: registers move between whole warpgroups. 288 threads would do no better than 168
// registers each, since one of the four schedulers then has three warps; storing 128 accumulators takes more.
constexpr int kThreads = kConsumers + 128;
constexpr int kBandRows = 2048;  // rows that are gone through together for all outputs: what is read again stays in L2

// Numbers tiles so that those of one moment share rows and weights. A unit is the rows of a cluster.
struct TileOrder {
  int units, across, band;

  __device__ __forceinline__ TileOrder(const LinearHopper& op, int blocks, int width)
      : units((op.rows + blocks * kFirstRows - 1) / (blocks * kFirstRows)),
        across((op.outs + width - 1) / width),
        band(kBandRows / (blocks * kFirstRows)) {}
  __device__ __forceinline__ int count() const { return units * across; }
  // The tile's unit and its place across.
  __device__ __forceinline__ int2 at(int index) const {
    const int first = index / (band * across) * band, height = min(band, units - first), rest = index % (band * across);
    return make_int2(first + rest % height, rest / height);
  }
};

template <int N, int STAGES>
__device__ __forceinline__ void load_tiles(const LinearHopper& op, const CUtensorMap* x, const CUtensorMap* weight,
                                           const Buffers<N, STAGES>& buffers, int rank, int blocks) {
  const TileOrder order(op, blocks, N);
  const int steps = steps_of(op);
  Ring<STAGES> ring;
  for (int index = blockIdx.x / blocks; index < order.count(); index += gridDim.x / blocks) {
    const int2 tile = order.at(index);
    const int row = (tile.x * blocks + rank) * kFirstRows, output = tile.y * N;
    for (int step = 0; step < steps; step++) {
      // Empty in all blocks of the cluster, since this block's half of the weights goes to all. The others' halves may come
      // before this barrier expects them: it cannot complete without this arrival.
      const uint32_t full = buffers.full(ring.stage);
      barrier_wait(buffers.empty(ring.stage), ring.phase ^ 1);
      barrier_arrive_expect(full, buffers.bytes);
      copy_tile_2d(buffers.first(ring.stage), x, full, step * kStepColumns, row);
      for (int half = rank; half < 2; half += blocks) {
        const uint32_t to = buffers.second(ring.stage) + half * (N / 2) * kStepColumns * 2;
        if (blocks > 1)
          copy_tile_2d_to_all(to, weight, full, step * kStepColumns, output + half * (N / 2), blocks);
        else
          copy_tile_2d(to, weight, full, step * kStepColumns, output + half * (N / 2));
      }
      ring.next();
    }
  }
}

// Four neighbouring lanes hold columns 8 j + 2 t, + 1 of one row in words[j]; afterwards lane t holds columns 8 t .. 8 t + 7.
__device__ __forceinline__ void gather_eight(uint32_t (&words)[4]) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const uint32_t got = __shfl_xor_sync(0xFFFFFFFFu, odd ? words[i] : words[i + 1], 1);
    (odd ? words[i] : words[i + 1]) = got;
  }
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const uint32_t got = __shfl_xor_sync(0xFFFFFFFFu, upper ? words[i] : words[i + 2], 2);
    (upper ? words[i] : words[i + 2]) = got;
  }
}

// 16 sums of a thread, columns 8 j + 2 t, + 1 of 32 in rows `row` and `row` + 8.
template <typename T>
__device__ __forceinline__ void store_chunk(const float* sums, const LinearHopper& op, int row, int output) {
  const int t = threadIdx.x % 4;
  const int64_t at = row * op.out_stride + output, below = at + 8 * op.out_stride;
  const bool whole = output + 32 <= op.outs, in[2] = {row < op.rows, row + 8 < op.rows};
  const uintptr_t address = reinterpret_cast<uintptr_t>(op.out);
  if (op.out_f32 && whole && address % 8 == 0 && op.out_stride % 2 == 0) {
    float* to = static_cast<float*>(op.out) + 2 * t;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (in[0]) *reinterpret_cast<float2*>(to + at + 8 * j) = make_float2(sums[4 * j], sums[4 * j + 1]);
      if (in[1]) *reinterpret_cast<float2*>(to + below + 8 * j) = make_float2(sums[4 * j + 2], sums[4 * j + 3]);
    }
  } else if (!op.out_f32 && whole && address % 16 == 0 && op.out_stride % 8 == 0) {
    T* to = static_cast<T*>(op.out) + 8 * t;
    uint32_t upper[4], lower[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
      upper[j] = pack<T>(sums[4 * j], sums[4 * j + 1]);
      lower[j] = pack<T>(sums[4 * j + 2], sums[4 * j + 3]);
    }
    gather_eight(upper);
    gather_eight(lower);
    if (in[0]) *reinterpret_cast<uint4*>(to + at) = make_uint4(upper[0], upper[1], upper[2], upper[3]);
    if (in[1]) *reinterpret_cast<uint4*>(to + below) = make_uint4(lower[0], lower[1], lower[2], lower[3]);
  } else {
#pragma unroll
    for (int i = 0; i < 16; i++) {
      const int column = 8 * (i / 4) + 2 * t + i % 2;
      if (!in[i / 2 % 2] || output + column >= op.outs) continue;
      const int64_t to = (i / 2 % 2 ? below : at) + column;
      if (op.out_f32)
        static_cast<float*>(op.out)[to] = sums[i];
      else
        static_cast<T*>(op.out)[to] = from_float<T>(sums[i]);
    }
  }
}

template <typename T, int N>
__device__ __forceinline__ void store_tile(float (&acc)[N / 2], const LinearHopper& op, int first_row, int first_output) {
  const int row = first_row + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
#pragma unroll
  for (int chunk = 0; chunk < N / 32; chunk++) {
    const int output = first_output + 32 * chunk;
    if (output >= op.outs) break;
    float* sums = acc + 16 * chunk;
    if (op.bias) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int column = output + 8 * (i / 2) + 2 * (threadIdx.x % 4) + i % 2;
        const float bias = column < op.outs ? op.bias[column] : 0.f;
        sums[i / 2 * 4 + i % 2] += bias;
        sums[i / 2 * 4 + i % 2 + 2] += bias;
      }
    }
    store_chunk<T>(sums, op, row, output);
  }
}

template <typename T, int N, int STAGES>
__device__ __forceinline__ void multiply_tiles(const LinearHopper& op, const Buffers<N, STAGES>& buffers, int rank, int blocks) {
  const TileOrder order(op, blocks, N);
  const int steps = steps_of(op), lane = threadIdx.x % 32;
  Ring<STAGES> ring;
  // A warp tells all blocks that load into its buffer.
  auto release = [&](int stage) {
    if (blocks == 1) {
      if (lane == 0) barrier_arrive(buffers.empty(stage));
    } else if (lane < blocks) {
      barrier_arrive_in(address_in(buffers.empty(stage), lane));
    }
  };
  for (int index = blockIdx.x / blocks; index < order.count(); index += gridDim.x / blocks) {
    const int2 tile = order.at(index);
    float acc[N / 2];
    multiply_steps<T>(acc, buffers, ring, steps, release);
    store_tile<T, N>(acc, op, (tile.x * blocks + rank) * kFirstRows, tile.y * N);
  }
}

template <typename T, int N, int STAGES>
__device__ __forceinline__ void linear_tiles(const LinearHopper& op, const CUtensorMap* x, const CUtensorMap* weight) {
  extern __shared__ char raw[];
  const Buffers<N, STAGES> buffers(raw);
  const int rank = cluster_rank(), blocks = cluster_blocks();
  if (threadIdx.x == 0) buffers.init(blocks);
  blocks_sync(blocks);  // copies of the others come to barriers that are ready
  wait_for_previous();
  allow_next();
  if (threadIdx.x < kConsumers) {
    registers_grow<232>();
    multiply_tiles<T>(op, buffers, rank, blocks);
    blocks_leave(blocks);
  } else {
    registers_shrink<32>();
    if (threadIdx.x == kConsumers) load_tiles(op, x, weight, buffers, rank, blocks);
    blocks_leave(blocks);  // in either branch: code after both would have to do with the loading warps' registers
  }
}

}  // namespace

// Grid: as many blocks as run at once, in clusters of one or two. Maps: x [rows, columns] in boxes of [128, 64], the weight
// [outs, columns] in boxes of [width / 2, 64].
#define LINEAR_TILES_ONE(T, WIDTH, STAGES)                                                                         \
  extern "C" __global__ void __launch_bounds__(kThreads, 1)                                                  \
      linear_tiles_##T##_##WIDTH(const __grid_constant__ LinearHopper op, const __grid_constant__ CUtensorMap x,   \
                                 const __grid_constant__ CUtensorMap weight) {                                     \
    linear_tiles<T, WIDTH, STAGES>(op, &x, &weight);                                                               \
  }
#define LINEAR_TILES(WIDTH, STAGES)          \
  LINEAR_TILES_ONE(bf16, WIDTH, STAGES)      \
  LINEAR_TILES_ONE(f16, WIDTH, STAGES)

LINEAR_TILES(192, 5)
LINEAR_TILES(256, 4)
