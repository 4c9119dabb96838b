// out = gate * sigmoid(gate) * up
#include "common/chain.cuh"
#include "common/types.cuh"
#include "gated.cuh"

// Block (row, part of the width): gate_up [rows, 2 * width] with the gate first, out [rows, width]. `vectors`: width, strides and addresses
// allow 16-byte accesses.
template <typename T>
__device__ void swiglu(const T* gate_up, int64_t stride, T* out, int64_t out_stride, int width, int vectors) {
  wait_for_previous();
  allow_next();
  const T *gate = gate_up + blockIdx.x * stride, *up = gate + width;
  T* to = out + blockIdx.x * out_stride;
  const int at = blockIdx.y * blockDim.x + threadIdx.x, step = gridDim.y * blockDim.x;
  if (vectors) {
    for (int i = at; i < width / 8; i += step) {
      const uint4 g = reinterpret_cast<const uint4*>(gate)[i], u = reinterpret_cast<const uint4*>(up)[i];
      uint4 r;
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const float2 a = unpack<T>((&g.x)[e]), b = unpack<T>((&u.x)[e]);
        (&r.x)[e] = pack<T>(gated(a.x, b.x), gated(a.y, b.y));
      }
      reinterpret_cast<uint4*>(to)[i] = r;
    }
  } else {
    for (int i = at; i < width; i += step) to[i] = from_float<T>(gated(to_float(gate[i]), to_float(up[i])));
  }
}

extern "C" __global__ void swiglu_bf16(const bf16* gate_up, int64_t stride, bf16* out, int64_t out_stride, int width,
                                       int vectors) {
  swiglu(gate_up, stride, out, out_stride, width, vectors);
}
extern "C" __global__ void swiglu_f16(const f16* gate_up, int64_t stride, f16* out, int64_t out_stride, int width,
                                      int vectors) {
  swiglu(gate_up, stride, out, out_stride, width, vectors);
}
