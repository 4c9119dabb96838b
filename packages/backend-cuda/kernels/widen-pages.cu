// Keys and values of the pages that a batch uses, from q8 to the activations' type: for prefill, whose kernels load tiles of
// 16-bit elements straight into shared memory. Page numbers stay the same. Costs one pass over the keys and values.
#include "common/batch.cuh"
#include "common/cached.cuh"

namespace {

constexpr int kThreads = 256;

template <typename T>
__device__ __forceinline__ uint32_t scaled(uint32_t pair, float scale) {
  const float2 x = unpack<T>(pair);
  return pack<T>(x.x * scale, x.y * scale);
}

template <typename T>
__device__ __forceinline__ uint4 scaled(const uint2& stored, float scale) {
  const uint4 x = eight_of<T, q8>(stored);
  return make_uint4(scaled<T>(x.x, scale), scaled<T>(x.y, scale), scaled<T>(x.z, scale), scaled<T>(x.w, scale));
}

// Block (block of tokens, kv head, sequence). A token's key, or value, is `eights` times eight elements.
//   keys, values [pages, kvHeads, 64, headDim] of q8 with scales [pages, kvHeads, 64], wide ones of T
template <typename T>
__device__ __forceinline__ void widen_pages(const uint2* keys, const uint2* values, const ScalePair* scales,
                                            uint4* wide_keys, uint4* wide_values, const Batch& batch, int eights) {
  const int sequence = blockIdx.z, block = blockIdx.x;
  if (block >= ceil_div(batch.kv_lengths[sequence], kBlock)) return;
  const int64_t page = batch.page_table[static_cast<int64_t>(sequence) * batch.max_pages + block];
  const int64_t slot = (page * gridDim.y + blockIdx.y) * kBlock;
  for (int i = threadIdx.x; i < kBlock * eights; i += kThreads) {
    const ScalePair scale = scales[slot + i / eights];
    const int64_t at = slot * eights + i;
    wide_keys[at] = scaled<T>(keys[at], __half2float(scale.key));
    wide_values[at] = scaled<T>(values[at], __half2float(scale.value));
  }
}

}  // namespace

#define WIDEN_PAGES(T)                                                                                        \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                      \
      widen_pages_##T(const uint2* keys, const uint2* values, const ScalePair* scales, uint4* wide_keys,      \
                      uint4* wide_values, Batch batch, int eights) {                                          \
    widen_pages<T>(keys, values, scales, wide_keys, wide_values, batch, eights);                              \
  }
WIDEN_PAGES(bf16)
WIDEN_PAGES(f16)
