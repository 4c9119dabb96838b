// Element types of tensors: bf16 or f16, always computed with in f32.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math_constants.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;
typedef __half f16;

template <typename T>
constexpr bool is_half = false;
template <>
constexpr bool is_half<f16> = true;

__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float to_float(f16 x) { return __half2float(x); }
template <typename T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (is_half<T>)
    return __float2half_rn(x);
  else
    return __float2bfloat16_rn(x);
}

// Two neighbouring elements in one register, `low` first in memory.
template <typename T>
__device__ __forceinline__ uint32_t pack(float low, float high) {
  uint32_t r;
  if constexpr (is_half<T>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

template <typename T>
__device__ __forceinline__ float2 unpack(uint32_t r) {
  if constexpr (is_half<T>)
    return __half22float2(*reinterpret_cast<__half2*>(&r));
  else
    return make_float2(__uint_as_float(r << 16), __uint_as_float(r & 0xFFFF0000u));
}

// 2^x; one special-function instruction, 0 for −Infinity.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

constexpr float kLog2e = 1.4426950408889634f;
