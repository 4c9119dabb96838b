// What attention of a few query rows shares: a warp takes 16 keys at a time, straight from the pages to registers, and the
// group's heads are the 16 rows of its product.
#pragma once
#include "common/batch.cuh"
#include "common/chain.cuh"
#include "common/group-queries.cuh"

struct DecodeAttendArgs {
  Batch batch;
  float scale_log2;
  int heads;
  int kv_heads;
  int budget;           // row length of `indices`
  int capacity;         // rows per kv head of `indices`
  int splits;           // decode_attend's grid x
  const int* indices;   // [kvHeads, capacity, budget], or null: every block
  const void* q;        // [rows, heads, DIM]
  const void* keys;     // [pages, kvHeads, 64, DIM], of T or q8
  const void* values;
  const ScalePair* scales;  // [pages, kvHeads, 64] of q8 caches
  float2* weights;      // [rows, kvHeads, splits, 16] largest logit (base 2) and sum of weights
  float* partial;       // [rows, kvHeads, splits, 16, DIM] weighted sums of values
  void* out;            // [rows, heads, DIM]
};

constexpr unsigned kAll = 0xFFFFFFFFu;

// One (row, kv head): the blocks of threads along x share out its blocks of keys.
struct AttendRow {
  int row = blockIdx.z, head = blockIdx.y, position, blocks;
  const int* pages;
  const int* list;  // null: every block

  __device__ __forceinline__ explicit AttendRow(const DecodeAttendArgs& a) {
    const int sequence = sequence_of(a.batch, row);
    position = a.batch.query_positions[sequence] + row - a.batch.query_starts[sequence];
    pages = a.batch.page_table + static_cast<int64_t>(sequence) * a.batch.max_pages;
    list = a.indices ? a.indices + (static_cast<int64_t>(head) * a.capacity + row) * a.budget : nullptr;
    blocks = list ? a.budget : position / kBlock + 1;
  }
};

// Scales of 16 keys and values: [n][e] is token 8 n + 2 t + e. Values are weighed with 128 times their scale, and sums of
// weights counted 128 times, so that weights stay numbers that f16 holds well. Nothing where a cache has no scales.
template <typename KV>
struct UnitScales {
  uint2 pairs[2];

  // `from` is the unit's first token's.
  __device__ __forceinline__ void load(const ScalePair* from) {
    if constexpr (is_q8<KV>)
#pragma unroll
      for (int n = 0; n < 2; n++) pairs[n] = __ldg(reinterpret_cast<const uint2*>(from + 8 * n + 2 * (threadIdx.x % 4)));
  }
  __device__ __forceinline__ float key(int n, int e) const {
    if constexpr (is_q8<KV>) return __half2float(__ushort_as_half(static_cast<uint16_t>(e ? pairs[n].y : pairs[n].x)));
    return 1.f;
  }
  // Of a token that the row sees; what lies past the position may be anything.
  __device__ __forceinline__ float value(int n, int e, bool seen) const {
    if constexpr (is_q8<KV>) return seen ? 128.f * __half2float(__ushort_as_half(static_cast<uint16_t>((e ? pairs[n].y : pairs[n].x) >> 16))) : 0.f;
    return 1.f;
  }
  static __device__ __forceinline__ float sums(float sum) { return is_q8<KV> ? 128.f * sum : sum; }
};

// Is token 8 n + 2 t + e of the unit that begins at `first` one that the row sees?
__device__ __forceinline__ bool sees(int first, int n, int e, int position) {
  return first + 8 * n + 2 * static_cast<int>(threadIdx.x % 4) + e <= position;
}

// Products of 16 keys with the group's queries, in units of base-2 logits; keys past the position become -Infinity.
template <typename T, int DIM, typename KV>
__device__ __forceinline__ void logits(float (&s)[2][4], const GroupQueries<T, DIM, KV>& q,
                                       const typename Stored<KV>::Eight (&k)[2][DIM / 32], const UnitScales<KV>& scales,
                                       int first, int position, float scale_log2) {
#pragma unroll
  for (int n = 0; n < 2; n++) {
    q.multiply(s[n], k[n]);
#pragma unroll
    for (int e = 0; e < 4; e++)
      s[n][e] = sees(first, n, e % 2, position) ? s[n][e] * (scale_log2 * scales.key(n, e % 2)) : -CUDART_INF_F;
  }
}
