// What linear-split.cu and linear-four-bit.cu share: tiles of 128 outputs x N rows, whose columns the blocks of a cluster
// share out; their sums meet in shared memory and are added in the blocks' order, so that equal calls give equal bits.
#pragma once
#include "linear-hopper.cuh"

// Floats from one row of a block's sums [N, 128] to the next: columns of a warp's accumulators fall into different banks.
constexpr int kSumPitch = kFirstRows + 4;

// The part of a product that a block makes.
struct Part {
  int first_row, first_output, begin, end;  // steps or units of columns

  template <int N>
  static __device__ __forceinline__ Part of(const LinearHopper& op, int split, int splits, int steps) {
    const int tile = blockIdx.x / splits, row_tiles = (op.rows + N - 1) / N;
    return {tile % row_tiles * N, tile / row_tiles * kFirstRows, steps * split / splits, steps * (split + 1) / splits};
  }
  __device__ __forceinline__ int steps() const { return end - begin; }
};

// A thread's accumulators, outputs down and rows across, into the block's sums.
template <int N>
__device__ __forceinline__ void write_sums(const float (&acc)[N / 2], float* sums) {
  const int lane = threadIdx.x % 32, output = threadIdx.x / 32 * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < N / 2; i++) {
    const int row = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
    sums[row * kSumPitch + output + i / 2 % 2 * 8] = acc[i];
  }
}

template <typename T>
__device__ __forceinline__ void store_four(float4 v, const LinearHopper& op, int row, int output) {
  const float four[4] = {v.x, v.y, v.z, v.w};
  const int64_t at = row * op.out_stride + output;
  const int bytes = op.out_f32 ? 16 : 8;
  float* floats = static_cast<float*>(op.out) + at;
  T* halves = static_cast<T*>(op.out) + at;
  if (output + 4 <= op.outs && op.out_stride % 4 == 0 && reinterpret_cast<uintptr_t>(op.out) % bytes == 0) {
    if (op.out_f32)
      *reinterpret_cast<float4*>(floats) = v;
    else
      *reinterpret_cast<uint2*>(halves) = make_uint2(pack<T>(v.x, v.y), pack<T>(v.z, v.w));
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (output + i >= op.outs) break;
    if (op.out_f32)
      floats[i] = four[i];
    else
      halves[i] = from_float<T>(four[i]);
  }
}

// Adds the blocks' sums of every `splits`-th row and stores them.
template <typename T, int N>
__device__ __forceinline__ void add_sums(const LinearHopper& op, const Part& part, uint32_t sums, int split, int splits) {
  const int quad = threadIdx.x % 32 * 4, output = part.first_output + quad;
  if (output >= op.outs) return;
  float bias[4] = {};
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (op.bias && output + i < op.outs) bias[i] = op.bias[output + i];
  const int rows = min(N, op.rows - part.first_row);
  const int step = kConsumers / 32 * splits;
  constexpr int kAtOnce = N == 256 ? 2 : 4;  // rows whose sums are on their way together: memory of other blocks is far
  for (int first = split + threadIdx.x / 32 * splits; first < rows; first += kAtOnce * step) {
    float4 sum[kAtOnce];
    for (int s = 0; s < splits; s++) {
      float4 of_split[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++)
        of_split[i] = load_four_in(address_in(sums + (min(first + i * step, rows - 1) * kSumPitch + quad) * 4, s));
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const float4 more = of_split[i];
        sum[i] = s == 0 ? more : make_float4(sum[i].x + more.x, sum[i].y + more.y, sum[i].z + more.z, sum[i].w + more.w);
      }
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; i++) {
      const int row = first + i * step;
      if (row >= rows) break;
      const float4 v = make_float4(sum[i].x + bias[0], sum[i].y + bias[1], sum[i].z + bias[2], sum[i].w + bias[3]);
      store_four<T>(v, op, part.first_row + row, output);
    }
  }
}
