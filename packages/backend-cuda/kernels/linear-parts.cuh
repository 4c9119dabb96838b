// What linear-split.cu and linear-four-bit.cu share: tiles of 128 outputs x N rows, whose columns the blocks of a cluster
// share out; their sums meet in shared memory and are added in the blocks' order, so that equal calls give equal bits.
#pragma once
#include "linear-hopper.cuh"

constexpr int kMostSplits = 8;
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

__device__ __forceinline__ float4 added(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

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
  auto store = [&](float4 sum, int row) {
    store_four<T>(make_float4(sum.x + bias[0], sum.y + bias[1], sum.z + bias[2], sum.w + bias[3]), op, part.first_row + row, output);
  };
  // Memory of other blocks is far: several loads are on their way, of all splits where a warp has few rows, else of two rows.
  if constexpr (N <= 128) {
    for (int row = split + threadIdx.x / 32 * splits; row < rows; row += step) {
      float4 of_split[kMostSplits];
#pragma unroll
      for (int s = 0; s < kMostSplits; s++)
        if (s < splits) of_split[s] = load_four_in(address_in(sums + (row * kSumPitch + quad) * 4, s));
      float4 sum = of_split[0];
#pragma unroll
      for (int s = 1; s < kMostSplits; s++)
        if (s < splits) sum = added(sum, of_split[s]);
      store(sum, row);
    }
  } else {
    for (int row = split + threadIdx.x / 32 * splits; row < rows; row += 2 * step) {
      const int other = min(row + step, rows - 1);
      float4 sum[2];
      for (int s = 0; s < splits; s++) {
        const float4 first = load_four_in(address_in(sums + (row * kSumPitch + quad) * 4, s));
        const float4 second = load_four_in(address_in(sums + (other * kSumPitch + quad) * 4, s));
        sum[0] = s == 0 ? first : added(sum[0], first);
        sum[1] = s == 0 ? second : added(sum[1], second);
      }
      store(sum[0], row);
      if (other == row + step) store(sum[1], other);
    }
  }
}
