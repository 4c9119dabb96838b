// Copies a batch's compressed keys out of their pages into one run per (sequence, kv head), so that scoring can load
// tiles of 64 windows whatever the page size. Costs one pass over the index: 1/16 of the keys.
#include "common/batch.cuh"

// Block (i, kv head, sequence) of 256 threads copies cells 256/lanes * i ..; `lanes` = headDim / 8 threads copy one row.
//   paged  [pages, kvHeads, slots, headDim]    linear [sequences, kvHeads, rows, headDim]
extern "C" __global__ void gather_index(const uint4* paged, uint4* linear, Batch batch, int slots, int lanes, int rows,
                                        int stride) {
  const int sequence = blockIdx.z, head = blockIdx.y, heads = gridDim.y;
  const int cell = blockIdx.x * (blockDim.x / lanes) + threadIdx.x / lanes;
  if (threadIdx.x / lanes >= blockDim.x / lanes || cell >= batch.kv_lengths[sequence] / stride) return;
  const int64_t page = batch.page_table[static_cast<int64_t>(sequence) * batch.max_pages + cell / slots];
  linear[((static_cast<int64_t>(sequence) * heads + head) * rows + cell) * lanes + threadIdx.x % lanes] =
      paged[((page * heads + head) * slots + cell % slots) * lanes + threadIdx.x % lanes];
}
