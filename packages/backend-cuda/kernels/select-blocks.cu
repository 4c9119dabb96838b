// Block scores for prefill on Hopper: exp scores of fine keys summed over the group's heads, largest per block. Scores of
// single heads or windows stay in registers; select-blocks-unfused.cu shows what that saves.
#include "select-tile.cuh"

namespace {

// Scores of one tile of 64 cells from its logits: exp, sum over heads, largest per block, stored.
template <int GROUP, int DIM>
__device__ __forceinline__ void score_tile(float (&acc)[64], const float (&lse)[32], const ScoreArgs& a, int first_cell,
                                           int position, int rows, int64_t row) {
  const int lane = threadIdx.x % 32, warp = (threadIdx.x / 32) % 4;
  const int cell = first_cell + 16 * warp + lane / 4;
#pragma unroll
  for (int set = 0; set < Shape<GROUP, DIM>::sets; set++) {
    float v[2][2] = {};  // [half: cell, cell + 8][parity of the token]
#pragma unroll
    for (int h = 0; h < GROUP; h++) {
      const int j = set * GROUP + h;
#pragma unroll
      for (int i = 0; i < 4; i++) v[i / 2][i % 2] += exp2_fast(fmaf(acc[4 * j + i], a.scale_log2, -lse[2 * j + i % 2]));
    }
    const int token = 8 * set + 2 * (lane % 4);
    float next[2][2];
#pragma unroll
    for (int parity = 0; parity < 2; parity++) {
      const int seen = visible_cells(position + token + parity, kFineStride);
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int c = cell + 8 * half;
        if (c < 1 || c >= seen) v[half][parity] = 0.f;
        next[half][parity] = __shfl_xor_sync(0xFFFFFFFFu, v[half][parity], 16);
      }
    }
    const float first[2] = {v[0][0], v[0][1]};  // of lane 0..3: cell 16 x warp, the warp's first
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int parity = 0; parity < 2; parity++) {
        float& x = v[half][parity];
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 4));
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 8));
      }
    // Lanes 0-3 hold blocks 0 and 2 of the warp's four, lanes 16-19 blocks 1 and 3: swap so that each has all four of
    // one token.
    const bool upper = lane >= 16;
    if (!upper) {
      v[0][0] = fmaxf(v[0][0], next[0][0]);
      v[0][1] = fmaxf(v[0][1], next[0][1]);
      v[1][0] = fmaxf(v[1][0], next[1][0]);
      v[1][1] = fmaxf(v[1][1], next[1][1]);
    } else {
      v[0][0] = fmaxf(v[0][0], next[1][0]);
      v[0][1] = fmaxf(v[0][1], next[1][1]);
    }
    const float other0 = __shfl_xor_sync(0xFFFFFFFFu, upper ? v[0][0] : v[0][1], 16);
    const float other1 = __shfl_xor_sync(0xFFFFFFFFu, upper ? v[1][0] : v[1][1], 16);
    if (lane % 16 < 4) {
      const int block = (first_cell + 16 * warp) / kCells;
      const int64_t mine = row + token + upper;
      if (token + upper < rows && block < a.max_blocks)
        *reinterpret_cast<float4*>(a.scores + mine * a.max_blocks + block) =
            upper ? make_float4(other0, v[0][1], other1, v[1][1]) : make_float4(v[0][0], other0, v[1][0], other1);
      if (!upper && block < a.max_blocks) {
        if (token < rows) a.firsts[(row + token) * (a.max_blocks / 4) + block / 4] = first[0];
        if (token + 1 < rows) a.firsts[(row + token + 1) * (a.max_blocks / 4) + block / 4] = first[1];
      }
    }
  }
}

}  // namespace

#define SCORE_BLOCKS(NAME, T, GROUP, DIM)                                                                         \
  extern "C" __global__ void __launch_bounds__(kThreads, 1)                                                       \
      NAME(const __grid_constant__ ScoreArgs args, const __grid_constant__ CUtensorMap queries,                   \
           const __grid_constant__ CUtensorMap fine, const __grid_constant__ CUtensorMap normal,                  \
           int tiles_per_sequence) {                                                                              \
    score_blocks<T, GROUP, DIM>(args, &queries, &fine, &normal, tiles_per_sequence,                               \
                                [](float(&acc)[64], const float(&lse)[32], const ScoreArgs& a, int first_cell,    \
                                   int position, int rows, int64_t row) {                                         \
                                  score_tile<GROUP, DIM>(acc, lse, a, first_cell, position, rows, row);           \
                                });                                                                               \
  }

SCORE_BLOCKS(score_blocks_bf16_g16_d128, bf16, 16, 128)
#ifndef LAB
SCORE_BLOCKS(score_blocks_bf16_g8_d128, bf16, 8, 128)
SCORE_BLOCKS(score_blocks_bf16_g16_d64, bf16, 16, 64)
SCORE_BLOCKS(score_blocks_bf16_g8_d64, bf16, 8, 64)
SCORE_BLOCKS(score_blocks_f16_g16_d128, f16, 16, 128)
SCORE_BLOCKS(score_blocks_f16_g8_d128, f16, 8, 128)
SCORE_BLOCKS(score_blocks_f16_g16_d64, f16, 16, 64)
SCORE_BLOCKS(score_blocks_f16_g8_d64, f16, 8, 64)
#endif
