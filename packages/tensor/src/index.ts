// The contract between models and devices.
export * from "./backend.ts";
export * from "./neural-ops.ts";
export * from "./errors.ts";
export * from "./device-checks.ts";
// Numbers, shapes and tensors in host memory.
export * from "./dtype.ts";
export * from "./half.ts";
export * from "./quantize.ts";
export * from "./q4-g128.ts";
export * from "./q8-rows.ts";
export * from "./convert.ts";
export * from "./shape.ts";
export * from "./host-tensor.ts";
export * from "./random.ts";
// Files.
export * from "./byte-source.ts";
export * from "./stored-rows.ts";
export * from "./safetensors-header.ts";
export * from "./safetensors.ts";
