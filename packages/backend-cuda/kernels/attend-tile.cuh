// What dense and sparse prefill attention on Hopper share.
//
// A tile is 128 rows of (token, head of the group), token-major: 128 / GROUP tokens of one kv head, 64 rows for each of
// two warpgroups; at GROUP 16 every warp holds one token. A third warpgroup moves data.
#pragma once
#include "common/batch.cuh"
#include "common/hopper.cuh"
#include "common/wgmma.cuh"

struct AttendArgs {
  Batch batch;
  float scale_log2;       // softmax scale x log2 e
  int heads;              // query heads
  int kv_heads;
  int list_length;        // sparse only, as are the next two: see union-blocks.cu
  const uint32_t* lists;
  const int4* counts;
  void* out;              // [rows, heads * DIM]
};

constexpr int kAttendThreads = 384;
constexpr int kTileRows = 128;

struct AttendTile {
  int head, sequence, row, rows, position;
  int64_t list;  // number of its list
};

// Later tiles first: dense ones are longer, and neighbours in time then share keys in the L2 cache.
template <int TOKENS>
__device__ __forceinline__ bool find_attend_tile(const AttendArgs& a, int index, int tiles_per_sequence, AttendTile& t) {
  const int per_head = tiles_per_sequence * a.batch.sequences;
  t.head = index / per_head;
  const int rest = index % per_head;
  t.sequence = rest % a.batch.sequences;
  const int number = tiles_per_sequence - 1 - rest / a.batch.sequences;
  const int start = a.batch.query_starts[t.sequence];
  t.row = start + number * TOKENS;
  t.rows = min(TOKENS, a.batch.query_starts[t.sequence + 1] - t.row);
  t.position = a.batch.query_positions[t.sequence] + number * TOKENS;
  t.list = (static_cast<int64_t>(t.head) * a.batch.sequences + t.sequence) * tiles_per_sequence + number;
  return t.rows > 0;
}

// A consumer thread's place: it holds tile rows `row` and `row + 8`.
template <int GROUP>
struct TilePlace {
  int group = threadIdx.x / 128 - 1, lane = threadIdx.x % 32, warp = (threadIdx.x / 32) % 4;
  int row = 64 * group + 16 * warp + lane / 4;
  int token[2] = {row / GROUP, (row + 8) / GROUP};
};

template <int N>
__device__ __forceinline__ void largest(const float (&s)[N], float (&high)[2]) {
#pragma unroll
  for (int i = 0; i < N; i++) high[(i / 2) % 2] = fmaxf(high[(i / 2) % 2], s[i]);
}

// Softmax state of a thread's two rows, in units of raw logits. `factor` is what the outputs must be multiplied by when
// the last call of `raise` or `weigh_packed` returned true.
struct RowState {
  float top[2] = {-1e30f, -1e30f};  // finite, so that differences never are NaN
  float sum[2] = {0.f, 0.f};
  float factor[2] = {1.f, 1.f};

  // Takes the largest logits of a step (a thread's own) into account. The maximum is left alone while weights stay below
  // 2^8, so most steps rescale nothing.
  __device__ __forceinline__ bool raise(float (&high)[2], float scale) {
    of_rows(high);
    const bool grow = (high[0] - top[0]) * scale > 8.f || (high[1] - top[1]) * scale > 8.f;
    if (!__any_sync(0xFFFFFFFFu, grow)) return false;
    raise_to(high, scale);
    return true;
  }

  // Logits become weights, packed in pairs. What a thread's weights of a row add up to tells whether the maximum is still
  // good: only past 2^12 is it looked for and the step weighed again.
  template <typename T, int N>
  __device__ __forceinline__ bool weigh_packed(const float (&s)[N], uint32_t (&weights)[N / 2], float scale) {
    float step[2];
    weigh_step<T>(s, weights, step, scale);
    const bool grow = __any_sync(0xFFFFFFFFu, step[0] > 4096.f || step[1] > 4096.f);
    if (grow) {
      float high[2] = {-CUDART_INF_F, -CUDART_INF_F};
      largest(s, high);
      of_rows(high);
      raise_to(high, scale);
      weigh_step<T>(s, weights, step, scale);
    }
    sum[0] += step[0];
    sum[1] += step[1];
    return grow;
  }

  // Logits become weights.
  template <int N>
  __device__ __forceinline__ void weigh(float (&s)[N], float scale) {
    const float shift[2] = {top[0] * scale, top[1] * scale};
#pragma unroll
    for (int i = 0; i < N; i++) {
      s[i] = exp2_fast(fmaf(s[i], scale, -shift[(i / 2) % 2]));
      sum[(i / 2) % 2] += s[i];
    }
  }

 private:
  static __device__ __forceinline__ void of_rows(float (&high)[2]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      high[h] = fmaxf(high[h], __shfl_xor_sync(0xFFFFFFFFu, high[h], 1));
      high[h] = fmaxf(high[h], __shfl_xor_sync(0xFFFFFFFFu, high[h], 2));
    }
  }

  __device__ __forceinline__ void raise_to(float (&high)[2], float scale) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      high[h] = fmaxf(high[h], top[h]);
      factor[h] = exp2_fast((top[h] - high[h]) * scale);
      top[h] = high[h];
      sum[h] *= factor[h];
    }
  }

  template <typename T, int N>
  __device__ __forceinline__ void weigh_step(const float (&s)[N], uint32_t (&weights)[N / 2], float (&step)[2],
                                             float scale) const {
    const float shift[2] = {top[0] * scale, top[1] * scale};
    step[0] = step[1] = 0.f;
#pragma unroll
    for (int i = 0; i < N; i += 2) {
      const int h = (i / 2) % 2;
      const float low = exp2_fast(fmaf(s[i], scale, -shift[h])), high = exp2_fast(fmaf(s[i + 1], scale, -shift[h]));
      step[h] += low;
      step[h] += high;
      weights[i / 2] = pack<T>(low, high);
    }
  }
};

// Hides keys after the row's own position; `first_key` is the position of the step's first.
template <int N>
__device__ __forceinline__ void mask_late(float (&s)[N], int first_key, int position, const int (&token)[2]) {
#pragma unroll
  for (int i = 0; i < N; i++)
    if (first_key + 8 * (i / 4) + 2 * static_cast<int>(threadIdx.x % 4) + i % 2 > position + token[(i / 2) % 2])
      s[i] = -CUDART_INF_F;
}

template <int N>
__device__ __forceinline__ void scale_rows(float (&o)[N], const float (&factor)[2]) {
#pragma unroll
  for (int i = 0; i < N; i++) o[i] *= factor[(i / 2) % 2];
}

// Divides by the sums of weights and stores the rows that exist.
template <typename T, int GROUP, int DIM>
__device__ __forceinline__ void store_rows(const float (&o)[DIM / 2], const RowState& state, const AttendArgs& a,
                                           const AttendTile& t, const TilePlace<GROUP>& place) {
  T* out = static_cast<T*>(a.out);
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float sum = state.sum[h];
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 1);
    sum += __shfl_xor_sync(0xFFFFFFFFu, sum, 2);
    const float inverse = sum > 0.f ? 1.f / sum : 0.f;
    if (place.token[h] < t.rows) {
      const int head = t.head * GROUP + (place.row + 8 * h) % GROUP;
      uint32_t* to =
          reinterpret_cast<uint32_t*>(out + (static_cast<int64_t>(t.row + place.token[h]) * a.heads + head) * DIM);
#pragma unroll
      for (int j = 0; j < DIM / 8; j++)
        to[4 * j + place.lane % 4] = pack<T>(o[4 * j + 2 * h] * inverse, o[4 * j + 2 * h + 1] * inverse);
    }
  }
}

// Starts loading a tile's queries to [halves][128 rows][64]; `bar` must expect their bytes.
template <int GROUP, int DIM>
__device__ __forceinline__ void load_queries(uint32_t to, const CUtensorMap* queries, uint32_t bar, const AttendTile& t) {
  for (int half = 0; half < DIM / 64; half++)
    copy_tile_3d(to + half * kTileRows * 128, queries, bar, 64 * half, t.head * GROUP, t.row);
}
