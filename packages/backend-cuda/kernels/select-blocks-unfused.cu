// Block scores for prefill on Hopper without head-group fusion, for comparison with select-blocks.cu: every head's scores go
// to device memory (score_heads), a second kernel sums them over the group and takes the largest per block (pool_heads).
// The sums are made in the same order, so block scores are the same bit for bit.
#include "select-tile.cuh"

namespace {

constexpr int kPoolThreads = 256;

// heads [group, kvHeads, row_count, cells]: elements between heads of a group. Cells are written by whole tiles, so a row
// has room past the last it needs (ScoreArgs.cells is a multiple of 128).
__device__ __forceinline__ int64_t head_stride(const ScoreArgs& a) {
  return static_cast<int64_t>(a.kv_heads) * a.row_count * a.cells;
}

// Probabilities of one tile of 64 cells from its logits, 0 where a token does not see the cell. A warp's store fills four
// sectors of 32 bytes: 8 cells of 4 tokens.
template <int GROUP, int DIM>
__device__ __forceinline__ void store_tile(float (&acc)[64], const float (&lse)[32], const ScoreArgs& a, int first_cell,
                                           int position, int rows, int64_t row, float* heads) {
  const int lane = threadIdx.x % 32, warp = (threadIdx.x / 32) % 4;
  const int cell = first_cell + 16 * warp + lane / 4;
#pragma unroll
  for (int set = 0; set < Shape<GROUP, DIM>::sets; set++)
#pragma unroll
    for (int parity = 0; parity < 2; parity++) {
      const int token = 8 * set + 2 * (lane % 4) + parity, seen = visible_cells(position + token, kFineStride);
      const bool keep[2] = {cell >= 1 && cell < seen, cell + 8 < seen};
      float* to = heads + (row + token) * a.cells + cell;
#pragma unroll
      for (int h = 0; h < GROUP; h++) {
        const int j = set * GROUP + h;
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const float x = exp2_fast(fmaf(acc[4 * j + 2 * half + parity], a.scale_log2, -lse[2 * j + parity]));
          if (token < rows) __stcs(to + 8 * half, keep[half] ? x : 0.f);
        }
        to += head_stride(a);
      }
    }
}

}  // namespace

#define SCORE_HEADS(NAME, T, GROUP, DIM)                                                                          \
  extern "C" __global__ void __launch_bounds__(kThreads, 1)                                                       \
      NAME(const __grid_constant__ ScoreArgs args, const __grid_constant__ CUtensorMap queries,                   \
           const __grid_constant__ CUtensorMap fine, const __grid_constant__ CUtensorMap normal,                  \
           int tiles_per_sequence, float* heads) {                                                                \
    score_blocks<T, GROUP, DIM>(args, &queries, &fine, &normal, tiles_per_sequence,                               \
                                [=](float(&acc)[64], const float(&lse)[32], const ScoreArgs& a, int first_cell,   \
                                    int position, int rows, int64_t row) {                                        \
                                  store_tile<GROUP, DIM>(acc, lse, a, first_cell, position, rows, row, heads);    \
                                });                                                                               \
  }

SCORE_HEADS(score_heads_bf16_g16_d128, bf16, 16, 128)
#ifndef LAB
SCORE_HEADS(score_heads_bf16_g8_d128, bf16, 8, 128)
SCORE_HEADS(score_heads_bf16_g16_d64, bf16, 16, 64)
SCORE_HEADS(score_heads_bf16_g8_d64, bf16, 8, 64)
SCORE_HEADS(score_heads_f16_g16_d128, f16, 16, 128)
SCORE_HEADS(score_heads_f16_g8_d128, f16, 8, 128)
SCORE_HEADS(score_heads_f16_g16_d64, f16, 16, 64)
SCORE_HEADS(score_heads_f16_g8_d64, f16, 8, 64)
#endif

// Block (row of the launch, kv head): a thread sums the four cells of a block over the heads. Reads only cells that the
// row's candidates need, and writes `scores` and `firsts` of those.
extern "C" __global__ void __launch_bounds__(kPoolThreads) pool_heads(const ScoreArgs a, const float* heads, int group) {
  const int row = a.row_base + blockIdx.x, head = blockIdx.y;
  if (row >= a.batch.query_starts[a.batch.sequences]) return;
  const int sequence = sequence_of(a.batch, row);
  const int position = a.batch.query_positions[sequence] + row - a.batch.query_starts[sequence];
  const int block = position / kBlock, seen = visible_cells(position, kFineStride);
  // Nothing to score, or every visible block is chosen.
  if (seen <= 1 || (!a.all_blocks && block + 1 <= a.rules.budget)) return;
  const int needed = (block - a.rules.local) * kCells + 1;   // the last candidate reads its neighbour's first cell
  const int blocks = ceil_div(a.all_blocks ? max(seen, needed) : needed, kCells);
  const int64_t at = static_cast<int64_t>(head) * a.row_count + row - a.row_base, stride = head_stride(a);
  const float* from = heads + at * a.cells;
  for (int base = 0; base < blocks; base += blockDim.x) {
    const int b = base + threadIdx.x;
    float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
    if (b < blocks && kCells * b < seen) {
#pragma unroll 8
      for (int h = 0; h < group; h++) {
        const float4 x = __ldcs(reinterpret_cast<const float4*>(from + h * stride) + b);
        sum.x += x.x;
        sum.y += x.y;
        sum.z += x.z;
        sum.w += x.w;
      }
    }
    const float next = __shfl_down_sync(0xFFFFFFFFu, sum.x, 1);  // not that of the warp's last block, which is 4k + 3
    if (b < blocks) {
      const float largest = fmaxf(fmaxf(sum.x, sum.y), fmaxf(sum.z, sum.w));
      a.scores[at * a.max_blocks + b] = b % 4 == 3 ? largest : fmaxf(largest, next);
      if (b % 4 == 0) a.firsts[at * (a.max_blocks / 4) + b / 4] = sum.x;
    }
  }
}
