// Warpgroup products D (+)= A · B with f32 accumulators: D and A hold 64 rows, warp w of the group rows 16w..16w+15.
// Inside a warp the accumulator of column pair 8j + 2(lane % 4) is d[4j], d[4j+1] for row lane/4 and d[4j+2],
// d[4j+3] for row lane/4 + 8, as with mma.m16n8k16; an A operand in registers has that instruction's layout, too.
#pragma once
#include "hopper.cuh"
#include "types.cuh"

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

template <int PENDING>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

// Keep the compiler from moving uses of an operand across an asynchronous product.
template <int N>
__device__ __forceinline__ void pin(float (&r)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(r[i])::"memory");
}
template <int N>
__device__ __forceinline__ void pin(uint32_t (&r)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+r"(r[i])::"memory");
}

// Operand tiles lie in shared memory as 128-byte rows (64 elements) under the 128-byte swizzle; 8 rows make an atom of
// 1024 bytes. `lead` is read for transposed operands only (whose rows are the reduced dimension): the distance between
// neighbouring 64-element chunks of the other dimension.
__device__ __forceinline__ uint64_t tile_descriptor(uint32_t address, uint32_t lead = 16) {
  return static_cast<uint64_t>((address & 0x3FFFF) >> 4) | (static_cast<uint64_t>(lead >> 4) << 16) |
         (static_cast<uint64_t>(1024 >> 4) << 32) | (1ull << 62);
}
// Descriptor `bytes` further on: the address field counts 16 bytes.
__device__ __forceinline__ uint64_t advance(uint64_t descriptor, uint32_t bytes) { return descriptor + (bytes >> 4); }

#define OUT8(d, o)                                                                                                \
  "+f"(d[o]), "+f"(d[o + 1]), "+f"(d[o + 2]), "+f"(d[o + 3]), "+f"(d[o + 4]), "+f"(d[o + 5]), "+f"(d[o + 6]),     \
      "+f"(d[o + 7])
#define OUT32(d, o) OUT8(d, o), OUT8(d, o + 8), OUT8(d, o + 16), OUT8(d, o + 24)
#define REGS32                                                                                                    \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,"    \
  "%29,%30,%31}"
#define REGS64                                                                                                    \
  "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,"    \
  "%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,"  \
  "%56,%57,%58,%59,%60,%61,%62,%63}"

#define WGMMA_SS_64(TYPES)                                                                                        \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"                                                       \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPES " " REGS64 ", %64, %65, p, 1, 1, 0, 0;\n}"    \
               : OUT32(d, 0), OUT32(d, 32)                                                                        \
               : "l"(a), "l"(b), "r"(accumulate))
#define WGMMA_RS_32(TYPES, TRANSPOSE)                                                                             \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"                                                       \
               "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPES " " REGS32                                     \
               ", {%32,%33,%34,%35}, %36, p, 1, 1, " TRANSPOSE ";\n}"                                             \
               : OUT32(d, 0)                                                                                      \
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(accumulate))
#define WGMMA_RS_64(TYPES, TRANSPOSE)                                                                             \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %69, 0;\n"                                                       \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPES " " REGS64                                    \
               ", {%64,%65,%66,%67}, %68, p, 1, 1, " TRANSPOSE ";\n}"                                             \
               : OUT32(d, 0), OUT32(d, 32)                                                                        \
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(accumulate))

#define FRESH8(d, o)                                                                                              \
  "=f"(d[o]), "=f"(d[o + 1]), "=f"(d[o + 2]), "=f"(d[o + 3]), "=f"(d[o + 4]), "=f"(d[o + 5]), "=f"(d[o + 6]),     \
      "=f"(d[o + 7])
#define FRESH32(d, o) FRESH8(d, o), FRESH8(d, o + 8), FRESH8(d, o + 16), FRESH8(d, o + 24)
#define WGMMA_SS_64_FRESH(TYPES)                                                                                  \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 0, 0;\n"                                                         \
               "wgmma.mma_async.sync.aligned.m64n128k16.f32." TYPES " " REGS64 ", %64, %65, p, 1, 1, 0, 0;\n}"    \
               : FRESH32(d, 0), FRESH32(d, 32)                                                                    \
               : "l"(a), "l"(b))
// A and B in shared memory as in wgmma_ss, starting a new sum in `d`.
template <typename T>
__device__ __forceinline__ void wgmma_ss_fresh(float (&d)[64], uint64_t a, uint64_t b) {
  if constexpr (is_half<T>)
    WGMMA_SS_64_FRESH("f16.f16");
  else
    WGMMA_SS_64_FRESH("bf16.bf16");
}

// A [64 x 16] and B [128 x 16] in shared memory, the reduced dimension contiguous in both.
template <typename T>
__device__ __forceinline__ void wgmma_ss(float (&d)[64], uint64_t a, uint64_t b, int accumulate) {
  if constexpr (is_half<T>)
    WGMMA_SS_64("f16.f16");
  else
    WGMMA_SS_64("bf16.bf16");
}

// The same, but starting a new sum in `d`.
#define WGMMA_RS_32_FRESH(TYPES)                                                                                  \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 0, 0;\n"                                                         \
               "wgmma.mma_async.sync.aligned.m64n64k16.f32." TYPES " " REGS32                                     \
               ", {%32,%33,%34,%35}, %36, p, 1, 1, 0;\n}"                                                         \
               : FRESH32(d, 0)                                                                                    \
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b))
template <typename T>
__device__ __forceinline__ void wgmma_rs_fresh(float (&d)[32], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                               uint64_t b) {
  if constexpr (is_half<T>)
    WGMMA_RS_32_FRESH("f16.f16");
  else
    WGMMA_RS_32_FRESH("bf16.bf16");
}

// A in registers, B [64 x 16] (or transposed: [16 x 64]) in shared memory.
template <typename T, bool TRANSPOSED>
__device__ __forceinline__ void wgmma_rs(float (&d)[32], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint64_t b,
                                         int accumulate) {
  if constexpr (is_half<T>) {
    if constexpr (TRANSPOSED)
      WGMMA_RS_32("f16.f16", "1");
    else
      WGMMA_RS_32("f16.f16", "0");
  } else {
    if constexpr (TRANSPOSED)
      WGMMA_RS_32("bf16.bf16", "1");
    else
      WGMMA_RS_32("bf16.bf16", "0");
  }
}

// A in registers, B [128 x 16] (or transposed: [16 x 128]) in shared memory.
template <typename T, bool TRANSPOSED>
__device__ __forceinline__ void wgmma_rs(float (&d)[64], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint64_t b,
                                         int accumulate) {
  if constexpr (is_half<T>) {
    if constexpr (TRANSPOSED)
      WGMMA_RS_64("f16.f16", "1");
    else
      WGMMA_RS_64("f16.f16", "0");
  } else {
    if constexpr (TRANSPOSED)
      WGMMA_RS_64("bf16.bf16", "1");
    else
      WGMMA_RS_64("bf16.bf16", "0");
  }
}
