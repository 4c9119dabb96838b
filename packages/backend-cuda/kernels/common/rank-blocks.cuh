// Exact top-k of one row's block scores by a block of 256 threads, ties to the lower block; forced blocks are set.
#pragma once
#include "batch.cuh"

constexpr int kRankWarps = 8;

// Ranks a row's block scores with all threads: bisection for the wanted-th largest, from the least of 64 maxima over
// disjoint sets of candidates, which no fewer than 64 reach. Item i of thread x is block 256 i + x of a chunk; beyond
// one chunk the scores are read again for every pass.
//   scores  block scores as bits: not negative, so they order as integers; key 0 marks what is no candidate
//   block   the row's own
//   out     [budget] chosen blocks, ascending, padded with -1
__device__ inline void rank_blocks(const unsigned* scores, int block, Selection rules, int* out) {
  constexpr unsigned kFull = 0xFFFFFFFFu;
  constexpr int kWarps = kRankWarps, kThreads = 32 * kWarps;
  constexpr int kItems = 32, kChunk = kItems * kThreads, kRuns = kItems * kWarps;
  __shared__ uint32_t words[kRuns];
  __shared__ int sums[2][kWarps][3];
  __shared__ uint32_t floors[kWarps], tops[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int first_free = min(rules.init, block + 1), last_free = max(block - rules.local, first_free);
  const int wanted = min(rules.budget - (block + 1 - (last_free - first_free)), last_free - first_free);
  if (block + 1 <= rules.budget) {
    for (int i = threadIdx.x; i < rules.budget; i += kThreads) out[i] = i <= block ? i : -1;
    return;
  }
  uint32_t key[kItems];
  auto each_chunk = [&](auto use) {
    for (int base = 0; base < last_free; base += kChunk) {
      if (last_free > kChunk) {
#pragma unroll
        for (int i = 0; i < kItems; i++) {
          const int b = base + kThreads * i + threadIdx.x;
          key[i] = b >= first_free && b < last_free ? max(1u, __ldcg(scores + b)) : 0u;
        }
      }
      use(base);
    }
  };
  if (last_free <= kChunk) {
#pragma unroll
    for (int i = 0; i < kItems; i++) {
      const int b = kThreads * i + threadIdx.x;
      key[i] = b >= first_free && b < last_free ? max(1u, __ldcg(scores + b)) : 0u;
    }
  }
  uint32_t largest = 0;
  each_chunk([&](int) {
#pragma unroll
    for (int i = 0; i < kItems; i++) largest = max(largest, key[i]);
  });
  const uint32_t high_warp = __reduce_max_sync(kFull, largest);
  largest = max(largest, __shfl_xor_sync(kFull, largest, 1));
  largest = max(largest, __shfl_xor_sync(kFull, largest, 2));
  const uint32_t low_warp = __reduce_min_sync(kFull, largest);  // least of 8 maxima; 64 in all
  if (lane == 0) {
    floors[warp] = low_warp;
    tops[warp] = high_warp;
  }
  __syncthreads();
  uint32_t low = floors[0], high = tops[0];
#pragma unroll
  for (int w = 1; w < kWarps; w++) {
    low = min(low, floors[w]);
    high = max(high, tops[w]);
  }
  low = wanted <= 64 ? max(low, 1u) : 1u;
  high++;
  int parity = 0;
  // How many keys reach each of three thresholds.
  auto reaching = [&](uint32_t x, uint32_t y, uint32_t z) {
    int n[3] = {};
    each_chunk([&](int base) {
#pragma unroll
      for (int run = 0; run < kItems; run += 8) {
        if (base + kThreads * run >= last_free) break;
#pragma unroll
        for (int i = run; i < run + 8; i++) {
          n[0] += key[i] >= x;
          n[1] += key[i] >= y;
          n[2] += key[i] >= z;
        }
      }
    });
    parity ^= 1;
#pragma unroll
    for (int i = 0; i < 3; i++) n[i] = __reduce_add_sync(kFull, n[i]);
    if (lane < 3) sums[parity][warp][lane] = lane == 0 ? n[0] : lane == 1 ? n[1] : n[2];
    __syncthreads();
    int3 all = make_int3(0, 0, 0);
#pragma unroll
    for (int w = 0; w < kWarps; w++) {
      all.x += sums[parity][w][0];
      all.y += sums[parity][w][1];
      all.z += sums[parity][w][2];
    }
    return all;
  };
  int count = -1;  // keys that reach low; not known at first
  while (count != wanted && high - low > 1) {
    const uint32_t step = max(1u, (high - low) / 4), x = low + step, y = min(high, x + step), z = min(high, y + step);
    const int3 n = reaching(x, y, z);
    if (n.z >= wanted) {
      low = z;
      count = n.z;
    } else if (n.y >= wanted) {
      low = y;
      count = n.y;
      high = z;
    } else if (n.x >= wanted) {
      low = x;
      count = n.x;
      high = y;
    } else {
      high = x;
    }
  }
  // All that exceed low are chosen, and of those equal to it the first. (When low never moved its own count is unknown,
  // and then all candidates that reach it are either exactly as many as wanted or tied.)
  int equal_wanted = count == wanted ? 0 : wanted - reaching(low + 1, low + 1, low + 1).x;
  // The chosen as a bitmap: word w holds blocks base + 32 w .. + 31, and thread w writes them out.
  int before_chunk = first_free, equal_before = 0;
  each_chunk([&](int base) {
    auto number = [&](int own, int& total) {  // sum over the threads before this one
      int before = own;
#pragma unroll
      for (int d = 1; d < 32; d *= 2) {
        const int other = __shfl_up_sync(kFull, before, d);
        if (lane >= d) before += other;
      }
      parity ^= 1;
      if (lane == 31) sums[parity][warp][0] = before;
      __syncthreads();
      before -= own;
      total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; w++) {
        if (w < warp) before += sums[parity][w][0];
        total += sums[parity][w][0];
      }
      return before;
    };
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kItems; i++) {
      const uint32_t word = __ballot_sync(kFull, count == wanted ? key[i] >= low : key[i] > low);
      if (lane == 0) words[kWarps * i + warp] = word;
    }
    __syncthreads();
    uint32_t word = words[threadIdx.x];
    int total;
    if (count != wanted) {
      __syncthreads();
#pragma unroll
      for (int i = 0; i < kItems; i++) {
        const uint32_t equal = __ballot_sync(kFull, key[i] == low);
        if (lane == 0) words[kWarps * i + warp] = equal;
      }
      __syncthreads();
      uint32_t equal = words[threadIdx.x];
      int rank = equal_before + number(__popc(equal), total);
      equal_before += total;
      for (; equal != 0 && rank < equal_wanted; equal &= equal - 1, rank++) word |= equal & -equal;
    }
    int* to = out + before_chunk + number(__popc(word), total);
    for (; word != 0; word &= word - 1) *to++ = base + 32 * threadIdx.x + __ffs(word) - 1;
    before_chunk += total;
  });
  for (int b = threadIdx.x; b < first_free; b += kThreads) out[b] = b;
  for (int b = last_free + threadIdx.x; b <= block; b += kThreads) out[before_chunk + b - last_free] = b;
  for (int i = before_chunk + block + 1 - last_free + threadIdx.x; i < rules.budget; i += kThreads) out[i] = -1;
}
