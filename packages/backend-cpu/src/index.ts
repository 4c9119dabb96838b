export { cpuBackend } from "./cpu-backend.ts";
export type { CpuOptions } from "./cpu-backend.ts";
export { referenceBackend } from "./reference/index.ts";
export type { ReferenceOptions } from "./reference/index.ts";
export type { CpuBackend } from "./wasm/wasm-backend.ts";
