// Dense prefill on Hopper: softmax over all positions up to the row's own, two blocks of keys at a time.
#include "attend-tile.cuh"

namespace {

template <int GROUP, int DIM>
struct Shape {
  static constexpr int tokens = kTileRows / GROUP;
  static constexpr int stages = 3;
  static constexpr int keys = 2 * kBlock;              // of a step
  static constexpr int tile_bytes = keys * DIM * 2;    // keys or values of a step: [halves][128][64]
  static constexpr int query_bytes = kTileRows * DIM * 2;
  static constexpr int keys_offset = query_bytes;
  static constexpr int values_offset = keys_offset + stages * tile_bytes;
  // Barriers of 8 bytes: keys full, keys empty, values full, values empty [3 each], queries full, empty.
  static constexpr int barrier_offset = values_offset + stages * tile_bytes;
  static constexpr int shared_bytes = barrier_offset + 8 * (4 * stages + 2) + 1024;
};

__device__ __forceinline__ int steps_of(const AttendTile& t) { return (t.position + t.rows - 1) / (2 * kBlock) + 1; }

template <int GROUP, int DIM>
__device__ __forceinline__ void load_steps(const AttendArgs& a, const CUtensorMap* queries, const CUtensorMap* keys,
                                           const CUtensorMap* values, int tiles, int tiles_per_sequence, uint32_t base) {
  using S = Shape<GROUP, DIM>;
  const int lane = threadIdx.x % 32;
  const uint32_t bars = base + S::barrier_offset, qfull = bars + 32 * S::stages;
  Ring<S::stages> ring;
  uint32_t query_phase = 0;
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    AttendTile t;
    if (!find_attend_tile<S::tokens>(a, index, tiles_per_sequence, t)) continue;
    const int blocks = (t.position + t.rows - 1) / kBlock + 1, steps = steps_of(t);
    const int* pages = a.batch.page_table + static_cast<int64_t>(t.sequence) * a.batch.max_pages;
    barrier_wait(qfull + 8, query_phase ^ 1);
    query_phase ^= 1;
    if (lane == 0) {
      barrier_arrive_expect(qfull, S::query_bytes);
      load_queries<GROUP, DIM>(base, queries, qfull, t);
    }
    int rows = 0;
    // An odd last block is loaded twice; the mask hides the second.
    auto load = [&](int to, const CUtensorMap* from, uint32_t full, int step) {
      if (lane == 0) barrier_arrive_expect(full, S::tile_bytes);
#pragma unroll
      for (int b = 0; b < 2; b++) {
        const int row = __shfl_sync(0xFFFFFFFFu, rows, 2 * step % 32 + b);
        if (lane == 0)
          for (int half = 0; half < DIM / 64; half++)
            copy_tile_2d(base + to + ring.stage * S::tile_bytes + half * S::keys * 128 + b * kBlock * 128, from, full,
                         64 * half, row);
      }
    };
    for (int i = 0; i < steps; i++) {
      if (2 * i % 32 == 0) rows = (pages[min(2 * i + lane, blocks - 1)] * a.kv_heads + t.head) * kBlock;  // the next 32
      const uint32_t kfull = bars + 8 * ring.stage, vfull = kfull + 16 * S::stages;
      barrier_wait(kfull + 8 * S::stages, ring.phase ^ 1);
      load(S::keys_offset, keys, kfull, i);
      barrier_wait(vfull + 8 * S::stages, ring.phase ^ 1);
      load(S::values_offset, values, vfull, i);
      __syncwarp();
      ring.next();
    }
  }
}

template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void attend_tiles(const AttendArgs& a, int tiles, int tiles_per_sequence, uint32_t base) {
  using S = Shape<GROUP, DIM>;
  const TilePlace<GROUP> place;
  const uint32_t bars = base + S::barrier_offset, qfull = bars + 32 * S::stages;
  const uint64_t q_tile = tile_descriptor(base + place.group * 64 * 128);
  Ring<S::stages> ring;
  uint32_t query_phase = 0;
  auto arrive = [&](int which, int stage) {
    if (place.lane == 0) barrier_arrive(bars + 8 * (which * S::stages + stage));
  };
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    AttendTile t;
    if (!find_attend_tile<S::tokens>(a, index, tiles_per_sequence, t)) continue;
    barrier_wait(qfull, query_phase);
    query_phase ^= 1;
    const int steps = steps_of(t);
    RowState state;
    float o[DIM / 2], s[64];
    uint32_t p[32];
#pragma unroll
    for (int i = 0; i < DIM / 2; i++) o[i] = 0.f;

    auto multiply_keys = [&](int stage) {
      const uint64_t k_tile = tile_descriptor(base + S::keys_offset + stage * S::tile_bytes);
      wgmma_ss_fresh<T>(s, q_tile, k_tile);
#pragma unroll
      for (int k = 1; k < DIM / 16; k++)
        wgmma_ss<T>(s, advance(q_tile, (k / 4) * kTileRows * 128 + (k % 4) * 32),
                    advance(k_tile, (k / 4) * S::keys * 128 + (k % 4) * 32), 1);
      wgmma_commit();
    };
    auto multiply_values = [&](int stage) {
      const uint64_t v_tile = tile_descriptor(base + S::values_offset + stage * S::tile_bytes, S::keys * 128);
#pragma unroll
      for (int k = 0; k < S::keys / 16; k++)
        wgmma_rs<T, true>(o, p[4 * k], p[4 * k + 1], p[4 * k + 2], p[4 * k + 3], advance(v_tile, k * 2048), 1);
      wgmma_commit();
    };
    auto use_logits = [&](int step) {
      const int first_key = step * S::keys;
      if (first_key + S::keys - 1 > t.position + place.token[0]) mask_late(s, first_key, t.position, place.token);
      float high[2] = {-CUDART_INF_F, -CUDART_INF_F};
      largest(s, high);
      const bool rescale = state.raise(high, a.scale_log2);
      state.weigh(s, a.scale_log2);
      return rescale;
    };
    auto finish_step = [&](bool rescale) {
      if (rescale) scale_rows(o, state.factor);
#pragma unroll
      for (int i = 0; i < 32; i++) p[i] = pack<T>(s[2 * i], s[2 * i + 1]);
      pin(o);
      pin(p);
    };

    // A step's weights wait in p for their values while the next step's logits are computed.
    barrier_wait(bars + 8 * ring.stage, ring.phase);
    wgmma_fence();
    multiply_keys(ring.stage);
    wgmma_wait<0>();
    pin(s);
    arrive(1, ring.stage);
    use_logits(0);
    finish_step(false);
    for (int i = 1; i < steps; i++) {
      const int stage = ring.stage;
      const uint32_t phase = ring.phase;
      ring.next();
      barrier_wait(bars + 8 * ring.stage, ring.phase);
      wgmma_fence();
      multiply_keys(ring.stage);
      barrier_wait(bars + 8 * (2 * S::stages + stage), phase);
      wgmma_fence();
      multiply_values(stage);
      wgmma_wait<1>();
      pin(s);
      arrive(1, ring.stage);
      const bool rescale = use_logits(i);
      wgmma_wait<0>();
      pin(o);
      arrive(3, stage);
      finish_step(rescale);
    }
    if (place.lane == 0) barrier_arrive(qfull + 8);
    barrier_wait(bars + 8 * (2 * S::stages + ring.stage), ring.phase);
    wgmma_fence();
    multiply_values(ring.stage);
    wgmma_wait<0>();
    pin(o);
    arrive(3, ring.stage);
    ring.next();
    store_rows<T, GROUP, DIM>(o, state, a, t, place);
  }
}

template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void attend(const AttendArgs& a, const CUtensorMap* queries, const CUtensorMap* keys,
                                       const CUtensorMap* values, int tiles_per_sequence) {
  using S = Shape<GROUP, DIM>;
  extern __shared__ char raw[];
  const uint32_t base = shared_address(raw) + (1024 - shared_address(raw) % 1024) % 1024, bars = base + S::barrier_offset;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; i++) {
      barrier_init(bars + 8 * i, 1);
      barrier_init(bars + 8 * (S::stages + i), 8);
      barrier_init(bars + 8 * (2 * S::stages + i), 1);
      barrier_init(bars + 8 * (3 * S::stages + i), 8);
    }
    barrier_init(bars + 32 * S::stages, 1);
    barrier_init(bars + 32 * S::stages + 8, 8);
    barrier_init_fence();
  }
  __syncthreads();
  const int tiles = a.kv_heads * a.batch.sequences * tiles_per_sequence;
  if (threadIdx.x < 128) {
    registers_shrink<32>();
    if (threadIdx.x < 32) load_steps<GROUP, DIM>(a, queries, keys, values, tiles, tiles_per_sequence, base);
  } else {
    registers_grow<232>();
    attend_tiles<T, GROUP, DIM>(a, tiles, tiles_per_sequence, base);
  }
}

}  // namespace

#define ATTEND_DENSE(NAME, T, GROUP, DIM)                                                                         \
  extern "C" __global__ void __launch_bounds__(kAttendThreads, 1)                                                 \
      NAME(const __grid_constant__ AttendArgs args, const __grid_constant__ CUtensorMap queries,                  \
           const __grid_constant__ CUtensorMap keys, const __grid_constant__ CUtensorMap values,                 \
           int tiles_per_sequence) {                                                                              \
    attend<T, GROUP, DIM>(args, &queries, &keys, &values, tiles_per_sequence);                                    \
  }

ATTEND_DENSE(attend_dense_bf16_g16_d128, bf16, 16, 128)
#ifndef LAB
ATTEND_DENSE(attend_dense_bf16_g8_d128, bf16, 8, 128)
ATTEND_DENSE(attend_dense_bf16_g16_d64, bf16, 16, 64)
ATTEND_DENSE(attend_dense_bf16_g8_d64, bf16, 8, 64)
ATTEND_DENSE(attend_dense_f16_g16_d128, f16, 16, 128)
ATTEND_DENSE(attend_dense_f16_g8_d128, f16, 8, 128)
ATTEND_DENSE(attend_dense_f16_g16_d64, f16, 16, 64)
ATTEND_DENSE(attend_dense_f16_g8_d64, f16, 8, 64)
#endif
