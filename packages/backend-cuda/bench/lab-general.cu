// Launches the general kernels, apart from the others since they share names of constants.
#include "lab.h"
#include "../kernels/attend-general.cu"
#include "../kernels/select-blocks-general.cu"

extern "C" int lab_select_general(const Problem* p) {
  GeneralSelectArgs a = {batch_of(p), {p->init, p->local, p->budget}, p->scale * kLog2e, p->heads, p->kv_heads, p->dim, kBlock,
                         kFineStride, 2 * kFineStride, p->exact ? kFineStride : kBlock, p->exact ? 2 * kFineStride : 2 * kBlock,
                         p->max_blocks, p->capacity, p->pooled_blocks, 0, p->q, p->fine, p->exact ? p->fine : p->coarse,
                         nullptr, p->indices, p->pooled};
  const int group = p->heads / p->kv_heads, shared = 4 * (group * (p->dim + 1) + 2 * kThreads);
  void* scores;
  CHECK(cudaMallocAsync(&scores, 4ll * p->rows * p->kv_heads * p->max_blocks, p->stream));
  a.scores = (unsigned*)scores;
  if (p->half)
    select_general_f16<<<dim3(p->rows, p->kv_heads), kThreads, shared, p->stream>>>(a);
  else
    select_general_bf16<<<dim3(p->rows, p->kv_heads), kThreads, shared, p->stream>>>(a);
  CHECK(cudaGetLastError());
  CHECK(cudaFreeAsync(scores, p->stream));
  return 0;
}

extern "C" int lab_attend_general(const Problem* p, int sparse) {
  GeneralAttendArgs a = {batch_of(p), p->scale * kLog2e, p->heads, p->kv_heads, p->dim, kBlock, p->rows, p->budget, p->capacity,
                         sparse ? p->indices : nullptr, p->q, p->keys, p->values, nullptr, p->out};
  if (p->half)
    attend_general_f16<<<dim3(p->rows, p->heads), 32, 4 * p->dim, p->stream>>>(a);
  else
    attend_general_bf16<<<dim3(p->rows, p->heads), 32, 4 * p->dim, p->stream>>>(a);
  CHECK(cudaGetLastError());
  return 0;
}
