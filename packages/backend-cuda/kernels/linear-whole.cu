// Products of one to four rows with weights of 4 bits, alone or with the norm before and the addition after them.
#include "linear-whole.cuh"

// `stages` of two tiles of outputs a warp in shared memory, `blocks` blocks a multiprocessor.
#define WHOLE(name, type, suffix, Order, rows, warps, stages, blocks)                                                               \
  extern "C" __global__ void __launch_bounds__(32 * warps, blocks)                                                             \
      name##_q4_g128_##type##_##suffix(Linear<type> op, Around<type> around) {                                                 \
    linear_whole<type, Order, 2, (rows + 1) / 2, warps, stages>(op, around);                                                   \
  }
// "long" is for matrices of many columns, "even" for those with more pairs of tiles than multiprocessors, but not twice as many.
#define WHOLES(type)                                                 \
  WHOLE(linear_whole, type, 2, Below<2>, 2, 8, 4, 2)                 \
  WHOLE(linear_whole, type, 2_even, Below<2>, 2, 16, 2, 1)           \
  WHOLE(linear_whole, type, 2_long, Below<2>, 2, 16, 3, 1)           \
  WHOLE(linear_whole, type, 4, Below<2>, 4, 16, 2, 1)                \
  WHOLE(gated_whole, type, 2, Gated, 2, 8, 4, 2)                     \
  WHOLE(gated_whole, type, 4, Gated, 4, 16, 2, 1)

WHOLES(bf16)
WHOLES(f16)
