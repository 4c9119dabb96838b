// Exact top-k of one row's block scores by a block of threads, ties to the lower block; forced blocks are set, not ranked.
#pragma once
#include "batch.cuh"

// Candidates that a warp holds all of; more are counted by all warps together.
constexpr int kRankList = 512;

template <int WARPS>
struct RankScratch {
  uint32_t words[32 * WARPS];  // the chosen as a bitmap
  int4 sums[2][WARPS];
  uint2 ranges[WARPS];         // least of the sets' maxima, and the largest key
  int counts[2][WARPS];
  uint32_t list[kRankList];
  int listed;
};

// Where a row's chosen blocks end: every key above `low`, and the first `ties` of those equal to it (all when negative).
struct RankCut {
  uint32_t low;
  int ties;
};

// The wanted-th largest key, between `low` (which no fewer reach) and `high` (which none reaches). `reaching(x, y, z)`
// counts the keys that reach each of three thresholds.
template <typename Reaching>
__device__ __forceinline__ RankCut bisect_keys(uint32_t low, uint32_t high, int wanted, Reaching reaching) {
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
  return {low, count == wanted ? -1 : wanted - reaching(low + 1, low + 1, low + 1).x};
}

// Ranks with 32 * WARPS threads. Item i of thread x is block 32 WARPS i + x of a chunk of 32 items a thread; where one
// chunk does not hold the row, its keys are read again for every pass.
template <int WARPS, typename Load>
struct BlockRanker {
  static constexpr int kItems = 32, kThreads = 32 * WARPS, kChunk = kItems * kThreads;
  static constexpr unsigned kFull = 0xFFFFFFFFu;
  Load load;            // bits of a block's score: not negative, so they order as integers
  int first_free, last_free, wanted;
  RankScratch<WARPS>& scratch;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, parity = 0;
  uint32_t key[kItems];  // at least 1; 0 marks what is no candidate

  template <typename Use>
  __device__ __forceinline__ void each_item(int base, Use use) {
#pragma unroll
    for (int run = 0; run < kItems; run += 4) {
      if (base + kThreads * run >= last_free) break;
#pragma unroll
      for (int i = run; i < run + 4; i++) use(i);
    }
  }

  __device__ __forceinline__ void fetch(int base) {
    auto free = [&](int i) {
      const int b = base + kThreads * i + static_cast<int>(threadIdx.x);
      return b >= first_free && b < last_free;
    };
    // All loads set out before the first is used.
    each_item(base, [&](int i) { key[i] = free(i) ? load(base + kThreads * i + static_cast<int>(threadIdx.x)) : 0u; });
    each_item(base, [&](int i) { key[i] = free(i) ? max(1u, key[i]) : 0u; });
  }

  template <typename Use>
  __device__ __forceinline__ void each_chunk(Use use) {
    for (int base = 0; base < last_free; base += kChunk) {
      if (last_free > kChunk) fetch(base);
      use(base);
    }
  }

  // Adds up what the warps found, by every warp for itself.
  __device__ __forceinline__ int4 sum_up(int4 own) {
    parity ^= 1;
    if (lane == 0) scratch.sums[parity][warp] = own;
    __syncthreads();
    const int4 one = lane < WARPS ? scratch.sums[parity][lane] : make_int4(0, 0, 0, 0);
    return make_int4(__reduce_add_sync(kFull, one.x), __reduce_add_sync(kFull, one.y), __reduce_add_sync(kFull, one.z),
                     __reduce_add_sync(kFull, lane < warp ? one.w : 0));
  }

  // A range that holds the wanted-th key: from the least of 64 maxima over disjoint sets of candidates, which no fewer
  // than 64 reach, to past the largest.
  __device__ __forceinline__ void find_range(uint32_t& low, uint32_t& high) {
    uint32_t largest = 0;
    each_chunk([&](int base) { each_item(base, [&](int i) { largest = max(largest, key[i]); }); });
    const uint32_t top = __reduce_max_sync(kFull, largest);
#pragma unroll
    for (int d = 1; d < WARPS / 2; d *= 2) largest = max(largest, __shfl_xor_sync(kFull, largest, d));
    const uint32_t least = __reduce_min_sync(kFull, largest);
    if (lane == 0) scratch.ranges[warp] = make_uint2(least, top);
    if (threadIdx.x == 0) scratch.listed = 0;
    __syncthreads();
    const uint2 one = scratch.ranges[lane % WARPS];
    low = wanted <= 64 ? max(__reduce_min_sync(kFull, one.x), 1u) : 1u;
    high = __reduce_max_sync(kFull, one.y) + 1;
  }

  // Collects the keys that reach `low`. False if they are too many.
  __device__ __forceinline__ bool list_keys(uint32_t low) {
    if (last_free > kChunk) return false;
    int own = 0;
    each_item(0, [&](int i) { own += key[i] >= low; });
    int before = own;
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      const int other = __shfl_up_sync(kFull, before, d);
      if (lane >= d) before += other;
    }
    int start = 0;
    if (lane == 31 && before > 0) start = atomicAdd(&scratch.listed, before);
    int at = __shfl_sync(kFull, start, 31) + before - own;
    each_item(0, [&](int i) {
      if (key[i] >= low) {
        if (at < kRankList) scratch.list[at] = key[i];
        at++;
      }
    });
    __syncthreads();
    return scratch.listed <= kRankList;
  }

  // Every warp tries a threshold of its own on the whole list.
  __device__ __forceinline__ RankCut search_list(uint32_t low, uint32_t high) {
    constexpr int kOwn = kRankList / 32;
    const int listed = scratch.listed;
    uint32_t own[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; i++) own[i] = 32 * i + lane < listed ? scratch.list[32 * i + lane] : 0u;
    auto reaching = [&](uint32_t x) {
      int n = 0;
#pragma unroll
      for (int i = 0; i < kOwn; i++) n += own[i] >= x;
      return __reduce_add_sync(kFull, n);
    };
    int count = -1;  // keys that reach low; not known at first
    while (count != wanted && high - low > 1) {
      const uint32_t step = max(1u, (high - low) / (WARPS + 1));
      auto threshold = [&](int w) { return min(high, low + (w + 1) * step); };
      const int n = reaching(threshold(warp));
      parity ^= 1;
      if (lane == 0) scratch.counts[parity][warp] = n;
      __syncthreads();
      const int counts = scratch.counts[parity][lane % WARPS];
      const int enough = __popc(__ballot_sync(kFull, lane < WARPS && counts >= wanted));  // the first thresholds
      count = enough > 0 ? __shfl_sync(kFull, counts, enough - 1) : count;
      const uint32_t next = enough < WARPS ? threshold(enough) : high;
      low = enough > 0 ? threshold(enough - 1) : low;
      high = next;
    }
    return {low, count == wanted ? -1 : wanted - reaching(low + 1)};
  }

  __device__ __forceinline__ RankCut search_all(uint32_t low, uint32_t high) {
    return bisect_keys(low, high, wanted, [&](uint32_t x, uint32_t y, uint32_t z) {
      int3 n = {};
      each_chunk([&](int base) {
        each_item(base, [&](int i) {
          n.x += key[i] >= x;
          n.y += key[i] >= y;
          n.z += key[i] >= z;
        });
      });
      const int4 all = sum_up(make_int4(__reduce_add_sync(kFull, n.x), __reduce_add_sync(kFull, n.y),
                                        __reduce_add_sync(kFull, n.z), 0));
      return make_int3(all.x, all.y, all.z);
    });
  }

  // The sum of `own` over the threads before this one, and over all of them.
  __device__ __forceinline__ int number(int own, int& total) {
    int before = own;
#pragma unroll
    for (int d = 1; d < 32; d *= 2) {
      const int other = __shfl_up_sync(kFull, before, d);
      if (lane >= d) before += other;
    }
    const int warps = __shfl_sync(kFull, before, 31);
    const int4 all = sum_up(make_int4(warps, 0, 0, warps));
    total = all.x;
    return all.w + before - own;
  }

  // Thread w's word of the chunk's bitmap of items that `chosen` picks: blocks base + 32 w ..
  template <typename Chosen>
  __device__ __forceinline__ uint32_t bitmap(int base, Chosen chosen) {
    __syncthreads();
    each_item(base, [&](int i) {
      const uint32_t word = __ballot_sync(kFull, chosen(key[i]));
      if (lane == 0) scratch.words[WARPS * i + warp] = word;
    });
    __syncthreads();
    return base + 32 * static_cast<int>(threadIdx.x) < last_free ? scratch.words[threadIdx.x] : 0u;
  }

  // Writes the chosen to out[first_free ..] in ascending order; returns one past the last.
  __device__ __forceinline__ int write(RankCut cut, int* out) {
    int end = first_free, equal_before = 0, total;
    each_chunk([&](int base) {
      uint32_t word = bitmap(base, [&](uint32_t k) { return cut.ties < 0 ? k >= cut.low : k > cut.low; });
      if (cut.ties >= 0) {
        uint32_t equal = bitmap(base, [&](uint32_t k) { return k == cut.low; });
        int rank = equal_before + number(__popc(equal), total);
        equal_before += total;
        for (; equal != 0 && rank < cut.ties; equal &= equal - 1, rank++) word |= equal & -equal;
      }
      int* to = out + end + number(__popc(word), total);
      for (; word != 0; word &= word - 1) *to++ = base + 32 * static_cast<int>(threadIdx.x) + __ffs(word) - 1;
      end += total;
    });
    return end;
  }
};

// Ranks a row's blocks with all 32 * WARPS threads of the block.
//   load    the bits of a block's score
//   block   the row's own
//   out     [budget] chosen blocks, ascending, padded with -1
template <int WARPS, typename Load>
__device__ __forceinline__ void rank_blocks(Load load, int block, Selection rules, int* out) {
  constexpr int kThreads = 32 * WARPS;
  if (block + 1 <= rules.budget) {
    for (int i = threadIdx.x; i < rules.budget; i += kThreads) out[i] = i <= block ? i : -1;
    return;
  }
  __shared__ RankScratch<WARPS> scratch;
  const int first_free = min(rules.init, block + 1), last_free = max(block - rules.local, first_free);
  const int wanted = min(rules.budget - (block + 1 - (last_free - first_free)), last_free - first_free);
  BlockRanker<WARPS, Load> ranker{load, first_free, last_free, wanted, scratch};
  if (last_free <= ranker.kChunk) ranker.fetch(0);
  uint32_t low, high;
  ranker.find_range(low, high);
  const int end = ranker.write(ranker.list_keys(low) ? ranker.search_list(low, high) : ranker.search_all(low, high), out);
  for (int b = threadIdx.x; b < first_free; b += kThreads) out[b] = b;
  for (int b = last_free + threadIdx.x; b <= block; b += kThreads) out[end + b - last_free] = b;
  for (int i = end + block + 1 - last_free + threadIdx.x; i < rules.budget; i += kThreads) out[i] = -1;
}
