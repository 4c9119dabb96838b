/**
 * The CUDA driver library as Node sees it. Every native type of this package is in this file: addresses and handles are
 * plain numbers (below 2^53 on every 64-bit system), out-parameters are typed arrays, structures are bytes.
 */
import { NotAvailableError } from "@infllm/tensor";

/** A `CUresult`. */
export type Status = number;
/** Out-parameter of a handle, device address or size. */
type Out64 = BigUint64Array;
type Out32 = Int32Array;
type Bytes = Uint8Array;

export interface DriverApi {
  cuInit(flags: number): Status;
  cuDriverGetVersion(version: Out32): Status;
  cuGetErrorName(status: Status, name: Out64): Status;
  cuDeviceGetCount(count: Out32): Status;
  cuDeviceGet(device: Out32, ordinal: number): Status;
  cuDeviceGetName(name: Bytes, length: number, device: number): Status;
  cuDeviceGetAttribute(value: Out32, attribute: number, device: number): Status;
  cuDeviceTotalMem_v2(bytes: Out64, device: number): Status;
  cuDevicePrimaryCtxRetain(context: Out64, device: number): Status;
  cuDevicePrimaryCtxRelease_v2(device: number): Status;
  cuCtxSetCurrent(context: number): Status;
  cuMemGetInfo_v2(free: Out64, total: Out64): Status;
  cuMemAlloc_v2(address: Out64, bytes: number): Status;
  cuMemFree_v2(address: number): Status;
  /** Host memory that the GPU reaches by itself, so that copies do not wait. */
  cuMemAllocHost_v2(address: Out64, bytes: number): Status;
  cuMemFreeHost(address: number): Status;
  cuMemcpyHtoDAsync_v2(to: number, from: number, bytes: number, stream: number): Status;
  cuMemcpyDtoHAsync_v2(to: number, from: number, bytes: number, stream: number): Status;
  cuMemcpyDtoH_v2(to: ArrayBufferView, from: number, bytes: number): Status;
  cuMemcpy2DAsync_v2(copy: Bytes, stream: number): Status;
  cuMemsetD8Async(to: number, value: number, bytes: number, stream: number): Status;
  cuStreamCreate(stream: Out64, flags: number): Status;
  cuStreamDestroy_v2(stream: number): Status;
  cuStreamQuery(stream: number): Status;
  cuStreamSynchronize(stream: number): Status;
  cuStreamBeginCapture_v2(stream: number, mode: number): Status;
  cuStreamEndCapture(stream: number, graph: Out64): Status;
  cuEventCreate(event: Out64, flags: number): Status;
  cuEventDestroy_v2(event: number): Status;
  cuEventRecord(event: number, stream: number): Status;
  cuEventRecordWithFlags(event: number, stream: number, flags: number): Status;
  cuEventQuery(event: number): Status;
  cuEventSynchronize(event: number): Status;
  cuEventElapsedTime(milliseconds: Float32Array, from: number, to: number): Status;
  cuGraphInstantiateWithFlags(executable: Out64, graph: number, flags: number): Status;
  cuGraphLaunch(executable: number, stream: number): Status;
  cuGraphExecDestroy(executable: number): Status;
  cuGraphDestroy(graph: number): Status;
  cuModuleLoadData(module: Out64, image: Bytes): Status;
  cuModuleUnload(module: number): Status;
  cuModuleGetFunction(kernel: Out64, module: number, name: string): Status;
  cuFuncSetAttribute(kernel: number, attribute: number, value: number): Status;
  /** Config: `CUlaunchConfig`. */
  cuOccupancyMaxActiveClusters(clusters: Out32, kernel: number, config: Bytes): Status;
  /** Config: `CUlaunchConfig`; parameters: addresses of the arguments. */
  cuLaunchKernelEx(config: Bytes, kernel: number, parameters: Out64, extra: null): Status;
  cuTensorMapEncodeTiled(
    map: Bytes, type: number, rank: number, address: number, dims: Out64, strides: Out64, box: Uint32Array,
    elementStrides: Uint32Array, interleave: number, swizzle: number, promotion: number, fill: number,
  ): Status;
}

/** Reaches host memory that the driver itself points to. */
export interface NativeMemory {
  /** `bytes` of host memory that never moves, aligned to 64, and its address. */
  allocate(bytes: number): { readonly view: ArrayBuffer; readonly address: number };
  /** `bytes` of memory that someone else allocated, and that must not be looked at once it was freed. */
  view(address: number, bytes: number): ArrayBuffer;
  addressOf(data: ArrayBufferView): number;
  /** The zero-terminated string at `address`. */
  text(address: number): string;
}

/** A dynamic library: `declare` binds a C prototype such as `int f(int x, void *to)`. */
export interface NativeLibrary {
  declare(prototype: string): (...args: never[]) => unknown;
}

export interface Driver {
  readonly api: DriverApi;
  readonly memory: NativeMemory;
  /** Another library with the same conventions (cuBLASLt). Throws koffi's error where it is missing. */
  open(path: string): NativeLibrary;
}

const prototypes: { readonly [Name in keyof DriverApi]: string } = {
  cuInit: "uint32_t flags",
  cuDriverGetVersion: "void *version",
  cuGetErrorName: "int status, void *name",
  cuDeviceGetCount: "void *count",
  cuDeviceGet: "void *device, int ordinal",
  cuDeviceGetName: "void *name, int length, int device",
  cuDeviceGetAttribute: "void *value, int attribute, int device",
  cuDeviceTotalMem_v2: "void *bytes, int device",
  cuDevicePrimaryCtxRetain: "void *context, int device",
  cuDevicePrimaryCtxRelease_v2: "int device",
  cuCtxSetCurrent: "uint64_t context",
  cuMemGetInfo_v2: "void *free, void *total",
  cuMemAlloc_v2: "void *address, uint64_t bytes",
  cuMemFree_v2: "uint64_t address",
  cuMemAllocHost_v2: "void *address, uint64_t bytes",
  cuMemFreeHost: "uint64_t address",
  cuMemcpyHtoDAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemcpyDtoHAsync_v2: "uint64_t to, uint64_t from, uint64_t bytes, uint64_t stream",
  cuMemcpyDtoH_v2: "void *to, uint64_t from, uint64_t bytes",
  cuMemcpy2DAsync_v2: "const void *copy, uint64_t stream",
  cuMemsetD8Async: "uint64_t to, uint8_t value, uint64_t bytes, uint64_t stream",
  cuStreamCreate: "void *stream, uint32_t flags",
  cuStreamDestroy_v2: "uint64_t stream",
  cuStreamQuery: "uint64_t stream",
  cuStreamSynchronize: "uint64_t stream",
  cuStreamBeginCapture_v2: "uint64_t stream, int mode",
  cuStreamEndCapture: "uint64_t stream, void *graph",
  cuEventCreate: "void *event, uint32_t flags",
  cuEventDestroy_v2: "uint64_t event",
  cuEventRecord: "uint64_t event, uint64_t stream",
  cuEventRecordWithFlags: "uint64_t event, uint64_t stream, uint32_t flags",
  cuEventQuery: "uint64_t event",
  cuEventSynchronize: "uint64_t event",
  cuEventElapsedTime: "void *milliseconds, uint64_t from, uint64_t to",
  cuGraphInstantiateWithFlags: "void *executable, uint64_t graph, uint64_t flags",
  cuGraphLaunch: "uint64_t executable, uint64_t stream",
  cuGraphExecDestroy: "uint64_t executable",
  cuGraphDestroy: "uint64_t graph",
  cuModuleLoadData: "void *module, const void *image",
  cuModuleUnload: "uint64_t module",
  cuModuleGetFunction: "void *kernel, uint64_t module, const char *name",
  cuFuncSetAttribute: "uint64_t kernel, int attribute, int value",
  cuOccupancyMaxActiveClusters: "void *clusters, uint64_t kernel, const void *config",
  cuLaunchKernelEx: "const void *config, uint64_t kernel, void *parameters, void *extra",
  cuTensorMapEncodeTiled:
    "void *map, int type, uint32_t rank, uint64_t address, const void *dims, const void *strides, const void *box, " +
    "const void *elementStrides, int interleave, int swizzle, int promotion, int fill",
};

/**
 * Loads koffi, then the driver library: `libcuda.so.1` or `nvcuda.dll`, which the NVIDIA driver installs, or `path`.
 * @throws NotAvailableError saying what to install
 */
export async function loadDriver(path = process.platform === "win32" ? "nvcuda.dll" : "libcuda.so.1"): Promise<Driver> {
  const koffi = await importKoffi();
  const open = (file: string): NativeLibrary => {
    const library = koffi.load(file);
    return { declare: (prototype) => library.func(prototype) };
  };
  let library: NativeLibrary;
  try {
    library = open(path);
  } catch (cause) {
    throw new NotAvailableError(
      `The cuda backend found no ${path}. It comes with the NVIDIA driver (version 580 or newer): install that, or use another ` +
        "backend. In a container, start it with the GPUs passed in (docker run --gpus all).",
      { cause },
    );
  }
  return {
    api: bind(library, path),
    memory: {
      allocate(bytes) {
        const block = koffi.alloc("uint8_t", bytes + 64);
        const at = Number(koffi.address(block));
        const skip = (64 - (at % 64)) % 64;
        return { view: koffi.view(BigInt(at + skip), bytes), address: at + skip };
      },
      view: (address, bytes) => koffi.view(BigInt(address), bytes),
      addressOf: (data) => Number(koffi.address(data)),
      text: (address) => koffi.decode(BigInt(address), "char", -1),
    },
    open,
  };
}

async function importKoffi(): Promise<typeof import("koffi").default> {
  try {
    return (await import("koffi")).default;
  } catch (cause) {
    const why = isMissing(cause) ? "is not installed" : `does not load here (${cause instanceof Error ? cause.message : String(cause)})`;
    throw new NotAvailableError(`The cuda backend reaches the driver through the package koffi, which ${why}. Run: npm install koffi`, { cause });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
}

function bind(library: NativeLibrary, path: string): DriverApi {
  const functions = Object.entries(prototypes).map(([name, parameters]) => {
    try {
      return [name, library.declare(`int ${name}(${parameters})`)];
    } catch (cause) {
      throw new NotAvailableError(
        `The NVIDIA driver is too old for the cuda backend: ${path} has no ${name}. Install driver 580 or newer.`,
        { cause },
      );
    }
  });
  return Object.fromEntries(functions) as DriverApi;
}

// Numbers of the driver's enumerations.
export const SUCCESS = 0;
export const OUT_OF_MEMORY = 2;
export const NOT_READY = 600;
export const attribute = {
  maxSharedBytes: 97,
  multiprocessors: 16,
  major: 75,
  minor: 76,
} as const;
/** `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES` */
export const FUNCTION_SHARED_BYTES = 8;
/** `CU_STREAM_NON_BLOCKING` */
export const STREAM_NON_BLOCKING = 1;
/** `CU_EVENT_DISABLE_TIMING`: cheaper to record and to ask. */
export const EVENT_WITHOUT_TIME = 2;
/** `CU_EVENT_RECORD_EXTERNAL`: an event recorded in a graph can be asked from outside. */
export const EVENT_FROM_GRAPH = 1;
/** `CU_STREAM_CAPTURE_MODE_RELAXED`: an op may allocate scratch memory while it is recorded. */
export const CAPTURE_RELAXED = 2;
/** `CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED` */
export const FUNCTION_LARGE_CLUSTERS = 14;
/** `CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION` */
export const LAUNCH_CLUSTER = 4;
/** `CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION` */
export const LAUNCH_OVERLAP = 6;
export const memoryType = { host: 1, device: 2 } as const;
export const tensorMap = { f16: 6, bf16: 9, swizzle128: 3, promotion256: 3 } as const;
