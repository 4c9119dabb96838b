// Products with weights in blocks of 256.
#include "linear-many.cuh"

LINEAR(q4_k, kQ4_K, quantized)
LINEAR(q5_k, kQ5_K, quantized)
LINEAR(q6_k, kQ6_K, quantized)
