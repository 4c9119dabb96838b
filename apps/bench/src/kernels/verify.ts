/** Checks a backend's attention ops against the plain reference before anything is timed. */
import type { AttentionBackend } from "@infllm/attention";
import { referenceBackend } from "@infllm/backend-cpu";
import { blockBudget, type SparseConfig } from "@infllm/block-selection";
import { dtypeInfo } from "@infllm/tensor";
import { mustAgree } from "../check.ts";
import { attentionLayer, type LayerSize } from "./attention-layer.ts";

/** What the plain reference computes in a second or so. */
const verifiedRows = 4;
/** Rounded keys score nearly equal blocks in another order: this share of a query's blocks must still be the same. */
const leastShared = 0.8;

/**
 * @throws Error when outputs differ by more than the backend's own rounding allows, or when it selects other blocks
 *   than nearly equal scores explain
 */
export async function verifyAttention(backend: AttentionBackend, shape: Omit<LayerSize, "length" | "rows">, config: SparseConfig): Promise<void> {
  const plain = referenceBackend();
  const { activation } = backend.capabilities;
  // Half as many blocks again as a query may see, so that selection chooses, and an incomplete last one.
  const length = Math.round(blockBudget(config) * config.blockSize * 1.5) + 37;
  const size: LayerSize = { ...shape, length, rows: verifiedRows };
  const [fast, exact] = [attentionLayer(backend, size, config), attentionLayer(plain, size, config)];
  try {
    const tolerance = Math.max(1e-4, 4 * dtypeInfo(activation).epsilon);
    fast.dense();
    exact.dense();
    mustAgree("dense attention", await fast.output(), await exact.output(), tolerance);
    fast.select();
    exact.select();
    const chosen = await fast.indices();
    mustSelectAlike(chosen, await exact.indices(), blockBudget(config), activation === "f32" ? 1 : leastShared);
    fast.sparse();
    exact.choose(chosen);
    exact.sparse();
    mustAgree("sparse attention", await fast.output(), await exact.output(), tolerance);
  } finally {
    fast.release();
    exact.release();
    await plain.close();
  }
}

/** Of each query's blocks; where all must be shared, in the same order. */
function mustSelectAlike(actual: Int32Array, expected: Int32Array, budget: number, share: number): void {
  if (share === 1) {
    mustAgree("block selection", actual, expected, 0);
    return;
  }
  for (let from = 0; from < expected.length; from += budget) {
    const wanted = expected.subarray(from, from + budget).filter((block) => block >= 0);
    const got = new Set(actual.subarray(from, from + budget));
    const shared = wanted.filter((block) => got.has(block)).length;
    if (shared >= share * wanted.length) continue;
    throw new Error(`block selection is wrong: a query shares ${shared} of ${wanted.length} blocks with the reference; not timed.`);
  }
}
