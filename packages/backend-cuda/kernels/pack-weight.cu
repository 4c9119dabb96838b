// Weights from their stored form (blocks, or plain rows) into the layout of dequantize.cuh.
#include "dequantize.cuh"

// Reads one stored block; `code` is an element's unsigned integer.
template <int W>
struct Stored {
  static constexpr int kElements = W >= kQ4_K ? 256 : W == kQ4_G128 ? 128 : 32;
  static constexpr int kBytes = W == kQ4_G128 ? 68 : W == kQ8_0 ? 34 : W == kQ4_0 ? 18 : W == kQ4_1 ? 20 : W == kQ4_K ? 144 : W == kQ5_K ? 176 : 210;
  const uint8_t* block;

  __device__ __forceinline__ uint32_t half_at(int at) const { return block[at] | block[at + 1] << 8; }

  __device__ __forceinline__ uint32_t code(int i) const {
    if constexpr (W == kQ8_0) return block[2 + i];
    if constexpr (W == kQ4_G128) return block[4 + i / 2] >> (i % 2 * 4) & 15;
    if constexpr (W == kQ4_0 || W == kQ4_1) return block[(W == kQ4_0 ? 2 : 4) + i % 16] >> (i / 16 * 4) & 15;
    if constexpr (W == kQ6_K) {
      const int half = i / 128, part = i / 32 % 4, x = i % 32;
      const uint32_t low = block[half * 64 + part % 2 * 32 + x] >> (part / 2 * 4) & 15;
      return low | (block[128 + half * 32 + x] >> (part * 2) & 3) << 4;
    }
    const int group = i / 32, x = i % 32, nibbles = W == kQ5_K ? 48 : 16;
    uint32_t q = block[nibbles + group / 2 * 32 + x] >> (group % 2 * 4) & 15;
    if constexpr (W == kQ5_K) q |= (block[16 + x] >> group & 1) << 4;
    return q;
  }

  // Scale and minimum of a k group of 32; q6_k: the two scales.
  __device__ __forceinline__ uint32_t pair(int group) const {
    if constexpr (W == kQ6_K) return block[192 + 2 * group] | block[193 + 2 * group] << 8;
    const uint8_t* s = block + 4;
    if (group < 4) return (s[group] & 63) | (s[group + 4] & 63) << 8;
    return ((s[group + 4] & 15) | s[group - 4] >> 6 << 4) | ((s[group + 4] >> 4) | s[group] >> 6 << 4) << 8;
  }
};

// Thread (group, lane) of row `from` + blockIdx.x; `stored` holds the rows that are written, back to back.
template <int W>
__device__ void pack_weight(const uint8_t* stored, void* weight, int rows, int columns, int from) {
  const Planes<W> planes(weight, rows, columns);
  const int row = from + blockIdx.x, groups = columns / 32;
  const int64_t row_bytes = static_cast<int64_t>(columns / Stored<W>::kElements) * Stored<W>::kBytes;
  for (int item = blockIdx.y * blockDim.x + threadIdx.x; item < groups * 4; item += gridDim.y * blockDim.x) {
    const int group = item / 4, t = item % 4, j = group % 4;
    constexpr int kGroups = Stored<W>::kElements / 32;
    const Stored<W> from_block = {stored + blockIdx.x * row_bytes + static_cast<int64_t>(group / kGroups) * Stored<W>::kBytes};
    const int within = group % kGroups;
    uint32_t code[8];
    for (int e = 0; e < 8; e++) code[e] = from_block.code(within * 32 + pair_column<W>(e / 2, t) + e % 2);
    const int64_t unit = static_cast<int64_t>(row) * planes.units + group / 4;
    if constexpr (W == kQ8_0) {
      uint8_t* to = planes.quants + unit * 128 + j / 2 * 64 + t * 16 + j % 2 * 8;
      for (int e = 0; e < 8; e++) to[e] = code[e];
    } else {
      uint32_t word = 0, high = 0;
      for (int e = 0; e < 8; e++) {
        word |= (code[e] & 15) << (4 * (e / 2) + 16 * (e % 2));
        high |= code[e] >> 4 << (W == kQ6_K ? 2 * (e / 2) + 8 * (e % 2) : e / 2 + 4 * (e % 2));
      }
      if constexpr (W == kQ4_G128) {
        uint8_t* tile = tile_of(planes.quants, planes.units, row, group / 4);
        reinterpret_cast<uint32_t*>(tile + tile_words(row, t))[j] = word;
        if (t == 0 && within == 0)
          reinterpret_cast<uint32_t*>(tile + kTileScales)[row % kTileRows] = from_block.half_at(0) | from_block.half_at(2) << 16;
        continue;
      }
      reinterpret_cast<uint32_t*>(planes.quants)[unit * 16 + t * 4 + j] = word;
      if constexpr (W == kQ5_K) planes.high[unit * 16 + t * 4 + j] = high;
      if constexpr (W == kQ6_K) reinterpret_cast<uint16_t*>(planes.high)[unit * 16 + t * 4 + j] = high;
    }
    if (t != 0) continue;
    uint16_t* scales = reinterpret_cast<uint16_t*>(planes.unit_scales(unit));
    if constexpr (W == kQ8_0 || W == kQ4_0) scales[j] = from_block.half_at(0);
    if constexpr (W == kQ4_1) scales[2 * j] = from_block.half_at(0), scales[2 * j + 1] = from_block.half_at(2);
    if constexpr (W >= kQ4_K) {
      reinterpret_cast<uint16_t*>(planes.pairs)[unit * 4 + j] = from_block.pair(within);
      if (within == 0) scales[0] = from_block.half_at(W == kQ6_K ? 208 : 0);
      if (within == 0 && W != kQ6_K) scales[1] = from_block.half_at(2);
    }
  }
}

// Plain rows to their pitch.
template <typename V>
__device__ void pack_plain(const V* stored, V* weight, int columns, int from) {
  const int64_t row = blockIdx.x;
  for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < columns; i += gridDim.y * blockDim.x)
    weight[(from + row) * plain_pitch(columns) + i] = stored[row * columns + i];
}

#define PACK_WEIGHT(name, W)                                                                                        \
  extern "C" __global__ void pack_weight_##name(const uint8_t* stored, void* weight, int rows, int columns, int from) { \
    pack_weight<W>(stored, weight, rows, columns, from);                                                            \
  }
PACK_WEIGHT(q8_0, kQ8_0)
PACK_WEIGHT(q4_0, kQ4_0)
PACK_WEIGHT(q4_1, kQ4_1)
PACK_WEIGHT(q4_g128, kQ4_G128)
PACK_WEIGHT(q4_k, kQ4_K)
PACK_WEIGHT(q5_k, kQ5_K)
PACK_WEIGHT(q6_k, kQ6_K)
#undef PACK_WEIGHT

extern "C" __global__ void pack_weight_f32(const uint32_t* stored, uint32_t* weight, int rows, int columns, int from) {
  pack_plain(stored, weight, columns, from);
}
// f16 and bf16
extern "C" __global__ void pack_weight_16(const uint16_t* stored, uint16_t* weight, int rows, int columns, int from) {
  pack_plain(stored, weight, columns, from);
}
