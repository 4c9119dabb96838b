// Products of few rows with weights of 4 bits, or of the activations' type, at the speed of memory.
#include "linear-stream-four-bit.cuh"
#include "linear-stream-plain.cuh"

// `tiles` of outputs a warp at a time, `stages` of them in shared memory, `blocks` blocks a multiprocessor.
#define STREAM_FOUR_BIT(type, name, rows, tiles, warps, stages, blocks)                                                              \
  extern "C" __global__ void __launch_bounds__(32 * warps, blocks) linear_stream_q4_g128_##type##_##name(Linear<type> op) {    \
    linear_stream_four_bit<type, tiles, (rows + 7) / 8, warps, stages>(op);                                                    \
  }
#define STREAM_PLAIN(type, warps, stages, blocks)                                                                              \
  extern "C" __global__ void __launch_bounds__(32 * warps, blocks) linear_stream_##type##_##type##_8(Linear<type> op) {        \
    linear_stream_plain<type, warps, stages>(op);                                                                              \
  }
// Of the kernels for 16 rows, "wide" is for matrices with outputs enough for every multiprocessor.
STREAM_FOUR_BIT(bf16, 4, 4, 1, 8, 3, 4)
STREAM_FOUR_BIT(bf16, 8, 8, 2, 16, 2, 1)
STREAM_FOUR_BIT(bf16, 16, 16, 2, 8, 2, 1)
STREAM_FOUR_BIT(bf16, 16_wide, 16, 4, 4, 2, 2)
STREAM_FOUR_BIT(f16, 4, 4, 1, 8, 3, 4)
STREAM_FOUR_BIT(f16, 8, 8, 2, 16, 2, 1)
STREAM_FOUR_BIT(f16, 16, 16, 2, 8, 2, 1)
STREAM_FOUR_BIT(f16, 16_wide, 16, 4, 4, 2, 2)
STREAM_PLAIN(bf16, 8, 3, 2)
STREAM_PLAIN(f16, 8, 3, 2)
