// Warp products m16n8k16 with f32 accumulators, for sm_80 and up. Lane l = 4 g + t holds: A rows g and g + 8, columns
// 2t, 2t+1 and 2t+8, 2t+9; B column g, rows 2t, 2t+1 and 2t+8, 2t+9; D rows g and g + 8, columns 2t, 2t+1.
#pragma once
#include "types.cuh"

template <typename T>
__device__ __forceinline__ void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                    uint32_t b1) {
  if constexpr (is_half<T>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// The queries of one kv head's group (at most 16 heads, rows past the group are 0) and products with keys read straight
// from memory. The reduced dimension is taken in an order that lets every lane load 16 bytes at a time: lane t of a quad
// owns elements 32 i + 8 t .. + 7 of each run of 32.
template <typename T, int DIM>
struct GroupQueries {
  uint4 low[DIM / 32], high[DIM / 32];  // heads g and g + 8

  __device__ __forceinline__ void load(const T* q, int group) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) {
      const uint4 zero = make_uint4(0, 0, 0, 0);
      low[i] = g < group ? *reinterpret_cast<const uint4*>(q + g * DIM + 32 * i + 8 * t) : zero;
      high[i] = g + 8 < group ? *reinterpret_cast<const uint4*>(q + (g + 8) * DIM + 32 * i + 8 * t) : zero;
    }
  }

  // One lane's part of key `row` (its own column g): DIM elements in DIM / 32 loads.
  static __device__ __forceinline__ void load_key(uint4 (&k)[DIM / 32], const T* row) {
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) k[i] = __ldg(reinterpret_cast<const uint4*>(row + 32 * i + 8 * t));
  }

  // Logits of 8 keys: d[0], d[1] are head g with keys 2t, 2t+1; d[2], d[3] head g + 8.
  __device__ __forceinline__ void multiply(float (&d)[4], const uint4 (&k)[DIM / 32]) const {
    d[0] = d[1] = d[2] = d[3] = 0.f;
#pragma unroll
    for (int i = 0; i < DIM / 32; i++) {
      mma<T>(d, low[i].x, high[i].x, low[i].y, high[i].y, k[i].x, k[i].y);
      mma<T>(d, low[i].z, high[i].z, low[i].w, high[i].w, k[i].z, k[i].w);
    }
  }
};
