// Keys and values of the pages that a batch uses, from e4m3 to the activations' type: for prefill, whose kernels load tiles
// of 16-bit elements straight into shared memory. Page numbers stay the same. Costs one pass over the keys and values.
#include "common/batch.cuh"
#include "common/cached.cuh"

namespace {

constexpr int kThreads = 256;

// Block (block of tokens, kv head, sequence). A unit is 16 elements; `units` of them are one head of a page.
//   keys, values [pages, kvHeads, 64, headDim] of e4m3, wide ones the same of T
template <typename T>
__device__ __forceinline__ void widen_pages(const uint4* keys, const uint4* values, uint4* wide_keys, uint4* wide_values,
                                            const Batch& batch, int units) {
  const int sequence = blockIdx.z, block = blockIdx.x;
  if (block >= ceil_div(batch.kv_lengths[sequence], kBlock)) return;
  const int64_t page = batch.page_table[static_cast<int64_t>(sequence) * batch.max_pages + block];
  const int64_t first = (page * gridDim.y + blockIdx.y) * units;
  auto widen = [&](const uint4& x, uint4* to) {
    to[0] = eight_of<T, e4m3>(make_uint2(x.x, x.y));
    to[1] = eight_of<T, e4m3>(make_uint2(x.z, x.w));
  };
  for (int i = threadIdx.x; i < units; i += kThreads) {
    const uint4 k = keys[first + i], v = values[first + i];
    widen(k, wide_keys + 2 * (first + i));
    widen(v, wide_values + 2 * (first + i));
  }
}

}  // namespace

#define WIDEN_PAGES(T)                                                                                        \
  extern "C" __global__ void __launch_bounds__(kThreads)                                                      \
      widen_pages_##T(const uint4* keys, const uint4* values, uint4* wide_keys, uint4* wide_values,           \
                      Batch batch, int units) {                                                               \
    widen_pages<T>(keys, values, wide_keys, wide_values, batch, units);                                       \
  }
WIDEN_PAGES(bf16)
WIDEN_PAGES(f16)
