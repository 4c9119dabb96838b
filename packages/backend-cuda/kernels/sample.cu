// One token id a row: greedy, or temperature, top-k, top-p and a draw.
//   sample          a block of threads a row
//   sample_cluster  a cluster of 16 a row, its logits in shared memory, on Hopper
//
// All limits are prefixes of one order (logit descending, then id ascending), so each is a search for the element where a
// running measure reaches a target: the count for top-k, the probability mass for top-p and the draw. One histogram over
// the distance from the largest logit serves all of them: its sums say which bin the element is in, then the bin's few
// members are listed, and each adds up what comes before it. A bin with many members (a flat distribution) is first divided
// by the bits in which they differ. Mass is counted in integers of 2^-40, so sums are exact and do not depend on the order
// of the threads.
#include "block-sum.cuh"
#include "common/chain.cuh"
#include "sample-row.cuh"

constexpr int kNoToken = -1;
enum Limit { kTopK, kTopP, kDraw };

// Adds to a 64-bit number in shared memory with the 32-bit additions that the hardware has.
__device__ __forceinline__ void add_shared(Mass* to, Mass amount) {
  uint32_t* words = reinterpret_cast<uint32_t*>(to);
  const uint32_t low = static_cast<uint32_t>(amount);
  const uint32_t carry = atomicAdd(words, low) > ~low ? 1 : 0;
  const uint32_t high = static_cast<uint32_t>(amount >> 32) + carry;
  if (high != 0) atomicAdd(words + 1, high);
}

// Masses and counts of this block's elements into shared.own: of all by distance, or those of `part` by the 11 bits of
// their places from `shift` on.
template <int BLOCKS>
__device__ __noinline__ void fill(Row<BLOCKS> row, bool all, Part part, int shift) {
  auto& shared = shared_of<BLOCKS>();
  for (int i = threadIdx.x; i < kBins; i += kSampleThreads) {
    shared.own.mass[i] = 0;
    shared.own.count[i] = 0;
  }
  __syncthreads();
  row.for_each([&](float logit, int id) {
    const int bin = all                       ? row.bin(logit)
                    : row.has(part, logit, id) ? static_cast<int>(place_of(logit, id) >> shift) & (kBins - 1)
                                               : -1;
    const unsigned taking = __ballot_sync(kWarp, bin >= 0);
    if (taking == 0) return;
    const int first = __shfl_sync(kWarp, bin, __ffs(taking) - 1);
    const Mass amount = bin >= 0 ? row.mass(logit) : 0;
    // Equal logits are common (a flat or masked distribution): the warp then adds once.
    if (__all_sync(kWarp, bin < 0 || bin == first)) {
      const Mass sum = warp_sum(amount);
      if (threadIdx.x % 32 == 0) {
        add_shared(&shared.own.mass[first], sum);
        atomicAdd(&shared.own.count[first], __popc(taking));
      }
    } else if (bin >= 0) {
      add_shared(&shared.own.mass[bin], amount);
      atomicAdd(&shared.own.count[bin], 1u);
    }
  });
}

// All blocks' histograms added up, and the sums up to and including each bin, into shared.all or shared.own.
template <int BLOCKS>
__device__ __noinline__ void combine(bool all) {
  auto& shared = shared_of<BLOCKS>();
  Histogram& to = all ? shared.all : shared.own;
  const int thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
  meet<BLOCKS>();
  Mass mass[2];  // of bins 2 thread and 2 thread + 1
  uint32_t count[2];
  if constexpr (BLOCKS == 1) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      mass[i] = shared.own.mass[2 * thread + i];
      count[i] = shared.own.count[2 * thread + i];
    }
  } else {
    constexpr int kSlice = SampleShared<BLOCKS>::kSlice;
    if (thread < kSlice) {
      const int bin = blockIdx.x % BLOCKS * kSlice + thread;
      Mass masses[BLOCKS], sum = 0;
      uint32_t counts[BLOCKS], elements = 0;
#pragma unroll
      for (int r = 0; r < BLOCKS; r++) {
        masses[r] = read_from<BLOCKS>(r, &shared.own.mass[bin]);
        counts[r] = read_from<BLOCKS>(r, &shared.own.count[bin]);
      }
#pragma unroll
      for (int r = 0; r < BLOCKS; r++) {
        sum += masses[r];
        elements += counts[r];
      }
      shared.slice_mass[thread] = sum;
      shared.slice_count[thread] = elements;
    }
    meet<BLOCKS>();
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int bin = 2 * thread + i;
      mass[i] = read_from<BLOCKS>(bin / kSlice, &shared.slice_mass[bin % kSlice]);
      count[i] = read_from<BLOCKS>(bin / kSlice, &shared.slice_count[bin % kSlice]);
    }
  }
  Mass mass_up = mass[0] + mass[1];
  uint32_t count_up = count[0] + count[1];
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const Mass other_mass = __shfl_up_sync(kWarp, mass_up, step);
    const uint32_t other_count = __shfl_up_sync(kWarp, count_up, step);
    if (lane >= step) {
      mass_up += other_mass;
      count_up += other_count;
    }
  }
  if (lane == 31) {
    shared.mass_totals[warp] = mass_up;
    shared.count_totals[warp] = count_up;
  }
  __syncthreads();
  mass_up += warp_sum(lane < warp ? shared.mass_totals[lane] : 0);
  count_up += warp_sum(lane < warp ? shared.count_totals[lane] : 0);
  to.mass[2 * thread] = mass_up - mass[1];
  to.mass[2 * thread + 1] = mass_up;
  to.count[2 * thread] = count_up - count[1];
  to.count[2 * thread + 1] = count_up;
  __syncthreads();
}

// The bin of shared.all or shared.own where the sums reach `target`, which is at least 1 and at most the last sum, into shared.bin; what is before it
// into shared.mass and shared.count.
template <int BLOCKS>
__device__ __noinline__ void find_bin(bool all, bool by_count, Mass target) {
  auto& shared = shared_of<BLOCKS>();
  const Histogram& sums = all ? shared.all : shared.own;
  for (int bin = threadIdx.x; bin < kBins; bin += kSampleThreads) {
    const Mass mass = bin == 0 ? 0 : sums.mass[bin - 1];
    const uint32_t count = bin == 0 ? 0 : sums.count[bin - 1];
    if ((by_count ? count : mass) < target && target <= (by_count ? sums.count[bin] : sums.mass[bin])) {
      shared.bin = bin;
      shared.mass = mass;
      shared.count = count;
    }
  }
  __syncthreads();
}

// All blocks' elements of `part` into shared.members in any order, if there is room. Returns how many there are. `turn` is
// 0 and 1 alternately: a list may be read by other blocks until they have passed the barrier in the next call.
template <int BLOCKS>
__device__ __noinline__ int list(Row<BLOCKS> row, Part part, int turn) {
  auto& shared = shared_of<BLOCKS>();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (threadIdx.x == 0) shared.listed[turn] = 0;
  __syncthreads();
  row.for_each([&](float logit, int id) {
    const bool member = row.has(part, logit, id);
    const unsigned taking = __ballot_sync(kWarp, member);
    if (taking == 0) return;
    int at = 0;
    if (lane == 0) at = atomicAdd(&shared.listed[turn], __popc(taking));
    at = __shfl_sync(kWarp, at, 0) + __popc(taking & ((1u << lane) - 1));
    if (member && at < kMembers) shared.lists[turn][at] = place_of(logit, id);
  });
  meet<BLOCKS>();
  if (warp == 0) {
    const int own = lane < BLOCKS ? read_from<BLOCKS>(lane, &shared.listed[turn]) : 0;
    int end = own;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(kWarp, end, step);
      if (lane >= step) end += other;
    }
    shared.starts[lane] = end - own;
  }
  __syncthreads();
  const int count = shared.starts[BLOCKS];
  if (count > kMembers) return count;
  constexpr int kPerBlock = kSampleThreads / BLOCKS;
  const int from = threadIdx.x / kPerBlock, start = shared.starts[from], end = shared.starts[from + 1];
  for (int i = threadIdx.x % kPerBlock; i < end - start; i += kPerBlock) {
    const Place place = read_from<BLOCKS>(from, &shared.lists[turn][i]);
    shared.members[start + i] = {place, row.mass(logit_at(place))};
  }
  __syncthreads();
  return count;
}

// Where the count or the mass reaches `target`, which is at least 1 and at most what all have: the id into shared.id.
// Returns the mass up to it.
template <int BLOCKS>
__device__ __forceinline__ Mass search(const Row<BLOCKS>& row, bool by_count, Mass target, int& turn) {
  auto& shared = shared_of<BLOCKS>();
  find_bin<BLOCKS>(true, by_count, target);
  Mass mass = shared.mass;
  uint32_t rank = shared.count;
  Part part = {shared.bin, 0, 0};
  int count;
  while ((count = list(row, part, turn)) > kMembers) {
    turn ^= 1;
    Place low = kLast, high = 0;
    row.for_each([&](float logit, int id) {
      if (!row.has(part, logit, id)) return;
      low = min(low, place_of(logit, id));
      high = max(high, place_of(logit, id));
    });
    low = row_min<BLOCKS>(low);
    high = ~row_min<BLOCKS>(~high);
    // The highest 11 bits from the first one on in which members differ. They differ: an id occurs once.
    const int shift = max(0, 53 - __clzll(low ^ high));
    part = {-1, low, high};
    fill(row, false, part, shift);
    combine<BLOCKS>(false);
    find_bin<BLOCKS>(false, by_count, target - (by_count ? rank : mass));
    mass += shared.mass;
    rank += shared.count;
    const Place first = ((low >> shift & ~Place(kBins - 1)) | shared.bin) << shift;
    part = {-1, max(low, first), min(high, first + (Place(1) << shift) - 1)};
  }
  turn ^= 1;
  if (threadIdx.x < count) {
    const Member own = shared.members[threadIdx.x];
#pragma unroll 4
    for (int i = 0; i < count; i++) {
      const Member other = shared.members[i];
      if (other.place < own.place) {
        mass += other.mass;
        rank++;
      }
    }
    if (by_count ? rank + 1 == target : mass < target && target <= mass + own.mass) {
      shared.id = static_cast<int>(own.place);
      shared.mass = mass + own.mass;
    }
  }
  __syncthreads();
  mass = shared.mass;
  __syncthreads();  // the next search writes it
  return mass;
}

template <int BLOCKS>
__device__ __forceinline__ int choose(Row<BLOCKS>& row, float top_k, float top_p, float uniform) {
  auto& shared = shared_of<BLOCKS>();
  Place least = kLast;
  row.for_each([&](float logit, int id) { least = min(least, isnan(logit) ? 0 : place_of(logit, id)); });
  const Place best = row_min<BLOCKS>(least);
  if (best == 0) return kNoToken;
  row.largest = logit_at(best);
  if (row.largest == -CUDART_INF_F) return kNoToken;
  if (row.largest == CUDART_INF_F) {
    least = kLast;
    row.for_each([&](float logit, int) { least = isfinite(logit) ? 0 : least; });
    if (row_min<BLOCKS>(least) != 0) return kNoToken;
  }
  if (!(row.temperature > 0.f) || top_k == 1.f) return static_cast<int>(best);

  row.bins_per_unit = min(kBins / kReach / row.temperature, CUDART_MAX_NORMAL_F);  // tiny temperatures: a longer reach
  fill(row, true, Part(), 0);
  combine<BLOCKS>(true);
  int turn = 0;
  Mass kept = shared.all.mass[kBins - 1];
#pragma unroll 1
  for (int limit = kTopK; limit <= kDraw; limit++) {
    if (limit == kTopK && !(top_k > 0.f && top_k < shared.all.count[kBins - 1])) continue;
    if (limit == kTopP && !(top_p < 1.f)) continue;
    Mass target = max(Mass(1), static_cast<Mass>(top_k));
    const double share = static_cast<double>(limit == kTopP ? max(top_p, 0.f) : uniform) * static_cast<double>(kept);
    if (limit == kTopP) target = min(kept, max(Mass(1), static_cast<Mass>(ceil(share))));
    if (limit == kDraw) target = min(kept, static_cast<Mass>(share) + 1);
    kept = search(row, limit == kTopK, target, turn);
  }
  return shared.id;
}

// BLOCKS blocks a row of logits [rows, vocabulary] with settings [rows, 4] (temperature, topK, topP, uniform), out [rows].
template <int BLOCKS>
__device__ __forceinline__ void sample_row(const float* logits, int64_t stride, const float* settings, int64_t settings_stride,
                                           int* out, int64_t out_stride, int vocabulary) {
  const int64_t at = blockIdx.x / BLOCKS;
  wait_for_previous();
  allow_next();
  settings += at * settings_stride;
  const float temperature = settings[0], top_k = settings[1], top_p = settings[2], uniform = settings[3];
  Row<BLOCKS> row = {logits + at * stride, vocabulary, static_cast<int>(blockIdx.x % BLOCKS), 0.f, temperature, 0.f};
  if constexpr (BLOCKS > 1) row.stage();
  const int chosen = choose(row, top_k, top_p, uniform);
  if (blockIdx.x % BLOCKS == 0 && threadIdx.x == 0) out[at * out_stride] = chosen;
  if constexpr (BLOCKS > 1) cluster_sync();  // shared memory stays until read
}

// Grid (rows), kSharedBytes of shared memory.
extern "C" __global__ void __launch_bounds__(kSampleThreads, 1)
    sample(const float* logits, int64_t stride, const float* settings, int64_t settings_stride, int* out,
           int64_t out_stride, int vocabulary) {
  sample_row<1>(logits, stride, settings, settings_stride, out, out_stride, vocabulary);
}

// Grid (16 rows) in clusters of 16; kSharedBytes of shared memory and 4096 bytes more for each 16384 logits begun.
extern "C" __global__ void __launch_bounds__(kSampleThreads, 1)
    sample_cluster(const float* logits, int64_t stride, const float* settings, int64_t settings_stride, int* out,
                   int64_t out_stride, int vocabulary) {
#if __CUDA_ARCH__ >= 900
  sample_row<kCluster>(logits, stride, settings, settings_stride, out, out_stride, vocabulary);
#endif
}
