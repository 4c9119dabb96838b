// Attention for a few query rows over selected blocks in one launch: a cluster of 16 takes one (row, kv head), and partial
// sums never leave shared memory.
//
// A block of threads takes six blocks of keys a round, 24 units of 16 keys. For logits, a warp has two of the units; for
// values, it has 32 columns of every third (sixth for 64 columns): so few partial sums are left to add up.
#include "common/cluster.cuh"
#include "decode-attend.cuh"

namespace {

constexpr int kClusterWarps = 12, kClusterThreads = 32 * kClusterWarps;

template <typename T, int DIM, typename KV>
struct ClusterPart {
  typedef typename Stored<KV>::Four Four;
  typedef typename Stored<KV>::Eight Eight;
  static constexpr int kRound = kClusterWarps / 2;       // blocks of keys
  static constexpr int kUnits = 4 * kRound;              // of a round
  static constexpr int kSlices = DIM / 32;
  static constexpr int kShares = kClusterWarps / kSlices;  // of units
  static constexpr int kOwn = kUnits / kShares;            // units whose values a warp takes

  const DecodeAttendArgs& a;
  const AttendRow& r;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  int slice = warp % kSlices, share = warp / kSlices;
  const int* shared_pages;
  int own_block = -1, own_page = 0;  // lane i: the round's i-th block of keys
  Four v[kOwn][4];
  UnitScales<KV> scales[2];
  int firsts[2];  // positions of the first keys of the units whose logits the warp takes
  float o[4][4] = {};
  float top[2] = {-1e30f, -1e30f}, sum[2] = {0.f, 0.f};

  __device__ __forceinline__ ClusterPart(const DecodeAttendArgs& a, const AttendRow& r, const int* pages)
      : a(a), r(r), shared_pages(pages) {}

  __device__ __forceinline__ void look_up(int round) {
    const int i = (round * kRound + lane) * kCluster + static_cast<int>(blockIdx.x);
    own_block = lane < kRound && i < r.blocks ? r.list[i] : -1;
    own_page = shared_pages[max(own_block, 0)];
  }

  // Position of a unit's first key, and its row in the cache. A unit of which the row sees nothing is false, and stands for
  // one that it sees: what is read must be finite, its weights are 0.
  __device__ __forceinline__ bool find(int unit, int& first, int64_t& at) const {
    const int block = __shfl_sync(kAll, own_block, unit / 4), page = __shfl_sync(kAll, own_page, unit / 4);
    const int start = max(block, 0) * kBlock;
    const bool seen = block >= 0 && start + 16 * (unit % 4) <= r.position;
    const int in_block = seen ? 16 * (unit % 4) : 0;
    first = start + in_block;
    at = (static_cast<int64_t>(page) * a.kv_heads + r.head) * kBlock + in_block;
    return seen;
  }

  __device__ __forceinline__ void load_keys(Eight (&k)[2][DIM / 32], UnitScales<KV>& of_unit, int unit) const {
    int first;
    int64_t at;
    find(unit, first, at);
    const KV* keys = static_cast<const KV*>(a.keys) + at * DIM;
    GroupQueries<T, DIM, KV>::load_key(k[0], keys + g * DIM);
    GroupQueries<T, DIM, KV>::load_key(k[1], keys + (g + 8) * DIM);
    of_unit.load(a.scales + at);
  }

  __device__ __forceinline__ void load_values(int begin, int end) {
#pragma unroll
    for (int i = begin; i < end; i++) {
      int first;
      int64_t at;
      find(i * kShares + share, first, at);
      const KV* values = static_cast<const KV*>(a.values) + at * DIM + 32 * slice + 4 * g;
      // Rows past the position may hold anything: a valid one is read instead, its weight is 0.
#pragma unroll
      for (int n = 0; n < 4; n++)
        v[i][n] = __ldg(reinterpret_cast<const Four*>(values + min(2 * t + n % 2 + 8 * (n / 2), r.position - first) * DIM));
    }
  }

  // Logits of units `warp` and `warp + kClusterWarps`; values set out when half of the keys have arrived.
  __device__ __forceinline__ void find_logits(float (&s)[2][2][4], const GroupQueries<T, DIM, KV>& q) {
    Eight k[2][2][DIM / 32];
#pragma unroll
    for (int i = 0; i < 2; i++) load_keys(k[i], scales[i], warp + i * kClusterWarps);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int64_t at;
      if (find(warp + i * kClusterWarps, firsts[i], at)) {
        logits(s[i], q, k[i], scales[i], firsts[i], r.position, a.scale_log2);
      } else {
#pragma unroll
        for (int e = 0; e < 8; e++) s[i][e / 4][e % 4] = -CUDART_INF_F;
      }
      if (i == 0) load_values(0, kOwn / 2);
      else load_values(kOwn / 2, kOwn);
    }
  }

  // Brings all warps to the largest logit of each head so far, and what was summed up with it.
  __device__ __forceinline__ void agree(const float (&s)[2][2][4], float (&tops)[kClusterWarps][16]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float high = -1e30f;
#pragma unroll
      for (int i = 0; i < 8; i++) high = fmaxf(high, s[i / 4][i / 2 % 2][2 * h + i % 2]);
      high = fmaxf(high, __shfl_xor_sync(kAll, high, 1));
      high = fmaxf(high, __shfl_xor_sync(kAll, high, 2));
      if (t == 0) tops[warp][g + 8 * h] = high;
    }
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float high = top[h];
#pragma unroll
      for (int w = 0; w < kClusterWarps; w++) high = fmaxf(high, tops[w][g + 8 * h]);
      const float factor = exp2_fast(top[h] - high);
      top[h] = high;
      sum[h] *= factor;
#pragma unroll
      for (int j = 0; j < 4; j++)
#pragma unroll
        for (int e = 0; e < 2; e++) o[j][2 * h + e] *= factor;
    }
  }

  // Weights as operands of the products with values: lane l's four registers of each unit.
  __device__ __forceinline__ void share_weights(float (&s)[2][2][4], uint4 (&weights)[kUnits][32]) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int e = 0; e < 8; e++) {
        float& x = s[i][e / 4][e % 4];
        x = exp2_fast(x - top[e % 4 / 2]);
        sum[e % 4 / 2] += x;
        x *= scales[i].value(e / 4, e % 2, sees(firsts[i], e / 4, e % 2, r.position));
      }
      weights[warp + i * kClusterWarps][lane] = make_uint4(pack<T>(s[i][0][0], s[i][0][1]), pack<T>(s[i][0][2], s[i][0][3]),
                                                           pack<T>(s[i][1][0], s[i][1][1]), pack<T>(s[i][1][2], s[i][1][3]));
    }
  }

  // Column n of product j is element 4 n + j of the slice, so that a lane loads four of a value at once.
  __device__ __forceinline__ void add_values(const uint4 (&weights)[kUnits][32]) {
#pragma unroll
    for (int i = 0; i < kOwn; i++) {
      const uint4 p = weights[i * kShares + share][lane];
      uint2 of_key[4];
#pragma unroll
      for (int n = 0; n < 4; n++) of_key[n] = four_of<T, KV>(v[i][n]);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const unsigned order = j % 2 == 0 ? 0x5410 : 0x7632;
        const uint32_t w[4] = {j < 2 ? of_key[0].x : of_key[0].y, j < 2 ? of_key[1].x : of_key[1].y,
                               j < 2 ? of_key[2].x : of_key[2].y, j < 2 ? of_key[3].x : of_key[3].y};
        mma<T>(o[j], p.x, p.y, p.z, p.w, __byte_perm(w[0], w[1], order), __byte_perm(w[2], w[3], order));
      }
    }
  }

  // Leaves the block's weighted sums of values and, of each head, the largest logit and the sum of weights.
  __device__ __forceinline__ void add_up(float (&parts)[kShares][16 * DIM], float2 (&warp_sums)[kClusterWarps][16],
                                         float (&sums)[16 * DIM], float2 (&heads)[16]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
      sum[h] += __shfl_xor_sync(kAll, sum[h], 1);
      sum[h] += __shfl_xor_sync(kAll, sum[h], 2);
      if (t == 0) warp_sums[warp][g + 8 * h] = make_float2(top[h], sum[h]);
#pragma unroll
      for (int e = 0; e < 2; e++)
        *reinterpret_cast<float4*>(parts[share] + (g + 8 * h) * DIM + 32 * slice + 8 * t + 4 * e) =
            make_float4(o[0][2 * h + e], o[1][2 * h + e], o[2][2 * h + e], o[3][2 * h + e]);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < 16 * DIM / 4; i += kClusterThreads) {
      float4 all = reinterpret_cast<const float4*>(parts[0])[i];
#pragma unroll
      for (int n = 1; n < kShares; n++) {
        const float4 more = reinterpret_cast<const float4*>(parts[n])[i];
        all = make_float4(all.x + more.x, all.y + more.y, all.z + more.z, all.w + more.w);
      }
      reinterpret_cast<float4*>(sums)[i] = all;
    }
    if (threadIdx.x < 16) {
      float total = 0.f;
#pragma unroll
      for (int w = 0; w < kClusterWarps; w++) total += warp_sums[w][threadIdx.x].y;
      heads[threadIdx.x] = make_float2(warp_sums[0][threadIdx.x].x, UnitScales<KV>::sums(total));
    }
  }
};

// Adds up the cluster's parts of one head, an element a thread.
template <int DIM>
__device__ __forceinline__ float combine_cluster(const float* sums, const float2* heads, int head) {
  float2 state[kCluster];
  float value[kCluster], high = -1e30f, sum = 0.f, total = 0.f;
#pragma unroll
  for (int r = 0; r < kCluster; r++) {
    state[r] = cluster_load_pair(cluster_address(heads + head, r));
    value[r] = cluster_load(cluster_address(sums + head * DIM + threadIdx.x, r));
  }
#pragma unroll
  for (int r = 0; r < kCluster; r++) high = fmaxf(high, state[r].x);
#pragma unroll
  for (int r = 0; r < kCluster; r++) {
    const float factor = exp2_fast(state[r].x - high);
    sum += state[r].y * factor;
    total += value[r] * factor;
  }
  return total / sum;
}

template <typename T, int DIM, typename KV>
__device__ __forceinline__ void decode_attend_cluster(const DecodeAttendArgs& a) {
  typedef ClusterPart<T, DIM, KV> Part;
  extern __shared__ int page_table[];
  __shared__ __align__(16) float sums[16 * DIM], parts[Part::kShares][16 * DIM];
  __shared__ uint4 weights[Part::kUnits][32];
  __shared__ float tops[kClusterWarps][16];
  __shared__ float2 warp_sums[kClusterWarps][16], heads[16];
  const AttendRow r(a);
  const int group = a.heads / a.kv_heads, rank = blockIdx.x;
  GroupQueries<T, DIM, KV> q;
  q.load(static_cast<const T*>(a.q) + (static_cast<int64_t>(r.row) * a.heads + r.head * group) * DIM, group);
  // The page table, older than the previous launch, saves a trip to memory between the list and the keys.
  for (int i = threadIdx.x; i <= r.position / kBlock; i += kClusterThreads) page_table[i] = r.pages[i];
  wait_for_previous();
  allow_next();
  __syncthreads();
  Part part(a, r, page_table);
  for (int round = 0; round * Part::kRound * kCluster + rank < r.blocks; round++) {
    if (round > 0) __syncthreads();  // the last round's weights have been used
    part.look_up(round);
    float s[2][2][4];
    part.find_logits(s, q);
    part.agree(s, tops);
    part.share_weights(s, weights);
    __syncthreads();
    part.add_values(weights);
  }
  part.add_up(parts, warp_sums, sums, heads);
  cluster_sync();
  // Block r of the cluster finishes head r.
  if (rank < group && threadIdx.x < DIM)
    static_cast<T*>(a.out)[(static_cast<int64_t>(r.row) * a.heads + r.head * group + rank) * DIM + threadIdx.x] =
        from_float<T>(combine_cluster<DIM>(sums, heads, rank));
  cluster_sync();  // parts stay until read
}

}  // namespace

// Grid (16, kvHeads, rows) of 384 threads in clusters of 16, with 4 * max_pages bytes of shared memory. Groups of up to 16
// query heads.
#define DECODE_ATTEND_CLUSTER(SUFFIX, T, DIM, KV)                                                                       \
  extern "C" __global__ void __launch_bounds__(kClusterThreads, 1)                                                      \
      decode_attend_cluster_##SUFFIX(const DecodeAttendArgs args) {                                                     \
    decode_attend_cluster<T, DIM, KV>(args);                                                                            \
  }
DECODE_ATTEND_CLUSTER(bf16_d128, bf16, 128, bf16)
#ifndef LAB
DECODE_ATTEND_CLUSTER(bf16_d64, bf16, 64, bf16)
DECODE_ATTEND_CLUSTER(f16_d128, f16, 128, f16)
DECODE_ATTEND_CLUSTER(f16_d64, f16, 64, f16)
DECODE_ATTEND_CLUSTER(bf16_q8_d128, bf16, 128, q8)
DECODE_ATTEND_CLUSTER(bf16_q8_d64, bf16, 64, q8)
DECODE_ATTEND_CLUSTER(f16_q8_d128, f16, 128, q8)
DECODE_ATTEND_CLUSTER(f16_q8_d64, f16, 64, q8)
#endif
