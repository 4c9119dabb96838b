// x += scale * delta (when asked), then out = x / sqrt(mean(x^2) + epsilon) * weight.
#include "block-sum.cuh"
#include "common/chain.cuh"
#include "common/types.cuh"

// 8 elements of T in one register quad.
template <typename T>
struct Eight {
  uint4 bits;
  __device__ __forceinline__ float2 pair(int i) const { return unpack<T>((&bits.x)[i]); }
  __device__ __forceinline__ void set(int i, float a, float b) { (&bits.x)[i] = pack<T>(a, b); }
};

// Vectors of 8 that a thread keeps between the two passes; a wider row is read again.
constexpr int kKept = 4;

// Block x: row x of x, delta, out [rows, width]. `vectors`: width, strides and addresses allow 16-byte accesses. What is
// normalised is x as stored, so that the result is that of two separate ops. `delta` may be null.
template <typename T>
__device__ void rms_norm(T* x, int64_t x_stride, const T* delta, int64_t delta_stride, float delta_scale,
                         const float* weight, float epsilon, T* out, int64_t out_stride, int width, int vectors) {
  const bool kept_row = vectors && width <= 8 * kKept * static_cast<int>(blockDim.x);
  const float4* gains = reinterpret_cast<const float4*>(weight);
  float4 early[2] = {};  // of the thread's first vector
  if (kept_row && static_cast<int>(threadIdx.x) < width / 8) early[0] = __ldg(gains + 2 * threadIdx.x), early[1] = __ldg(gains + 2 * threadIdx.x + 1);
  wait_for_previous();  // no kernel writes weights
  allow_next();
  const int64_t row = blockIdx.x;
  x += row * x_stride;
  out += row * out_stride;
  if (delta) delta += row * delta_stride;
  float squares = 0.f;
  if (kept_row) {
    Eight<T> kept[kKept];
#pragma unroll
    for (int n = 0; n < kKept; n++) {
      const int i = n * blockDim.x + threadIdx.x;
      if (i >= width / 8) break;
      kept[n].bits = reinterpret_cast<const uint4*>(x)[i];
      if (delta) {
        const Eight<T> add = {reinterpret_cast<const uint4*>(delta)[i]};
#pragma unroll
        for (int e = 0; e < 4; e++) {
          const float2 a = kept[n].pair(e), b = add.pair(e);
          kept[n].set(e, a.x + delta_scale * b.x, a.y + delta_scale * b.y);
        }
        reinterpret_cast<uint4*>(x)[i] = kept[n].bits;
      }
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const float2 a = kept[n].pair(e);
        squares += a.x * a.x + a.y * a.y;
      }
    }
    const float factor = 1.f / sqrtf(block_sum(squares) / width + epsilon);
#pragma unroll
    for (int n = 0; n < kKept; n++) {
      const int i = n * blockDim.x + threadIdx.x;
      if (i >= width / 8) break;
      const float4 w0 = n == 0 ? early[0] : __ldg(gains + 2 * i), w1 = n == 0 ? early[1] : __ldg(gains + 2 * i + 1);
      const float w[8] = {w0.x, w0.y, w0.z, w0.w, w1.x, w1.y, w1.z, w1.w};
      Eight<T> y;
#pragma unroll
      for (int e = 0; e < 4; e++) {
        const float2 a = kept[n].pair(e);
        y.set(e, a.x * factor * w[2 * e], a.y * factor * w[2 * e + 1]);
      }
      reinterpret_cast<uint4*>(out)[i] = y.bits;
    }
    return;
  }
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    if (delta) x[i] = from_float<T>(to_float(x[i]) + delta_scale * to_float(delta[i]));
    const float a = to_float(x[i]);
    squares += a * a;
  }
  const float factor = 1.f / sqrtf(block_sum(squares) / width + epsilon);
  for (int i = threadIdx.x; i < width; i += blockDim.x) out[i] = from_float<T>(to_float(x[i]) * factor * weight[i]);
}

extern "C" __global__ void rms_norm_bf16(bf16* x, int64_t x_stride, const bf16* delta, int64_t delta_stride,
                                         float delta_scale, const float* weight, float epsilon, bf16* out,
                                         int64_t out_stride, int width, int vectors) {
  rms_norm(x, x_stride, delta, delta_stride, delta_scale, weight, epsilon, out, out_stride, width, vectors);
}
extern "C" __global__ void rms_norm_f16(f16* x, int64_t x_stride, const f16* delta, int64_t delta_stride,
                                        float delta_scale, const float* weight, float epsilon, f16* out,
                                        int64_t out_stride, int width, int vectors) {
  rms_norm(x, x_stride, delta, delta_stride, delta_scale, weight, epsilon, out, out_stride, width, vectors);
}
