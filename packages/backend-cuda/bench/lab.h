// What lab.py hands to the launchers, and how they report errors.
#pragma once
#include <cuda_runtime.h>
#include <stdio.h>
#include "../kernels/common/batch.cuh"

static int fail(const char* what, const char* why) {
  fprintf(stderr, "lab: %s: %s\n", what, why);
  return 1;
}
#define CHECK(call)                                                            \
  do {                                                                         \
    cudaError_t e = (call);                                                    \
    if (e != cudaSuccess) return fail(#call, cudaGetErrorString(e));           \
  } while (0)

struct Problem {
  const int *query_starts, *query_positions, *kv_lengths, *page_table;
  int sequences, max_pages, rows, max_query, max_kv, pages;
  int heads, kv_heads, dim, half;
  float scale;
  const void *q, *keys, *values;
  void *fine, *coarse;
  void *linear_fine, *linear_coarse;
  int cells, coarse_rows;   // rows per (sequence, kv head) of the linear copies
  int exact;                // exact log-sum-exp
  int init, local, budget;
  int row_chunk, max_blocks, capacity;
  float *scores, *firsts;
  int* indices;
  float* pooled;
  int pooled_blocks;
  uint32_t* lists;
  int* counts;
  int list_length, tile_rows;
  void* out;
  float2 *lse_parts, *attend_weights;
  unsigned* decode_scores;
  int* arrived;
  float* attend_parts;
  int lse_splits, score_splits, attend_splits, overlap;
  float* head_scores;  // [group, kv_heads, row_chunk, cells], without head-group fusion
  cudaStream_t stream;
};

static Batch batch_of(const Problem* p) {
  return {p->query_starts, p->query_positions, p->kv_lengths, p->page_table, p->sequences, p->max_pages};
}
