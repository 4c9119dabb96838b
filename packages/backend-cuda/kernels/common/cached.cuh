// Elements of a KV cache: those of the activations, or e4m3, which is widened to them in registers.
#pragma once
#include <cuda_fp8.h>
#include "types.cuh"

// OCP FP8: sign, 4 exponent bits with bias 7, 3 mantissa bits; no infinity, 0x7F and 0xFF are NaN; 448 is the largest.
struct e4m3 {
  uint8_t bits;
};

template <typename KV>
constexpr bool is_e4m3 = false;
template <>
constexpr bool is_e4m3<e4m3> = true;

// Rounds to nearest, ties to even; beyond 448, infinity included, it is 448; a NaN stays one.
__device__ __forceinline__ uint8_t to_e4m3(float x) { return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3); }

__device__ __forceinline__ float to_float(e4m3 x) {
  const uint32_t magnitude = x.bits & 0x7Fu, sign = (x.bits & 0x80u) << 24;
  if (magnitude == 0x7F) return CUDART_NAN_F;
  return __uint_as_float(sign | __float_as_uint(__uint_as_float(magnitude << 20) * 0x1p120f));
}

// What holds four or eight neighbouring elements as they are stored.
template <typename KV>
struct Stored {
  typedef uint2 Four;
  typedef uint4 Eight;
};
template <>
struct Stored<e4m3> {
  typedef uint32_t Four;
  typedef uint2 Eight;
};

// Four e4m3 in two registers of pairs. Their bits are moved onto T's fields and multiplied by what the exponents' biases
// differ in, which gets subnormals right; what was NaN, then ±480, gets all exponent bits.
template <typename T>
__device__ __forceinline__ uint2 widen_four(uint32_t four) {
  constexpr uint32_t shift = is_half<T> ? 1 : 4;
  constexpr uint32_t factor = is_half<T> ? 0x5C005C00u : 0x7B807B80u;  // 2^8, 2^120
  // Each byte as the upper one of 16 bits.
  uint2 wide = make_uint2(__byte_perm(four, 0, 0x1404), __byte_perm(four, 0, 0x3424));
  const uint32_t nan = ((four & 0x7F7F7F7Fu) + 0x01010101u) & 0x80808080u;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    uint32_t& x = i == 0 ? wide.x : wide.y;
    x = (x & 0x80008000u) | ((x & 0x7F007F00u) >> shift);
    if constexpr (is_half<T>) {
      const __half2 product = __hmul2(*reinterpret_cast<const __half2*>(&x), *reinterpret_cast<const __half2*>(&factor));
      x = *reinterpret_cast<const uint32_t*>(&product);
    } else {
      const __nv_bfloat162 product =
          __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&x), *reinterpret_cast<const __nv_bfloat162*>(&factor));
      x = *reinterpret_cast<const uint32_t*>(&product);
    }
  }
  if (nan) {
    const uint32_t low = __byte_perm(nan, 0, 0x1404), high = __byte_perm(nan, 0, 0x3424);
    wide.x |= low - (low >> 8);
    wide.y |= high - (high >> 8);
  }
  return wide;
}

// Stored elements as pairs of T.
template <typename T, typename KV>
__device__ __forceinline__ uint2 four_of(const typename Stored<KV>::Four& stored) {
  if constexpr (is_e4m3<KV>)
    return widen_four<T>(stored);
  else
    return stored;
}
template <typename T, typename KV>
__device__ __forceinline__ uint4 eight_of(const typename Stored<KV>::Eight& stored) {
  if constexpr (is_e4m3<KV>) {
    const uint2 low = widen_four<T>(stored.x), high = widen_four<T>(stored.y);
    return make_uint4(low.x, low.y, high.x, high.y);
  } else {
    return stored;
  }
}

// Elements 2 `pair` and 2 `pair` + 1.
template <typename KV>
__device__ __forceinline__ float2 load_pair(const KV* from, int64_t pair) {
  if constexpr (is_e4m3<KV>) {
    const uint16_t two = reinterpret_cast<const uint16_t*>(from)[pair];
    return make_float2(to_float(e4m3{static_cast<uint8_t>(two)}), to_float(e4m3{static_cast<uint8_t>(two >> 8)}));
  } else {
    return unpack<KV>(reinterpret_cast<const uint32_t*>(from)[pair]);
  }
}
