// Attention for a few query rows (decoding, verifying drafts), spread over the whole chip: dense, or over selected blocks.
//   decode_attend   each block of threads takes its share of the blocks: partial outputs
//   decode_combine  adds the parts up
#include "decode-attend.cuh"

namespace {

constexpr int kAttendWarps = 4;
constexpr int kPartThreads = 32 * kAttendWarps;

// Values of 16 keys times weights. Column n of product j is element 8 n + j (of each run of 64), so that lane g can
// load 8 elements of a key at once; lane t then holds elements 16 t .. 16 t + 15 of each run for its heads.
template <typename T, int DIM, typename KV>
__device__ __forceinline__ void multiply_values(float (&o)[DIM / 8][4], const uint32_t (&p)[4],
                                                const typename Stored<KV>::Eight (&v)[DIM / 64][4]) {
#pragma unroll
  for (int run = 0; run < DIM / 64; run++) {
    uint4 of_key[4];
#pragma unroll
    for (int n = 0; n < 4; n++) of_key[n] = eight_of<T, KV>(v[run][n]);
#pragma unroll
    for (int pair = 0; pair < 4; pair++) {
      const uint32_t* w[4] = {&of_key[0].x, &of_key[1].x, &of_key[2].x, &of_key[3].x};
      // Elements 2 pair and 2 pair + 1 of keys (0, 1) and (2, 3).
      mma<T>(o[8 * run + 2 * pair], p[0], p[1], p[2], p[3], __byte_perm(w[0][pair], w[1][pair], 0x5410),
             __byte_perm(w[2][pair], w[3][pair], 0x5410));
      mma<T>(o[8 * run + 2 * pair + 1], p[0], p[1], p[2], p[3], __byte_perm(w[0][pair], w[1][pair], 0x7632),
             __byte_perm(w[2][pair], w[3][pair], 0x7632));
    }
  }
}

// Each block of threads leaves the weighted sums of values of its share, and the largest logit and sum of weights of the 16
// heads.
template <typename T, int DIM, typename KV>
__device__ __forceinline__ void decode_attend(const DecodeAttendArgs& a) {
  typedef typename Stored<KV>::Eight Eight;
  extern __shared__ __align__(16) float scratch[];  // [kAttendWarps][DIM / 2][32]
  const AttendRow r(a);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, group = a.heads / a.kv_heads;
  GroupQueries<T, DIM, KV> q;
  q.load(static_cast<const T*>(a.q) + (static_cast<int64_t>(r.row) * a.heads + r.head * group) * DIM, group);
  wait_for_previous();
  allow_next();
  float o[DIM / 8][4] = {};
  float top[2] = {-1e30f, -1e30f}, sum[2] = {0.f, 0.f};
  // A block is 4 units of 16 keys; warps take units in turn, and look up 32 of theirs at a time, one a lane.
  const int part = blockIdx.x, parts = gridDim.x, units = 4 * max(0, ceil_div(r.blocks - part, parts));
  int own_block = -1, own_page = 0;
  for (int unit = warp, n = 0; unit < units; unit += kAttendWarps, n++) {
    if (n % 32 == 0) {
      const int i = part + (unit + lane * kAttendWarps) / 4 * parts;
      own_block = i >= r.blocks ? -1 : r.list ? r.list[i] : i;
      own_page = r.pages[max(own_block, 0)];
    }
    const int block = __shfl_sync(kAll, own_block, n % 32);
    if (block < 0) break;
    const int64_t page = __shfl_sync(kAll, own_page, n % 32);
    const int64_t base = (page * a.kv_heads + r.head) * kBlock + 16 * (unit % 4);
    const KV* keys = static_cast<const KV*>(a.keys) + base * DIM;
    const KV* values = static_cast<const KV*>(a.values) + base * DIM;
    const int first = block * kBlock + 16 * (unit % 4);
    if (first > r.position) continue;
    Eight k[2][DIM / 32];
    q.load_key(k[0], keys + g * DIM);
    q.load_key(k[1], keys + (g + 8) * DIM);
    UnitScales<KV> scales;
    scales.load(a.scales + base);
    Eight v[DIM / 64][4];
#pragma unroll
    for (int n = 0; n < 4; n++) {
      // Rows past the position may hold anything: a valid one is read instead, its weight is 0.
      const KV* row_values = values + min(2 * t + n % 2 + 8 * (n / 2), r.position - first) * DIM + 8 * g;
#pragma unroll
      for (int run = 0; run < DIM / 64; run++) v[run][n] = __ldg(reinterpret_cast<const Eight*>(row_values + 64 * run));
    }
    float s[2][4];
    logits(s, q, k, scales, first, r.position, a.scale_log2);
    float factor[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float high = fmaxf(fmaxf(s[0][2 * h], s[0][2 * h + 1]), fmaxf(s[1][2 * h], s[1][2 * h + 1]));
      high = fmaxf(high, __shfl_xor_sync(kAll, high, 1));
      high = fmaxf(fmaxf(high, __shfl_xor_sync(kAll, high, 2)), top[h]);
      factor[h] = exp2_fast(top[h] - high);
      top[h] = high;
      sum[h] *= factor[h];
    }
#pragma unroll
    for (int j = 0; j < DIM / 8; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) o[j][e] *= factor[e / 2];
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[n][e] = exp2_fast(s[n][e] - top[e / 2]);
        sum[e / 2] += s[n][e];
        s[n][e] *= scales.value(n, e % 2, sees(first, n, e % 2, r.position));
      }
    const uint32_t p[4] = {pack<T>(s[0][0], s[0][1]), pack<T>(s[0][2], s[0][3]), pack<T>(s[1][0], s[1][1]),
                           pack<T>(s[1][2], s[1][3])};
    multiply_values<T, DIM, KV>(o, p, v);
  }
  // The warps' parts, added up in shared memory, which keeps the registers' order: no bank conflicts.
  constexpr int kRegisters = DIM / 2;
  const int64_t at = (static_cast<int64_t>(r.row) * a.kv_heads + r.head) * parts + part;
  float* sums = a.partial + at * 16 * DIM;
  __shared__ float2 states[kAttendWarps][16];
  __shared__ float factors[kAttendWarps][16];
#pragma unroll
  for (int h = 0; h < 2; h++) {
    sum[h] += __shfl_xor_sync(kAll, sum[h], 1);
    sum[h] += __shfl_xor_sync(kAll, sum[h], 2);
    if (t == 0) states[warp][g + 8 * h] = make_float2(top[h], sum[h]);
  }
#pragma unroll
  for (int i = 0; i < kRegisters; i++) scratch[(warp * kRegisters + i) * 32 + lane] = o[i / 4][i % 4];
  __syncthreads();
  if (threadIdx.x < 16 * kAttendWarps) {
    const int h = threadIdx.x % 16;
    float high = -1e30f;
#pragma unroll
    for (int w = 0; w < kAttendWarps; w++) high = fmaxf(high, states[w][h].x);
    factors[threadIdx.x / 16][h] = exp2_fast(states[threadIdx.x / 16][h].x - high);
    if (threadIdx.x < 16) {
      float total = 0.f;
#pragma unroll
      for (int w = 0; w < kAttendWarps; w++) total += states[w][h].y * exp2_fast(states[w][h].x - high);
      a.weights[at * 16 + h] = make_float2(high, UnitScales<KV>::sums(total));
    }
  }
  __syncthreads();
  // A job is four elements of the 8 heads g or g + 8 (h); lanes write elements 16 t + .. of head g.
#pragma unroll
  for (int first = 0; first < DIM / 8; first += kAttendWarps) {
    const int job = first + warp;
    if (job >= DIM / 8) break;
    const int h = job % 2, octet = job / 2 % 2, four = job / 4 % 2, run = job / 8;
    const float* from = scratch + (4 * (8 * run + 4 * four) + 2 * h + octet) * 32 + lane;
    float x[4] = {};
#pragma unroll
    for (int w = 0; w < kAttendWarps; w++) {
      const float factor = factors[w][g + 8 * h];
#pragma unroll
      for (int i = 0; i < 4; i++) x[i] += factor * from[(w * kRegisters + 4 * i) * 32];
    }
    *reinterpret_cast<float4*>(sums + (g + 8 * h) * DIM + 64 * run + 16 * t + 8 * octet + 4 * four) =
        make_float4(x[0], x[1], x[2], x[3]);
  }
}

// Grid (heads, rows), 4 * DIM threads: four quarters of the parts at a time.
template <typename T, int DIM>
__device__ __forceinline__ void decode_combine(const DecodeAttendArgs& a) {
  constexpr int kQuarters = 4;
  const int head = blockIdx.x, row = blockIdx.y, group = a.heads / a.kv_heads;
  const int64_t first = (static_cast<int64_t>(row) * a.kv_heads + head / group) * a.splits;
  const int h = head % group, lane = threadIdx.x % 32, x = threadIdx.x % DIM, quarter = threadIdx.x / DIM;
  wait_for_previous();
  allow_next();
  __shared__ float totals[kQuarters][DIM];
  // Every warp finds the largest logit by itself, and scales the parts it reads.
  float high = -1e30f;
  for (int s = lane; s < a.splits; s += 32) high = fmaxf(high, a.weights[(first + s) * 16 + h].x);
#pragma unroll
  for (int d = 1; d < 32; d *= 2) high = fmaxf(high, __shfl_xor_sync(kAll, high, d));
  float total = 0.f, sum = 0.f;
#pragma unroll 12
  for (int s = quarter; s < a.splits; s += kQuarters)
    total += a.partial[((first + s) * 16 + h) * DIM + x] * exp2_fast(a.weights[(first + s) * 16 + h].x - high);
  for (int s = lane; s < a.splits; s += 32) {
    const float2 w = a.weights[(first + s) * 16 + h];
    sum += w.y * exp2_fast(w.x - high);
  }
#pragma unroll
  for (int d = 1; d < 32; d *= 2) sum += __shfl_xor_sync(kAll, sum, d);
  totals[quarter][x] = total;
  __syncthreads();
  if (quarter > 0) return;
#pragma unroll
  for (int i = 1; i < kQuarters; i++) total += totals[i][x];
  static_cast<T*>(a.out)[(static_cast<int64_t>(row) * a.heads + head) * DIM + x] = from_float<T>(total / sum);
}

}  // namespace

// decode_attend: grid (splits, kvHeads, rows) of 128 threads, 256 * DIM bytes of shared memory. Groups of up to 16 query heads.
#define DECODE_ATTEND(SUFFIX, T, DIM, KV)                                                                               \
  extern "C" __global__ void __launch_bounds__(kPartThreads, 2) decode_attend_##SUFFIX(const DecodeAttendArgs args) {   \
    decode_attend<T, DIM, KV>(args);                                                                                    \
  }
#define DECODE_COMBINE(SUFFIX, T, DIM)                                                                                  \
  extern "C" __global__ void __launch_bounds__(4 * DIM) decode_combine_##SUFFIX(const DecodeAttendArgs args) {          \
    decode_combine<T, DIM>(args);                                                                                       \
  }
DECODE_ATTEND(bf16_d128, bf16, 128, bf16)
DECODE_COMBINE(bf16_d128, bf16, 128)
#ifndef LAB
DECODE_ATTEND(bf16_d64, bf16, 64, bf16)
DECODE_ATTEND(f16_d128, f16, 128, f16)
DECODE_ATTEND(f16_d64, f16, 64, f16)
DECODE_ATTEND(bf16_q8_d128, bf16, 128, q8)
DECODE_ATTEND(bf16_q8_d64, bf16, 64, q8)
DECODE_ATTEND(f16_q8_d128, f16, 128, q8)
DECODE_ATTEND(f16_q8_d64, f16, 64, q8)
DECODE_COMBINE(bf16_d64, bf16, 64)
DECODE_COMBINE(f16_d128, f16, 128)
DECODE_COMBINE(f16_d64, f16, 64)
#endif
