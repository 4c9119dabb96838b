export { cudaBackend } from "./cuda-backend.ts";
export type { CudaBackend, CudaOptions } from "./cuda-backend.ts";
export { CudaError } from "./cuda-error.ts";
export type { DeviceInfo } from "./context.ts";
export type { AttentionShape, Path, PathOp, PathReport } from "./paths.ts";
export { probeCuda } from "./probe.ts";
export type { CudaProbe } from "./probe.ts";
