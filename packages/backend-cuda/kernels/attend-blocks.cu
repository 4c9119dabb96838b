// Sparse prefill on Hopper: softmax over the tokens of each row's selected blocks.
//
// A tile walks the union of its tokens' blocks in the order that union-blocks.cu gives: a warpgroup multiplies only the
// blocks that one of its own tokens selected, and a warp takes no part in the softmax of a block that its token did not
// select. Keys and values have rings of their own, since values are needed a step later.
#include "attend-tile.cuh"

namespace {

template <int GROUP, int DIM>
struct Shape {
  static constexpr int tokens = kTileRows / GROUP;
  static constexpr int key_stages = 6, value_stages = 6;  // equal: items go through both rings in step
  static constexpr int tile_bytes = kBlock * DIM * 2;      // keys or values of a block: [halves][64][64]
  static constexpr int query_bytes = kTileRows * DIM * 2;
  static constexpr int keys_offset = query_bytes;
  static constexpr int values_offset = keys_offset + key_stages * tile_bytes;
  // Barriers of 8 bytes: keys full, keys empty, values full, values empty [6 each], queries full, empty.
  static constexpr int barrier_offset = values_offset + value_stages * tile_bytes;
  static constexpr int entry_offset = barrier_offset + 8 * (2 * key_stages + 2 * value_stages + 2);  // list entries [6]
  // Number of the item that a buffer was last filled for. A warpgroup does not follow items it has no part in, so a
  // barrier's parity alone could mistake the lap before last for its own.
  static constexpr int key_tag_offset = entry_offset + 4 * key_stages;
  static constexpr int value_tag_offset = key_tag_offset + 4 * key_stages;
  static constexpr int count_offset = (value_tag_offset + 4 * value_stages + 15) / 16 * 16;          // the tile's counts
  static constexpr int shared_bytes = count_offset + 16 + 1024;
};

// Barrier addresses of the ring buffers that item `n` (counted over all tiles) goes through.
template <typename S>
struct Item {
  uint32_t number;
  __device__ __forceinline__ uint32_t key_stage() const { return number % S::key_stages; }
  __device__ __forceinline__ uint32_t key_phase() const { return number / S::key_stages % 2; }
  __device__ __forceinline__ uint32_t value_stage() const { return number % S::value_stages; }
  __device__ __forceinline__ uint32_t value_phase() const { return number / S::value_stages % 2; }
  __device__ __forceinline__ uint32_t keys_full(uint32_t bars) const { return bars + 8 * key_stage(); }
  __device__ __forceinline__ uint32_t keys_empty(uint32_t bars) const { return bars + 8 * (S::key_stages + key_stage()); }
  __device__ __forceinline__ uint32_t values_full(uint32_t bars) const {
    return bars + 8 * (2 * S::key_stages + value_stage());
  }
  __device__ __forceinline__ uint32_t values_empty(uint32_t bars) const {
    return bars + 8 * (2 * S::key_stages + S::value_stages + value_stage());
  }
};

__device__ __forceinline__ volatile uint32_t& word_at(const char* shared, int offset, uint32_t index) {
  return reinterpret_cast<volatile uint32_t*>(const_cast<char*>(shared) + offset)[index];
}

// Tags are polled while they are written: the write is atomic and the reads are relaxed.
__device__ __forceinline__ void set_tag(const char* shared, int offset, uint32_t index, uint32_t value) {
  asm volatile("{ .reg .u32 old; atom.relaxed.cta.shared::cta.exch.b32 old, [%0], %1; }" ::"r"(
                   shared_address(shared + offset) + 4 * index), "r"(value) : "memory");
}
__device__ __forceinline__ uint32_t read_tag(const char* shared, int offset, uint32_t index) {
  uint32_t value;
  asm volatile("ld.relaxed.cta.shared::cta.u32 %0, [%1];"
               : "=r"(value) : "r"(shared_address(shared + offset) + 4 * index) : "memory");
  return value;
}

template <typename S>
__device__ __forceinline__ uint32_t queries_full(uint32_t bars) {
  return bars + 8 * (2 * S::key_stages + 2 * S::value_stages);
}

template <int GROUP, int DIM>
__device__ __forceinline__ void load_blocks(const AttendArgs& a, const CUtensorMap* queries, const CUtensorMap* keys,
                                            const CUtensorMap* values, int tiles, int tiles_per_sequence, uint32_t base,
                                            char* shared) {
  using S = Shape<GROUP, DIM>;
  constexpr uint32_t kHalf = (1u << (S::tokens / 2)) - 1;
  const int lane = threadIdx.x % 32;
  const uint32_t bars = base + S::barrier_offset, qfull = queries_full<S>(bars);
  uint32_t done = 0, query_phase = 0;
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    AttendTile t;
    if (!find_attend_tile<S::tokens>(a, index, tiles_per_sequence, t)) continue;
    const int4 counts = a.counts[t.list];
    const uint32_t* list = a.lists + t.list * a.list_length;
    const int* pages = a.batch.page_table + static_cast<int64_t>(t.sequence) * a.batch.max_pages;
    barrier_wait(qfull + 8, query_phase ^ 1);
    query_phase ^= 1;
    if (lane == 0) {
      *reinterpret_cast<int4*>(shared + S::count_offset) = counts;
      barrier_arrive_expect(qfull, S::query_bytes);
      load_queries<GROUP, DIM>(base, queries, qfull, t);
    }
    uint32_t entries = 0;
    int rows = 0;
    for (int i = 0; i < counts.x; i++) {
      if (i % 32 == 0) {  // the next 32 blocks, one per lane
        entries = list[min(i + lane, counts.x - 1)];
        rows = (pages[entries & 0xFFFF] * a.kv_heads + t.head) * kBlock;
      }
      const uint32_t entry = __shfl_sync(0xFFFFFFFFu, entries, i % 32);
      const int row = __shfl_sync(0xFFFFFFFFu, rows, i % 32);
      // The half that does not want the block never looks at it: its arrivals are made here.
      const bool shared_by_both = (entry >> 16 & kHalf) != 0 && (entry >> 16 & ~kHalf) != 0;
      const Item<S> item = {done + i};
      barrier_wait(item.keys_empty(bars), item.key_phase() ^ 1);
      if (lane == 0) {
        if (!shared_by_both) barrier_arrive(item.keys_empty(bars), 4);
        word_at(shared, S::entry_offset, item.key_stage()) = entry;
        set_tag(shared, S::key_tag_offset, item.key_stage(), item.number);
        barrier_arrive_expect(item.keys_full(bars), S::tile_bytes);
        for (int half = 0; half < DIM / 64; half++)
          copy_tile_2d(base + S::keys_offset + item.key_stage() * S::tile_bytes + half * kBlock * 128, keys,
                       item.keys_full(bars), 64 * half, row);
      }
      barrier_wait(item.values_empty(bars), item.value_phase() ^ 1);
      if (lane == 0) {
        if (!shared_by_both) barrier_arrive(item.values_empty(bars), 4);
        set_tag(shared, S::value_tag_offset, item.value_stage(), item.number);
        barrier_arrive_expect(item.values_full(bars), S::tile_bytes);
        for (int half = 0; half < DIM / 64; half++)
          copy_tile_2d(base + S::values_offset + item.value_stage() * S::tile_bytes + half * kBlock * 128, values,
                       item.values_full(bars), 64 * half, row);
      }
      __syncwarp();
    }
    done += counts.x;
  }
}

template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void attend_tiles(const AttendArgs& a, int tiles, int tiles_per_sequence, uint32_t base,
                                             const char* shared) {
  using S = Shape<GROUP, DIM>;
  const TilePlace<GROUP> place;
  const int lane = place.lane;
  const uint32_t bars = base + S::barrier_offset, qfull = queries_full<S>(bars);
  const uint32_t mine[2] = {1u << (16 + place.token[0]), 1u << (16 + place.token[1])};  // membership bits of the rows
  uint32_t done = 0, query_phase = 0;
  auto arrive = [&](uint32_t bar) {
    if (lane == 0) barrier_arrive(bar);
  };
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    AttendTile t;
    if (!find_attend_tile<S::tokens>(a, index, tiles_per_sequence, t)) continue;
    barrier_wait(qfull, query_phase);
    query_phase ^= 1;
    // What the lane that frees a buffer has read itself needs no further ordering: it reads for its warp.
    int4 counts = {};
    if (lane == 0) counts = *reinterpret_cast<const int4*>(shared + S::count_offset);
    counts.x = __shfl_sync(0xFFFFFFFFu, counts.x, 0);
    counts.y = __shfl_sync(0xFFFFFFFFu, counts.y, 0);
    counts.z = __shfl_sync(0xFFFFFFFFu, counts.z, 0);
    counts.w = __shfl_sync(0xFFFFFFFFu, counts.w, 0);
    uint32_t q[DIM / 4];
#pragma unroll
    for (int k = 0; k < DIM / 16; k++) {
      const int r = 16 * place.warp + lane % 16, chunk = 2 * (k % 4) + lane / 16;
      const uint32_t address = base + place.group * 64 * 128 + (k / 4) * kTileRows * 128 + r * 128 + ((chunk ^ (r % 8)) << 4);
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(q[4 * k]), "=r"(q[4 * k + 1]), "=r"(q[4 * k + 2]), "=r"(q[4 * k + 3])
                   : "r"(address)
                   : "memory");
    }
    __syncwarp();
    arrive(qfull + 8);
    RowState state;
    float o[DIM / 2], s[32];
    uint32_t p[16];
#pragma unroll
    for (int i = 0; i < DIM / 2; i++) o[i] = 0.f;

    const int own = counts.y + (place.group == 0 ? counts.z : counts.w), paired = min(counts.z, counts.w);
    auto item_at = [&](int n) {  // the warpgroup's n-th block
      const int m = n - counts.y;
      return Item<S>{done + (m < 0 ? n : counts.y + (m < paired ? 2 * m + place.group : m + paired))};
    };
    auto multiply_keys = [&](const Item<S>& item) {
      const uint64_t tile = tile_descriptor(base + S::keys_offset + item.key_stage() * S::tile_bytes);
      wgmma_rs_fresh<T>(s, q[0], q[1], q[2], q[3], tile);
#pragma unroll
      for (int k = 1; k < DIM / 16; k++)
        wgmma_rs<T, false>(s, q[4 * k], q[4 * k + 1], q[4 * k + 2], q[4 * k + 3],
                           advance(tile, (k / 4) * kBlock * 128 + (k % 4) * 32), 1);
      wgmma_commit();
    };
    auto multiply_values = [&](const Item<S>& item) {
      const uint64_t tile = tile_descriptor(base + S::values_offset + item.value_stage() * S::tile_bytes, kBlock * 128);
#pragma unroll
      for (int k = 0; k < 4; k++)
        wgmma_rs<T, true>(o, p[4 * k], p[4 * k + 1], p[4 * k + 2], p[4 * k + 3], advance(tile, k * 2048), 1);
      wgmma_commit();
    };
    // Logits become weights; returns whether the outputs must be scaled.
    auto use_logits = [&](uint32_t entry) {
      if (!__any_sync(0xFFFFFFFFu, (entry & (mine[0] | mine[1])) != 0)) {
#pragma unroll
        for (int i = 0; i < 32; i++) s[i] = 0.f;
        return false;
      }
      if (GROUP < 16) {
#pragma unroll
        for (int i = 0; i < 32; i++)
          if (!(entry & mine[(i / 2) % 2])) s[i] = -CUDART_INF_F;
      }
      const int first_key = (entry & 0xFFFF) * kBlock;
      if (first_key + kBlock - 1 > t.position + place.token[0]) mask_late(s, first_key, t.position, place.token);
      float high[2] = {-CUDART_INF_F, -CUDART_INF_F};
      largest(s, high);
      const bool rescale = state.raise(high, a.scale_log2);
      state.weigh(s, a.scale_log2);
      return rescale;
    };
    auto finish_step = [&](bool rescale) {
      if (rescale) scale_rows(o, state.factor);
#pragma unroll
      for (int i = 0; i < 16; i++) p[i] = pack<T>(s[2 * i], s[2 * i + 1]);
      pin(o);
      pin(p);
    };
    // Items whose buffers' last item the warpgroup has waited for, too: parity is enough to tell them.
    const uint32_t followed_from = done + S::key_stages, followed_to = done + counts.y;
    auto await = [&](const Item<S>& item, uint32_t bar, uint32_t phase, int tag_offset, uint32_t stage) {
      if (item.number < followed_from || item.number >= followed_to)
        while (read_tag(shared, tag_offset, stage) != item.number) {
        }
      barrier_wait(bar, phase);
    };
    auto await_keys = [&](const Item<S>& item) {
      await(item, item.keys_full(bars), item.key_phase(), S::key_tag_offset, item.key_stage());
      uint32_t entry = 0;
      if (lane == 0) entry = word_at(shared, S::entry_offset, item.key_stage());
      return __shfl_sync(0xFFFFFFFFu, entry, 0);
    };
    auto await_values = [&](const Item<S>& item) {
      await(item, item.values_full(bars), item.value_phase(), S::value_tag_offset, item.value_stage());
    };

    // A block's weights wait in p for its values while the next one's logits are computed.
    if (own > 0) {
      Item<S> item = item_at(0);
      uint32_t entry = await_keys(item);
      wgmma_fence();
      multiply_keys(item);
      wgmma_wait<0>();
      pin(s);
      arrive(item.keys_empty(bars));
      use_logits(entry);
      finish_step(false);
      for (int n = 1; n < own; n++) {
        const Item<S> next = item_at(n);
        entry = await_keys(next);
        wgmma_fence();
        multiply_keys(next);
        await_values(item);
        wgmma_fence();
        multiply_values(item);
        wgmma_wait<1>();
        pin(s);
        arrive(next.keys_empty(bars));
        const bool rescale = use_logits(entry);
        wgmma_wait<0>();
        pin(o);
        arrive(item.values_empty(bars));
        finish_step(rescale);
        item = next;
      }
      await_values(item);
      wgmma_fence();
      multiply_values(item);
      wgmma_wait<0>();
      pin(o);
      arrive(item.values_empty(bars));
    }
    done += counts.x;
    store_rows<T, GROUP, DIM>(o, state, a, t, place);
  }
}

template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void attend(const AttendArgs& a, const CUtensorMap* queries, const CUtensorMap* keys,
                                       const CUtensorMap* values, int tiles_per_sequence) {
  using S = Shape<GROUP, DIM>;
  extern __shared__ char raw[];
  char* shared = raw + (1024 - shared_address(raw) % 1024) % 1024;
  const uint32_t base = shared_address(shared), bars = base + S::barrier_offset;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::key_stages; i++) {
      const Item<S> item = {static_cast<uint32_t>(i)};
      word_at(shared, S::key_tag_offset, i) = 0xFFFFFFFFu;
      barrier_init(item.keys_full(bars), 1);
      barrier_init(item.keys_empty(bars), 8);
    }
    for (int i = 0; i < S::value_stages; i++) {
      const Item<S> item = {static_cast<uint32_t>(i)};
      word_at(shared, S::value_tag_offset, i) = 0xFFFFFFFFu;
      barrier_init(item.values_full(bars), 1);
      barrier_init(item.values_empty(bars), 8);
    }
    barrier_init(queries_full<S>(bars), 1);
    barrier_init(queries_full<S>(bars) + 8, 8);
    barrier_init_fence();
  }
  __syncthreads();
  const int tiles = a.kv_heads * a.batch.sequences * tiles_per_sequence;
  if (threadIdx.x < 128) {
    registers_shrink<24>();
    if (threadIdx.x < 32)
      load_blocks<GROUP, DIM>(a, queries, keys, values, tiles, tiles_per_sequence, base, shared);
  } else {
    registers_grow<240>();
    attend_tiles<T, GROUP, DIM>(a, tiles, tiles_per_sequence, base, shared);
  }
}

}  // namespace

#define ATTEND_BLOCKS(NAME, T, GROUP, DIM)                                                                        \
  extern "C" __global__ void __launch_bounds__(kAttendThreads, 1)                                                 \
      NAME(const __grid_constant__ AttendArgs args, const __grid_constant__ CUtensorMap queries,                  \
           const __grid_constant__ CUtensorMap keys, const __grid_constant__ CUtensorMap values,                 \
           int tiles_per_sequence) {                                                                              \
    attend<T, GROUP, DIM>(args, &queries, &keys, &values, tiles_per_sequence);                                    \
  }

ATTEND_BLOCKS(attend_blocks_bf16_g16_d128, bf16, 16, 128)
#ifndef LAB
ATTEND_BLOCKS(attend_blocks_bf16_g8_d128, bf16, 8, 128)
ATTEND_BLOCKS(attend_blocks_bf16_g16_d64, bf16, 16, 64)
ATTEND_BLOCKS(attend_blocks_bf16_g8_d64, bf16, 8, 64)
ATTEND_BLOCKS(attend_blocks_f16_g16_d128, f16, 16, 128)
ATTEND_BLOCKS(attend_blocks_f16_g8_d128, f16, 8, 128)
ATTEND_BLOCKS(attend_blocks_f16_g16_d64, f16, 16, 64)
ATTEND_BLOCKS(attend_blocks_f16_g8_d64, f16, 8, 64)
#endif
