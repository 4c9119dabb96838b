// out = x · weightᵀ + bias for up to 32 rows: every weight is read once, straight into the operand registers of m16n8k16
// products (16 outputs x 8 rows of x), so that any number of rows up to 8 costs the same as one. Quantised weights enter as
// integers, exact in T, and a group's sum is scaled in f32: nothing is rounded that the stored form does not round.
#pragma once
#include "common/chain.cuh"
#include "common/mma.cuh"
#include "dequantize.cuh"

// What a linear kernel is given. `vectors`: x allows 16-byte loads and has a multiple of 8 columns.
template <typename T>
struct Linear {
  const T* x;         // [rows, columns]
  int64_t x_stride;
  void* weight;       // [outs, columns], as dequantize.cuh lays it out
  const float* bias;  // [outs] or null
  void* out;          // [rows, outs] of T, or of f32 when out_f32
  int64_t out_stride;
  int rows, columns, outs, out_f32, vectors;

  __device__ __forceinline__ void store(int row, int output, float value) const {
    if (bias) value += bias[output];
    const int64_t at = row * out_stride + output;
    if (out_f32)
      static_cast<float*>(out)[at] = value;
    else
      static_cast<T*>(out)[at] = from_float<T>(value);
  }

  // N = 2, 4 or 8 elements of a row of x from column k on, in pairs; 0 outside the matrix. Without a branch when `vectors`, so
  // that several loads can be on their way together.
  template <int N>
  __device__ __forceinline__ void load_x(uint32_t (&to)[N / 2], int row, int k) const {
    const bool inside = row < rows && k < columns;
    const T* from = inside ? x + row * x_stride + k : x;
    if (vectors) {
      uint4 bits = make_uint4(0, 0, 0, 0);
      if constexpr (N == 8)
        bits = *reinterpret_cast<const uint4*>(from);
      else if constexpr (N == 4)
        *reinterpret_cast<uint2*>(&bits) = *reinterpret_cast<const uint2*>(from);
      else
        bits.x = *reinterpret_cast<const uint32_t*>(from);
#pragma unroll
      for (int i = 0; i < N / 2; i++) to[i] = inside ? (&bits.x)[i] : 0;
    } else {
      const uint16_t* bits = reinterpret_cast<const uint16_t*>(from);
#pragma unroll
      for (int i = 0; i < N / 2; i++) to[i] = 0;
#pragma unroll
      for (int i = 0; i < N; i++)
        if (inside && k + i < columns) to[i / 2] |= static_cast<uint32_t>(bits[i]) << (16 * (i % 2));
    }
  }
};

constexpr int kFewWarps = 8;
constexpr int kFewOutputs = 16;

// Sums of the 16 outputs x 8 NT rows of a warp, in the layout of a product's result.
template <int NT>
struct FewSums {
  float part[NT][4];

  __device__ __forceinline__ FewSums() {
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) part[n][i] = 0.f;
  }

  // Adds the warps' sums, which cover different columns, and stores them.
  template <typename T>
  __device__ __forceinline__ void finish(const Linear<T>& op) const {
    __shared__ float parts[kFewWarps][8 * NT][kFewOutputs + 1];
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < NT; n++)
#pragma unroll
      for (int i = 0; i < 4; i++) parts[warp][8 * n + 2 * t + i % 2][g + i / 2 * 8] = part[n][i];
    __syncthreads();
    for (int i = threadIdx.x; i < kFewOutputs * 8 * NT; i += blockDim.x) {
      const int output = blockIdx.x * kFewOutputs + i % kFewOutputs, row = i / kFewOutputs;
      if (row >= op.rows || output >= op.outs) continue;
      float sum = 0.f;
#pragma unroll
      for (int w = 0; w < kFewWarps; w++) sum += parts[w][row][i % kFewOutputs];
      op.store(row, output, sum);
    }
  }
};

// Block x: outputs 16 x .. 16 x + 15 of all rows (at most 8 NT). Its warps take turns at units of 128 columns.
template <int W, typename T, int NT>
__device__ void linear_few_quantized(const Linear<T>& op) {
  const Planes<W> planes(op.weight, op.outs, op.columns);
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int low_row = min(blockIdx.x * kFewOutputs + g, op.outs - 1);
  const int high_row = min(blockIdx.x * kFewOutputs + g + 8, op.outs - 1);
  const uint32_t one = pack<T>(1.f, 1.f);
  constexpr int kFewAhead = NT == 1 ? 3 : 2;  // units that a warp has on their way, as far as registers reach
  Packed<W, 2> next_low[kFewAhead], next_high[kFewAhead];
  auto fetch = [&](int slot, int unit) {
    if (unit >= planes.units) return;
    next_low[slot].load(planes, low_row, unit, 0, t);
    next_high[slot].load(planes, high_row, unit, 0, t);
  };
#pragma unroll
  for (int slot = 0; slot < kFewAhead; slot++) fetch(slot, warp + slot * kFewWarps);  // depends on no earlier kernel
  wait_for_previous();
  allow_next();
  FewSums<NT> sums;
  auto add_unit = [&](const Packed<W, 2>& low, const Packed<W, 2>& high, int unit) {
    alignas(8) uint32_t x[4][2][2];
    if constexpr (NT == 1) {
#pragma unroll
      for (int i = 0; i < 8; i++) op.template load_x<4>(x[i / 2][i % 2], g, unit * kUnit + 16 * i + 4 * t);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
      uint32_t a[4], b[4];
      low.template integers<T>(j, a);
      high.template integers<T>(j, b);
      const float factors[4] = {low.factor(j, false), high.factor(j, false), low.factor(j, true), high.factor(j, true)};
      const float offsets[2] = {low.offset(j), high.offset(j)};
#pragma unroll
      for (int n = 0; n < NT; n++) {
        uint32_t(&x0)[2] = x[j][0], (&x1)[2] = x[j][1];
        if constexpr (NT > 1) {
          op.template load_x<4>(x0, 8 * n + g, unit * kUnit + 32 * j + 4 * t);
          op.template load_x<4>(x1, 8 * n + g, unit * kUnit + 32 * j + 16 + 4 * t);
        }
        float product[4] = {0.f, 0.f, 0.f, 0.f};
        mma<T>(product, a[0], b[0], a[1], b[1], x0[0], x0[1]);
        if constexpr (W == kQ6_K) {
          float second[4] = {0.f, 0.f, 0.f, 0.f};
          mma<T>(second, a[2], b[2], a[3], b[3], x1[0], x1[1]);
#pragma unroll
          for (int i = 0; i < 4; i++) sums.part[n][i] += factors[2 + i / 2] * second[i];
        } else {
          mma<T>(product, a[2], b[2], a[3], b[3], x1[0], x1[1]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) sums.part[n][i] += factors[i / 2] * product[i];
        if constexpr (has_offset(W)) {
          float total[4] = {0.f, 0.f, 0.f, 0.f};
          mma<T>(total, one, one, one, one, x0[0], x0[1]);
          mma<T>(total, one, one, one, one, x1[0], x1[1]);
#pragma unroll
          for (int i = 0; i < 4; i++) sums.part[n][i] += offsets[i / 2] * total[i];
        }
      }
    }
  };
  for (int first = warp; first < planes.units; first += kFewAhead * kFewWarps) {
#pragma unroll
    for (int slot = 0; slot < kFewAhead; slot++) {
      const int unit = first + slot * kFewWarps;
      if (unit >= planes.units) break;
      const Packed<W, 2> low = next_low[slot], high = next_high[slot];
      fetch(slot, unit + kFewAhead * kFewWarps);
      add_unit(low, high, unit);
    }
  }
  sums.finish(op);
}

// Eight neighbouring plain weights in T; what rounding to T loses is kept beside, so that f32 weights count with 16 bits and
// f16 weights fully.
template <typename V, typename T>
struct PlainEight {
  static constexpr bool kSame = sizeof(V) == 2 && is_half<V> == is_half<T>;
  uint4 bits[sizeof(V) / 2];

  __device__ __forceinline__ void load(const V* from) {
    load_words<4>(&bits[0].x, reinterpret_cast<const uint8_t*>(from));
    if constexpr (sizeof(V) == 4) load_words<4>(&bits[1].x, reinterpret_cast<const uint8_t*>(from + 4));
  }
  __device__ __forceinline__ float2 pair(int i) const {
    if constexpr (sizeof(V) == 4) {
      const uint32_t* words = &bits[i / 2].x;
      return make_float2(__uint_as_float(words[i % 2 * 2]), __uint_as_float(words[i % 2 * 2 + 1]));
    } else {
      return unpack<V>((&bits[0].x)[i]);
    }
  }
  __device__ __forceinline__ uint32_t rounded(int i) const {
    if constexpr (kSame) return (&bits[0].x)[i];
    const float2 x = pair(i);
    return pack<T>(x.x, x.y);
  }
  __device__ __forceinline__ uint32_t rest(int i) const {
    const float2 x = pair(i), r = unpack<T>(rounded(i));
    return pack<T>(x.x - r.x, x.y - r.y);
  }
};

// As linear_few_quantized; a lane owns columns 8t .. 8t+7 of every run of 32.
template <int W, typename T, int NT>
__device__ void linear_few_plain(const Linear<T>& op) {
  typedef typename PlainOf<W>::type V;
  typedef PlainEight<V, T> Eight;
  constexpr int kRuns = Eight::kSame ? 4 : 2;
  const int pitch = plain_pitch(op.columns);
  const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const V* weight = static_cast<const V*>(op.weight);
  const V* low_row = weight + static_cast<int64_t>(min(blockIdx.x * kFewOutputs + g, op.outs - 1)) * pitch;
  const V* high_row = weight + static_cast<int64_t>(min(blockIdx.x * kFewOutputs + g + 8, op.outs - 1)) * pitch;
  Eight next_low[kRuns], next_high[kRuns];
  auto fetch = [&](int k0) {
#pragma unroll
    for (int i = 0; i < kRuns; i++) {
      if (k0 + 32 * i >= pitch) break;
      next_low[i].load(low_row + k0 + 32 * i + 8 * t);
      next_high[i].load(high_row + k0 + 32 * i + 8 * t);
    }
  };
  constexpr int kStep = kFewWarps * kRuns * 32;
  fetch(warp * kRuns * 32);
  wait_for_previous();
  allow_next();
  FewSums<NT> sums;
  for (int k0 = warp * kRuns * 32; k0 < op.columns; k0 += kStep) {
    Eight low[kRuns], high[kRuns];
#pragma unroll
    for (int i = 0; i < kRuns; i++) low[i] = next_low[i], high[i] = next_high[i];
    fetch(k0 + kStep);
#pragma unroll
    for (int i = 0; i < kRuns; i++) {
      if (k0 + 32 * i >= pitch) break;
#pragma unroll
      for (int n = 0; n < NT; n++) {
        alignas(16) uint32_t x[4];
        op.template load_x<8>(x, 8 * n + g, k0 + 32 * i + 8 * t);
#pragma unroll
        for (int p = 0; p < 4; p += 2) {
          mma<T>(sums.part[n], low[i].rounded(p), high[i].rounded(p), low[i].rounded(p + 1), high[i].rounded(p + 1), x[p],
                 x[p + 1]);
          if constexpr (!Eight::kSame)
            mma<T>(sums.part[n], low[i].rest(p), high[i].rest(p), low[i].rest(p + 1), high[i].rest(p + 1), x[p], x[p + 1]);
        }
      }
    }
  }
  sums.finish(op);
}
