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

// `width` vectors a head; `convert` makes a stored one of one of k or v.
template <typename V, typename Stored, typename Convert>
__device__ __forceinline__ void copy_heads(const V* k, const V* v, Stored* keys, Stored* values, const RowPlace& place,
                                           int heads, int block_size, int width, Convert convert) {
  for (int i = threadIdx.x; i < heads * width; i += blockDim.x) {
    const int head = i / width, at = i % width;
    const int64_t to = ((place.page * heads + head) * block_size + place.slot) * width + at;
    keys[to] = convert(k[i]);
    values[to] = convert(v[i]);
  }
}

// Block x copies row x: k, v [rows, kvHeads * headDim] with their own strides, to pages [pages, kvHeads, blockSize,
// headDim] at position query_positions[s] + row - query_starts[s]. Elements have 16 bits, of whichever type.
// `vectors`: headDim, strides and addresses all allow copies of 16 bytes.
extern "C" __global__ void append_kv(const uint16_t* k, const uint16_t* v, int64_t k_stride, int64_t v_stride,
                                     uint16_t* keys, uint16_t* values, Batch batch, int heads, int head_dim,
                                     int block_size, int vectors) {
  wait_for_previous();
  allow_next();
  const int row = blockIdx.x;
  const RowPlace place(batch, row, block_size);
  if (place.page < 0) return;
  const uint16_t *from_k = k + row * k_stride, *from_v = v + row * v_stride;
  auto same = [](auto x) { return x; };
  if (vectors)
    copy_heads(reinterpret_cast<const uint4*>(from_k), reinterpret_cast<const uint4*>(from_v),
               reinterpret_cast<uint4*>(keys), reinterpret_cast<uint4*>(values), place, heads, block_size, head_dim / 8,
               same);
  else
    copy_heads(from_k, from_v, keys, values, place, heads, block_size, head_dim, same);
}

template <typename T>
__device__ __forceinline__ uint32_t four_e4m3(uint32_t low, uint32_t high) {
  const float2 a = unpack<T>(low), b = unpack<T>(high);
  return to_e4m3(a.x) | to_e4m3(a.y) << 8 | to_e4m3(b.x) << 16 | static_cast<uint32_t>(to_e4m3(b.y)) << 24;
}

// The same into pages of e4m3. `vectors`: eight elements at a time.
template <typename T>
__device__ __forceinline__ void append_e4m3(const T* k, const T* v, int64_t k_stride, int64_t v_stride, uint8_t* keys,
                                            uint8_t* values, const Batch& batch, int heads, int head_dim, int block_size,
                                            int vectors) {
  wait_for_previous();
  allow_next();
  const int row = blockIdx.x;
  const RowPlace place(batch, row, block_size);
  if (place.page < 0) return;
  const T *from_k = k + row * k_stride, *from_v = v + row * v_stride;
  if (vectors)
    copy_heads(reinterpret_cast<const uint4*>(from_k), reinterpret_cast<const uint4*>(from_v),
               reinterpret_cast<uint2*>(keys), reinterpret_cast<uint2*>(values), place, heads, block_size, head_dim / 8,
               [](const uint4& x) { return make_uint2(four_e4m3<T>(x.x, x.y), four_e4m3<T>(x.z, x.w)); });
  else
    copy_heads(from_k, from_v, keys, values, place, heads, block_size, head_dim, [](T x) { return to_e4m3(to_float(x)); });
}

#define APPEND_E4M3(T)                                                                                                  \
  extern "C" __global__ void append_kv_##T##_e4m3(const T* k, const T* v, int64_t k_stride, int64_t v_stride,           \
                                                  uint8_t* keys, uint8_t* values, Batch batch, int heads, int head_dim, \
                                                  int block_size, int vectors) {                                        \
    append_e4m3(k, v, k_stride, v_stride, keys, values, batch, heads, head_dim, block_size, vectors);                   \
  }
APPEND_E4M3(bf16)
APPEND_E4M3(f16)
