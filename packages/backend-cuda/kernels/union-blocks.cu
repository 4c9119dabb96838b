// The union of the blocks that a tile of neighbouring query rows selected, with who wants each: work list of attend-blocks.
#include "common/batch.cuh"

struct UnionArgs {
  Batch batch;
  int budget;
  int capacity;       // rows per kv head of `indices`
  int max_blocks;     // blocks that may occur, at most 65536
  int tile_rows;      // rows of a tile, even, at most 16
  int list_length;    // room in a tile's list
  const int* indices; // [kvHeads, capacity, budget]
  uint32_t* lists;    // [kvHeads, sequences, tiles, list_length]: block | members << 16
  int4* counts;       // [kvHeads, sequences, tiles]: entries; wanted by both halves of the tile, the first, the second only
};

// A list begins with what both halves want; then come entries of the first and the second half in turn, so that two
// warpgroups walking it together stay together; then what one half has left.
//
// Grid (tiles per sequence, kvHeads, sequences), 128 threads, 4 * max_blocks bytes of shared memory (rounded up to 512).
extern "C" __global__ void __launch_bounds__(128) union_blocks(const UnionArgs a) {
  extern __shared__ uint32_t members[];
  __shared__ int totals[3], warp_counts[3][4];
  const int sequence = blockIdx.z, head = blockIdx.y, tile = blockIdx.x, tiles = gridDim.x, thread = threadIdx.x;
  const int start = a.batch.query_starts[sequence], row = start + tile * a.tile_rows;
  const int rows = min(a.tile_rows, a.batch.query_starts[sequence + 1] - row);
  const int64_t at = (static_cast<int64_t>(head) * gridDim.z + sequence) * tiles + tile;
  if (rows <= 0) {
    if (thread == 0) a.counts[at] = make_int4(0, 0, 0, 0);
    return;
  }
  const int blocks = (a.batch.query_positions[sequence] + row - start + rows - 1) / kBlock + 1;
  for (int b = thread; b < ceil_div(blocks, 128) * 128; b += 128) members[b] = 0;
  if (thread < 3) totals[thread] = 0;
  __syncthreads();
  for (int i = thread; i < rows * a.budget; i += 128) {
    const int block = a.indices[(static_cast<int64_t>(head) * a.capacity + row) * a.budget + i];
    if (block >= 0 && block < blocks) atomicOr(&members[block], 1u << (i / a.budget));
  }
  __syncthreads();
  const uint32_t first_half = (1u << (a.tile_rows / 2)) - 1;
  // 0: both halves want the block, 1 and 2: one does, 3: none.
  auto kind_of = [&](uint32_t mask) {
    const bool first = (mask & first_half) != 0, second = (mask & ~first_half) != 0;
    return first ? (second ? 0 : 1) : (second ? 2 : 3);
  };
  int own[3] = {};
  for (int b = thread; b < blocks; b += 128) {
    const int kind = kind_of(members[b]);
#pragma unroll
    for (int k = 0; k < 3; k++) own[k] += kind == k;
  }
#pragma unroll
  for (int k = 0; k < 3; k++) atomicAdd(&totals[k], own[k]);
  __syncthreads();
  const int both = totals[0], paired = min(totals[1], totals[2]);
  uint32_t* list = a.lists + at * a.list_length;
  int before[3] = {};
  for (int base = 0; base < blocks; base += 128) {
    const uint32_t mask = members[base + thread];
    const int kind = kind_of(mask), warp = thread / 32;
    int to[3];
#pragma unroll
    for (int k = 0; k < 3; k++) {
      const uint32_t word = __ballot_sync(0xFFFFFFFFu, kind == k);
      to[k] = before[k] + __popc(word & ((1u << (thread % 32)) - 1));
      if (thread % 32 == 0) warp_counts[k][warp] = __popc(word);
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < 3; k++)
#pragma unroll
      for (int w = 0; w < 4; w++) {
        if (w < warp) to[k] += warp_counts[k][w];
        before[k] += warp_counts[k][w];
      }
    if (kind < 3) {
      const int n = kind == 0 ? to[0] : kind == 1 ? to[1] : to[2];
      const int place = kind == 0 ? n : both + (n < paired ? 2 * n + kind - 1 : n + paired);
      if (place < a.list_length) list[place] = (base + thread) | mask << 16;
    }
    __syncthreads();
  }
  if (thread == 0) a.counts[at] = make_int4(both + totals[1] + totals[2], both, totals[1], totals[2]);
}
