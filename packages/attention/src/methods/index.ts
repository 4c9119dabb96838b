export * from "./method.ts";
export * from "./method-backend.ts";
export * from "./full.ts";
export * from "./infllm-v1.ts";
export * from "./infllm-v2.ts";
export * from "./registry.ts";
export * from "./sliding-window.ts";
export * from "./yarn.ts";
