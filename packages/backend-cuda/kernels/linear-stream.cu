// Products of few rows with weights of 4 bits, or of the activations' type, at the speed of memory.
#include "linear-stream-four-bit.cuh"
#include "linear-stream-plain.cuh"

// `tiles` of outputs a warp at a time, `stages` of them in shared memory, `blocks` blocks a multiprocessor.
#define STREAM_FOUR_BIT(name, type, suffix, Order, rows, tiles, warps, stages, blocks)                                         \
  extern "C" __global__ void __launch_bounds__(32 * warps, blocks) name##_q4_g128_##type##_##suffix(Linear<type> op) {         \
    linear_stream_four_bit<type, Order, tiles, (rows + 7) / 8, warps, stages>(op);                                             \
  }
#define STREAM_PLAIN(name, type, Order, tiles, warps, stages, blocks)                                                          \
  extern "C" __global__ void __launch_bounds__(32 * warps, blocks) name##_##type##_##type##_8(Linear<type> op) {               \
    linear_stream_plain<type, Order, tiles, warps, stages>(op);                                                                \
  }
// "long" is for matrices of many columns, "wide" for those with outputs enough for every multiprocessor.
#define STREAM(type)                                                            \
  STREAM_FOUR_BIT(linear_stream, type, 4_long, Below<2>, 4, 2, 16, 2, 1)        \
  STREAM_FOUR_BIT(linear_stream, type, 4, Below<2>, 4, 2, 8, 3, 2)              \
  STREAM_FOUR_BIT(linear_stream, type, 8, Below<2>, 8, 2, 16, 2, 1)             \
  STREAM_FOUR_BIT(linear_stream, type, 16, Below<2>, 16, 2, 8, 2, 1)            \
  STREAM_FOUR_BIT(linear_stream, type, 16_wide, Below<4>, 16, 4, 4, 2, 2)       \
  STREAM_FOUR_BIT(linear_gated, type, 4, Gated, 4, 2, 8, 3, 2)                  \
  STREAM_FOUR_BIT(linear_gated, type, 8, Gated, 8, 2, 16, 2, 1)                 \
  STREAM_PLAIN(linear_stream, type, Below<1>, 1, 8, 3, 2)                       \
  STREAM_PLAIN(linear_gated, type, Gated, 2, 8, 3, 1)

STREAM(bf16)
STREAM(f16)
