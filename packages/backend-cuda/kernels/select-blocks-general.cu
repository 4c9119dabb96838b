// Selection for any head size, group, window and block size on any GPU, a block of threads per (row, kv head). Plain
// loops in f32: made to be right, not fast; the shapes models use have their own kernels.
#include "common/batch.cuh"
#include "common/rank-blocks.cuh"
#include "common/types.cuh"

struct GeneralSelectArgs {
  Batch batch;
  Selection rules;
  float scale_log2;
  int heads, kv_heads, dim;
  int block_size;
  int stride, size;            // fine windows
  int lse_stride, lse_size;    // windows that normalise
  int max_blocks;              // row length of `scores`
  int capacity;                // rows per kv head of `indices` and `pooled`
  int pooled_blocks;           // row length of `pooled`
  int row_base;                // first row of this launch
  const void* q;               // [rows, heads, dim]
  const void* fine;            // [pages, kvHeads, slots, dim]
  const void* normal;          // fine, or coarse
  unsigned* scores;            // [launched rows, kvHeads, max_blocks]
  int* indices;                // [kvHeads, capacity, budget]
  float* pooled;               // [kvHeads, capacity, pooled_blocks] or null
};

namespace {

constexpr int kThreads = 256;

// Complete windows among the first `length` tokens.
__device__ __forceinline__ int window_count(int length, int size, int stride) {
  return length < size ? 0 : (length - size) / stride + 1;
}

template <typename T>
struct Windows {
  const T* keys;
  const int* pages;
  int head, kv_heads, dim, block_size, stride, size, slots;
  __device__ const T* operator[](int window) const {
    const int end = window * stride + size - 1;
    const int64_t page = pages[end / block_size];
    return keys + ((page * kv_heads + head) * slots + end % block_size / stride) * dim;
  }
};

template <typename T>
__device__ __forceinline__ float dot(const float* q, const T* k, int dim) {
  float sum = 0.f;
  for (int i = 0; i < dim; i++) sum = fmaf(q[i], to_float(k[i]), sum);
  return sum;
}

// Base-2 log-sum-exp of one head over the visible windows; every thread returns it. `shared` holds 2 * kThreads floats.
template <typename T>
__device__ float log_sum(const float* q, const Windows<T>& windows, int seen, float scale_log2, float* shared) {
  float top = -CUDART_INF_F, sum = 0.f;
  for (int w = threadIdx.x; w < seen; w += kThreads) {
    const float x = dot(q, windows[w], windows.dim) * scale_log2;
    const float high = fmaxf(top, x);
    sum = sum * exp2_fast(top - high) + exp2_fast(x - high);
    top = high;
  }
  __syncthreads();
  shared[threadIdx.x] = top;
  shared[kThreads + threadIdx.x] = sum;
  __syncthreads();
  top = -CUDART_INF_F;
  for (int i = 0; i < kThreads; i++) top = fmaxf(top, shared[i]);
  sum = 0.f;
  for (int i = 0; i < kThreads; i++)
    if (shared[kThreads + i] > 0.f) sum += shared[kThreads + i] * exp2_fast(shared[i] - top);
  return sum > 0.f ? top + log2f(sum) : CUDART_INF_F;
}

// Grid (rows, kvHeads); (group * (dim + 1) + 2 * 256) * 4 bytes of shared memory.
template <typename T>
__device__ __forceinline__ void select_general(const GeneralSelectArgs& a) {
  extern __shared__ float shared[];
  const int row = a.row_base + blockIdx.x, head = blockIdx.y, group = a.heads / a.kv_heads;
  if (row >= a.batch.query_starts[a.batch.sequences]) return;
  float *queries = shared, *lse = queries + group * a.dim, *scratch = lse + group;
  const int sequence = sequence_of(a.batch, row);
  const int position = a.batch.query_positions[sequence] + row - a.batch.query_starts[sequence];
  const int* pages = a.batch.page_table + static_cast<int64_t>(sequence) * a.batch.max_pages;
  unsigned* scores = a.scores + (static_cast<int64_t>(blockIdx.x) * a.kv_heads + head) * a.max_blocks;
  const T* q = static_cast<const T*>(a.q) + (static_cast<int64_t>(row) * a.heads + head * group) * a.dim;
  for (int i = threadIdx.x; i < group * a.dim; i += kThreads) queries[i] = to_float(q[i]);
  for (int i = threadIdx.x; i < a.max_blocks; i += kThreads) scores[i] = 0;
  __syncthreads();
  const Windows<T> normal = {static_cast<const T*>(a.normal), pages, head, a.kv_heads, a.dim, a.block_size, a.lse_stride,
                             a.lse_size, max(1, a.block_size / a.lse_stride)};
  const Windows<T> fine = {static_cast<const T*>(a.fine), pages, head, a.kv_heads, a.dim, a.block_size, a.stride, a.size,
                           max(1, a.block_size / a.stride)};
  const int seen_normal = window_count(position + 1, a.lse_size, a.lse_stride);
  for (int h = 0; h < group; h++) {
    const float x = log_sum(queries + h * a.dim, normal, seen_normal, a.scale_log2, scratch);
    if (threadIdx.x == 0) lse[h] = x;
  }
  __syncthreads();
  const int seen = window_count(position + 1, a.size, a.stride), ratio = a.block_size / a.stride;
  for (int w = threadIdx.x; w < seen; w += kThreads) {
    float sum = 0.f;
    for (int h = 0; h < group; h++)
      sum += exp2_fast(fmaf(dot(queries + h * a.dim, fine[w], a.dim), a.scale_log2, -lse[h]));
    // Window w counts for its own block and, being the last before it, for the next.
    atomicMax(scores + w / ratio, __float_as_uint(sum));
    if ((w + 1) % ratio == 0 && (w + 1) / ratio < a.max_blocks) atomicMax(scores + (w + 1) / ratio, __float_as_uint(sum));
  }
  __threadfence_block();
  __syncthreads();
  const int64_t at = static_cast<int64_t>(head) * a.capacity + row;
  rank_blocks<kThreads / 32>([&](int b) { return __ldcg(scores + b); }, position / a.block_size, a.rules, a.indices + at * a.rules.budget);
  if (!a.pooled) return;
  const int windows = window_count(a.batch.kv_lengths[sequence], a.size, a.stride);
  for (int b = threadIdx.x; b < a.pooled_blocks; b += kThreads)
    a.pooled[at * a.pooled_blocks + b] = max(0, b * ratio - 1) < windows ? __uint_as_float(__ldcg(scores + b)) : -CUDART_INF_F;
}

}  // namespace

extern "C" __global__ void __launch_bounds__(kThreads) select_general_bf16(const GeneralSelectArgs args) {
  select_general<bf16>(args);
}
extern "C" __global__ void __launch_bounds__(kThreads) select_general_f16(const GeneralSelectArgs args) {
  select_general<f16>(args);
}
