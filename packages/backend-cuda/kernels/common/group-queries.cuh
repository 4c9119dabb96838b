// Queries of a group of heads, and their products with keys as a cache stores them.
#pragma once
#include "cached.cuh"
#include "mma.cuh"

// The queries of one kv head's group (at most 16 heads, rows past the group are 0) and products with keys of type KV read
// straight from memory. The reduced dimension is taken in an order that lets every lane load 16 bytes at a time: lane t of
// a quad owns elements 32 i + 8 t .. + 7 of each run of 32, of 8-bit keys 64 i + 16 t .. + 15 of each run of 64.
template <typename T, int DIM, typename KV = T>
struct GroupQueries {
  typedef typename Stored<KV>::Eight Eight;
  uint4 low[DIM / 32], high[DIM / 32];  // heads g and g + 8

  // First element of a lane's i-th eight.
  static __device__ __forceinline__ int element(int i) {
    const int t = threadIdx.x % 4;
    return is_q8<KV> ? 64 * (i / 2) + 16 * t + 8 * (i % 2) : 32 * i + 8 * t;
  }

  __device__ __forceinline__ void load(const T* q, int group) {
    const int g = threadIdx.x % 32 / 4;
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) {
      const uint4 zero = make_uint4(0, 0, 0, 0);
      low[i] = g < group ? *reinterpret_cast<const uint4*>(q + g * DIM + element(i)) : zero;
      high[i] = g + 8 < group ? *reinterpret_cast<const uint4*>(q + (g + 8) * DIM + element(i)) : zero;
    }
  }

  // One lane's part of key `row` (its own column g): DIM elements in loads of 16 bytes.
  static __device__ __forceinline__ void load_key(Eight (&k)[DIM / 32], const KV* row) {
    if constexpr (is_q8<KV>) {
#pragma unroll
      for (int i = 0; i < DIM / 32; i += 2) {
        const uint4 two = __ldg(reinterpret_cast<const uint4*>(row + element(i)));
        k[i] = make_uint2(two.x, two.y);
        k[i + 1] = make_uint2(two.z, two.w);
      }
    } else {
#pragma unroll
      for (int i = 0; i < DIM / 32; i++) k[i] = __ldg(reinterpret_cast<const uint4*>(row + element(i)));
    }
  }

  // Logits of 8 keys: d[0], d[1] are head g with keys 2t, 2t+1; d[2], d[3] head g + 8.
  __device__ __forceinline__ void multiply(float (&d)[4], const Eight (&k)[DIM / 32]) const {
    d[0] = d[1] = d[2] = d[3] = 0.f;
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) {
      const uint4 key = eight_of<T, KV>(k[i]);
      mma<T>(d, low[i].x, high[i].x, low[i].y, high[i].y, key.x, key.y);
      mma<T>(d, low[i].z, high[i].z, low[i].w, high[i].w, key.z, key.w);
    }
  }
};
