// Products of few rows with weights of 4 bits, or of the activations' type, at the speed of memory.
#include "linear-stream.cuh"

// `stages` tiles a warp in shared memory, `blocks` blocks a multiprocessor.
#define LINEAR_STREAM(name, Tile, type, rows, warps, stages, blocks)                                                         \
  extern "C" __global__ void __launch_bounds__(32 * warps, blocks) linear_stream_##name##_##type##_##rows(Linear<type> op) { \
    linear_stream<Tile<type>, type, rows / 8, warps, stages>(op);                                                            \
  }
LINEAR_STREAM(q4_g128, FourBitTile, bf16, 8, 8, 6, 3)
LINEAR_STREAM(q4_g128, FourBitTile, bf16, 16, 8, 6, 2)
LINEAR_STREAM(q4_g128, FourBitTile, f16, 8, 8, 6, 3)
LINEAR_STREAM(q4_g128, FourBitTile, f16, 16, 8, 6, 2)
LINEAR_STREAM(bf16, PlainTile, bf16, 8, 8, 3, 2)
LINEAR_STREAM(f16, PlainTile, f16, 8, 8, 3, 2)
