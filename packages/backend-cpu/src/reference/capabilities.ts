import { dtypes, isQuantized } from "@infllm/tensor";
import type { Capabilities } from "@infllm/tensor";

export const capabilities: Capabilities = {
  ops: ["neural", "selection", "attention"],
  activation: "f32",
  weights: ["f32", "f16", "bf16", ...dtypes.filter(isQuantized)],
  kvCache: ["f32", "f16", "bf16", "q8"],
  headDim: { min: 1, max: 65536, multipleOf: 1 },
  prefillRows: 64,
  description: "plain reference: JavaScript loops with float64 sums, one thread",
  limitations: [
    "Every op runs as plain loops, many times slower than with SIMD; it is the definition that fast kernels are checked against.",
  ],
};
