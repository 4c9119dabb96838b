// Rows of the embedding table, decoded and scaled.
#include "common/chain.cuh"
#include "dequantize.cuh"

// A lane's four pairs of a group of 32. Those of q4_g128 first change places within their quad, so that each lane stores 16 bytes.
template <int W, typename T>
__device__ __forceinline__ void store_group(T* group, uint32_t (&pairs)[4], int t) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(group);
  if constexpr (W == kQ4_G128) {
    if (at % 16 == 0) {
      const unsigned quad = 0xFu << (threadIdx.x % 32 / 4 * 4);
      uint32_t mine[4];
#pragma unroll
      for (int d = 0; d < 4; d++) {
        const int other = t ^ d;
        const uint32_t sent = other & 2 ? (other & 1 ? pairs[3] : pairs[2]) : (other & 1 ? pairs[1] : pairs[0]);
        const uint32_t got = __shfl_xor_sync(quad, sent, d);
#pragma unroll
        for (int k = 0; k < 4; k++) mine[k] = k == other ? got : d == 0 ? 0 : mine[k];
      }
      *reinterpret_cast<uint4*>(group + 8 * t) = make_uint4(mine[0], mine[1], mine[2], mine[3]);
      return;
    }
  } else if (at % 8 == 0) {
    *reinterpret_cast<uint2*>(group + 4 * t) = make_uint2(pairs[0], pairs[1]);
    *reinterpret_cast<uint2*>(group + 4 * t + 16) = make_uint2(pairs[2], pairs[3]);
    return;
  }
#pragma unroll
  for (int p = 0; p < 4; p++) {
    const float2 x = unpack<T>(pairs[p]);
    group[pair_column<W>(p, t)] = from_float<T>(x.x);
    group[pair_column<W>(p, t) + 1] = from_float<T>(x.y);
  }
}

// Block x: out [rows, columns] row x = scale * table[ids[x]], or table[x] without ids. An id outside the table gives NaN, which every later op keeps
// and sampling reports as -1.
template <int W, typename T>
__device__ void embed(const int* ids, void* table, T* out, int64_t out_stride, int table_rows, int columns, float scale) {
  wait_for_previous();
  allow_next();
  const int id = ids ? ids[blockIdx.x] : blockIdx.x;
  T* to = out + blockIdx.x * out_stride;
  if (id < 0 || id >= table_rows) {
    for (int i = threadIdx.x; i < columns; i += blockDim.x) to[i] = from_float<T>(CUDART_NAN_F);
    return;
  }
  if constexpr (is_quantized(W)) {
    const Planes<W> planes(table, table_rows, columns);
    for (int i = threadIdx.x; i < planes.units * 4; i += blockDim.x) {
      const int unit = i / 4, t = i % 4;
      Packed<W, 2> packed;
      packed.load(planes, id, unit, 0, t);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        if (unit * kUnit + 32 * j >= columns) break;
        float x[8];
        packed.numbers(j, x);
        uint32_t pairs[4];
#pragma unroll
        for (int p = 0; p < 4; p++) pairs[p] = pack<T>(scale * x[2 * p], scale * x[2 * p + 1]);
        store_group<W>(to + unit * kUnit + 32 * j, pairs, t);
      }
    }
  } else {
    typedef typename PlainOf<W>::type V;
    const V* from = static_cast<const V*>(table) + static_cast<int64_t>(id) * plain_pitch(columns);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) to[i] = from_float<T>(scale * to_float(from[i]));
  }
}

#define EMBED(name, W, T, type)                                                                                       \
  extern "C" __global__ void embed_##name##_##type(const int* ids, void* table, T* out, int64_t out_stride,            \
                                                   int table_rows, int columns, float scale) {                         \
    embed<W>(ids, table, out, out_stride, table_rows, columns, scale);                                                 \
  }
#define EMBED_BOTH(name, W)      \
  EMBED(name, W, bf16, bf16)     \
  EMBED(name, W, f16, f16)
EMBED_BOTH(f32, kF32)
EMBED_BOTH(f16, kF16)
EMBED_BOTH(bf16, kBf16)
EMBED_BOTH(q8_0, kQ8_0)
EMBED_BOTH(q4_0, kQ4_0)
EMBED_BOTH(q4_1, kQ4_1)
EMBED_BOTH(q4_g128, kQ4_G128)
EMBED_BOTH(q4_k, kQ4_K)
EMBED_BOTH(q5_k, kQ5_K)
EMBED_BOTH(q6_k, kQ6_K)
#undef EMBED_BOTH
#undef EMBED
