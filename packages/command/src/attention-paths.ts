/** Which kernels a model's attention takes, on backends that have several kinds. */
import type { PathReport } from "@infllm/backend-cuda";
import type { ModelDescription } from "@infllm/model";
import type { CacheDType } from "@infllm/tensor";
import type { ModelBackend } from "./backends.ts";

type Shape = Pick<ModelDescription, "heads" | "kvHeads" | "headDim" | "sparse">;

/** Tokens in a page of the KV cache of a model without sparse attention. */
const DENSE_BLOCK = 64;

/** Undefined where the backend has one kind of kernel only. `kvCache` is the backend's first choice when absent. */
export function attentionPaths(
  backend: ModelBackend,
  { heads, kvHeads, headDim, sparse }: Shape,
  kvCache?: CacheDType,
): PathReport[] | undefined {
  const { kvCache: offered, activation } = backend.capabilities;
  const blockSize = sparse?.blockSize ?? DENSE_BLOCK;
  return backend.paths?.({ dtype: kvCache ?? offered[0] ?? activation, headDim, group: heads / kvHeads, kvHeads, blockSize, sparse });
}

/** `selectBlocks hopper in prefill and rows in decode; …` */
export function describePaths(paths: readonly PathReport[]): string {
  return paths
    .map(({ op, prefill, decode }) => `${op} ${prefill === decode ? prefill : `${prefill} in prefill and ${decode} in decode`}`)
    .join("; ");
}
