// Sequences in a paged cache, and the arithmetic of windows, blocks and pages.
//
// A page holds one block of 64 tokens: keys and values [pages, kvHeads, 64, headDim]. Windows lie in the page of the
// block they END in: fine keys [pages, kvHeads, 4, headDim], coarse keys [pages, kvHeads, 1, headDim]. Counting windows
// by their last run of `stride` tokens (their "cell", window number + 1) makes this plain: cell c is slot c % 4 of
// block c / 4, cell 0 is no window, the query at position i sees cells 1 .. (i+1)/stride - 1, and block b is scored by
// the largest of cells 4b .. 4b+4.
#pragma once
#include <stdint.h>

constexpr int kBlock = 64;
constexpr int kFineStride = 16;
constexpr int kCells = kBlock / kFineStride;

struct Batch {
  const int* query_starts;     // [sequences + 1] rows
  const int* query_positions;  // [sequences] position of the first query row
  const int* kv_lengths;       // [sequences] tokens in the cache
  const int* page_table;       // [sequences, max_pages]
  int sequences;
  int max_pages;
};

// Number of the selection's rules, in blocks.
struct Selection {
  int init;    // blocks at the start that are always chosen
  int local;   // blocks before the diagonal one that are always chosen
  int budget;  // blocks chosen at most, forced ones included
};

__host__ __device__ __forceinline__ int ceil_div(int a, int b) { return (a + b - 1) / b; }

// One past the last cell that a query at `position` sees.
__device__ __forceinline__ int visible_cells(int position, int stride) { return (position + 1) / stride; }

// The sequence that `row` belongs to.
__device__ __forceinline__ int sequence_of(const Batch& batch, int row) {
  int low = 0, high = batch.sequences - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (batch.query_starts[middle] <= row)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}
