// Selection for a few query rows (decoding, verifying drafts), spread over the whole chip: two launches, any length.
//   decode_lse    partial log-sum-exps over runs of coarse (or fine) keys
//   decode_score  block scores; the last block of threads of a (row, kv head) ranks them
// A warp holds the group's queries in registers and reads keys straight from the pages, each once.
#include "common/batch.cuh"
#include "common/chain.cuh"
#include "common/mma.cuh"
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

constexpr int kWarps = kRankWarps;
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

template <typename T, int DIM>
__device__ __forceinline__ const T* cell_key(const void* keys, const DecodeRow& r, int kv_heads, int cell, int slots) {
  const int64_t page = r.pages[cell / slots];
  return static_cast<const T*>(keys) + ((page * kv_heads + r.head) * slots + cell % slots) * DIM;
}

// Merges the base-2 log-sum-exp (top, sum) with another.
__device__ __forceinline__ void merge(float& top, float& sum, float other_top, float other_sum) {
  const float high = fmaxf(top, other_top);
  sum = (sum > 0.f ? sum * exp2_fast(top - high) : 0.f) + (other_sum > 0.f ? other_sum * exp2_fast(other_top - high) : 0.f);
  top = high;
}

template <typename T, int DIM>
__device__ __forceinline__ void decode_lse(const DecodeSelectArgs& a) {
  wait_for_previous();
  allow_next();
  const DecodeRow r = decode_row(a.batch, a.kv_heads);
  const int group = a.heads / a.kv_heads, lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  unsigned* scores = a.scores + r.at * a.max_blocks;
  for (int b = blockIdx.x * kDecodeThreads + threadIdx.x; b < a.max_blocks; b += gridDim.x * kDecodeThreads) scores[b] = 0;
  const int slots = kBlock / a.lse_stride, seen = visible_cells(r.position, a.lse_stride);
  GroupQueries<T, DIM> q;
  q.load(static_cast<const T*>(a.q) + (static_cast<int64_t>(r.row) * a.heads + r.head * group) * DIM, group);
  float top[2] = {-CUDART_INF_F, -CUDART_INF_F}, sum[2] = {0.f, 0.f};
  for (int first = 8 * (blockIdx.x * kWarps + warp); first < seen; first += 8 * kWarps * gridDim.x) {
    uint4 k[DIM / 32];
    GroupQueries<T, DIM>::load_key(k, cell_key<T, DIM>(a.normal, r, a.kv_heads, min(first + g, seen - 1), slots));
    float s[4];
    q.multiply(s, k);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int cell = first + 2 * t + i % 2;
      s[i] = cell >= 1 && cell < seen ? s[i] * a.scale_log2 : -CUDART_INF_F;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float high = fmaxf(s[2 * h], s[2 * h + 1]);
      if (high > -CUDART_INF_F) merge(top[h], sum[h], high, exp2_fast(s[2 * h] - high) + exp2_fast(s[2 * h + 1] - high));
    }
  }
  __shared__ float2 shared[kWarps][16];
#pragma unroll
  for (int h = 0; h < 2; h++) {
#pragma unroll
    for (int d = 1; d < 4; d *= 2)
      merge(top[h], sum[h], __shfl_xor_sync(kFull, top[h], d), __shfl_xor_sync(kFull, sum[h], d));
    if (t == 0) shared[warp][g + 8 * h] = make_float2(top[h], sum[h]);
  }
  __syncthreads();
  if (threadIdx.x < 16) {
    float2 all = shared[0][threadIdx.x];
    for (int w = 1; w < kWarps; w++) merge(all.x, all.y, shared[w][threadIdx.x].x, shared[w][threadIdx.x].y);
    a.partial[(r.at * a.splits + blockIdx.x) * 16 + threadIdx.x] = all;
  }
}

template <typename T, int DIM>
__device__ __forceinline__ void decode_score(const DecodeSelectArgs& a) {
  const DecodeRow r = decode_row(a.batch, a.kv_heads);
  const int group = a.heads / a.kv_heads, lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int block = r.position / kBlock;
  // Forced blocks need no score, nor does any when all are chosen; inspection wants every one.
  int needed = visible_cells(r.position, kFineStride);
  if (!a.pooled) needed = block + 1 <= a.rules.budget ? 0 : min(needed, (block - a.rules.local) * kCells + 1);
  __shared__ float2 parts[kWarps][16];
  GroupQueries<T, DIM> q;
  q.load(static_cast<const T*>(a.q) + (static_cast<int64_t>(r.row) * a.heads + r.head * group) * DIM, group);
  // The first keys are on their way before the sums of decode_lse are awaited.
  uint4 k[DIM / 32];
  auto load = [&](int first) {
    GroupQueries<T, DIM>::load_key(k, cell_key<T, DIM>(a.fine, r, a.kv_heads, min(first + g, needed - 1), kCells));
  };
  int first = 8 * (blockIdx.x * kWarps + warp);
  if (first < needed) load(first);
  wait_for_previous();
  allow_next();
  // Each thread adds up every 16th part of one head, then the block of threads what those found.
  {
    const int h = threadIdx.x % 16;
    float top = -CUDART_INF_F, sum = 0.f;
#pragma unroll 4
    for (int s = threadIdx.x / 16; s < a.splits; s += kDecodeThreads / 16) {
      const float2 p = a.partial[(r.at * a.splits + s) * 16 + h];
      merge(top, sum, p.x, p.y);
    }
    merge(top, sum, __shfl_xor_sync(kFull, top, 16), __shfl_xor_sync(kFull, sum, 16));
    if (lane < 16) parts[warp][h] = make_float2(top, sum);
  }
  __syncthreads();
  float lse[2];
#pragma unroll
  for (int i = 0; i < 2; i++) {
    float top = -CUDART_INF_F, sum = 0.f;
#pragma unroll
    for (int w = 0; w < kWarps; w++) top = fmaxf(top, parts[w][g + 8 * i].x);
#pragma unroll
    for (int w = 0; w < kWarps; w++) {
      const float2 p = parts[w][g + 8 * i];
      if (p.y > 0.f) sum += p.y * exp2_fast(p.x - top);
    }
    // Heads past the group, and queries that see no such key, score 0.
    lse[i] = g + 8 * i < group && sum > 0.f ? top + log2f(sum) : CUDART_INF_F;
  }
  unsigned* scores = a.scores + r.at * a.max_blocks;
  while (first < needed) {
    float s[4];
    q.multiply(s, k);
    const int next = first + 8 * kWarps * gridDim.x;
    if (next < needed) load(next);
    float v[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
      v[i] = exp2_fast(fmaf(s[i], a.scale_log2, -lse[0])) + exp2_fast(fmaf(s[i + 2], a.scale_log2, -lse[1]));
#pragma unroll
      for (int d = 4; d < 32; d *= 2) v[i] += __shfl_xor_sync(kFull, v[i], d);
      const int cell = first + 2 * t + i;
      if (cell < 1 || cell >= needed) v[i] = 0.f;
    }
    // Cells 2t, 2t+1: a block is two lanes; its first cell counts for the block before, too.
    const float most = fmaxf(fmaxf(v[0], v[1]), __shfl_xor_sync(kFull, fmaxf(v[0], v[1]), 1));
    const int b = first / kCells + t / 2;
    if (lane < 4 && t % 2 == 0 && b < a.max_blocks) {
      atomicMax(scores + b, __float_as_uint(most));
      if (b > 0) atomicMax(scores + b - 1, __float_as_uint(v[0]));
    }
    first = next;
  }
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(a.arrived + r.at, 1) == gridDim.x - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (threadIdx.x == 0) a.arrived[r.at] = 0;
  rank_blocks(scores, block, a.rules, a.indices + (static_cast<int64_t>(r.head) * a.capacity + r.row) * a.rules.budget);
  if (a.pooled) {
    const int cells = r.length / kFineStride;
    float* out = a.pooled + (static_cast<int64_t>(r.head) * a.capacity + r.row) * a.pooled_blocks;
    for (int b = threadIdx.x; b < a.pooled_blocks; b += kDecodeThreads)
      out[b] = max(1, kCells * b) < cells ? __uint_as_float(__ldcg(scores + b)) : -CUDART_INF_F;
  }
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
