// Rows of the embedding table, decoded and scaled.
#include "common/chain.cuh"
#include "dequantize.cuh"

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
        T* group = to + unit * kUnit + 32 * j + 4 * t;
        if (reinterpret_cast<uintptr_t>(to) % 8 == 0) {
#pragma unroll
          for (int e = 0; e < 8; e += 4)
            *reinterpret_cast<uint2*>(group + 4 * e) =
                make_uint2(pack<T>(scale * x[e], scale * x[e + 1]), pack<T>(scale * x[e + 2], scale * x[e + 3]));
        } else {
#pragma unroll
          for (int e = 0; e < 8; e++) group[e < 4 ? e : e + 12] = from_float<T>(scale * x[e]);
        }
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
EMBED_BOTH(q4_k, kQ4_K)
EMBED_BOTH(q5_k, kQ5_K)
EMBED_BOTH(q6_k, kQ6_K)
#undef EMBED_BOTH
#undef EMBED
