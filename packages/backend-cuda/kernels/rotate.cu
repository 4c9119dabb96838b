// Rotary position embedding in place, with an optional RMS norm of each head before it.
#include "block-sum.cuh"
#include "common/chain.cuh"
#include "common/types.cuh"

// Block (row, chunk of heads); a warp takes one head at a time. x [rows, heads * headDim], pair (i, i + half) turns by the
// f32 product position * frequencies[i]; sine and cosine are the accurate ones, since angles reach 1e5 and more. Shared
// memory: 2 * half floats. `norm_weight` [headDim] may be null.
template <typename T>
__device__ void rotate(T* x, int64_t stride, const int* positions, const float* frequencies, int half, float amplitude,
                       const float* norm_weight, float epsilon, int heads, int head_dim, int heads_per_block) {
  extern __shared__ float turns[];  // cos [half], sin [half]
  const int64_t row = blockIdx.x;
  const float position = static_cast<float>(positions[row]);
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    float s, c;
    sincosf(__fmul_rn(position, frequencies[i]), &s, &c);
    turns[i] = amplitude * c;
    turns[half + i] = amplitude * s;
  }
  wait_for_previous();  // positions and frequencies come from the host
  allow_next();
  __syncthreads();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first = blockIdx.y * heads_per_block, last = min(heads, first + heads_per_block);
  for (int head = first + warp; head < last; head += blockDim.x / 32) {
    T* h = x + row * stride + static_cast<int64_t>(head) * head_dim;
    float factor = 1.f;
    if (norm_weight) {
      float squares = 0.f;
      for (int i = lane; i < head_dim; i += 32) squares += to_float(h[i]) * to_float(h[i]);
      factor = 1.f / sqrtf(warp_sum(squares) / head_dim + epsilon);
    }
    auto value = [&](int i) {
      const float a = to_float(h[i]);
      return norm_weight ? a * factor * norm_weight[i] : a;
    };
    for (int i = lane; i < half; i += 32) {
      const float a = value(i), b = value(i + half), c = turns[i], s = turns[half + i];
      h[i] = from_float<T>(a * c - b * s);
      h[i + half] = from_float<T>(b * c + a * s);
    }
    if (norm_weight)
      for (int i = 2 * half + lane; i < head_dim; i += 32) h[i] = from_float<T>(value(i));
  }
}

extern "C" __global__ void rotate_bf16(bf16* x, int64_t stride, const int* positions, const float* frequencies, int half,
                                       float amplitude, const float* norm_weight, float epsilon, int heads, int head_dim,
                                       int heads_per_block) {
  rotate(x, stride, positions, frequencies, half, amplitude, norm_weight, epsilon, heads, head_dim, heads_per_block);
}
extern "C" __global__ void rotate_f16(f16* x, int64_t stride, const int* positions, const float* frequencies, int half,
                                      float amplitude, const float* norm_weight, float epsilon, int heads, int head_dim,
                                      int heads_per_block) {
  rotate(x, stride, positions, frequencies, half, amplitude, norm_weight, epsilon, heads, head_dim, heads_per_block);
}
