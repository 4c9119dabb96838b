export { webgpuBackend } from "./webgpu-backend.ts";
export type { WebGpuBackend, WebGpuOptions } from "./webgpu-backend.ts";
export { probeWebGpu } from "./probe.ts";
export type { WebGpuProbe } from "./probe.ts";
export type { DeviceOptions } from "./device.ts";
export type { GpuOptions } from "./gpu.ts";
export type { KernelTime } from "./profiler.ts";
