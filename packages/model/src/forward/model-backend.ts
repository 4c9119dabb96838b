import type { AttentionBackend } from "@infllm/attention";
import { UnsupportedError } from "@infllm/tensor";
import type { Backend, NeuralOps, OpGroup } from "@infllm/tensor";

/** A backend with everything that a model needs. */
export type ModelBackend = AttentionBackend & { readonly neural: NeuralOps };

const needed: readonly OpGroup[] = ["neural", "selection", "attention"];

/** @throws UnsupportedError naming the groups of ops that the backend lacks */
export function requireModelBackend(backend: Backend): ModelBackend {
  const missing = needed.filter((group) => !backend.capabilities.ops.includes(group) || !(group in backend));
  if (missing.length > 0) {
    throw new UnsupportedError(
      `A model needs the ops ${needed.join(", ")}; this backend (${backend.capabilities.description}) lacks ${missing.join(", ")}.`,
    );
  }
  return backend as ModelBackend;
}

/** @throws UnsupportedError when the backend's kernels do not cover this width of a head */
export function requireHeadDim(backend: Backend, headDim: number): void {
  const { min, max, multipleOf } = backend.capabilities.headDim;
  if (headDim >= min && headDim <= max && headDim % multipleOf === 0) return;
  throw new UnsupportedError(
    `The model's heads are ${headDim} wide; this backend (${backend.capabilities.description}) computes widths ` +
      `from ${min} to ${max} in steps of ${multipleOf}. Use another backend.`,
  );
}
