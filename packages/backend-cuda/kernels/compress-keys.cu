// Fine and coarse keys: means of runs of cached keys, for the windows that end within the batch's query rows.
#include "common/batch.cuh"
#include "common/chain.cuh"
#include "compress-cell.cuh"

// Block (i, kv head, sequence) writes the i-th cell that can end in the sequence's query rows: its fine key, and its
// coarse key when a coarse window ends there.
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
  compress_cell(keys, scales, fine, coarse, pages, Cell{cell, head, heads, block_size, stride, span, pairs});
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
