// append_kv and compress_keys at once, for few rows: a block stores the rows of one kv head and then reads only that head.
#include "common/batch.cuh"
#include "common/chain.cuh"
#include "compress-cell.cuh"

// Block (kv head, sequence). k, v [rows, kvHeads * headDim] with their own strides, headDim a multiple of 8; rows start at
// multiples of 16 bytes. At least headDim / 2 threads.
template <typename T>
__device__ void append_compress(const T* k, const T* v, int64_t k_stride, int64_t v_stride, T* keys, T* values, T* fine, T* coarse,
                                const Batch& batch, int head_dim, int block_size, int stride, int span) {
  const int head = blockIdx.x, heads = gridDim.x, sequence = blockIdx.y, width = head_dim / 8;
  const int first = batch.query_starts[sequence], rows = batch.query_starts[sequence + 1] - first;
  const int from = batch.query_positions[sequence], to = from + rows;
  const int* pages = batch.page_table + static_cast<int64_t>(sequence) * batch.max_pages;
  auto page_of = [&](int i) -> int64_t {
    const int block = (from + i / width) / block_size;
    return i < rows * width && block < batch.max_pages ? pages[block] : -1;
  };
  int64_t page = page_of(threadIdx.x);
  wait_for_previous();  // a batch comes from the host
  allow_next();
  for (int i = threadIdx.x; i < rows * width; i += blockDim.x, page = page_of(i)) {
    if (page < 0) continue;
    const int row = i / width, at = i % width;
    const int64_t slot = (page * heads + head) * block_size + (from + row) % block_size;
    const int64_t source = head * width + at;
    reinterpret_cast<uint4*>(keys)[slot * width + at] = reinterpret_cast<const uint4*>(k + (first + row) * k_stride)[source];
    reinterpret_cast<uint4*>(values)[slot * width + at] = reinterpret_cast<const uint4*>(v + (first + row) * v_stride)[source];
  }
  __syncthreads();
  if (threadIdx.x >= head_dim / 2) return;
  Cell cell = {from / stride, head, heads, block_size, stride, span, head_dim / 2};
  for (; cell.end() < to; cell.cell++)
    if (cell.end() >= from) compress_cell<T, T>(keys, nullptr, fine, coarse, pages, cell);
}

#define APPEND_COMPRESS(T)                                                                                                \
  extern "C" __global__ void append_compress_##T(const T* k, const T* v, int64_t k_stride, int64_t v_stride, T* keys,      \
                                                 T* values, T* fine, T* coarse, Batch batch, int head_dim, int block_size, \
                                                 int stride, int span) {                                                   \
    append_compress(k, v, k_stride, v_stride, keys, values, fine, coarse, batch, head_dim, block_size, stride, span);      \
  }
APPEND_COMPRESS(bf16)
APPEND_COMPRESS(f16)
