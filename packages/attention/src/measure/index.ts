export * from "./overlap.ts";
export * from "./selection-probe.ts";
