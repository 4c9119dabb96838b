// Fine and coarse keys: means of runs of cached keys, for the windows that end within the batch's query rows.
#include "common/batch.cuh"
#include "common/cached.cuh"
#include "common/chain.cuh"

// Block (i, kv head, sequence) writes the i-th cell that can end in the sequence's query rows: its fine key, and its
// coarse key when a coarse window ends there. Thread x owns elements 2x and 2x+1.
//   keys   [pages, kvHeads, blockSize, headDim], of T or q8, then with scales [pages, kvHeads, blockSize]
//   fine   [pages, kvHeads, blockSize / stride, headDim]
//   coarse [pages, kvHeads, max(1, blockSize / (4 stride)), headDim]
// `span` is a window's length in cells (kernelSize / kernelStride).
template <typename T, typename KV>
__device__ void compress_keys(const KV* keys, const ScalePair* scales, T* fine, T* coarse, Batch batch, int block_size, int stride, int span) {
  const int sequence = blockIdx.z, head = blockIdx.y, heads = gridDim.y, pairs = blockDim.x;
  const int from = batch.query_positions[sequence];
  const int to = from + batch.query_starts[sequence + 1] - batch.query_starts[sequence];
  const int cell = from / stride + blockIdx.x;  // ends at token cell * stride + stride - 1
  const int end = cell * stride + stride - 1;
  wait_for_previous();  // a batch comes from the host
  allow_next();
  if (end < from || end >= to) return;
  const int* pages = batch.page_table + static_cast<int64_t>(sequence) * batch.max_pages;
  // Windows are whole cells, and a cell lies within a page; its tokens are loaded together, and added one after the other.
  constexpr int kTogether = 8;
  auto mean = [&](int tokens) {
    float2 sum = make_float2(0.f, 0.f);
    for (int token = end + 1 - tokens; token <= end; token += stride) {
      const int64_t first = (static_cast<int64_t>(pages[token / block_size]) * heads + head) * block_size + token % block_size;
      for (int i = 0; i < stride; i += kTogether) {
        float2 x[kTogether];
#pragma unroll
        for (int j = 0; j < kTogether; j++) {
          const int64_t row = first + min(i + j, stride - 1);
          x[j] = load_pair(keys, row * pairs + threadIdx.x);
          if constexpr (is_q8<KV>) {
            const float scale = __half2float(scales[row].key);
            x[j] = make_float2(__fmul_rn(x[j].x, scale), __fmul_rn(x[j].y, scale));
          }
        }
#pragma unroll
        for (int j = 0; j < kTogether; j++)
          if (i + j < stride) sum = make_float2(sum.x + x[j].x, sum.y + x[j].y);
      }
    }
    return pack<T>(sum.x / tokens, sum.y / tokens);
  };
  auto store = [&](T* to_keys, int every, int tokens) {
    const int slots = max(1, block_size / every);
    const int64_t page = pages[end / block_size];
    const int slot = (end % block_size) / every;
    reinterpret_cast<uint32_t*>(to_keys)[((page * heads + head) * slots + slot) * pairs + threadIdx.x] = mean(tokens);
  };
  if (cell >= span - 1) store(fine, stride, span * stride);
  if ((cell + 1) % 4 == 0 && cell >= 4 * span - 1) store(coarse, 4 * stride, 4 * span * stride);
}

#define COMPRESS_KEYS(SUFFIX, T, KV)                                                                                    \
  extern "C" __global__ void compress_keys_##SUFFIX(const KV* keys, const ScalePair* scales, T* fine, T* coarse,        \
                                                    Batch batch, int block_size, int stride, int span) {                \
    compress_keys(keys, scales, fine, coarse, batch, block_size, stride, span);                                         \
  }
COMPRESS_KEYS(bf16, bf16, bf16)
COMPRESS_KEYS(f16, f16, f16)
COMPRESS_KEYS(bf16_q8, bf16, q8)
COMPRESS_KEYS(f16_q8, f16, q8)
