import type { Network } from "../forward/forward.ts";
import type { LastQuery } from "./runner.ts";

/** Blocks that one query attended to. */
export interface Selection {
  /** Absolute position of the query. */
  readonly position: number;
  /** Tokens in a block. */
  readonly blockSize: number;
  /** Block numbers of each layer and KV head, ascending. */
  readonly layers: readonly (readonly (readonly number[])[])[];
}

export async function readSelection(network: Network, query: LastQuery | undefined): Promise<Selection | undefined> {
  const sparse = network.cache.shape.sparse;
  if (query === undefined || !query.sparse || sparse === undefined) return undefined;
  // All at once: a GPU then waits for its queue once, not once a layer.
  const tensors = network.activations.blockIndices;
  const read = await Promise.all(tensors.map((tensor) => network.backend.read(tensor)));
  const layers = tensors.map(({ shape: [kvHeads = 0, rows = 0, budget = 0] }, layer) =>
    Array.from({ length: kvHeads }, (_, head) => {
      const from = (head * rows + query.row) * budget;
      return Array.from(read[layer]?.subarray(from, from + budget) ?? []).filter((block) => block >= 0);
    }),
  );
  return { position: query.position, blockSize: sparse.blockSize, layers };
}
