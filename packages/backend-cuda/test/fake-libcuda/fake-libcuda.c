// The driver functions that the package uses, over host memory: nothing is computed, everything is counted and logged,
// and any function can be told to fail. Memory is host memory, so copies and fills are real; those of the stream are made
// as late as a GPU may make them: when someone waits for what was enqueued after them.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { OUT_OF_MEMORY = 2, INVALID_VALUE = 1, NOT_FOUND = 500, NOT_READY = 600, LAUNCH_FAILED = 719 };

// ---- what tests control and see ------------------------------------------------------------------------------------

static char failing[64];
static int fail_status, fail_after, sticky;
static char log_text[1 << 16];
static size_t log_length;
static int64_t live;            // memory, streams, events, graphs, modules, contexts not given back
static uint64_t memory_bytes = 1 << 28, memory_used;
static int capability = 90, devices = 1, capturing, pending;
static int events_until_ready;
static int64_t calls;

// Copies that the stream has not made yet, oldest first. Width and height count bytes and rows.
struct Work {
  char *to;
  const char *from;
  size_t to_pitch, from_pitch, width, height;
};
static struct Work queue[4096];
static int64_t enqueued, done;

static void finish(int64_t until) {
  for (; done < until; done++) {
    const struct Work* w = &queue[done % 4096];
    for (size_t y = 0; y < w->height; y++) {
      if (w->from) memcpy(w->to + y * w->to_pitch, w->from + y * w->from_pitch, w->width);
      else memset(w->to + y * w->to_pitch, (int)w->from_pitch, w->width);
    }
  }
}
static void enqueue(struct Work work) {
  if (enqueued - done == 4096) finish(done + 1);
  queue[enqueued++ % 4096] = work;
}

void fake_reset(void) {
  enqueued = done = calls = 0;
  failing[0] = 0;
  fail_status = fail_after = sticky = capturing = pending = events_until_ready = 0;
  log_length = 0;
  log_text[0] = 0;
  live = 0;
  memory_bytes = 1 << 28;
  memory_used = 0;
  capability = 90;
  devices = 1;
}
// The `after`-th next call of `function` (0: the next) and all later ones return `status`.
void fake_fail(const char* function, int status, int after) {
  snprintf(failing, sizeof failing, "%s", function);
  fail_status = status;
  fail_after = after;
}
void fake_device(int count, int compute_capability, uint64_t bytes) {
  devices = count;
  capability = compute_capability;
  memory_bytes = bytes;
}
// Events are reached only at the n-th question.
void fake_slow(int questions) { events_until_ready = questions; }
int64_t fake_live(void) { return live; }
const char* fake_log(void) { return log_text; }
// Calls of the driver since the last reset.
int64_t fake_calls(void) { return calls; }

static void note(const char* line) {
  log_length += snprintf(log_text + log_length, sizeof log_text - log_length, "%s\n", line);
  if (log_length > sizeof log_text - 200) log_length = sizeof log_text - 200;
}

#define CALL(name)                                                       \
  do {                                                                   \
    calls++;                                                             \
    if (sticky) return sticky;                                           \
    if (!strcmp(failing, name) && fail_after-- <= 0) {                   \
      if (fail_status >= 700 && fail_status < 800 && fail_status != 701) sticky = fail_status; \
      return fail_status;                                                \
    }                                                                    \
  } while (0)

// ---- the driver ----------------------------------------------------------------------------------------------------

CUresult cuInit(unsigned flags) {
  CALL("cuInit");
  return flags ? INVALID_VALUE : 0;
}
CUresult cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
CUresult cuGetErrorName(CUresult status, const char** name) {
  switch (status) {
    case 1: *name = "CUDA_ERROR_INVALID_VALUE"; return 0;
    case 2: *name = "CUDA_ERROR_OUT_OF_MEMORY"; return 0;
    case 100: *name = "CUDA_ERROR_NO_DEVICE"; return 0;
    case 209: *name = "CUDA_ERROR_NO_BINARY_FOR_GPU"; return 0;
    case 500: *name = "CUDA_ERROR_NOT_FOUND"; return 0;
    case 700: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; return 0;
    case 701: *name = "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"; return 0;
    case 719: *name = "CUDA_ERROR_LAUNCH_FAILED"; return 0;
    case 900: *name = "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"; return 0;
  }
  return INVALID_VALUE;
}
CUresult cuDeviceGetCount(int* count) {
  CALL("cuDeviceGetCount");
  *count = devices;
  return 0;
}
CUresult cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}
CUresult cuDeviceGetName(char* name, int length, int device) {
  snprintf(name, length, "Fake GPU %d", device);
  return 0;
}
CUresult cuDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : attribute == 16 ? 132 : 232448;
  return 0;
}
CUresult cuDeviceTotalMem_v2(size_t* bytes, int device) {
  (void)device;
  *bytes = memory_bytes;
  return 0;
}
CUresult cuDevicePrimaryCtxRetain(void** context, int device) {
  CALL("cuDevicePrimaryCtxRetain");
  (void)device;
  *context = (void*)0x1000;
  live++;
  return 0;
}
CUresult cuDevicePrimaryCtxRelease_v2(int device) {
  (void)device;
  live--;
  return 0;
}
CUresult cuCtxSetCurrent(void* context) {
  CALL("cuCtxSetCurrent");
  return context == (void*)0x1000 ? 0 : INVALID_VALUE;
}
CUresult cuMemGetInfo_v2(size_t* available, size_t* total) {
  CALL("cuMemGetInfo_v2");
  *available = memory_bytes - memory_used;
  *total = memory_bytes;
  return 0;
}
// The size is kept in front of the memory.
CUresult cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  CALL("cuMemAlloc_v2");
  if (bytes == 0) return INVALID_VALUE;
  if (memory_used + bytes > memory_bytes) return OUT_OF_MEMORY;
  char* block = aligned_alloc(256, (bytes + 511) / 256 * 256);
  *(uint64_t*)block = bytes;
  memset(block + 256, 0xFF, bytes);
  *address = (uint64_t)(block + 256);
  memory_used += bytes;
  live++;
  return 0;
}
CUresult cuMemFree_v2(uint64_t address) {
  CALL("cuMemFree_v2");
  finish(enqueued);
  memory_used -= *(uint64_t*)(address - 256);
  free((void*)(address - 256));
  live--;
  return 0;
}
CUresult cuMemAllocHost_v2(uint64_t* address, size_t bytes) {
  CALL("cuMemAllocHost_v2");
  *address = (uint64_t)aligned_alloc(256, (bytes + 255) / 256 * 256);
  live++;
  return 0;
}
CUresult cuMemFreeHost(uint64_t address) {
  CALL("cuMemFreeHost");
  finish(enqueued);
  free((void*)address);
  live--;
  return 0;
}
CUresult cuMemcpyHtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
  CALL("cuMemcpyHtoDAsync_v2");
  (void)stream;
  enqueue((struct Work){(char*)to, (const char*)from, bytes, bytes, bytes, 1});
  note("write");
  return 0;
}
CUresult cuMemcpyDtoHAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
  CALL("cuMemcpyDtoHAsync_v2");
  (void)stream;
  enqueue((struct Work){(char*)to, (const char*)from, bytes, bytes, bytes, 1});
  note("read");
  return 0;
}
CUresult cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
  CALL("cuMemcpyDtoH_v2");
  memcpy(to, (void*)from, bytes);
  return 0;
}
struct Copy2D {
  size_t from_x, from_y;
  int from_type;
  const void* from_host;
  uint64_t from_device;
  void* from_array;
  size_t from_pitch, to_x, to_y;
  int to_type;
  void* to_host;
  uint64_t to_device;
  void* to_array;
  size_t to_pitch, width, height;
};
CUresult cuMemcpy2DAsync_v2(const struct Copy2D* copy, void* stream) {
  CALL("cuMemcpy2DAsync_v2");
  (void)stream;
  if (copy->from_type != 2 || (copy->to_type != 2 && copy->to_type != 1)) return INVALID_VALUE;
  char* to = copy->to_type == 2 ? (char*)copy->to_device : copy->to_host;
  enqueue((struct Work){to, (const char*)copy->from_device, copy->to_pitch, copy->from_pitch, copy->width, copy->height});
  note(copy->to_type == 2 ? "copy" : "read");
  return 0;
}
CUresult cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void* stream) {
  CALL("cuMemsetD8Async");
  (void)stream;
  enqueue((struct Work){(char*)to, 0, bytes, value, bytes, 1});
  return 0;
}
CUresult cuStreamCreate(void** stream, unsigned flags) {
  CALL("cuStreamCreate");
  (void)flags;
  *stream = (void*)0x2000;
  live++;
  return 0;
}
CUresult cuStreamDestroy_v2(void* stream) {
  (void)stream;
  finish(enqueued);
  live--;
  return 0;
}
CUresult cuStreamQuery(void* stream) {
  (void)stream;
  return 0;
}
CUresult cuStreamSynchronize(void* stream) {
  CALL("cuStreamSynchronize");
  (void)stream;
  finish(enqueued);
  return 0;
}
CUresult cuStreamBeginCapture_v2(void* stream, int mode) {
  CALL("cuStreamBeginCapture_v2");
  (void)stream;
  if (mode != 2) return INVALID_VALUE;
  capturing = 1;
  note("capture");
  return 0;
}
CUresult cuStreamEndCapture(void* stream, void** graph) {
  (void)stream;
  capturing = 0;
  note("captured");
  CALL("cuStreamEndCapture");
  *graph = (void*)0x3000;
  live++;
  return 0;
}
CUresult cuGraphInstantiateWithFlags(void** executable, void* graph, uint64_t flags) {
  CALL("cuGraphInstantiateWithFlags");
  (void)graph;
  *executable = (void*)0x4000;
  live++;
  return flags ? INVALID_VALUE : 0;
}
CUresult cuGraphLaunch(void* executable, void* stream) {
  CALL("cuGraphLaunch");
  (void)executable, (void)stream;
  note("replay");
  return 0;
}
CUresult cuGraphExecDestroy(void* executable) {
  (void)executable;
  live--;
  return 0;
}
CUresult cuGraphDestroy(void* graph) {
  (void)graph;
  live--;
  return 0;
}
// An event is where in the stream's work it was recorded.
struct Event {
  int64_t at;
  int timed, recorded;
};
CUresult cuEventCreate(struct Event** event, unsigned flags) {
  CALL("cuEventCreate");
  *event = calloc(1, sizeof **event);
  (*event)->timed = !(flags & 2);
  live++;
  return 0;
}
CUresult cuEventDestroy_v2(struct Event* event) {
  CALL("cuEventDestroy_v2");
  free(event);
  live--;
  return 0;
}
CUresult cuEventRecord(struct Event* event, void* stream) {
  CALL("cuEventRecord");
  (void)stream;
  pending = events_until_ready;
  event->at = enqueued;
  event->recorded = 1;
  return capturing ? INVALID_VALUE : 0;
}
CUresult cuEventRecordWithFlags(struct Event* event, void* stream, unsigned flags) {
  CALL("cuEventRecordWithFlags");
  (void)stream;
  event->at = enqueued;
  event->recorded = 1;
  note("event");
  return capturing && flags == 1 ? 0 : INVALID_VALUE;
}
CUresult cuEventQuery(struct Event* event) {
  CALL("cuEventQuery");
  if (pending-- > 0) return NOT_READY;
  finish(event->at);
  return 0;
}
CUresult cuEventSynchronize(struct Event* event) {
  CALL("cuEventSynchronize");
  finish(event->at);
  note("wait");
  return 0;
}
CUresult cuEventElapsedTime(float* milliseconds, struct Event* from, struct Event* to) {
  CALL("cuEventElapsedTime");
  if (!from->timed || !to->timed || !from->recorded || !to->recorded) return INVALID_VALUE;
  *milliseconds = 1.5f;
  return 0;
}
CUresult cuModuleLoadData(void** module, const void* image) {
  CALL("cuModuleLoadData");
  *module = (void*)image;
  live++;
  return 0;
}
CUresult cuModuleUnload(void* module) {
  (void)module;
  live--;
  return 0;
}
// A function is its name, so that launches can be logged.
static char names[256][96];
static int name_count;
CUresult cuModuleGetFunction(void** function, void* module, const char* name) {
  CALL("cuModuleGetFunction");
  (void)module;
  char* entry = names[name_count++ % 256];
  snprintf(entry, 96, "%s", name);
  *function = entry;
  return 0;
}
CUresult cuFuncSetAttribute(void* function, int attribute, int value) {
  CALL("cuFuncSetAttribute");
  char line[160];
  if (attribute == 14) return value == 1 ? 0 : INVALID_VALUE;
  snprintf(line, sizeof line, "shared %s %d", (char*)function, value);
  note(line);
  return attribute == 8 ? 0 : INVALID_VALUE;
}
struct LaunchAttribute {
  int id;
  char padding[4];
  unsigned value[16];
};
struct LaunchConfig {
  unsigned grid[3], block[3], shared;
  void* stream;
  struct LaunchAttribute* attributes;
  unsigned count;
};
// What a kernel `probe(void* p, int i, float f, Nested s, Map m)` would see, for the test of argument layout.
struct Nested {
  struct {
    void *a, *b;
    int c;
  } inner;
  int d;
  float e;
  void* f;
};
CUresult cuLaunchKernelEx(const struct LaunchConfig* config, void* function, void** parameters, void** extra) {
  CALL("cuLaunchKernelEx");
  if (config->stream != (void*)0x2000 || extra) return INVALID_VALUE;
  char line[256];
  int overlap = 0, cluster = 0;
  for (unsigned i = 0; i < config->count; i++) {
    const struct LaunchAttribute* a = config->attributes + i;
    if (a->id == 6 && a->value[0] == 1)
      overlap = 1;
    else if (a->id == 4 && a->value[1] == 1 && a->value[2] == 1 && config->grid[0] % a->value[0] == 0)
      cluster = a->value[0];
    else
      return INVALID_VALUE;
  }
  snprintf(line, sizeof line, "launch %s [%u %u %u] x [%u %u %u] shared %u%s", (char*)function, config->grid[0],
           config->grid[1], config->grid[2], config->block[0], config->block[1], config->block[2], config->shared,
           overlap ? " overlap" : "");
  if (cluster) snprintf(line + strlen(line), sizeof line - strlen(line), " cluster %d", cluster);
  note(line);
  if (!strcmp(function, "probe")) {
    const struct Nested* s = parameters[3];
    snprintf(line, sizeof line, "probe %llu %d %.2f | %llu %llu %d %d %.2f %llu | map %d aligned %d",
             *(unsigned long long*)parameters[0], *(int*)parameters[1], *(float*)parameters[2],
             (unsigned long long)s->inner.a, (unsigned long long)s->inner.b, s->inner.c, s->d, s->e,
             (unsigned long long)s->f, *(unsigned char*)parameters[4], (uintptr_t)parameters[4] % 64 == 0);
    note(line);
  }
  return 0;
}
CUresult cuOccupancyMaxActiveClusters(int* clusters, void* function, const struct LaunchConfig* config) {
  CALL("cuOccupancyMaxActiveClusters");
  if (!function || config->count != 1 || config->attributes[0].id != 4) return INVALID_VALUE;
  *clusters = 7;
  return 0;
}
#ifndef WITHOUT_TENSOR_MAPS
CUresult cuTensorMapEncodeTiled(void* map, int type, unsigned rank, void* address, const uint64_t* dims,
                                const uint64_t* strides, const unsigned* box, const unsigned* steps, int interleave,
                                int swizzle, int promotion, int fill) {
  CALL("cuTensorMapEncodeTiled");
  (void)dims, (void)steps, (void)interleave, (void)swizzle, (void)promotion, (void)fill;
  if ((uintptr_t)map % 64 || (uintptr_t)address % 16 || box[0] != 64) return INVALID_VALUE;
  for (unsigned i = 0; i + 1 < rank; i++)
    if (strides[i] % 16) return INVALID_VALUE;
  memset(map, type, 128);
  return 0;
}
#endif
