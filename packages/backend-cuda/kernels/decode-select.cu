// Selection for a few query rows (decoding, verifying drafts), spread over the whole chip: two launches, any length.
//   decode_lse    partial log-sum-exps over runs of coarse (or fine) keys
//   decode_score  block scores; the last block of threads of a (row, kv head) ranks them
// A warp holds the group's queries in registers and reads keys straight from the pages, each once. Queries and page tables
// are read before the previous launch has ended: they must be older than that.
#include "common/batch.cuh"
#include "common/chain.cuh"
#include "common/group-queries.cuh"
#include "common/rank-blocks.cuh"

struct DecodeSelectArgs {
  Batch batch;
  Selection rules;
  float scale_log2;
  int heads;
  int kv_heads;
  int lse_stride;        // tokens between the keys that normalise
  int splits;            // partial log-sum-exps per (row, kv head): decode_lse's grid x
  int max_blocks;        // row length of `scores`
  int capacity;          // rows per kv head of `indices` and `pooled`
  int pooled_blocks;     // row length of `pooled`
  const void* q;         // [rows, heads, DIM]
  const void* fine;      // [pages, kvHeads, 4, DIM]
  const void* normal;    // fine, or coarse [pages, kvHeads, 1, DIM]
  float2* partial;       // [rows, kvHeads, splits, 16] largest logit (base 2) and sum
  unsigned* scores;      // [rows, kvHeads, max_blocks] block scores as bits
  int* arrived;          // [rows, kvHeads], 0 before and after
  int* indices;          // [kvHeads, capacity, budget]
  float* pooled;         // [kvHeads, capacity, pooled_blocks] or null
};

namespace {

constexpr int kWarps = 8;
constexpr int kDecodeThreads = 32 * kWarps;
constexpr unsigned kFull = 0xFFFFFFFFu;

struct DecodeRow {
  int row, head, position, length;
  const int* pages;
  int64_t at;  // (row, kv head)
};
__device__ __forceinline__ DecodeRow decode_row(const Batch& batch, int kv_heads) {
  DecodeRow r;
  r.row = blockIdx.z;
  r.head = blockIdx.y;
  const int sequence = sequence_of(batch, r.row);
  r.position = batch.query_positions[sequence] + r.row - batch.query_starts[sequence];
  r.length = batch.kv_lengths[sequence];
  r.pages = batch.page_table + static_cast<int64_t>(sequence) * batch.max_pages;
  r.at = static_cast<int64_t>(r.row) * kv_heads + r.head;
  return r;
}

// A warp's share of a row's compressed keys, in runs of 8: warp `part` of `parts` has neighbouring ones.
template <typename T, int DIM>
struct KeyRuns {
  const T* keys;     // [pages, kvHeads, slots, DIM], from the row's KV head on
  const int* pages;
  int cells;         // of the row
  int shift;         // log2 of the cells in a page: 2 or 0
  int page_pitch;
  int run, end;
  int first_page, own_page;  // lane l knows page first_page + l

  __device__ __forceinline__ KeyRuns(const void* all, const DecodeRow& r, int kv_heads, int stride, int cells, int part, int parts)
      : pages(r.pages), cells(cells), shift(stride == kFineStride ? 2 : 0) {
    keys = static_cast<const T*>(all) + static_cast<int64_t>(r.head << shift) * DIM;
    page_pitch = (kv_heads << shift) * DIM;
    const int runs = ceil_div(cells, 8), each = ceil_div(runs, parts);
    run = part * each;
    end = min(run + each, runs);
    look_up();
  }

  __device__ __forceinline__ void look_up() {
    first_page = (8 * run) >> shift;
    const int last = (max(cells, 1) - 1) >> shift;
    own_page = pages[min(first_page + static_cast<int>(threadIdx.x) % 32, last)];
  }

  // The lane's part of key 8 n + g; runs ahead of `run` by at most one lookup.
  __device__ __forceinline__ void load(uint4 (&k)[DIM / 32], int n) {
    if (((8 * n + 7) >> shift) - first_page >= 32) {
      run = n;
      look_up();
    }
    const int cell = min(8 * n + static_cast<int>(threadIdx.x) % 32 / 4, cells - 1);
    const int64_t page = __shfl_sync(kFull, own_page, (cell >> shift) - first_page);
    GroupQueries<T, DIM>::load_key(k, keys + page * page_pitch + (cell & ((1 << shift) - 1)) * DIM);
  }
};

// What a thread of a quad found about heads g and g + 8: base-2 log-sum-exp in two parts. Tops start finite, so that their
// differences never are NaN.
struct HeadSums {
  float top[2] = {-1e30f, -1e30f}, sum[2] = {0.f, 0.f};
};

// Adds the keys that normalise.
template <typename T, int DIM>
__device__ __forceinline__ HeadSums sum_keys(const DecodeSelectArgs& a, const GroupQueries<T, DIM>& q, KeyRuns<T, DIM>& runs) {
  const int t = threadIdx.x % 4;
  HeadSums h;
  uint4 k[DIM / 32];
  int n = runs.run;
  const int end = runs.end;
  if (n < end) runs.load(k, n);
  for (; n < end; n++) {
    float s[4];
    q.multiply(s, k);
    if (n + 1 < end) runs.load(k, n + 1);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int cell = 8 * n + 2 * t + i % 2;
      s[i] = cell >= 1 && cell < runs.cells ? s[i] * a.scale_log2 : -CUDART_INF_F;
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const float high = fmaxf(h.top[i], fmaxf(s[2 * i], s[2 * i + 1]));
      h.sum[i] = h.sum[i] * exp2_fast(h.top[i] - high) + exp2_fast(s[2 * i] - high) + exp2_fast(s[2 * i + 1] - high);
      h.top[i] = high;
    }
  }
  return h;
}

// Adds up log-sum-exps over groups of lanes that differ in bits FROM .. TO / 2 of their number; all get the result.
template <int FROM, int TO>
__device__ __forceinline__ float2 add_lanes(float2 part) {
  float top = part.x;
#pragma unroll
  for (int d = FROM; d < TO; d *= 2) top = fmaxf(top, __shfl_xor_sync(kFull, top, d));
  float sum = part.y * exp2_fast(part.x - top);
#pragma unroll
  for (int d = FROM; d < TO; d *= 2) sum += __shfl_xor_sync(kFull, sum, d);
  return make_float2(top, sum);
}

// A warp's sums of the 16 heads, to shared memory.
__device__ __forceinline__ void store_sums(const HeadSums& h, float2 (&to)[16]) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const float2 all = add_lanes<1, 4>(make_float2(h.top[i], h.sum[i]));
    if (lane % 4 == 0) to[lane / 4 + 8 * i] = all;
  }
}

// What to subtract from logits of head h. Heads past the group, and queries that see no such key, score 0.
__device__ __forceinline__ float lse_of(float2 all, int h, int group) {
  return h < group && all.y > 0.f ? all.x + log2f(all.y) : CUDART_INF_F;
}

// Cells to score. Forced blocks need no score, nor does any when all are chosen; inspection wants every one.
__device__ __forceinline__ int needed_cells(const DecodeSelectArgs& a, const DecodeRow& r) {
  const int block = r.position / kBlock, seen = visible_cells(r.position, kFineStride);
  if (a.pooled) return seen;
  return block + 1 <= a.rules.budget ? 0 : max(0, min(seen, (block - a.rules.local) * kCells + 1));
}

// Scores a run of 8 cells from its products; hands scores of blocks to `put(block, score)`, by one lane each.
//   lse  of heads g and g + 8
template <typename Put>
__device__ __forceinline__ void score_run(const float (&s)[4], int first, int cells, float scale_log2, const float (&lse)[2], Put put) {
  const int lane = threadIdx.x % 32, t = lane % 4;
  float v[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    v[i] = exp2_fast(fmaf(s[i], scale_log2, -lse[0])) + exp2_fast(fmaf(s[i + 2], scale_log2, -lse[1]));
#pragma unroll
    for (int d = 4; d < 32; d *= 2) v[i] += __shfl_xor_sync(kFull, v[i], d);
    const int cell = first + 2 * t + i;
    if (cell < 1 || cell >= cells) v[i] = 0.f;
  }
  // Cells 2t, 2t+1: a block is two lanes; its first cell counts for the block before, too.
  const float most = fmaxf(fmaxf(v[0], v[1]), __shfl_xor_sync(kFull, fmaxf(v[0], v[1]), 1));
  const int b = first / kCells + t / 2;
  if (lane < 4 && t % 2 == 0) {
    put(b, __float_as_uint(most));
    if (b > 0) put(b - 1, __float_as_uint(v[0]));
  }
}

// The queries' fine keys, two runs always on their way.
template <typename T, int DIM>
struct FineKeys {
  KeyRuns<T, DIM> runs;
  int n, end;
  uint4 k[2][DIM / 32];

  __device__ __forceinline__ FineKeys(const DecodeSelectArgs& a, const DecodeRow& r, int part, int parts)
      : runs(a.fine, r, a.kv_heads, kFineStride, needed_cells(a, r), part, parts), n(runs.run), end(runs.end) {}

  __device__ __forceinline__ void load(uint4 (&to)[DIM / 32], int run) {
    if (run < end) runs.load(to, run);
  }
  __device__ __forceinline__ void start() {
    load(k[0], n);
    load(k[1], n + 1);
  }

  template <typename Put>
  __device__ __forceinline__ void score(const GroupQueries<T, DIM>& q, float scale_log2, const float (&lse)[2], int blocks, Put put) {
    auto put_inside = [&](int b, unsigned score) {
      if (b < blocks) put(b, score);
    };
    for (; n < end; n += 2) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        if (n + i >= end) break;
        float s[4];
        q.multiply(s, k[i]);
        load(k[i], n + 2 + i);
        score_run(s, 8 * (n + i), runs.cells, scale_log2, lse, put_inside);
      }
    }
  }
};

// The row's results from its block scores, by a block of threads: `load(b)` gives the bits of block b's.
template <typename Load>
__device__ __forceinline__ void write_selection(const DecodeSelectArgs& a, const DecodeRow& r, Load load) {
  const int64_t at = static_cast<int64_t>(r.head) * a.capacity + r.row;
  rank_blocks<kWarps>(load, r.position / kBlock, a.rules, a.indices + at * a.rules.budget);
  if (!a.pooled) return;
  const int cells = r.length / kFineStride;
  for (int b = threadIdx.x; b < a.pooled_blocks; b += kDecodeThreads)
    a.pooled[at * a.pooled_blocks + b] = max(1, kCells * b) < cells ? __uint_as_float(load(b)) : -CUDART_INF_F;
}

template <typename T, int DIM>
__device__ __forceinline__ const T* queries_of(const DecodeSelectArgs& a, const DecodeRow& r) {
  return static_cast<const T*>(a.q) + (static_cast<int64_t>(r.row) * a.heads + r.head * (a.heads / a.kv_heads)) * DIM;
}

template <typename T, int DIM>
__device__ __forceinline__ KeyRuns<T, DIM> normal_keys(const DecodeSelectArgs& a, const DecodeRow& r, int part, int parts) {
  return KeyRuns<T, DIM>(a.normal, r, a.kv_heads, a.lse_stride, visible_cells(r.position, a.lse_stride), part, parts);
}

template <typename T, int DIM>
__device__ __forceinline__ void decode_lse(const DecodeSelectArgs& a) {
  const DecodeRow r = decode_row(a.batch, a.kv_heads);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  KeyRuns<T, DIM> runs = normal_keys<T, DIM>(a, r, blockIdx.x * kWarps + warp, gridDim.x * kWarps);
  GroupQueries<T, DIM> q;
  q.load(queries_of<T, DIM>(a, r), a.heads / a.kv_heads);
  wait_for_previous();
  allow_next();
  unsigned* scores = a.scores + r.at * a.max_blocks;
  for (int b = blockIdx.x * kDecodeThreads + threadIdx.x; b < a.max_blocks; b += gridDim.x * kDecodeThreads) scores[b] = 0;
  __shared__ float2 shared[kWarps][16];
  store_sums(sum_keys<T, DIM>(a, q, runs), shared[warp]);
  __syncthreads();
  // Warp w adds up heads 2 w, 2 w + 1 and so on: a lane holds part l / 4 of head 4 w + l % 4.
  if (warp < 4) {
    const float2 all = add_lanes<4, 32>(shared[lane / 4][4 * warp + lane % 4]);
    if (lane < 4) a.partial[(r.at * a.splits + blockIdx.x) * 16 + 4 * warp + lane] = all;
  }
}

template <typename T, int DIM>
__device__ __forceinline__ void decode_score(const DecodeSelectArgs& a) {
  const DecodeRow r = decode_row(a.batch, a.kv_heads);
  const int group = a.heads / a.kv_heads, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __shared__ float2 parts[kWarps][16];
  GroupQueries<T, DIM> q;
  q.load(queries_of<T, DIM>(a, r), group);
  // The first keys are on their way before the sums of decode_lse are awaited.
  FineKeys<T, DIM> keys(a, r, blockIdx.x * kWarps + warp, gridDim.x * kWarps);
  keys.start();
  wait_for_previous();
  allow_next();
  // Each thread adds up every 16th part of one head, then the block of threads what those found.
  {
    const int h = threadIdx.x % 16;
    float2 own = make_float2(-1e30f, 0.f);
#pragma unroll 4
    for (int s = threadIdx.x / 16; s < a.splits; s += kDecodeThreads / 16) {
      const float2 p = a.partial[(r.at * a.splits + s) * 16 + h];
      const float top = fmaxf(own.x, p.x);
      own = make_float2(top, own.y * exp2_fast(own.x - top) + p.y * exp2_fast(p.x - top));
    }
    own = add_lanes<16, 32>(own);
    if (lane < 16) parts[warp][h] = own;
  }
  __syncthreads();
  float lse[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    const int h = lane / 4 + 8 * i;
    const float2 one = add_lanes<1, 4>(parts[lane % 4][h]), two = add_lanes<1, 4>(parts[4 + lane % 4][h]);
    const float top = fmaxf(one.x, two.x);
    lse[i] = lse_of(make_float2(top, one.y * exp2_fast(one.x - top) + two.y * exp2_fast(two.x - top)), h, group);
  }
  unsigned* scores = a.scores + r.at * a.max_blocks;
  keys.score(q, a.scale_log2, lse, a.max_blocks, [&](int b, unsigned score) { atomicMax(scores + b, score); });
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(a.arrived + r.at, 1) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (threadIdx.x == 0) a.arrived[r.at] = 0;
  write_selection(a, r, [&](int b) { return __ldcg(scores + b); });
}

}  // namespace

// Grids (splits, kvHeads, rows) of 256 threads; groups of up to 16 query heads.
#define DECODE_SELECT(SUFFIX, T, DIM)                                                                                   \
  extern "C" __global__ void __launch_bounds__(kDecodeThreads) decode_lse_##SUFFIX(const DecodeSelectArgs args) {       \
    decode_lse<T, DIM>(args);                                                                                           \
  }                                                                                                                     \
  extern "C" __global__ void __launch_bounds__(kDecodeThreads) decode_score_##SUFFIX(const DecodeSelectArgs args) {     \
    decode_score<T, DIM>(args);                                                                                         \
  }
DECODE_SELECT(bf16_d128, bf16, 128)
#ifndef LAB
DECODE_SELECT(bf16_d64, bf16, 64)
DECODE_SELECT(f16_d128, f16, 128)
DECODE_SELECT(f16_d64, f16, 64)
#endif
