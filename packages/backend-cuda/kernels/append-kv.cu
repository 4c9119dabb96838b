// Stores the batch's new keys and values in the pages of their sequences.
#include "common/batch.cuh"
#include "common/chain.cuh"

// Block x copies row x: k, v [rows, kvHeads * headDim] with their own strides, to pages [pages, kvHeads, blockSize,
// headDim] at position query_positions[s] + row - query_starts[s]. Elements have 16 bits, of whichever type.
// `vectors`: headDim, strides and addresses all allow copies of 16 bytes.
template <typename V>
__device__ __forceinline__ void copy_heads(const V* k, const V* v, V* keys, V* values, int64_t page, int slot, int heads,
                                           int block_size, int width) {
  for (int i = threadIdx.x; i < heads * width; i += blockDim.x) {
    const int head = i / width, at = i % width;
    const int64_t to = ((page * heads + head) * block_size + slot) * width + at;
    keys[to] = k[i];
    values[to] = v[i];
  }
}

extern "C" __global__ void append_kv(const uint16_t* k, const uint16_t* v, int64_t k_stride, int64_t v_stride,
                                     uint16_t* keys, uint16_t* values, Batch batch, int heads, int head_dim,
                                     int block_size, int vectors) {
  wait_for_previous();
  allow_next();
  const int row = blockIdx.x;
  if (row >= batch.query_starts[batch.sequences]) return;
  const int sequence = sequence_of(batch, row);
  const int position = batch.query_positions[sequence] + row - batch.query_starts[sequence];
  const int block = position / block_size;
  if (block >= batch.max_pages) return;
  const int64_t page = batch.page_table[static_cast<int64_t>(sequence) * batch.max_pages + block];
  if (page < 0) return;
  const uint16_t *from_k = k + row * k_stride, *from_v = v + row * v_stride;
  if (vectors)
    copy_heads(reinterpret_cast<const uint4*>(from_k), reinterpret_cast<const uint4*>(from_v),
               reinterpret_cast<uint4*>(keys), reinterpret_cast<uint4*>(values), page, position % block_size, heads,
               block_size, head_dim / 8);
  else
    copy_heads(from_k, from_v, keys, values, page, position % block_size, heads, block_size, head_dim);
}
