// Elements of a KV cache: those of the activations, or q8: 8-bit integers, which are widened in registers, times a scale that
// a token's key, or value, of one kv head has for itself.
#pragma once
#include "types.cuh"

struct q8 {
  int8_t quant;
};

template <typename KV>
constexpr bool is_q8 = false;
template <>
constexpr bool is_q8<q8> = true;

// Scales of a token's key and value: [pages, kvHeads, blockSize] of these, in q8 caches.
struct ScalePair {
  __half key, value;
};

__device__ __forceinline__ float to_float(q8 x) { return static_cast<float>(x.quant); }

// What holds four or eight neighbouring elements as they are stored.
template <typename KV>
struct Stored {
  typedef uint2 Four;
  typedef uint4 Eight;
};
template <>
struct Stored<q8> {
  typedef uint32_t Four;
  typedef uint2 Eight;
};

template <typename T>
__device__ __forceinline__ uint32_t subtract_pairs(uint32_t a, uint32_t b) {
  if constexpr (is_half<T>) {
    const __half2 difference = __hsub2(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
    return *reinterpret_cast<const uint32_t*>(&difference);
  } else {
    const __nv_bfloat162 difference = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&a), *reinterpret_cast<const __nv_bfloat162*>(&b));
    return *reinterpret_cast<const uint32_t*>(&difference);
  }
}

// Four 8-bit integers in two registers of pairs, exactly. An integer is its low 7 bits less 128 if its sign bit is set: with
// 0x43 above them these bits are 128 + low in bf16, and the sign bit alone is 128 or 256. f16 has room for 1024 + byte.
template <typename T>
__device__ __forceinline__ uint2 widen_four(uint32_t four) {
  if constexpr (is_half<T>) {
    four ^= 0x80808080u;
    return make_uint2(subtract_pairs<T>(__byte_perm(four, 0x64646464u, 0x4140), 0x64806480u),
                      subtract_pairs<T>(__byte_perm(four, 0x64646464u, 0x4342), 0x64806480u));
  } else {
    const uint32_t low = __byte_perm(four, 0x43434343u, 0x4140), high = __byte_perm(four, 0x43434343u, 0x4342);
    return make_uint2(subtract_pairs<T>(low & 0xFF7FFF7Fu, low & 0xFF80FF80u),
                      subtract_pairs<T>(high & 0xFF7FFF7Fu, high & 0xFF80FF80u));
  }
}

// Stored elements as pairs of T, without their scale.
template <typename T, typename KV>
__device__ __forceinline__ uint2 four_of(const typename Stored<KV>::Four& stored) {
  if constexpr (is_q8<KV>)
    return widen_four<T>(stored);
  else
    return stored;
}
template <typename T, typename KV>
__device__ __forceinline__ uint4 eight_of(const typename Stored<KV>::Eight& stored) {
  if constexpr (is_q8<KV>) {
    const uint2 low = widen_four<T>(stored.x), high = widen_four<T>(stored.y);
    return make_uint4(low.x, low.y, high.x, high.y);
  } else {
    return stored;
  }
}

// Elements 2 `pair` and 2 `pair` + 1, without their scale.
template <typename KV>
__device__ __forceinline__ float2 load_pair(const KV* from, int64_t pair) {
  if constexpr (is_q8<KV>) {
    const char2 two = reinterpret_cast<const char2*>(from)[pair];
    return make_float2(two.x, two.y);
  } else {
    return unpack<KV>(reinterpret_cast<const uint32_t*>(from)[pair]);
  }
}

// Scale of a key, or value, of which `most` is the largest magnitude's bits; those of a NaN are larger than any other's.
__device__ __forceinline__ __half scale_of(uint32_t most) {
  const __half scale = __float2half_rn(__fdiv_rn(__uint_as_float(most), 127.f));
  return __hisinf(scale) ? __ushort_as_half(0x7BFF) : scale;
}

__device__ __forceinline__ int8_t quant_of(float x, float scale) {
  if (!(scale > 0.f)) return 0;
  return static_cast<int8_t>(__float2int_rn(fminf(127.f, fmaxf(-127.f, __fdiv_rn(x, scale)))));
}
