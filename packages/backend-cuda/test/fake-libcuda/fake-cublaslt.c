// A cuBLASLt that computes nothing: it logs products, and has no algorithm for those whose result is narrower than 64.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static char text[4096];
static uint64_t made = 0, outs = 0;
static int epilogue = 1, bias_type = -1;
static uint64_t bias = 0;

const char *lt_log(void) { return text; }
void lt_reset(void) { text[0] = 0; }

int cublasLtCreate(void *handle) { return *(uint64_t *)handle = ++made, 0; }
int cublasLtDestroy(uint64_t handle) { return (void)handle, 0; }
int cublasLtMatmulDescCreate(void *desc, int compute, int scale) {
  epilogue = 1, bias_type = -1, bias = 0;
  return (void)compute, (void)scale, *(uint64_t *)desc = ++made, 0;
}
int cublasLtMatmulDescDestroy(uint64_t desc) { return (void)desc, 0; }
int cublasLtMatmulDescSetAttribute(uint64_t desc, int attribute, const void *value, uint64_t bytes) {
  if (attribute == 7) epilogue = *(const int *)value;
  if (attribute == 26) bias_type = *(const int *)value;
  if (attribute == 8) bias = *(const uint64_t *)value;
  return (void)desc, bytes == (attribute == 8 ? 8 : 4) ? 0 : 7;
}
int cublasLtMatrixLayoutCreate(void *layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  outs = rows;  // the result's is made last
  return (void)type, (void)columns, (void)stride, *(uint64_t *)layout = ++made, 0;
}
int cublasLtMatrixLayoutDestroy(uint64_t layout) { return (void)layout, 0; }
int cublasLtMatmulPreferenceCreate(void *preference) { return *(uint64_t *)preference = ++made, 0; }
int cublasLtMatmulPreferenceDestroy(uint64_t preference) { return (void)preference, 0; }
int cublasLtMatmulPreferenceSetAttribute(uint64_t preference, int attribute, const void *value, uint64_t bytes) {
  return (void)preference, (void)attribute, (void)value, (void)bytes, 0;
}
int cublasLtMatmulAlgoGetHeuristic(uint64_t handle, uint64_t desc, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t preference,
                                   int wanted, void *results, void *found) {
  (void)handle, (void)desc, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted, (void)results;
  *(int *)found = outs >= 64;
  return outs >= 64 ? 0 : 15;
}
int cublasLtMatmul(uint64_t handle, uint64_t desc, const void *alpha, uint64_t a, uint64_t a_layout, uint64_t b, uint64_t b_layout,
                   const void *beta, uint64_t c, uint64_t c_layout, uint64_t d, uint64_t d_layout, const void *algorithm,
                   uint64_t workspace, uint64_t workspace_bytes, uint64_t stream) {
  (void)handle, (void)desc, (void)alpha, (void)a, (void)a_layout, (void)b, (void)b_layout, (void)beta, (void)c, (void)c_layout, (void)d;
  (void)d_layout, (void)algorithm, (void)workspace, (void)workspace_bytes, (void)stream;
  snprintf(text + strlen(text), sizeof text - strlen(text), "product epilogue %d bias %s type %d\n", epilogue, bias ? "set" : "none", bias_type);
  return 0;
}
