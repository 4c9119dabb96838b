// Attention for any head size up to 512, group and block size on any GPU, dense or over selected blocks: a warp per
// (row, query head). Plain loops in f32: made to be right, not fast; the shapes models use have their own kernels.
#include "common/batch.cuh"
#include "common/cached.cuh"

struct GeneralAttendArgs {
  Batch batch;
  float scale_log2;
  int heads, kv_heads, dim;
  int block_size;
  int rows;
  int budget;          // row length of `indices`
  int capacity;        // rows per kv head of `indices`
  const int* indices;  // [kvHeads, capacity, budget], or null: every block
  const void* q;       // [rows, heads, dim]
  const void* keys;    // [pages, kvHeads, blockSize, dim], of T or q8
  const void* values;
  const ScalePair* scales;  // [pages, kvHeads, blockSize] of q8 caches
  void* out;           // [rows, heads, dim]
};

namespace {

constexpr int kMostElements = 512 / 32;  // of a lane
constexpr unsigned kAll = 0xFFFFFFFFu;

// Grid (rows, heads), 32 threads, 4 * dim bytes of shared memory. Lanes share out 32 keys for the logits, then the
// elements of the output for the values.
template <typename T, typename KV>
__device__ __forceinline__ void attend_general(const GeneralAttendArgs& a) {
  extern __shared__ float query[];
  const int row = blockIdx.x, h = blockIdx.y, lane = threadIdx.x, head = h / (a.heads / a.kv_heads);
  if (row >= a.batch.query_starts[a.batch.sequences]) return;
  const int sequence = sequence_of(a.batch, row);
  const int position = a.batch.query_positions[sequence] + row - a.batch.query_starts[sequence];
  const int* pages = a.batch.page_table + static_cast<int64_t>(sequence) * a.batch.max_pages;
  const int* list = a.indices ? a.indices + (static_cast<int64_t>(head) * a.capacity + row) * a.budget : nullptr;
  const T* q = static_cast<const T*>(a.q) + (static_cast<int64_t>(row) * a.heads + h) * a.dim;
  for (int i = lane; i < a.dim; i += 32) query[i] = to_float(q[i]) * a.scale_log2;
  __syncwarp();
  float top = -1e30f, sum = 0.f, out[kMostElements] = {};
  const int blocks = list ? a.budget : position / a.block_size + 1;
  for (int i = 0; i < blocks; i++) {
    const int block = list ? list[i] : i;
    if (block < 0) break;
    const int64_t slot = (static_cast<int64_t>(pages[block]) * a.kv_heads + head) * a.block_size, base = slot * a.dim;
    const int tokens = min(a.block_size, position + 1 - block * a.block_size);
    for (int first = 0; first < tokens; first += 32) {
      float x = -CUDART_INF_F, value_scale = 1.f;
      if (first + lane < tokens) {
        const KV* key = static_cast<const KV*>(a.keys) + base + static_cast<int64_t>(first + lane) * a.dim;
        x = 0.f;
        for (int e = 0; e < a.dim; e++) x = fmaf(query[e], to_float(key[e]), x);
        if constexpr (is_q8<KV>) {
          const ScalePair scales = a.scales[slot + first + lane];
          x *= __half2float(scales.key);
          value_scale = __half2float(scales.value);
        }
      }
      float high = x;
#pragma unroll
      for (int d = 1; d < 32; d *= 2) high = fmaxf(high, __shfl_xor_sync(kAll, high, d));
      high = fmaxf(high, top);
      const float factor = exp2_fast(top - high);
      const float weight = exp2_fast(x - high);
      top = high;
      sum = sum * factor + weight;
#pragma unroll
      for (int e = 0; e < kMostElements; e++) out[e] *= factor;
      for (int n = 0; n < min(32, tokens - first); n++) {
        const float w = __shfl_sync(kAll, weight * value_scale, n);
        const KV* value = static_cast<const KV*>(a.values) + base + static_cast<int64_t>(first + n) * a.dim;
#pragma unroll
        for (int e = 0; e < kMostElements; e++)
          if (32 * e + lane < a.dim) out[e] = fmaf(w, to_float(value[32 * e + lane]), out[e]);
      }
    }
  }
#pragma unroll
  for (int d = 1; d < 32; d *= 2) sum += __shfl_xor_sync(kAll, sum, d);
  T* to = static_cast<T*>(a.out) + (static_cast<int64_t>(row) * a.heads + h) * a.dim;
#pragma unroll
  for (int e = 0; e < kMostElements; e++)
    if (32 * e + lane < a.dim) to[32 * e + lane] = from_float<T>(out[e] / sum);
}

}  // namespace

#define ATTEND_GENERAL(SUFFIX, T, KV)                                                                        \
  extern "C" __global__ void __launch_bounds__(32) attend_general_##SUFFIX(const GeneralAttendArgs args) { \
    attend_general<T, KV>(args);                                                                             \
  }
ATTEND_GENERAL(bf16, bf16, bf16)
ATTEND_GENERAL(f16, f16, f16)
ATTEND_GENERAL(bf16_q8, bf16, q8)
ATTEND_GENERAL(f16_q8, f16, q8)
