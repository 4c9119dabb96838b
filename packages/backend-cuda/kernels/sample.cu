// One token id a row: greedy, or temperature, top-k, top-p and a draw.
//
// All limits are prefixes of one order (logit descending, then id ascending), so each is a search for the element where a
// running measure reaches a target: the count for top-k, the probability mass for top-p and the draw. A search narrows the
// logit's bits by histograms of 11, 11 and 10 bits, then counts along the ids that share it. Mass is counted in integers
// of 2^-40, so sums are exact and do not depend on the order of the threads.
#include "block-sum.cuh"
#include "common/chain.cuh"
#include "common/types.cuh"

typedef unsigned long long Mass;

constexpr int kSampleThreads = 1024;
constexpr int kSampleWarps = kSampleThreads / 32;
constexpr int kBins = 2048;
constexpr float kUnitMass = 1099511627776.f;  // 2^40, the mass of the largest logit
constexpr int kNoToken = -1;

// Unsigned order of f32.
__device__ __forceinline__ uint32_t sort_key(float x) {
  const uint32_t bits = __float_as_uint(x == 0.f ? 0.f : x);  // -0 ties with 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// An element of the order, as the last one of a prefix.
struct Place {
  uint32_t key;
  int id;
};

struct SampleShared {
  Mass bins[kBins];
  Mass warp_totals[kSampleWarps];
  int counts[kSampleWarps];
  Mass before;  // measure of the bins above the found one
  int bin;
  int id;
};

struct Row {
  const float* logits;
  int vocabulary;
  float largest, temperature;

  __device__ __forceinline__ Mass mass(float logit) const {
    if (logit == largest) return static_cast<Mass>(kUnitMass);
    return static_cast<Mass>(expf((logit - largest) / temperature) * kUnitMass);
  }
  // Calls `each(id, logit, inside)` with ids in turn over the threads, whole warps together; `inside` says who takes part.
  // Eight loads are on their way at a time: one block must keep up with L2's latency alone.
  template <typename Each>
  __device__ __forceinline__ void for_each(Each each) const {
    constexpr int kAtOnce = 8;
    for (int first = threadIdx.x; first - static_cast<int>(threadIdx.x) < vocabulary; first += kAtOnce * kSampleThreads) {
      float some[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) some[i] = logits[min(first + i * kSampleThreads, vocabulary - 1)];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) each(first + i * kSampleThreads, some[i], first + i * kSampleThreads < vocabulary);
    }
  }
};

// Adds to a 64-bit number in shared memory with the 32-bit additions that the hardware has.
__device__ __forceinline__ void add_shared(Mass* to, Mass amount) {
  uint32_t* words = reinterpret_cast<uint32_t*>(to);
  const uint32_t low = static_cast<uint32_t>(amount);
  const uint32_t carry = atomicAdd(words, low) > ~low ? 1 : 0;
  const uint32_t high = static_cast<uint32_t>(amount >> 32) + carry;
  if (high != 0) atomicAdd(words + 1, high);
}

__device__ __forceinline__ bool within(const Place& last, uint32_t key, int id) {
  return key > last.key || (key == last.key && id <= last.id);
}

// The first bin from the top where the running sum reaches `target` (it does, if the caller's total does), into
// shared.bin and shared.before.
__device__ void find_bin(SampleShared& shared, Mass target) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  constexpr int kPerWarp = kBins / kSampleWarps;  // warp 0 has the highest bins
  const int top = kBins - 1 - warp * kPerWarp - 2 * lane;
  const Mass own = shared.bins[top] + shared.bins[top - 1];
  const Mass total = warp_sum(own);
  if (lane == 0) shared.warp_totals[warp] = total;
  __syncthreads();
  Mass before = 0;
  for (int w = 0; w < warp; w++) before += shared.warp_totals[w];
  if (before < target && before + total >= target) {
    Mass sum = own;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
      const Mass other = __shfl_up_sync(0xFFFFFFFFu, sum, step);
      if (lane >= step) sum += other;
    }
    before += sum - own;
    if (before < target && before + own >= target) {
      const bool second = before + shared.bins[top] < target;
      shared.bin = second ? top - 1 : top;
      shared.before = second ? before + shared.bins[top] : before;
    }
  }
  __syncthreads();
}

// The id of the n-th (from 1) element with this key, in the order of ids.
__device__ int find_tie(const Row& row, SampleShared& shared, uint32_t key, int n) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int share = ((row.vocabulary + kSampleWarps - 1) / kSampleWarps + 31) / 32 * 32;
  const int from = warp * share, to = min(row.vocabulary, from + share);
  int count = 0;
  for (int first = from + lane; first < to; first += 8 * 32) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const float logit = row.logits[min(first + 32 * i, row.vocabulary - 1)];
      count += first + 32 * i < to && sort_key(logit) == key;
    }
  }
  count = warp_sum(count);
  if (lane == 0) shared.counts[warp] = count;
  __syncthreads();
  int before = 0;
  for (int w = 0; w < warp; w++) before += shared.counts[w];
  if (before < n && before + count >= n) {
    for (int id = from + lane; id - lane < to; id += 32) {
      const unsigned ties = __ballot_sync(0xFFFFFFFFu, id < to && sort_key(row.logits[id]) == key);
      const bool mine = ties >> lane & 1 && before + __popc(ties & ((2u << lane) - 1)) == n;
      if (mine) shared.id = id;
      before += __popc(ties);
      if (before >= n) break;
    }
  }
  __syncthreads();
  return shared.id;
}

// The first element up to `last` where the running measure reaches `target_of(measure up to last)`, which is at least 1 and
// at most that.
template <typename Target, typename Measure>
__device__ Place search(const Row& row, SampleShared& shared, const Place& last, Target target_of, Measure measure) {
  uint32_t found = 0;
  Mass above = 0, target = 0;
  constexpr int kShifts[3] = {21, 10, 0};
#pragma unroll
  for (int digit = 0; digit < 3; digit++) {
    const int shift = kShifts[digit];
    for (int i = threadIdx.x; i < kBins; i += kSampleThreads) shared.bins[i] = 0;
    __syncthreads();
    row.for_each([&](int id, float logit, bool inside) {
      const uint32_t key = sort_key(logit);
      const bool counts = inside && within(last, key, id) &&
                          (digit == 0 || key >> (digit == 1 ? 21 : 10) == found >> (digit == 1 ? 21 : 10));
      const unsigned taking = __ballot_sync(0xFFFFFFFFu, counts);
      if (taking == 0) return;
      const int bin = key >> shift & (digit == 2 ? 1023 : 2047);
      const int first = __shfl_sync(0xFFFFFFFFu, bin, __ffs(taking) - 1);
      const Mass amount = counts ? measure(logit) : 0;
      // Equal logits are common (a flat or masked distribution): the warp then adds once.
      if (__all_sync(0xFFFFFFFFu, !counts || bin == first)) {
        const Mass sum = warp_sum(amount);
        if (threadIdx.x % 32 == 0) add_shared(&shared.bins[first], sum);
      } else if (amount != 0) {
        add_shared(&shared.bins[bin], amount);
      }
    });
    __syncthreads();
    if (digit == 0) target = target_of(block_sum(shared.bins[threadIdx.x] + shared.bins[threadIdx.x + kSampleThreads]));
    find_bin(shared, target - above);
    above += shared.before;
    found |= static_cast<uint32_t>(shared.bin) << shift;
    __syncthreads();
  }
  const uint32_t bits = found & 0x80000000u ? found & 0x7FFFFFFFu : ~found;
  const Mass each = measure(__uint_as_float(bits));
  const Mass ties = (target - above + each - 1) / each;
  const int id = find_tie(row, shared, found, static_cast<int>(ties));
  __syncthreads();
  return {found, id};
}

// Block x: row x of logits [rows, vocabulary] with settings [rows, 4] (temperature, topK, topP, uniform), out [rows].
extern "C" __global__ void __launch_bounds__(kSampleThreads)
    sample(const float* logits, int64_t stride, const float* settings, int64_t settings_stride, int* out,
           int64_t out_stride, int vocabulary) {
  __shared__ SampleShared shared;
  wait_for_previous();
  allow_next();
  settings += blockIdx.x * settings_stride;
  const float temperature = settings[0], top_k = settings[1], top_p = settings[2], uniform = settings[3];
  Row row = {logits + blockIdx.x * stride, vocabulary, -CUDART_INF_F, temperature};

  uint32_t largest = 0;
  bool finite = false, not_a_number = false;
  row.for_each([&](int, float logit, bool inside) {
    if (!inside) return;
    finite |= isfinite(logit);
    not_a_number |= isnan(logit);
    if (!isnan(logit)) largest = max(largest, sort_key(logit));
  });
  finite = __syncthreads_or(finite);
  not_a_number = __syncthreads_or(not_a_number);
  if (!finite || not_a_number) {
    if (threadIdx.x == 0) out[blockIdx.x * out_stride] = kNoToken;
    return;
  }
  largest = __reduce_max_sync(0xFFFFFFFFu, largest);
  if (threadIdx.x % 32 == 0) shared.counts[threadIdx.x / 32] = static_cast<int>(largest);
  __syncthreads();
  largest = __reduce_max_sync(0xFFFFFFFFu, static_cast<uint32_t>(shared.counts[threadIdx.x % 32]));
  __syncthreads();
  row.largest = __uint_as_float(largest & 0x80000000u ? largest & 0x7FFFFFFFu : ~largest);

  int chosen;
  if (temperature == 0.f || top_k == 1.f) {
    chosen = find_tie(row, shared, largest, 1);
  } else {
    auto mass = [&](float logit) { return row.mass(logit); };
    Place last = {0, vocabulary};
    if (top_k > 0.f && top_k < vocabulary)
      last = search(row, shared, last, [&](Mass) { return static_cast<Mass>(top_k); }, [](float) { return Mass(1); });
    if (top_p < 1.f)
      last = search(row, shared, last, [&](Mass total) {
        const double target = ceil(static_cast<double>(max(top_p, 0.f)) * static_cast<double>(total));
        return min(total, max(Mass(1), static_cast<Mass>(target)));
      }, mass);
    chosen = search(row, shared, last, [&](Mass total) {
      return min(total, static_cast<Mass>(static_cast<double>(uniform) * static_cast<double>(total)) + 1);
    }, mass).id;
  }
  if (threadIdx.x == 0) out[blockIdx.x * out_stride] = chosen;
}
