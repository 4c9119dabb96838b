// Products with weights stored as f32, f16 or bf16.
#include "linear-many.cuh"

LINEAR(f32, kF32, plain)
LINEAR(f16, kF16, plain)
LINEAR(bf16, kBf16, plain)

// Wide tiles, for weights of the activations' type only: for the others, converting is what takes the time.
extern "C" __global__ void __launch_bounds__(256, 1) linear_wide_bf16(Linear<bf16> op) { linear_many<kBf16, bf16, 256>(op); }
extern "C" __global__ void __launch_bounds__(256, 1) linear_wide_f16(Linear<f16> op) { linear_many<kF16, f16, 256>(op); }
