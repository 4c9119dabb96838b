// Products with weights in blocks of 32.
#include "linear-many.cuh"

LINEAR(q8_0, kQ8_0, quantized)
LINEAR(q4_0, kQ4_0, quantized)
LINEAR(q4_1, kQ4_1, quantized)
