// Exact top-k of block scores, one warp per (row, kv head), ties to the lower block; forced blocks are set, not ranked.
#include "common/batch.cuh"
#include "common/types.cuh"

struct TopArgs {
  Batch batch;
  Selection rules;
  int kv_heads;
  int row_base;         // rows row_base .. row_base + row_count - 1 of the batch
  int row_count;
  int capacity;         // rows per kv head of `indices` and `pooled`
  int max_blocks;       // row length of `scores`
  int pooled_blocks;    // row length of `pooled`
  const float* scores;  // [kvHeads, row_count, max_blocks]: see select-blocks.cu
  const float* firsts;  // [kvHeads, row_count, max_blocks / 4]
  int* indices;         // [kvHeads, capacity, budget]
  float* pooled;        // [kvHeads, capacity, pooled_blocks] finished block scores, or null
};

namespace {

constexpr unsigned kAll = 0xFFFFFFFFu;

constexpr int kShort = 8;             // candidates a lane keeps once most are ruled out
constexpr int kListed = 32 * kShort;  // and the row

// Shared memory of one warp, in 4-byte words: keys, the short list, a bitmap of chosen blocks.
__host__ __device__ __forceinline__ int top_words(int max_blocks) {
  return ceil_div(max_blocks, 128) * 128 + 2 * kListed + ceil_div(max_blocks, 1024) * 32;
}

// Scores are not negative, so their bit patterns order as integers; key 0 marks what is no candidate (a true score of 0
// gets key 1, the least). Lane l holds blocks 4 l .. 4 l + 3 of each run of 128.
//
// The wanted-th largest key is found by bisection: among all until few remain, then among those alone. It starts from
// the least of 64 maxima over disjoint sets of candidates, which no fewer than 64 reach.
__device__ __forceinline__ void select_row(const TopArgs& a, const float* scores, const float* firsts, int block,
                                           uint32_t* shared, int* out) {
  const int lane = threadIdx.x % 32;
  if (block + 1 <= a.rules.budget) {
    for (int b = lane; b < a.rules.budget; b += 32) out[b] = b <= block ? b : -1;
    return;
  }
  const int first_free = a.rules.init, last_free = max(block - a.rules.local, first_free);
  const int wanted = min(a.rules.budget - (block + 1 - (last_free - first_free)), last_free - first_free);
  const int runs = ceil_div(last_free, 128), words = ceil_div(last_free, 32);
  uint4* keys = reinterpret_cast<uint4*>(shared) + lane;
  uint2* listed = reinterpret_cast<uint2*>(shared + ceil_div(a.max_blocks, 128) * 128);
  uint32_t* bits = reinterpret_cast<uint32_t*>(listed + kListed);

  uint32_t even = 0, odd = 0;
#pragma unroll 4
  for (int run = 0; run < runs; run++) {
    const int b = 128 * run + 4 * lane;
    uint4 key = make_uint4(0, 0, 0, 0);
    if (b < last_free) {
      const float4 x = *reinterpret_cast<const float4*>(scores + b);
      const float last = fmaxf(x.w, firsts[b / 4 + 1]);
      key = make_uint4(max(1u, __float_as_uint(x.x)), max(1u, __float_as_uint(x.y)), max(1u, __float_as_uint(x.z)),
                       max(1u, __float_as_uint(last)));
      if (b < first_free || b + 3 >= last_free) {
        if (b < first_free) key.x = 0;
        if (b + 1 < first_free || b + 1 >= last_free) key.y = 0;
        if (b + 2 < first_free || b + 2 >= last_free) key.z = 0;
        if (b + 3 < first_free || b + 3 >= last_free) key.w = 0;
      }
    }
    keys[32 * run] = key;
    even = max(even, max(key.x, key.z));
    odd = max(odd, max(key.y, key.w));
  }
  uint32_t low = wanted <= 64 ? max(1u, __reduce_min_sync(kAll, min(even, odd))) : 1u;
  uint32_t high = __reduce_max_sync(kAll, max(even, odd)) + 1;  // no key reaches it
  auto own_reaching = [&](uint32_t least) {
    int n = 0, m = 0;
#pragma unroll 4
    for (int run = 0; run < runs; run++) {
      const uint4 key = keys[32 * run];
      n += key.x >= least;
      m += key.y >= least;
      n += key.z >= least;
      m += key.w >= least;
    }
    return n + m;
  };
  auto all_reaching = [&](uint32_t least) { return static_cast<int>(__reduce_add_sync(kAll, own_reaching(least))); };
  int own = own_reaching(low);
  int count = __reduce_add_sync(kAll, own);  // candidates that reach low, at least as many as wanted
  auto halve = [&](auto reaching) {
    const uint32_t middle = low + (high - low) / 2;
    const int n = reaching(middle);
    if (n >= wanted) {
      low = middle;
      count = n;
    } else {
      high = middle;
    }
  };
  if (count > kListed) {
    while (count > kListed && high - low > 1) halve(all_reaching);
    own = own_reaching(low);
  }
  const bool listable = count <= kListed;
  for (int i = lane; i < words; i += 32) bits[i] = 0;
  __syncwarp();
  if (listable) {
    int end = own;  // lanes list what they have one after another
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      const int other = __shfl_up_sync(kAll, end, d);
      if (lane >= d) end += other;
    }
    uint2* to = listed + end - own;
#pragma unroll 4
    for (int run = 0; run < runs; run++) {
      const uint4 key = keys[32 * run];
      const int b = 128 * run + 4 * lane;
      if (key.x >= low) *to++ = make_uint2(key.x, b);
      if (key.y >= low) *to++ = make_uint2(key.y, b + 1);
      if (key.z >= low) *to++ = make_uint2(key.z, b + 2);
      if (key.w >= low) *to++ = make_uint2(key.w, b + 3);
    }
    __syncwarp();
    uint2 kept[kShort];
    const int total = count;
#pragma unroll
    for (int i = 0; i < kShort; i++) kept[i] = 32 * i + lane < total ? listed[32 * i + lane] : make_uint2(0, 0);
    auto kept_reaching = [&](uint32_t least) {
      int n = 0;
#pragma unroll
      for (int i = 0; i < kShort; i++) n += kept[i].x >= least;
      return static_cast<int>(__reduce_add_sync(kAll, n));
    };
    while (count != wanted && high - low > 1) halve(kept_reaching);
    // All that exceed low are chosen, and of those equal to it the first.
    const bool tied = count != wanted;
#pragma unroll
    for (int i = 0; i < kShort; i++)
      if (tied ? kept[i].x > low : kept[i].x >= low) atomicOr(bits + kept[i].y / 32, 1u << kept[i].y % 32);
    if (tied) {
      uint32_t next = 0;  // least block not yet looked at
      for (int n = wanted - kept_reaching(low + 1); n > 0; n--) {
        uint32_t least = 0xFFFFFFFFu;
#pragma unroll
        for (int i = 0; i < kShort; i++)
          if (kept[i].x == low && kept[i].y >= next) least = min(least, kept[i].y);
        next = __reduce_min_sync(kAll, least);
        if (lane == 0) atomicOr(bits + next / 32, 1u << next % 32);
        next++;
      }
    }
  } else {  // more equal keys than the list holds
    int equal_wanted = wanted - all_reaching(low + 1);
    const uint32_t* flat = shared;
    for (int i = 0; i < words; i++) {
      const uint32_t mine = 32 * i + lane < last_free ? flat[32 * i + lane] : 0;
      const uint32_t equal = __ballot_sync(kAll, mine == low);
      const bool chosen = mine > low || (mine == low && __popc(equal & ((1u << lane) - 1)) < equal_wanted);
      equal_wanted -= min(equal_wanted, __popc(equal));
      const uint32_t word = __ballot_sync(kAll, chosen);
      if (lane == 0) bits[i] = word;
    }
  }
  __syncwarp();
  int at = first_free;
  for (int base = 0; base < words; base += 32) {  // a lane writes out the blocks of one word
    uint32_t word = base + lane < words ? bits[base + lane] : 0;
    int before = __popc(word);
    const int chosen = before;
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      const int other = __shfl_up_sync(kAll, before, d);
      if (lane >= d) before += other;
    }
    int* to = out + at + before - chosen;
    for (; word != 0; word &= word - 1) *to++ = 32 * (base + lane) + __ffs(word) - 1;
    at += __shfl_sync(kAll, before, 31);
  }
  for (int b = lane; b < first_free; b += 32) out[b] = b;
  for (int b = last_free + lane; b <= block; b += 32) out[at + b - last_free] = b;
  for (int i = at + block + 1 - last_free + lane; i < a.rules.budget; i += 32) out[i] = -1;
}

// Finished scores for inspection: 0 where nothing is visible, -Infinity where the sequence has no window.
__device__ void write_pooled(const TopArgs& a, const float* scores, const float* firsts, int position, int length,
                             float* out) {
  const int cells = length / kFineStride, seen = visible_cells(position, kFineStride);
  for (int b = threadIdx.x % 32; b < a.pooled_blocks; b += 32) {
    float x = 0.f;
    if (max(1, kCells * b) < seen) x = scores[b];
    if (b % 4 == 3 && kCells * (b + 1) < seen) x = fmaxf(x, firsts[(b + 1) / 4]);
    if (max(1, kCells * b) >= cells) x = -CUDART_INF_F;
    out[b] = x;
  }
}

}  // namespace

// A warp per row: grid (rows / warps, kvHeads), 4 * top_words(max_blocks) bytes of shared memory per warp.
extern "C" __global__ void __launch_bounds__(128) select_top(const TopArgs a) {
  extern __shared__ __align__(16) uint32_t shared[];
  const int warp = threadIdx.x / 32, row = a.row_base + blockIdx.x * (blockDim.x / 32) + warp, head = blockIdx.y;
  if (row >= a.row_base + a.row_count || row >= a.batch.query_starts[a.batch.sequences]) return;
  const int sequence = sequence_of(a.batch, row);
  const int position = a.batch.query_positions[sequence] + row - a.batch.query_starts[sequence];
  const int64_t from = static_cast<int64_t>(head) * a.row_count + row - a.row_base;
  const float* scores = a.scores + from * a.max_blocks;
  const float* firsts = a.firsts + from * (a.max_blocks / 4);
  const int64_t to = static_cast<int64_t>(head) * a.capacity + row;
  select_row(a, scores, firsts, position / kBlock, shared + warp * top_words(a.max_blocks), a.indices + to * a.rules.budget);
  if (a.pooled) write_pooled(a, scores, firsts, position, a.batch.kv_lengths[sequence], a.pooled + to * a.pooled_blocks);
}
