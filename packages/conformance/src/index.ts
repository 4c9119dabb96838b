export * from "./cases.ts";
export * from "./compare.ts";
export type { AnyBackend } from "./device.ts";
export * from "./goldens.ts";
export * from "./suite.ts";
export * from "./tolerance.ts";
