// Sparse prefill on Hopper: softmax over the tokens of each row's selected blocks.
//
// A tile walks the union of its tokens' blocks in the order that union-blocks.cu gives: a warpgroup multiplies only the
// blocks that one of its own tokens selected, and a warp takes no part in the softmax of a block that its token did not
// select. Keys and values have rings of their own, since values are needed later.
#include "attend-tile.cuh"

namespace {

template <int GROUP, int DIM>
struct Shape {
  static constexpr int tokens = kTileRows / GROUP;
  static constexpr int key_stages = 6, value_stages = 6;
  static constexpr int stages = key_stages;
  static_assert(key_stages == value_stages, "items go through both rings in step");
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

// Place in both rings of item `number`, counted over all tiles.
template <typename S>
struct Item {
  uint32_t number, stage, phase;
  __device__ __forceinline__ explicit Item(uint32_t n) : number(n), stage(n % S::stages), phase(n / S::stages % 2) {}
  __device__ __forceinline__ void step(uint32_t items) {  // fewer than a lap
    number += items;
    stage += items;
    if (stage >= S::stages) {
      stage -= S::stages;
      phase ^= 1;
    }
  }
  __device__ __forceinline__ uint32_t keys_full(uint32_t bars) const { return bars + 8 * stage; }
  __device__ __forceinline__ uint32_t keys_empty(uint32_t bars) const { return bars + 8 * (S::stages + stage); }
  __device__ __forceinline__ uint32_t values_full(uint32_t bars) const { return bars + 8 * (2 * S::stages + stage); }
  __device__ __forceinline__ uint32_t values_empty(uint32_t bars) const { return bars + 8 * (3 * S::stages + stage); }
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

// What all lanes hold, as a value that the compiler knows to be the same in all of them: it then leaves addresses, operand
// descriptors and branches to the uniform datapath, where they cost a warp's own instructions nothing.
__device__ __forceinline__ uint32_t uniform(uint32_t x) { return __reduce_or_sync(0xFFFFFFFFu, x); }

template <typename S>
__device__ __forceinline__ uint32_t queries_full(uint32_t bars) {
  return bars + 8 * (4 * S::stages);
}

template <int GROUP, int DIM>
__device__ __forceinline__ void load_blocks(const AttendArgs& a, const CUtensorMap* queries, const CUtensorMap* keys,
                                            const CUtensorMap* values, int tiles, int tiles_per_sequence, uint32_t base,
                                            char* shared) {
  using S = Shape<GROUP, DIM>;
  constexpr uint32_t kHalf = (1u << (S::tokens / 2)) - 1;
  const int lane = threadIdx.x % 32;
  const uint32_t bars = base + S::barrier_offset, qfull = queries_full<S>(bars);
  Item<S> item(0);
  uint32_t query_phase = 0;
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
      barrier_wait(item.keys_empty(bars), item.phase ^ 1);
      if (lane == 0) {
        if (!shared_by_both) barrier_arrive(item.keys_empty(bars), 4);
        word_at(shared, S::entry_offset, item.stage) = entry;
        set_tag(shared, S::key_tag_offset, item.stage, item.number);
        barrier_arrive_expect(item.keys_full(bars), S::tile_bytes);
        for (int half = 0; half < DIM / 64; half++)
          copy_tile_2d(base + S::keys_offset + item.stage * S::tile_bytes + half * kBlock * 128, keys,
                       item.keys_full(bars), 64 * half, row);
      }
      barrier_wait(item.values_empty(bars), item.phase ^ 1);
      if (lane == 0) {
        if (!shared_by_both) barrier_arrive(item.values_empty(bars), 4);
        set_tag(shared, S::value_tag_offset, item.stage, item.number);
        barrier_arrive_expect(item.values_full(bars), S::tile_bytes);
        for (int half = 0; half < DIM / 64; half++)
          copy_tile_2d(base + S::values_offset + item.stage * S::tile_bytes + half * kBlock * 128, values,
                       item.values_full(bars), 64 * half, row);
      }
      __syncwarp();
      item.step(1);
    }
  }
}

template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void attend_tiles(const AttendArgs& a, int tiles, int tiles_per_sequence, uint32_t base,
                                             const char* shared) {
  using S = Shape<GROUP, DIM>;
  const TilePlace<GROUP> place;
  const int lane = place.lane, group = uniform(place.group);
  const uint32_t bars = base + S::barrier_offset, qfull = queries_full<S>(bars);
  const uint32_t mine[2] = {1u << (16 + place.token[0]), 1u << (16 + place.token[1])};  // membership bits of the rows
  const uint32_t of_warp = uniform(mine[0] | mine[1]);                                   // and of all of the warp's
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
    counts = make_int4(uniform(counts.x), uniform(counts.y), uniform(counts.z), uniform(counts.w));
    RowState state;
    float o[DIM / 2], s[2][32];
    uint32_t q[DIM / 4], p[2][16];
#pragma unroll
    for (int i = 0; i < DIM / 2; i++) o[i] = 0.f;

    const int own = counts.y + (group == 0 ? counts.z : counts.w), paired = min(counts.z, counts.w);
    auto item_at = [&](int n) {  // the warpgroup's n-th block
      const int m = n - counts.y;
      return Item<S>(done + (m < 0 ? n : counts.y + (m < paired ? 2 * m + group : m + paired)));
    };
    auto load_query_registers = [&] {
#pragma unroll
      for (int k = 0; k < DIM / 16; k++) {
        const int r = 16 * place.warp + lane % 16, chunk = 2 * (k % 4) + lane / 16;
        const uint32_t address = base + place.group * 64 * 128 + (k / 4) * kTileRows * 128 + r * 128 + ((chunk ^ (r % 8)) << 4);
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(q[4 * k]), "=r"(q[4 * k + 1]), "=r"(q[4 * k + 2]), "=r"(q[4 * k + 3])
                     : "r"(address)
                     : "memory");
      }
    };
    auto multiply_keys = [&](float (&s)[32], const Item<S>& item) {
      const uint64_t tile = tile_descriptor(base + S::keys_offset + item.stage * S::tile_bytes);
      wgmma_rs_fresh<T>(s, q[0], q[1], q[2], q[3], tile);
#pragma unroll
      for (int k = 1; k < DIM / 16; k++)
        wgmma_rs<T, false>(s, q[4 * k], q[4 * k + 1], q[4 * k + 2], q[4 * k + 3],
                           advance(tile, (k / 4) * kBlock * 128 + (k % 4) * 32), 1);
      wgmma_commit();
    };
    auto multiply_values = [&](const uint32_t (&p)[16], const Item<S>& item) {
      const uint64_t tile = tile_descriptor(base + S::values_offset + item.stage * S::tile_bytes, kBlock * 128);
#pragma unroll
      for (int k = 0; k < 4; k++)
        wgmma_rs<T, true>(o, p[4 * k], p[4 * k + 1], p[4 * k + 2], p[4 * k + 3], advance(tile, k * 2048), 1);
      wgmma_commit();
    };
    // Logits become weights; returns whether the outputs must be scaled.
    auto use_logits = [&](float (&s)[32], uint32_t (&weights)[16], uint32_t entry) {
      if (!(entry & of_warp)) {
#pragma unroll
        for (int i = 0; i < 16; i++) weights[i] = 0;
        return false;
      }
      if (GROUP < 16) {
#pragma unroll
        for (int i = 0; i < 32; i++)
          if (!(entry & mine[(i / 2) % 2])) s[i] = -CUDART_INF_F;
      }
      const int first_key = (entry & 0xFFFF) * kBlock;
      if (first_key + kBlock - 1 > t.position + place.token[0]) mask_late(s, first_key, t.position, place.token);
      return state.weigh_packed<T>(s, weights, a.scale_log2);
    };
    // Items whose buffers' last item the warpgroup has waited for, too: parity is enough to tell them.
    const uint32_t followed_from = done + S::stages, followed_to = done + counts.y;
    auto await = [&](const Item<S>& item, uint32_t bar, int tag_offset) {
      if (item.number < followed_from || item.number >= followed_to)
        while (uniform(read_tag(shared, tag_offset, item.stage)) != item.number) {
        }
      barrier_wait(bar, item.phase);
    };
    auto await_keys = [&](const Item<S>& item) { await(item, item.keys_full(bars), S::key_tag_offset); };
    auto await_values = [&](const Item<S>& item) { await(item, item.values_full(bars), S::value_tag_offset); };
    auto entry_of = [&](const Item<S>& item) {
      uint32_t entry = 0;
      if (lane == 0) entry = word_at(shared, S::entry_offset, item.stage);
      return __shfl_sync(0xFFFFFFFFu, entry, 0);
    };

    // While a block's logits become weights, the next block's logits are computed and the values of the one before are added
    // up. Steps come in pairs, so one or two blocks are taken first. No product is left out, which would serialise them: past
    // the last block its logits are computed again and not looked at.
    if (own > 0) {
      Item<S> next = item_at(0), before = next;
      uint32_t entry = 0;
      load_query_registers();
      auto weigh_alone = [&](int n) {
        before = item_at(n);
        await_keys(before);
        wgmma_fence();
        multiply_keys(s[0], before);
        entry = entry_of(before);
        wgmma_wait<0>();
        pin(s[0]);
        if (n + 1 < own) arrive(before.keys_empty(bars));
        // Not before a product has used them: arriving does not wait for loads to registers that are under way.
        if (n == 0) arrive(qfull + 8);
        const bool rescale = use_logits(s[0], p[1], entry);
        if (rescale) scale_rows(o, state.factor);
        pin(o);
        pin(p[1]);
      };
      int n = 0;
      for (; n < 1 - own % 2; n++) {
        weigh_alone(n);
        await_values(before);
        wgmma_fence();
        multiply_values(p[1], before);
        wgmma_wait<0>();
        pin(o);
        arrive(before.values_empty(bars));
      }
      weigh_alone(n);
      next = before;
      n++;
      if (n < own) {
        next = item_at(n);
        await_keys(next);
        entry = entry_of(next);
      }
      wgmma_fence();
      multiply_keys(s[0], next);
      wgmma_wait<0>();
      pin(s[0]);
      if (n + 1 < own) arrive(next.keys_empty(bars));
      auto step = [&](float (&now)[32], float (&later)[32], uint32_t (&weights)[16], uint32_t (&waiting)[16], int n) {
        const Item<S> current = next;
        const uint32_t current_entry = entry;
        if (n + 1 < own) {
          next = item_at(n + 1);
          await_keys(next);
          entry = entry_of(next);
        }
        await_values(before);
        wgmma_fence();
        multiply_keys(later, next);
        multiply_values(waiting, before);
        const bool rescale = use_logits(now, weights, current_entry);
        wgmma_wait<0>();
        pin(later);
        pin(o);
        if (n + 2 < own) arrive(next.keys_empty(bars));
        arrive(before.values_empty(bars));
        if (rescale) scale_rows(o, state.factor);
        pin(o);
        pin(weights);
        before = current;
      };
      for (; n < own; n += 2) {
        step(s[0], s[1], p[0], p[1], n);
        step(s[1], s[0], p[1], p[0], n + 1);
      }
      await_values(before);
      wgmma_fence();
      multiply_values(p[1], before);
      wgmma_wait<0>();
      pin(o);
      arrive(before.values_empty(bars));
      arrive(next.keys_empty(bars));
    } else {
      arrive(qfull + 8);
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
    for (int i = 0; i < S::stages; i++) {
      const Item<S> item(i);
      word_at(shared, S::key_tag_offset, i) = 0xFFFFFFFFu;
      word_at(shared, S::value_tag_offset, i) = 0xFFFFFFFFu;
      barrier_init(item.keys_full(bars), 1);
      barrier_init(item.keys_empty(bars), 8);
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
