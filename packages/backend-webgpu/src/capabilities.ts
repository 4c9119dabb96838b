/** What a GPU computes with these kernels, and what it goes without. */
import type { Capabilities, FloatDType, WeightDType } from "@infllm/tensor";
import type { Machine } from "./machine.ts";
import { cacheTypes, headDims } from "./webgpu-cache.ts";

/** Types that kernels read, whatever the GPU. */
export const capabilityTypes = {
  weights: ["bf16", "f16", "f32", "q8_0", "q4_0", "q4_1", "q4_k", "q5_k", "q6_k", "q4_g128"],
  caches: cacheTypes,
} as const satisfies { readonly weights: readonly WeightDType[]; readonly caches: readonly FloatDType[] };

/** Rows of a prompt chunk. Twice as many gained nothing on any GPU tried, and take twice the memory. */
const PREFILL_ROWS = 1024;

export function capabilitiesOf(machine: Machine, limitations: readonly string[]): Capabilities {
  const { activation, features, context } = machine;
  const first: FloatDType = activation === "f16" ? "f16" : "f32";
  return {
    ops: ["neural", "selection", "attention"],
    activation,
    weights: capabilityTypes.weights,
    kvCache: [first, ...capabilityTypes.caches.filter((dtype) => dtype !== first)],
    headDim: headDims,
    prefillRows: PREFILL_ROWS,
    runsLater: true,
    description: `${context.adapterName}, WebGPU, ${activation}, ${features.workgroupBytes / 1024} KiB of workgroup memory`,
    limitations,
  };
}
