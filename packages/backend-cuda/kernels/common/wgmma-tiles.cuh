// Warpgroup products of tiles [64 x 16] and [N x 16] in shared memory, the reduced dimension contiguous in both, for the
// widths of linear-hopper.cuh. The accumulator's layout is that of wgmma.cuh.
#pragma once
#include "wgmma.cuh"

#define TILE_REGS_0_8 "%0,%1,%2,%3,%4,%5,%6,%7"
#define TILE_REGS_8_16 "%8,%9,%10,%11,%12,%13,%14,%15"
#define TILE_REGS_16_32 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define TILE_REGS_32_64                                                                                        \
  "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,"                       \
  "%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define TILE_REGS_64_96                                                                                        \
  "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,"                       \
  "%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define TILE_REGS_96_128                                                                                       \
  "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,"                     \
  "%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define TILE_REGS_0_16 TILE_REGS_0_8 "," TILE_REGS_8_16
#define TILE_REGS_0_32 TILE_REGS_0_16 "," TILE_REGS_16_32
#define TILE_REGS_0_64 TILE_REGS_0_32 "," TILE_REGS_32_64
#define TILE_REGS_0_96 TILE_REGS_0_64 "," TILE_REGS_64_96
#define TILE_REGS_0_128 TILE_REGS_0_96 "," TILE_REGS_96_128
#define TILE_OUT8 OUT8(d, 0)
#define TILE_OUT16 TILE_OUT8, OUT8(d, 8)
#define TILE_OUT32 OUT32(d, 0)
#define TILE_OUT64 OUT32(d, 0), OUT32(d, 32)
#define TILE_OUT96 TILE_OUT64, OUT32(d, 64)
#define TILE_OUT128 TILE_OUT96, OUT32(d, 96)

// The overload for N columns; COUNT = N / 2 accumulators, A and B the numbers of the operands that follow them.
#define WGMMA_TILE(N, COUNT, A, B, TYPES)                                                                         \
  asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n"                                                         \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPES " {" TILE_REGS_0_##COUNT "}, %" #A ", %" #B  \
               ", p, 1, 1, 0, 0;\n}"                                                                               \
               : TILE_OUT##COUNT                                                                                  \
               : "l"(a), "l"(b))
#define WGMMA_TILE_OF(N, COUNT, A, B)                                                                             \
  template <typename T>                                                                                           \
  __device__ __forceinline__ void wgmma_tile(float(&d)[COUNT], uint64_t a, uint64_t b) {                          \
    if constexpr (is_half<T>)                                                                                     \
      WGMMA_TILE(N, COUNT, A, B, "f16.f16");                                                                      \
    else                                                                                                          \
      WGMMA_TILE(N, COUNT, A, B, "bf16.bf16");                                                                    \
  }
// d += A · B
WGMMA_TILE_OF(16, 8, 8, 9)
WGMMA_TILE_OF(32, 16, 16, 17)
WGMMA_TILE_OF(64, 32, 32, 33)
WGMMA_TILE_OF(128, 64, 64, 65)
WGMMA_TILE_OF(192, 96, 96, 97)
WGMMA_TILE_OF(256, 128, 128, 129)
#undef WGMMA_TILE_OF
#undef WGMMA_TILE

// The same with A in registers (the layout of mma.m16n8k16): operands A0 .. A0 + 3, then B.
#define WGMMA_TILE_RS(N, COUNT, A0, A1, A2, A3, B, TYPES)                                                         \
  asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n"                                                         \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPES " {" TILE_REGS_0_##COUNT "}, {%" #A0 ",%" #A1 \
               ",%" #A2 ",%" #A3 "}, %" #B ", p, 1, 1, 0;\n}"                                                     \
               : TILE_OUT##COUNT                                                                                  \
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b))
#define WGMMA_TILE_RS_OF(N, COUNT, A0, A1, A2, A3, B)                                                             \
  template <typename T>                                                                                           \
  __device__ __forceinline__ void wgmma_tile(float(&d)[COUNT], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint64_t b) { \
    if constexpr (is_half<T>)                                                                                     \
      WGMMA_TILE_RS(N, COUNT, A0, A1, A2, A3, B, "f16.f16");                                                      \
    else                                                                                                          \
      WGMMA_TILE_RS(N, COUNT, A0, A1, A2, A3, B, "bf16.bf16");                                                    \
  }
WGMMA_TILE_RS_OF(32, 16, 16, 17, 18, 19, 20)
WGMMA_TILE_RS_OF(64, 32, 32, 33, 34, 35, 36)
WGMMA_TILE_RS_OF(128, 64, 64, 65, 66, 67, 68)
WGMMA_TILE_RS_OF(256, 128, 128, 129, 130, 131, 132)
#undef WGMMA_TILE_RS_OF
#undef WGMMA_TILE_RS
