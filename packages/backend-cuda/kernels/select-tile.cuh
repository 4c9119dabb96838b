// Logits of prefill selection on Hopper, tile by tile, with the log-sum-exp over coarse (or fine) keys that normalises
// them. What becomes of a tile's logits is the including kernel's: see score_tiles.
//
// The product is turned round: Sᵀ = windows · queriesᵀ. A warpgroup's tile is 64 windows x 128 columns, a column being
// one (head, token) pair ordered so that a thread holds every head of its tokens: the sum over heads needs no
// communication. Column c = (set * GROUP + head) * 8 + token of the set; thread t of a quad holds tokens 2t, 2t+1.
#pragma once
#include "common/batch.cuh"
#include "common/hopper.cuh"
#include "common/wgmma.cuh"

namespace {

struct Yes { static constexpr bool value = true; };
struct No { static constexpr bool value = false; };
template <int N>
struct Count { static constexpr int value = N; };

// Products in a row without a gap in the tensor cores' work: more is faster, and longer code.
#ifndef SCORE_BURST
#define SCORE_BURST 4
#endif
constexpr int kScoreBurst = SCORE_BURST;

constexpr int kColumns = 128;            // (head, token) pairs of a warpgroup
constexpr int kWarpgroups = 2;           // that score; a third moves data
constexpr int kWindows = 64;             // windows in a tile
constexpr int kThreads = 128 * (kWarpgroups + 1);
constexpr int kRingBarrier = 1;          // named barrier of warpgroup w: kRingBarrier + w

template <int GROUP, int DIM>
struct Shape {
  static constexpr int sets = kColumns / (8 * GROUP);       // sets of 8 tokens in a warpgroup's tile
  static constexpr int tokens = 8 * sets;                   // tokens of a warpgroup
  static constexpr int tile_tokens = kWarpgroups * tokens;  // tokens of a block of threads
  static constexpr int halves = DIM / 64;
  static constexpr int query_bytes = kColumns * DIM * 2;    // one warpgroup's columns
  static constexpr int key_bytes = kWindows * DIM * 2;
  static constexpr int stages = 4;
  static constexpr int queries_offset = 0;  // two buffers, so that the next tile's queries arrive early
  static constexpr int keys_offset = 2 * kWarpgroups * query_bytes;
  static constexpr int partial_offset = keys_offset + stages * key_bytes;  // float2 [warpgroups][4 warps][128]
  static constexpr int lse_offset = partial_offset + kWarpgroups * 4 * kColumns * 8;
  static constexpr int barrier_offset = lse_offset + kWarpgroups * kColumns * 4;
  // Launch with barrier_offset + 8 (2 stages + 4) + 1024 bytes of shared memory: 1024 for alignment.
};

}  // namespace

struct ScoreArgs {
  Batch batch;
  Selection rules;
  float scale_log2;     // softmax scale x log2 e
  int kv_heads;
  int row_base;         // first row of this launch; scores are kept for rows row_base ..
  int row_count;
  int cells;            // rows of one (sequence, kv head) in the linear fine keys
  int lse_rows;         // the same of the keys whose log-sum-exp normalises
  int lse_stride;       // tokens between those keys
  int all_blocks;       // score forced blocks, too (wanted for inspection)
  int max_blocks;       // row length of `scores`, a multiple of 16
  float* scores;        // [kvHeads, row_count, max_blocks] largest of cells 4b .. 4b+3 (4b+4 too unless b % 4 = 3)
  float* firsts;        // [kvHeads, row_count, max_blocks / 4] score of cell 16k, which block 4k-1 still needs
};

namespace {

// One block of threads' work: consecutive rows of one sequence for one kv head.
struct Tile {
  int head, sequence, row, rows, position;  // rows that exist; position of the first
  int lse_tiles, score_tiles;
};

template <int TOKENS>
__device__ __forceinline__ bool find_tile(const ScoreArgs& a, int index, int tiles_per_sequence, Tile& tile) {
  // Late tiles first: they see the most windows.
  const int per_head = tiles_per_sequence * a.batch.sequences;
  tile.head = index / per_head;
  const int rest = index % per_head;
  tile.sequence = rest % a.batch.sequences;
  const int number = tiles_per_sequence - 1 - rest / a.batch.sequences;
  const int first = max(a.batch.query_starts[tile.sequence], a.row_base);
  const int last = min(a.batch.query_starts[tile.sequence + 1], a.row_base + a.row_count);
  tile.row = first + number * TOKENS;
  tile.rows = min(TOKENS, last - tile.row);
  if (tile.rows <= 0) return false;
  tile.position = a.batch.query_positions[tile.sequence] + tile.row - a.batch.query_starts[tile.sequence];
  const int top = tile.position + tile.rows - 1, block = top / kBlock;
  // The last candidate block reads its neighbour's first cell, visible or not: unseen cells score 0.
  int needed = (block - a.rules.local) * kCells + 1;
  if (a.all_blocks)
    needed = max(needed, visible_cells(top, kFineStride));
  else if (block + 1 <= a.rules.budget)
    return false;  // every visible block is chosen
  if (needed <= 1) return false;
  // Even numbers, since products are used in pairs; windows past the last are masked.
  tile.score_tiles = 2 * ceil_div(needed, 2 * kWindows);
  tile.lse_tiles = 2 * max(1, ceil_div(visible_cells(top, a.lse_stride), 2 * kWindows));
  return true;
}

template <typename T, int DIM>
__device__ __forceinline__ void multiply(float (&acc)[64], uint32_t keys, uint32_t queries) {
  const uint64_t a = tile_descriptor(keys), b = tile_descriptor(queries);
  wgmma_fence();
  wgmma_ss_fresh<T>(acc, a, b);
#pragma unroll
  for (int k = 1; k < DIM / 16; k++)
    wgmma_ss<T>(acc, advance(a, (k / 4) * kWindows * 128 + (k % 4) * 32), advance(b, (k / 4) * kColumns * 128 + (k % 4) * 32),
                1);
  wgmma_commit();
}

// Running log-sum-exp of a thread's 32 columns over the windows it holds: base-2 sums relative to `top`.
struct LogSum {
  float top[32], sum[32];
};

// acc: logits of windows (row, row + 8) for the 32 columns; seen[half][parity][set]: is that window visible.
template <bool FIRST, int GROUP, int SETS>
__device__ __forceinline__ void add_to_lse(float (&acc)[64], LogSum& s, float scale, const bool (&seen)[2][2][SETS]) {
  float largest = -CUDART_INF_F;
#pragma unroll
  for (int c = 0; c < 32; c++) {
    float& x = acc[4 * (c / 2) + c % 2];
    float& y = acc[4 * (c / 2) + 2 + c % 2];
    if (!seen[0][c % 2][c / 2 / GROUP]) x = -CUDART_INF_F;
    if (!seen[1][c % 2][c / 2 / GROUP]) y = -CUDART_INF_F;
    if (FIRST) {
      const float top = fmaxf(x, y) * scale;
      s.top[c] = top == -CUDART_INF_F ? 0.f : top;
      s.sum[c] = 0.f;
    }
    x = fmaf(x, scale, -s.top[c]);
    y = fmaf(y, scale, -s.top[c]);
    if (!FIRST) largest = fmaxf(largest, fmaxf(x, y));
  }
  // The reference point moves only when sums could overflow: rare, since the first windows set it.
  if (!FIRST && __any_sync(0xFFFFFFFFu, largest > 60.f)) {
#pragma unroll
    for (int c = 0; c < 32; c++) {
      float& x = acc[4 * (c / 2) + c % 2];
      float& y = acc[4 * (c / 2) + 2 + c % 2];
      const float by = fmaxf(0.f, fmaxf(x, y));
      s.top[c] += by;
      s.sum[c] *= exp2_fast(-by);
      x -= by;
      y -= by;
    }
  }
#pragma unroll
  for (int c = 0; c < 32; c++)
    s.sum[c] += exp2_fast(acc[4 * (c / 2) + c % 2]) + exp2_fast(acc[4 * (c / 2) + 2 + c % 2]);
}

// Combines the partial sums of the 32 threads (8 lanes x 4 warps) that share a column; returns each thread's columns.
__device__ __forceinline__ void finish_lse(LogSum& s, float (&lse)[32], float2* partial, float* shared_lse, int group) {
  const int lane = threadIdx.x % 32, warp = (threadIdx.x / 32) % 4;
#pragma unroll
  for (int c = 0; c < 32; c++) {
    float top = s.sum[c] > 0.f ? s.top[c] : -CUDART_INF_F;
#pragma unroll
    for (int d = 4; d < 32; d *= 2) top = fmaxf(top, __shfl_xor_sync(0xFFFFFFFFu, top, d));
    float sum = s.sum[c] > 0.f ? s.sum[c] * exp2_fast(s.top[c] - top) : 0.f;
#pragma unroll
    for (int d = 4; d < 32; d *= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, d);
    if (lane < 4) partial[warp * kColumns + 8 * (c / 2) + 2 * lane + c % 2] = make_float2(top, sum);
  }
  named_barrier(kRingBarrier + group, 128);
  const int column = threadIdx.x % 128;
  float top = -CUDART_INF_F, sum = 0.f;
#pragma unroll
  for (int w = 0; w < 4; w++) top = fmaxf(top, partial[w * kColumns + column].x);
#pragma unroll
  for (int w = 0; w < 4; w++) {
    const float2 p = partial[w * kColumns + column];
    if (p.y > 0.f) sum += p.y * exp2_fast(p.x - top);
  }
  // A query that sees no such key scores 0 everywhere.
  shared_lse[column] = sum > 0.f ? top + log2f(sum) : CUDART_INF_F;
  named_barrier(kRingBarrier + group, 128);
#pragma unroll
  for (int j = 0; j < 16; j++) {
    const float2 two = *reinterpret_cast<const float2*>(shared_lse + 8 * j + 2 * (lane % 4));
    lse[2 * j] = two.x;
    lse[2 * j + 1] = two.y;
  }
}

template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void load_tiles(const ScoreArgs& a, const CUtensorMap* queries, const CUtensorMap* fine,
                                           const CUtensorMap* normal, int tiles, int tiles_per_sequence, uint32_t base) {
  using S = Shape<GROUP, DIM>;
  const uint32_t bars = base + S::barrier_offset;  // full[stages], empty[stages], query full[2], query empty[2]
  Ring<S::stages> ring;
  Ring<2> buffer;
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    Tile tile;
    if (!find_tile<S::tile_tokens>(a, index, tiles_per_sequence, tile)) continue;
    const uint32_t qfull = bars + 16 * S::stages + 8 * buffer.stage;
    barrier_wait(qfull + 16, buffer.phase ^ 1);
    barrier_arrive_expect(qfull, kWarpgroups * S::query_bytes);
    for (int w = 0; w < kWarpgroups; w++)
      for (int half = 0; half < S::halves; half++)
        for (int set = 0; set < S::sets; set++)
          copy_tile_3d(base + S::queries_offset + (buffer.stage * kWarpgroups + w) * S::query_bytes +
                           half * kColumns * 128 + set * 8 * GROUP * 128,
                       queries, qfull, 64 * half, tile.row + w * S::tokens + 8 * set, tile.head * GROUP);
    buffer.next();
    const int lse_row = (tile.sequence * a.kv_heads + tile.head) * a.lse_rows;
    const int fine_row = (tile.sequence * a.kv_heads + tile.head) * a.cells;
    for (int i = 0; i < tile.lse_tiles + tile.score_tiles; i++) {
      const bool scoring = i >= tile.lse_tiles;
      const int from = scoring ? fine_row + (i - tile.lse_tiles) * kWindows : lse_row + i * kWindows;
      const uint32_t full = bars + 8 * ring.stage;
      barrier_wait(full + 8 * S::stages, ring.phase ^ 1);
      barrier_arrive_expect(full, S::key_bytes);
      for (int half = 0; half < S::halves; half++)
        copy_tile_2d(base + S::keys_offset + ring.stage * S::key_bytes + half * kWindows * 128, scoring ? fine : normal, full,
                     64 * half, from);
      ring.next();
    }
  }
}

// Calls use(logits, lse, a, first cell, position, rows, row) for every tile of 64 windows: a thread's logits as in
// wgmma.cuh, the base-2 log-sum-exps of its 32 columns; of the warpgroup's tokens the first's position, how many exist, the
// first's row in [kvHeads, row_count], ready made because registers are full: found in `use` it made ptxas 13.0 spill.
template <typename T, int GROUP, int DIM, typename Use>
__device__ __forceinline__ void score_tiles(const ScoreArgs& a, int tiles, int tiles_per_sequence, uint32_t base,
                                            char* shared, Use use) {
  using S = Shape<GROUP, DIM>;
  const uint32_t bars = base + S::barrier_offset;
  const int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32, warp = (threadIdx.x / 32) % 4;
  float2* partial = reinterpret_cast<float2*>(shared + S::partial_offset) + group * 4 * kColumns;
  float* shared_lse = reinterpret_cast<float*>(shared + S::lse_offset) + group * kColumns;
  Ring<S::stages> ring;
  Ring<2> buffer;
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    Tile tile;
    if (!find_tile<S::tile_tokens>(a, index, tiles_per_sequence, tile)) continue;
    const int position = tile.position + group * S::tokens;
    const uint32_t qfull = bars + 16 * S::stages + 8 * buffer.stage;
    const uint32_t queries = base + S::queries_offset + (buffer.stage * kWarpgroups + group) * S::query_bytes;
    barrier_wait(qfull, buffer.phase);
    float even[64], odd[64];  // two products, so that one runs while the other is used
    auto start = [&](float(&to)[64]) {
      barrier_wait(bars + 8 * ring.stage, ring.phase);
      multiply<T, DIM>(to, base + S::keys_offset + ring.stage * S::key_bytes, queries);
      ring.next();
    };
    int oldest = ring.stage;  // stage of the first product not yet waited for
    auto release = [&]() {
      if (lane == 0) barrier_arrive(bars + 8 * (S::stages + oldest));
      oldest = oldest + 1 == S::stages ? 0 : oldest + 1;
    };

    LogSum sums;
    float lse[32];
    const int window = 16 * warp + lane / 4;
    auto normalise = [&](auto first, float(&acc)[64], int i) {
      bool seen[2][2][S::sets];
#pragma unroll
      for (int set = 0; set < S::sets; set++)
#pragma unroll
        for (int parity = 0; parity < 2; parity++) {
          const int end = visible_cells(position + 8 * set + 2 * (lane % 4) + parity, a.lse_stride);
          const int w = i * kWindows + window;
          seen[0][parity][set] = w >= 1 && w < end;
          seen[1][parity][set] = w + 8 < end;
        }
      add_to_lse<decltype(first)::value, GROUP, S::sets>(acc, sums, a.scale_log2, seen);
    };
    // Uses the next COUNT products in turn, one always under way while another is used. Nothing is under way at the end:
    // ptxas serialises products whose accumulators live across a loop's back edge.
    auto burst = [&](auto count, auto take) {
      constexpr int kCount = decltype(count)::value;
      start(even);
      start(odd);
#pragma unroll
      for (int n = 0; n < kCount; n++) {
        if (n + 1 < kCount)
          wgmma_wait<1>();
        else
          wgmma_wait<0>();
        if (n % 2 == 0) {
          pin(even);
          release();
          take(even, n);
          if (n + 2 < kCount) start(even);
        } else {
          pin(odd);
          release();
          take(odd, n);
          if (n + 2 < kCount) start(odd);
        }
      }
    };
    burst(Count<2>{}, [&](float(&acc)[64], int n) {
      if (n == 0)
        normalise(Yes{}, acc, 0);
      else
        normalise(No{}, acc, 1);
    });
    int i = 2;
    for (; i < tile.lse_tiles; i += 2)
      burst(Count<2>{}, [&](float(&acc)[64], int n) { normalise(No{}, acc, i + n); });
    finish_lse(sums, lse, partial, shared_lse, group);
    const int rows = tile.rows - group * S::tokens;
    const int64_t row = static_cast<int64_t>(tile.head) * a.row_count + tile.row - a.row_base + group * S::tokens;
    auto use_scores = [&](float(&acc)[64], int n) { use(acc, lse, a, (i + n) * kWindows, position, rows, row); };
    for (i = 0; i + kScoreBurst <= tile.score_tiles; i += kScoreBurst) burst(Count<kScoreBurst>{}, use_scores);
    for (; i < tile.score_tiles; i += 2) burst(Count<2>{}, use_scores);
    if (lane == 0) barrier_arrive(qfull + 16);
    buffer.next();
  }
}

// A kernel's whole work: one warpgroup moves data, the others score.
template <typename T, int GROUP, int DIM, typename Use>
__device__ __forceinline__ void score_blocks(const ScoreArgs& a, const CUtensorMap* queries, const CUtensorMap* fine,
                                             const CUtensorMap* normal, int tiles_per_sequence, Use use) {
  using S = Shape<GROUP, DIM>;
  extern __shared__ char raw[];
  char* shared = raw + (1024 - shared_address(raw) % 1024) % 1024;
  const uint32_t base = shared_address(shared), bars = base + S::barrier_offset;
  if (threadIdx.x == 0) {
    for (int i = 0; i < S::stages; i++) {
      barrier_init(bars + 8 * i, 1);
      barrier_init(bars + 8 * (S::stages + i), 4 * kWarpgroups);
    }
    for (int i = 0; i < 2; i++) {
      barrier_init(bars + 16 * S::stages + 8 * i, 1);
      barrier_init(bars + 16 * S::stages + 16 + 8 * i, 4 * kWarpgroups);
    }
    barrier_init_fence();
  }
  __syncthreads();
  const int tiles = a.kv_heads * a.batch.sequences * tiles_per_sequence;
  if (threadIdx.x < 128) {
    registers_shrink<24>();
    if (threadIdx.x == 0) load_tiles<T, GROUP, DIM>(a, queries, fine, normal, tiles, tiles_per_sequence, base);
  } else {
    registers_grow<240>();
    score_tiles<T, GROUP, DIM>(a, tiles, tiles_per_sequence, base, shared, use);
  }
}

}  // namespace
