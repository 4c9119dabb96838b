// Stores the batch's new keys and values in the pages of their sequences.
#include "common/batch.cuh"
#include "common/cached.cuh"
#include "common/chain.cuh"

// Where a row goes: slot `slot` of page `page`, which is negative where nothing is stored.
struct RowPlace {
  int64_t page = -1;
  int slot = 0;

  __device__ __forceinline__ RowPlace(const Batch& batch, int row, int block_size) {
    if (row >= batch.query_starts[batch.sequences]) return;
    const int sequence = sequence_of(batch, row);
    const int position = batch.query_positions[sequence] + row - batch.query_starts[sequence];
    const int block = position / block_size;
    if (block >= batch.max_pages) return;
    page = batch.page_table[static_cast<int64_t>(sequence) * batch.max_pages + block];
    slot = position % block_size;
  }
};

// `width` vectors a head.
template <typename V>
__device__ __forceinline__ void copy_heads(const V* k, const V* v, V* keys, V* values, const RowPlace& place, int heads,
                                           int block_size, int width) {
  for (int i = threadIdx.x; i < heads * width; i += blockDim.x) {
    const int head = i / width, at = i % width;
    const int64_t to = ((place.page * heads + head) * block_size + place.slot) * width + at;
    keys[to] = k[i];
    values[to] = v[i];
  }
}

// Block x copies row x: k, v [rows, kvHeads * headDim] with their own strides, to pages [pages, kvHeads, blockSize,
// headDim] at position query_positions[s] + row - query_starts[s]. Elements have 16 bits, of whichever type.
// `vectors`: headDim, strides and addresses all allow copies of 16 bytes.
extern "C" __global__ void append_kv(const uint16_t* k, const uint16_t* v, int64_t k_stride, int64_t v_stride,
                                     uint16_t* keys, uint16_t* values, Batch batch, int heads, int head_dim,
                                     int block_size, int vectors) {
  const int row = blockIdx.x;
  const RowPlace place(batch, row, block_size);
  wait_for_previous();  // a batch comes from the host
  allow_next();
  if (place.page < 0) return;
  const uint16_t *from_k = k + row * k_stride, *from_v = v + row * v_stride;
  if (vectors)
    copy_heads(reinterpret_cast<const uint4*>(from_k), reinterpret_cast<const uint4*>(from_v),
               reinterpret_cast<uint4*>(keys), reinterpret_cast<uint4*>(values), place, heads, block_size, head_dim / 8);
  else
    copy_heads(from_k, from_v, keys, values, place, heads, block_size, head_dim);
}

// The same into q8 caches: a warp takes a head's key, then its value, once for the scale and once for the elements.
template <typename T>
__device__ __forceinline__ void append_q8(const T* k, const T* v, int64_t k_stride, int64_t v_stride, int8_t* keys,
                                          int8_t* values, ScalePair* scales, const Batch& batch, int heads, int head_dim,
                                          int block_size) {
  const int row = blockIdx.x, lane = threadIdx.x % 32;
  const RowPlace place(batch, row, block_size);
  wait_for_previous();  // a batch comes from the host
  allow_next();
  if (place.page < 0) return;
  auto store = [&](const T* from, int8_t* to) {
    uint32_t most = 0;
    for (int i = lane; i < head_dim; i += 32) most = max(most, __float_as_uint(to_float(from[i])) & 0x7FFFFFFFu);
    const __half scale = scale_of(__reduce_max_sync(0xFFFFFFFFu, most));
    for (int i = lane; i < head_dim; i += 32) to[i] = quant_of(to_float(from[i]), __half2float(scale));
    return scale;
  };
  for (int head = threadIdx.x / 32; head < heads; head += blockDim.x / 32) {
    const int64_t slot = (place.page * heads + head) * block_size + place.slot;
    const __half key = store(k + row * k_stride + head * head_dim, keys + slot * head_dim);
    const __half value = store(v + row * v_stride + head * head_dim, values + slot * head_dim);
    if (lane == 0) scales[slot] = ScalePair{key, value};
  }
}

#define APPEND_Q8(T)                                                                                                    \
  extern "C" __global__ void append_kv_##T##_q8(const T* k, const T* v, int64_t k_stride, int64_t v_stride,             \
                                                int8_t* keys, int8_t* values, ScalePair* scales, Batch batch, int heads, \
                                                int head_dim, int block_size) {                                         \
    append_q8(k, v, k_stride, v_stride, keys, values, scales, batch, heads, head_dim, block_size);                      \
  }
APPEND_Q8(bf16)
APPEND_Q8(f16)
