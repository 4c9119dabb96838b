export * from "./backend.ts";
export * from "./dtype.ts";
export * from "./errors.ts";
export * from "./neural-ops.ts";
