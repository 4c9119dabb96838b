// Products with weights in blocks of 32, and of many rows with those in groups of 128: few rows are linear-stream.cu's.
#include "linear-many.cuh"

LINEAR(q8_0, kQ8_0, quantized)
LINEAR(q4_0, kQ4_0, quantized)
LINEAR(q4_1, kQ4_1, quantized)
LINEAR_MANY(q4_g128, kQ4_G128, bf16)
LINEAR_MANY(q4_g128, kQ4_G128, f16)
