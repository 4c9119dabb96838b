// Host side of the lab: launches every kernel from C, for lab.py. Builds as one shared library from the kernel sources.
#include <cuda.h>
#include <string>
#include "lab.h"
#include "../kernels/attend-tile.cuh"
#include "../kernels/common/chain.cuh"
#include "../kernels/common/mma.cuh"
#include "../kernels/common/rank-blocks.cuh"
#include "../kernels/compress-keys.cu"
#include "../kernels/gather-index.cu"
#include "../kernels/select-top.cu"
#include "../kernels/union-blocks.cu"
#include "../kernels/decode-select.cu"
#include "../kernels/decode-attend.cu"
#include "../kernels/decode-attend-cluster.cu"
// These share names of constants.
namespace score_kernels {
#include "../kernels/select-blocks.cu"
#include "../kernels/select-blocks-unfused.cu"
}
namespace blocks_kernels {
#include "../kernels/attend-blocks.cu"
}
namespace dense_kernels {
#include "../kernels/attend-dense.cu"
}

typedef CUresult (*Encode)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*, const cuuint64_t*,
                           const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                           CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
static Encode encode() {
  static Encode f = nullptr;
  if (!f) {
    void* p = nullptr;
    cudaDriverEntryPointQueryResult r;
    cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &p, 12000, cudaEnableDefault, &r);
    f = reinterpret_cast<Encode>(p);
  }
  return f;
}

// Map of a row-major [.., dims[1], dims[0]] tensor of 2-byte elements; strides in bytes from dimension 1 on; 128-byte swizzle.
static int tensor_map(CUtensorMap* map, int half, const void* at, int rank, const cuuint64_t* dims, const cuuint64_t* strides,
                      const cuuint32_t* box) {
  cuuint32_t ones[5] = {1, 1, 1, 1, 1};
  CUresult r = encode()(map, half ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, const_cast<void*>(at), dims, strides, box, ones,
                        CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                        CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return r == CUDA_SUCCESS ? 0 : fail("cuTensorMapEncodeTiled", std::to_string(r).c_str());
}
static int rows_map(CUtensorMap* map, int half, const void* at, uint64_t rows, int dim) {
  cuuint64_t dims[2] = {(cuuint64_t)dim, rows}, strides[1] = {(cuuint64_t)dim * 2};
  cuuint32_t box[2] = {64, 64};
  return tensor_map(map, half, at, 2, dims, strides, box);
}

static int multiprocessors() {
  static int n = 0;
  if (!n) cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, 0);
  return n;
}

#ifdef LAB
#define VARIANTS(X) X(bf16, 0, 16, 128)
#define DECODE_VARIANTS(X) X(bf16, 0, 128)
#else
#define VARIANTS(X)                                                                                     \
  X(bf16, 0, 16, 128) X(bf16, 0, 8, 128) X(bf16, 0, 16, 64) X(bf16, 0, 8, 64)                           \
  X(f16, 1, 16, 128) X(f16, 1, 8, 128) X(f16, 1, 16, 64) X(f16, 1, 8, 64)
#define DECODE_VARIANTS(X) X(bf16, 0, 128) X(bf16, 0, 64) X(f16, 1, 128) X(f16, 1, 64)
#endif
#define IF_VARIANT(H, G, D) if (p->half == H && p->heads / p->kv_heads == G && p->dim == D)
#define IF_DECODE(H, D) if (p->half == H && p->heads / p->kv_heads <= 16 && p->dim == D)

extern "C" int lab_compress(const Problem* p) {
  dim3 grid(p->max_query / kFineStride + 1, p->kv_heads, p->sequences);
  if (p->half)
    compress_keys_f16<<<grid, p->dim / 2, 0, p->stream>>>((const f16*)p->keys, nullptr, (f16*)p->fine, (f16*)p->coarse, batch_of(p),
                                                          kBlock, kFineStride, 2);
  else
    compress_keys_bf16<<<grid, p->dim / 2, 0, p->stream>>>((const bf16*)p->keys, nullptr, (bf16*)p->fine, (bf16*)p->coarse,
                                                           batch_of(p), kBlock, kFineStride, 2);
  CHECK(cudaGetLastError());
  return 0;
}

extern "C" int lab_gather(const Problem* p) {
  const int lanes = p->dim / 8, per = 256 / lanes;
  const int cells = p->max_kv / kFineStride, coarse = p->max_kv / kBlock;
  gather_index<<<dim3(max(1, ceil_div(cells, per)), p->kv_heads, p->sequences), 256, 0, p->stream>>>(
      (const uint4*)p->fine, (uint4*)p->linear_fine, batch_of(p), kCells, lanes, p->cells, kFineStride);
  if (!p->exact)
    gather_index<<<dim3(max(1, ceil_div(coarse, per)), p->kv_heads, p->sequences), 256, 0, p->stream>>>(
        (const uint4*)p->coarse, (uint4*)p->linear_coarse, batch_of(p), 1, lanes, p->coarse_rows, kBlock);
  CHECK(cudaGetLastError());
  return 0;
}

static score_kernels::ScoreArgs score_args(const Problem* p, int row) {
  score_kernels::ScoreArgs a;
  a.batch = batch_of(p);
  a.rules = {p->init, p->local, p->budget};
  a.scale_log2 = p->scale * kLog2e;
  a.kv_heads = p->kv_heads;
  a.row_base = row;
  a.row_count = p->row_chunk;
  a.cells = p->cells;
  a.lse_rows = p->exact ? p->cells : p->coarse_rows;
  a.lse_stride = p->exact ? kFineStride : kBlock;
  a.all_blocks = p->pooled != nullptr;
  a.max_blocks = p->max_blocks;
  a.scores = p->scores;
  a.firsts = p->firsts;
  return a;
}

// `more`: the kernel's parameters after the tiles of a sequence.
template <int GROUP, int DIM, typename K, typename... More>
static int score(const Problem* p, K kernel, int row, More... more) {
  using namespace score_kernels;
  using S = score_kernels::Shape<GROUP, DIM>;
  const int shared = S::barrier_offset + 8 * (2 * S::stages + 4) + 1024;
  CUtensorMap queries, fine, normal;
  cuuint64_t dims[3] = {(cuuint64_t)DIM, (cuuint64_t)p->rows, (cuuint64_t)p->heads};
  cuuint64_t strides[2] = {(cuuint64_t)p->heads * DIM * 2, DIM * 2};
  cuuint32_t box[3] = {64, 8, GROUP};
  const uint64_t runs = (uint64_t)p->sequences * p->kv_heads;
  if (tensor_map(&queries, p->half, p->q, 3, dims, strides, box)) return 1;
  if (rows_map(&fine, p->half, p->linear_fine, runs * p->cells, DIM)) return 1;
  if (rows_map(&normal, p->half, p->exact ? p->linear_fine : p->linear_coarse, runs * (p->exact ? p->cells : p->coarse_rows), DIM))
    return 1;
  const ScoreArgs a = score_args(p, row);
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  const int tiles = ceil_div(min(p->max_query, p->row_chunk), S::tile_tokens);
  kernel<<<min(multiprocessors(), tiles * p->sequences * p->kv_heads), kThreads, shared, p->stream>>>(a, queries, fine,
                                                                                                     normal, tiles, more...);
  CHECK(cudaGetLastError());
  return 0;
}

static int score_any(const Problem* p, int row) {
#define SCORE(T, H, G, D) IF_VARIANT(H, G, D) return score<G, D>(p, score_kernels::score_blocks_##T##_g##G##_d##D, row);
  VARIANTS(SCORE)
  return fail("score_blocks", "no such variant");
}

static int score_heads_any(const Problem* p, int row) {
#define SCORE_APART(T, H, G, D) \
  IF_VARIANT(H, G, D) return score<G, D>(p, score_kernels::score_heads_##T##_g##G##_d##D, row, p->head_scores);
  VARIANTS(SCORE_APART)
  return fail("score_heads", "no such variant");
}

static int score_unfused(const Problem* p, int row) {
  if (!p->head_scores) return fail("score_heads", "the case has no room for the scores of heads");
  if (score_heads_any(p, row)) return 1;
  score_kernels::pool_heads<<<dim3(min(p->row_chunk, p->rows - row), p->kv_heads), score_kernels::kPoolThreads, 0, p->stream>>>(
      score_args(p, row), p->head_scores, p->heads / p->kv_heads);
  CHECK(cudaGetLastError());
  return 0;
}

static int top(const Problem* p, int row) {
  TopArgs a;
  a.batch = batch_of(p);
  a.rules = {p->init, p->local, p->budget};
  a.kv_heads = p->kv_heads;
  a.row_base = row;
  a.row_count = p->row_chunk;
  a.capacity = p->capacity;
  a.max_blocks = p->max_blocks;
  a.pooled_blocks = p->pooled_blocks;
  a.scores = p->scores;
  a.firsts = p->firsts;
  a.indices = p->indices;
  a.pooled = p->pooled;
  const int words = top_words(p->max_blocks), warps = max(1, min(4, 227 * 256 / words)), shared = 4 * words * warps;
  CHECK(cudaFuncSetAttribute(select_top, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  select_top<<<dim3(ceil_div(min(p->row_chunk, p->rows - row), warps), p->kv_heads), 32 * warps, shared, p->stream>>>(a);
  CHECK(cudaGetLastError());
  return 0;
}

// parts: 1 gather, 2 score, 4 top, 8 score without head-group fusion (in place of 2).
extern "C" int lab_select(const Problem* p, int parts) {
  if ((parts & 1) && lab_gather(p)) return 1;
  for (int row = 0; row < p->rows; row += p->row_chunk) {
    if ((parts & 2) && score_any(p, row)) return 1;
    if ((parts & 8) && score_unfused(p, row)) return 1;
    if ((parts & 4) && top(p, row)) return 1;
  }
  return 0;
}

extern "C" int lab_union(const Problem* p) {
  UnionArgs a = {batch_of(p), p->budget, p->capacity, ceil_div(p->max_kv, kBlock), p->tile_rows, p->list_length,
                 p->indices, p->lists, (int4*)p->counts};
  const int shared = ceil_div(a.max_blocks, 128) * 512;
  CHECK(cudaFuncSetAttribute(union_blocks, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  union_blocks<<<dim3(ceil_div(p->max_query, p->tile_rows), p->kv_heads, p->sequences), 128, shared, p->stream>>>(a);
  CHECK(cudaGetLastError());
  return 0;
}

template <typename S, int GROUP, int DIM, typename K>
static int attend_with(const Problem* p, K kernel) {
  CUtensorMap queries, keys, values;
  cuuint64_t dims[3] = {(cuuint64_t)DIM, (cuuint64_t)p->heads, (cuuint64_t)p->rows};
  cuuint64_t strides[2] = {DIM * 2, (cuuint64_t)p->heads * DIM * 2};
  cuuint32_t box[3] = {64, GROUP, S::tokens};
  const uint64_t rows = (uint64_t)p->pages * p->kv_heads * kBlock;
  if (tensor_map(&queries, p->half, p->q, 3, dims, strides, box)) return 1;
  if (rows_map(&keys, p->half, p->keys, rows, DIM) || rows_map(&values, p->half, p->values, rows, DIM)) return 1;
  AttendArgs a = {batch_of(p), p->scale * kLog2e, p->heads, p->kv_heads, p->list_length, p->lists, (const int4*)p->counts, p->out};
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, S::shared_bytes));
  const int tiles = ceil_div(p->max_query, S::tokens);
  kernel<<<min(multiprocessors(), tiles * p->sequences * p->kv_heads), kAttendThreads, S::shared_bytes, p->stream>>>(
      a, queries, keys, values, tiles);
  CHECK(cudaGetLastError());
  return 0;
}
extern "C" int lab_attend_blocks(const Problem* p) {
#define BLOCKS(T, H, G, D) IF_VARIANT(H, G, D) \
  return attend_with<blocks_kernels::Shape<G, D>, G, D>(p, blocks_kernels::attend_blocks_##T##_g##G##_d##D);
  VARIANTS(BLOCKS)
  return fail("attend_blocks", "no such variant");
}
extern "C" int lab_attend_dense(const Problem* p) {
#define DENSE(T, H, G, D) IF_VARIANT(H, G, D) \
  return attend_with<dense_kernels::Shape<G, D>, G, D>(p, dense_kernels::attend_dense_##T##_g##G##_d##D);
  VARIANTS(DENSE)
  return fail("attend_dense", "no such variant");
}

template <typename A>
static int launch(const Problem* p, void (*kernel)(A), dim3 grid, int threads, A args, int shared = 0, int cluster = 0) {
  cudaLaunchConfig_t c = {};
  c.gridDim = grid;
  c.blockDim = dim3(threads);
  c.stream = p->stream;
  c.dynamicSmemBytes = shared;
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
  cudaLaunchAttribute attributes[2];
  if (p->overlap) {
    attributes[c.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[c.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (cluster) {
    CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    attributes[c.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[c.numAttrs].val.clusterDim.x = cluster;
    attributes[c.numAttrs].val.clusterDim.y = attributes[c.numAttrs].val.clusterDim.z = 1;
    c.numAttrs++;
  }
  c.attrs = attributes;
  CHECK(cudaLaunchKernelEx(&c, kernel, args));
  return 0;
}

// parts: 1 log-sum-exp, 2 scores and ranking.
extern "C" int lab_decode_select(const Problem* p, int parts) {
  DecodeSelectArgs a = {batch_of(p), {p->init, p->local, p->budget}, p->scale * kLog2e, p->heads, p->kv_heads,
                        p->exact ? kFineStride : kBlock, p->lse_splits, p->max_blocks, p->capacity, p->pooled_blocks, p->q,
                        p->fine, p->exact ? p->fine : p->coarse, p->lse_parts, p->decode_scores, p->arrived, p->indices,
                        p->pooled};
  const dim3 lse(p->lse_splits, p->kv_heads, p->rows), scores(p->score_splits, p->kv_heads, p->rows);
#define DECODE_SELECT_WITH(T, H, D)                                                                  \
  IF_DECODE(H, D) {                                                                                  \
    if ((parts & 1) && launch(p, decode_lse_##T##_d##D, lse, kDecodeThreads, a)) return 1;           \
    return (parts & 2) && launch(p, decode_score_##T##_d##D, scores, kDecodeThreads, a);             \
  }
  DECODE_VARIANTS(DECODE_SELECT_WITH)
  return fail("decode_select", "no such variant");
}

// parts: 1 attend, 2 combine, 4 both in one launch.
extern "C" int lab_decode_attend(const Problem* p, int sparse, int parts) {
  DecodeAttendArgs a = {batch_of(p), p->scale * kLog2e, p->heads, p->kv_heads, p->budget, p->capacity, p->attend_splits,
                        sparse ? p->indices : nullptr, p->q, p->keys, p->values, nullptr, p->attend_weights, p->attend_parts, p->out};
  const dim3 attend(p->attend_splits, p->kv_heads, p->rows), combine(p->heads, p->rows);
#define DECODE_ATTEND_WITH(T, H, D)                                                                  \
  IF_DECODE(H, D) {                                                                                  \
    if (parts & 4)                                                                                   \
      return launch(p, decode_attend_cluster_##T##_d##D, dim3(kCluster, p->kv_heads, p->rows),       \
                    kClusterThreads, a, 4 * p->max_pages, kCluster);                                 \
    if ((parts & 1) &&                                                                               \
        launch(p, decode_attend_##T##_d##D, attend, kPartThreads, a, 64 * D * kAttendWarps))         \
      return 1;                                                                                      \
    return (parts & 2) && launch(p, decode_combine_##T##_d##D, combine, 4 * D, a);                   \
  }
  DECODE_VARIANTS(DECODE_ATTEND_WITH)
  return fail("decode_attend", "no such variant");
}
