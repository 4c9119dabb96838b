// A row of logits, shared by one block of threads or by a cluster of 16, and the order that sampling cuts it in.
#pragma once
#include "common/cluster.cuh"
#include "common/types.cuh"

typedef unsigned long long Mass;
// Place in the order: the inverted order of the logit, then the id.
typedef unsigned long long Place;

constexpr uint32_t kWarp = 0xFFFFFFFFu;
constexpr int kSampleThreads = 1024;
constexpr int kSampleWarps = kSampleThreads / 32;
constexpr int kBins = 2048;
constexpr int kMembers = 512;                 // of a bin, that are compared each with each
constexpr float kUnitMass = 1099511627776.f;  // 2^40, the mass of the largest logit
constexpr float kReach = 28.f;                // beyond this many temperatures below it a logit has no mass: e^-28 < 2^-40
constexpr Place kLast = ~Place(0);

// Unsigned order of f32.
__device__ __forceinline__ uint32_t sort_key(float x) {
  const uint32_t bits = __float_as_uint(x == 0.f ? 0.f : x);  // -0 ties with 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ Place place_of(float logit, int id) {
  return static_cast<Place>(~sort_key(logit)) << 32 | static_cast<uint32_t>(id);
}

__device__ __forceinline__ float logit_at(Place place) {
  const uint32_t key = ~static_cast<uint32_t>(place >> 32);
  return __uint_as_float(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

__device__ __forceinline__ Place warp_min(Place place) {
  const uint32_t high = __reduce_min_sync(kWarp, static_cast<uint32_t>(place >> 32));
  const uint32_t low = __reduce_min_sync(kWarp, place >> 32 == high ? static_cast<uint32_t>(place) : kWarp);
  return static_cast<Place>(high) << 32 | low;
}

struct Histogram {
  Mass mass[kBins];
  uint32_t count[kBins];
};

struct __align__(16) Member {
  Place place;
  Mass mass;
};

// What other blocks read: `own` and `slice` until the barrier after the next one, the rest until the same is done again.
template <int BLOCKS>
struct SampleShared {
  static constexpr int kSlice = BLOCKS == 1 ? 1 : kBins / BLOCKS;
  Histogram own;  // of this block's elements; then sums up to each bin of a divided one, over all blocks
  Histogram all;  // sums up to each bin of the first histogram, over all blocks
  Mass slice_mass[kSlice];
  uint32_t slice_count[kSlice];
  Place lists[2][kMembers];
  int listed[2];
  Place least;
  Member members[kMembers];
  Mass mass_totals[kSampleWarps];
  uint32_t count_totals[kSampleWarps];
  Place least_of_warp[kSampleWarps], least_of_all;
  int starts[32];  // of the blocks' lists in `members`, then their end
  Mass mass;       // measures before the bin found, or the mass up to the element found
  uint32_t count;
  int bin, id;
};
constexpr int kSharedBytes = 68 * 1024;  // launch/sample.ts
static_assert(sizeof(SampleShared<1>) <= kSharedBytes && sizeof(SampleShared<kCluster>) <= kSharedBytes);

// A function, so that the compiler knows in those that are not inlined that this is shared memory.
template <int BLOCKS>
__device__ __forceinline__ SampleShared<BLOCKS>& shared_of() {
  extern __shared__ __align__(16) unsigned char memory[];
  return *reinterpret_cast<SampleShared<BLOCKS>*>(memory);
}

// With several blocks: this one's logits, 1024 of every 16384, behind the rest of shared memory.
__device__ __forceinline__ float& staged(int id) {
  extern __shared__ __align__(16) unsigned char memory[];
  return reinterpret_cast<float*>(memory + kSharedBytes)[id / (kCluster * kSampleThreads) * kSampleThreads + threadIdx.x];
}

// All threads of all blocks of the row.
template <int BLOCKS>
__device__ __forceinline__ void meet() {
  if constexpr (BLOCKS == 1) {
    __syncthreads();
  } else {
    cluster_sync();
  }
}

// What block `block` of the row has where this one has `own`.
template <int BLOCKS, typename V>
__device__ __forceinline__ V read_from(int block, const V* own) {
  if constexpr (BLOCKS == 1) return *own;
  V value = 0;
#if __CUDA_ARCH__ >= 900
  const uint32_t at = cluster_address(own, block);
  if constexpr (sizeof(V) == 8)
    asm volatile("ld.shared::cluster.u64 %0, [%1];" : "=l"(value) : "r"(at) : "memory");
  else
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(value) : "r"(at) : "memory");
#endif
  return value;
}

// Elements that follow each other in the order: those of a bin of the first histogram, or (bin -1) from one place to another.
struct Part {
  int bin;
  Place low, high;
};

template <int BLOCKS>
struct Row {
  static constexpr int kStep = BLOCKS * kSampleThreads;
  const float* logits;
  int vocabulary, block;
  float largest, temperature, bins_per_unit;

  __device__ __forceinline__ Mass mass(float logit) const {
    if (logit == largest) return static_cast<Mass>(kUnitMass);
    return static_cast<Mass>(expf((logit - largest) / temperature) * kUnitMass);
  }
  // Of the first histogram; -1 for a logit that has no mass.
  __device__ __forceinline__ int bin(float logit) const {
    const float at = logit == largest ? 0.f : (largest - logit) * bins_per_unit;
    return at < kBins ? static_cast<int>(at) : -1;
  }
  __device__ __forceinline__ bool has(const Part& part, float logit, int id) const {
    if (part.bin >= 0) return bin(logit) == part.bin;
    const Place place = place_of(logit, id);
    return part.low <= place && place <= part.high;
  }
  // A barrier for all blocks ends what shared memory knows of device memory: logits would come from L2 again.
  __device__ __forceinline__ void stage() const {
    constexpr int kAtOnce = 16;
#pragma unroll 1
    for (int first = block * kSampleThreads; first < vocabulary; first += kAtOnce * kStep) {
      const int id = first + threadIdx.x;
      float some[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) some[i] = id + i * kStep < vocabulary ? logits[id + i * kStep] : 0.f;
#pragma unroll
      for (int i = 0; i < kAtOnce; i++)
        if (id + i * kStep < vocabulary) staged(id + i * kStep) = some[i];
    }
  }
  // Calls `each(logit, id)` with ids in turn over the threads, whole warps together; past the row's end logits are -Infinity.
  // Loads from device memory are eight at a time; `each` is there once, as instructions come from memory too.
  template <typename Each>
  __device__ __forceinline__ void for_each(Each each) const {
    constexpr int kAtOnce = BLOCKS == 1 ? 8 : 1;
    const int thread = threadIdx.x;
    int first = block * kSampleThreads;
#pragma unroll 1
    while (first < vocabulary) {
      float some[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; i++) {
        const int id = first + i * kStep + thread;
        some[i] = -CUDART_INF_F;
        if (id < vocabulary) some[i] = BLOCKS == 1 ? logits[id] : staged(id);
      }
#pragma unroll 1
      for (int n = 0; n < kAtOnce && first < vocabulary; n++, first += kStep) {
        each(some[0], first + thread);
#pragma unroll
        for (int i = 0; i + 1 < kAtOnce; i++) some[i] = some[i + 1];
      }
    }
  }
};

// The least of all threads' places.
template <int BLOCKS>
__device__ __noinline__ Place row_min(Place place) {
  auto& shared = shared_of<BLOCKS>();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  place = warp_min(place);
  if (lane == 0) shared.least_of_warp[warp] = place;
  __syncthreads();
  if (warp == 0) {
    place = warp_min(shared.least_of_warp[lane]);
    if (lane == 0) shared.least = place;
  }
  meet<BLOCKS>();
  if (warp == 0) {
    place = warp_min(lane < BLOCKS ? read_from<BLOCKS>(lane, &shared.least) : kLast);
    if (lane == 0) shared.least_of_all = place;
  }
  meet<BLOCKS>();  // `least` stays until read
  return shared.least_of_all;
}
