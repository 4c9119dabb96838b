// A cell's compressed keys: means of runs of cached keys that end with the cell's last token.
#pragma once
#include "common/cached.cuh"
#include "common/types.cuh"

// Cell `cell` of `stride` tokens of one sequence and kv head; `span` is a window's length in cells (kernelSize / kernelStride).
struct Cell {
  int cell, head, heads, block_size, stride, span, pairs;
  __device__ __forceinline__ int end() const { return cell * stride + stride - 1; }
};

// Writes the fine key, and the coarse key when a coarse window ends here. Thread x owns elements 2x and 2x+1; `pairs` threads.
//   keys   [pages, kvHeads, blockSize, headDim], of T or q8, then with scales [pages, kvHeads, blockSize]
//   fine   [pages, kvHeads, blockSize / stride, headDim]
//   coarse [pages, kvHeads, max(1, blockSize / (4 stride)), headDim]
template <typename T, typename KV>
__device__ __forceinline__ void compress_cell(const KV* keys, const ScalePair* scales, T* fine, T* coarse, const int* pages, const Cell& of) {
  const int cell = of.cell, head = of.head, heads = of.heads, block_size = of.block_size, stride = of.stride, span = of.span;
  const int pairs = of.pairs, end = of.end();
  // Windows are whole cells, and a cell lies within a page; its tokens are loaded together, and added one after the other.
  constexpr int kTogether = 8;
  auto mean = [&](int tokens) {
    float2 sum = make_float2(0.f, 0.f);
    for (int token = end + 1 - tokens; token <= end; token += stride) {
      const int64_t first = (static_cast<int64_t>(pages[token / block_size]) * heads + head) * block_size + token % block_size;
      for (int i = 0; i < stride; i += kTogether) {
        float2 x[kTogether];
#pragma unroll
        for (int j = 0; j < kTogether; j++) {
          const int64_t row = first + min(i + j, stride - 1);
          x[j] = load_pair(keys, row * pairs + threadIdx.x);
          if constexpr (is_q8<KV>) {
            const float scale = __half2float(scales[row].key);
            x[j] = make_float2(__fmul_rn(x[j].x, scale), __fmul_rn(x[j].y, scale));
          }
        }
#pragma unroll
        for (int j = 0; j < kTogether; j++)
          if (i + j < stride) sum = make_float2(sum.x + x[j].x, sum.y + x[j].y);
      }
    }
    return pack<T>(sum.x / tokens, sum.y / tokens);
  };
  auto store = [&](T* to_keys, int every, int tokens) {
    const int slots = max(1, block_size / every);
    const int64_t page = pages[end / block_size];
    const int slot = (end % block_size) / every;
    reinterpret_cast<uint32_t*>(to_keys)[((page * heads + head) * slots + slot) * pairs + threadIdx.x] = mean(tokens);
  };
  if (cell >= span - 1) store(fine, stride, span * stride);
  if ((cell + 1) % 4 == 0 && cell >= 4 * span - 1) store(coarse, 4 * stride, 4 * span * stride);
}
