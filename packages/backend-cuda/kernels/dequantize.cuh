// Quantised weights as they lie on the device, and their way into registers.
//
// A row is cut into units of 128 columns (4 groups of 32; the last unit is filled up with zeros). Lane t = 0..3 of a quad
// owns elements 4t .. 4t+3 and 16+4t .. 16+4t+3 of every group: just what one operand of two m16n8k16 products takes, the
// first product covering elements 0..15 of the group. So that a lane reads 16 bytes at a time, planes are ordered by lane:
//   quants  4-bit types [rows, units, 4 lanes, 4 groups] words; q8_0 [rows, units, 2 halves, 4 lanes, 2 groups, 8] bytes
//   high    q5_k [rows, units, 4 lanes, 4 groups] bytes, q6_k the same with 16-bit numbers: what a nibble lacks
//   pairs   k types [rows, units, 4 groups] x 2 bytes: scale and minimum (q6_k: the scales of both halves, signed)
//   scales  q8_0, q4_0 [rows, units, 4 groups] f16; q4_1 the same with (d, m); k types [rows, units / 2] (d, m) or d
// Planes follow one another, each at a multiple of 16 bytes. Pair p of a lane's eight numbers has its nibbles at bits 4p
// and 16 + 4p of the word.
//
// q4_g128 has no planes but tiles [rows / 16, units] of 1088 bytes, so that 16 rows are one stream: [2, 8 rows, 4 lanes, 4 groups]
// words, then (scale, zero point) as f16 of the 16 rows. The last rows are filled up with zeros. Its lanes own the elements that
// an operand in registers has in the order of memory, so that the other operand may lie in shared memory: 2t, 2t+1 of every 8.
#pragma once
#include "common/types.cuh"

enum WeightType { kF32, kF16, kBf16, kQ8_0, kQ4_0, kQ4_1, kQ4_G128, kQ4_K, kQ5_K, kQ6_K };

__host__ __device__ constexpr bool is_quantized(int w) { return w >= kQ8_0; }
constexpr int kUnit = 128;
constexpr int kTileRows = 16;
constexpr int kTileScales = kTileRows * kUnit / 2;  // where a tile's scales start
constexpr int kTileBytes = kTileScales + kTileRows * 4;

// Bytes of one unit in each plane; `scale_bytes` are those of two units, since k types have one pair per 256 columns.
__host__ __device__ constexpr int quant_bytes(int w) { return w == kQ8_0 ? 128 : 64; }
__host__ __device__ constexpr int high_bytes(int w) { return w == kQ5_K ? 16 : w == kQ6_K ? 32 : 0; }
__host__ __device__ constexpr int pair_bytes(int w) { return w >= kQ4_K ? 8 : 0; }
__host__ __device__ constexpr int scale_bytes(int w) { return w == kQ4_1 ? 32 : w == kQ6_K ? 2 : w >= kQ4_K ? 4 : 16; }
// q4_1 and the k types but q6_k add a number of its own to every group.
__host__ __device__ constexpr bool has_offset(int w) { return w == kQ4_1 || w == kQ4_K || w == kQ5_K; }

template <int W>
struct Planes {
  uint8_t *quants, *high, *pairs, *scales;
  int units;

  __device__ __forceinline__ Planes(void* base, int rows, int columns) {
    units = (columns + kUnit - 1) / kUnit;
    const int64_t all = static_cast<int64_t>(rows) * units;
    auto aligned = [](int64_t bytes) { return (bytes + 15) / 16 * 16; };
    quants = static_cast<uint8_t*>(base);
    high = quants + aligned(all * quant_bytes(W));
    pairs = high + aligned(all * high_bytes(W));
    scales = pairs + aligned(all * pair_bytes(W));
  }
  __device__ __forceinline__ uint8_t* unit_scales(int64_t unit) const {
    return W >= kQ4_K ? scales + unit / 2 * scale_bytes(W) : scales + unit * (scale_bytes(W) / 2);
  }
};

// A tile of q4_g128 weights, and lane t's four words of a row in it.
__device__ __forceinline__ uint8_t* tile_of(uint8_t* weight, int units, int row, int unit) {
  return weight + (static_cast<int64_t>(row / kTileRows) * units + unit) * kTileBytes;
}
__device__ __forceinline__ int tile_words(int row, int t) { return row % kTileRows * 64 + t * 16; }

// Column within its group of 32 of the first number of pair p that lane t holds.
template <int W>
__device__ __forceinline__ int pair_column(int p, int t) {
  return W == kQ4_G128 ? 8 * p + 2 * t : 4 * t + 2 * (p % 2) + 16 * (p / 2);
}

// Weights are read once: they should not push the activations out of L1.
template <int WORDS>
__device__ __forceinline__ void load_words(uint32_t* to, const uint8_t* from) {
  if constexpr (WORDS == 4)
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "l"(from));
  else if constexpr (WORDS == 2)
    asm volatile("ld.global.nc.v2.u32 {%0,%1}, [%2];" : "=r"(to[0]), "=r"(to[1]) : "l"(from));
  else
    asm volatile("ld.global.nc.u32 %0, [%1];" : "=r"(to[0]) : "l"(from));
}
__device__ __forceinline__ uint32_t load_half_word(const uint8_t* from) {
  return __ldg(reinterpret_cast<const uint16_t*>(from));
}

__device__ __forceinline__ float half_bits(uint32_t bits) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}

// What lane t reads of HALVES x 64 neighbouring columns of one row, still packed. `half` (0 or 1) says which half of the
// unit when only one is read.
template <int W, int HALVES>
struct Packed {
  uint32_t quant[(W == kQ8_0 ? 4 : 2) * HALVES];
  uint32_t high[W == kQ6_K ? HALVES : 1];
  uint32_t pair[HALVES];
  uint32_t scale[W == kQ4_1 ? 2 * HALVES : HALVES];

  __device__ __forceinline__ void load(const Planes<W>& planes, int row, int unit, int half, int t) {
    if constexpr (W == kQ4_G128) {
      const uint8_t* tile = tile_of(planes.quants, planes.units, row, unit);
      load_words<2 * HALVES>(quant, tile + tile_words(row, t) + half * 8);
      load_words<1>(scale, tile + kTileScales + row % kTileRows * 4);
      return;
    }
    const int64_t at = static_cast<int64_t>(row) * planes.units + unit;
    if constexpr (W == kQ8_0) {
#pragma unroll
      for (int h = 0; h < HALVES; h++) load_words<4>(quant + 4 * h, planes.quants + at * 128 + (half + h) * 64 + t * 16);
    } else {
      load_words<2 * HALVES>(quant, planes.quants + at * 64 + t * 16 + half * 8);
    }
    if constexpr (W == kQ5_K) {
      if constexpr (HALVES == 2)
        load_words<1>(high, planes.high + at * 16 + t * 4);
      else
        high[0] = load_half_word(planes.high + at * 16 + t * 4 + half * 2);
    }
    if constexpr (W == kQ6_K) load_words<HALVES>(high, planes.high + at * 32 + t * 8 + half * 4);
    if constexpr (W >= kQ4_K) load_words<HALVES>(pair, planes.pairs + at * 8 + half * 4);
    const uint8_t* scales = planes.unit_scales(at);
    if constexpr (W == kQ4_1)
      load_words<2 * HALVES>(scale, scales + half * 8);
    else if constexpr (W < kQ4_K)
      load_words<HALVES>(scale, scales + half * 4);
    else if constexpr (W == kQ6_K)
      scale[0] = load_half_word(scales);
    else
      load_words<1>(scale, scales);
  }

  // The four pairs of group j's integers, exact in T: bf16 counts to 256, f16 to 2048.
  template <typename T>
  __device__ __forceinline__ void integers(int j, uint32_t (&out)[4]) const {
    if constexpr (W == kQ8_0) {
#pragma unroll
      for (int p = 0; p < 4; p++) {
        // 2^23 + (q + 128) as f32, byte by byte; what is left after the subtraction fits the upper half of an f32.
        const uint32_t word = quant[2 * j + p / 2] ^ 0x80808080u;
        const float low = __uint_as_float(__byte_perm(word, 0x4B000000u, p % 2 ? 0x7652 : 0x7650)) - 8388736.f;
        const float high_part = __uint_as_float(__byte_perm(word, 0x4B000000u, p % 2 ? 0x7653 : 0x7651)) - 8388736.f;
        if constexpr (is_half<T>)
          out[p] = pack<T>(low, high_part);
        else
          out[p] = __byte_perm(__float_as_uint(low), __float_as_uint(high_part), 0x7632);
      }
    } else {
      uint32_t spread = 0;
      if constexpr (W == kQ5_K) {
        const uint32_t bits = high[0] >> (8 * j) & 0xFF;
        spread = (bits & 0xF) | (bits & 0xF0) << 12;
      }
      if constexpr (W == kQ6_K) {
        const uint32_t bits = high[j / 2] >> (16 * (j % 2)) & 0xFFFF;
        spread = (bits & 0xFF) | (bits & 0xFF00) << 8;
      }
      // A number below 128 in the mantissa of 128 (bf16) or 1024 (f16), less that and the zero point.
      constexpr float kBias = is_half<T> ? 1024.f : 128.f;
      const float zero = W == kQ4_G128 ? half_bits(scale[0] >> 16) : W == kQ4_0 ? 8.f : W == kQ6_K ? 32.f : 0.f;
      const uint32_t biased_zero = pack<T>(kBias + zero, kBias + zero);
#pragma unroll
      for (int p = 0; p < 4; p++) {
        uint32_t q = quant[j] >> (4 * p) & 0x000F000Fu;
        if constexpr (W == kQ5_K) q |= (spread >> p & 0x00010001u) << 4;
        if constexpr (W == kQ6_K) q |= (spread >> (2 * p) & 0x00030003u) << 4;
        if constexpr (is_half<T>)
          out[p] = bits_of(__hsub2(bits_as<__half2>(q | 0x64006400u), bits_as<__half2>(biased_zero)));
        else
          out[p] = bits_of(__hsub2(bits_as<__nv_bfloat162>(q | 0x43004300u), bits_as<__nv_bfloat162>(biased_zero)));
      }
    }
  }

  // A number of group j is factor x integer + offset; q6_k has another factor for elements 16 .. 31.
  __device__ __forceinline__ float factor(int j, bool second_half) const {
    if constexpr (W == kQ4_1) return half_bits(scale[j] & 0xFFFF);
    if constexpr (W == kQ4_G128) return half_bits(scale[0] & 0xFFFF);
    if constexpr (W < kQ4_K) return half_bits(scale[j / 2] >> (16 * (j % 2)) & 0xFFFF);
    const uint32_t both = pair[j / 2] >> (16 * (j % 2));
    const float d = half_bits(scale[0] & 0xFFFF);
    if constexpr (W == kQ6_K) return d * static_cast<float>(static_cast<int8_t>(second_half ? both >> 8 : both));
    return d * static_cast<float>(both & 0xFF);
  }
  __device__ __forceinline__ float offset(int j) const {
    if constexpr (W == kQ4_1) return half_bits(scale[j] >> 16);
    if constexpr (W == kQ4_K || W == kQ5_K)
      return -half_bits(scale[0] >> 16) * static_cast<float>(pair[j / 2] >> (16 * (j % 2) + 8) & 0xFF);
    return 0.f;
  }

  // Group j's four pairs of numbers (pair_column), rounded to f32 once.
  __device__ __forceinline__ void numbers(int j, float (&out)[8]) const {
    uint32_t q[4];
    integers<bf16>(j, q);
    const float first = factor(j, false), second = factor(j, true), plus = offset(j);
#pragma unroll
    for (int p = 0; p < 4; p++) {
      const float2 x = unpack<bf16>(q[p]);
      out[2 * p] = fmaf(p < 2 ? first : second, x.x, plus);
      out[2 * p + 1] = fmaf(p < 2 ? first : second, x.y, plus);
    }
  }

 private:
  template <typename V>
  static __device__ __forceinline__ V bits_as(uint32_t bits) {
    return *reinterpret_cast<V*>(&bits);
  }
  template <typename V>
  static __device__ __forceinline__ uint32_t bits_of(V value) {
    return *reinterpret_cast<uint32_t*>(&value);
  }
};

// Plain weights: [rows, pitch] elements, `pitch` a multiple of 64; columns past the matrix are 0.
__host__ __device__ __forceinline__ int plain_pitch(int columns) { return (columns + 63) / 64 * 64; }

template <int W>
struct PlainOf {
  typedef float type;
};
template <>
struct PlainOf<kF16> {
  typedef f16 type;
};
template <>
struct PlainOf<kBf16> {
  typedef bf16 type;
};
__device__ __forceinline__ float to_float(float x) { return x; }
