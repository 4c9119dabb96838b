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
  const layers = [];
  for (const tensor of network.activations.blockIndices) {
    const indices = await network.backend.read(tensor);
    const [kvHeads = 0, rows = 0, budget = 0] = tensor.shape;
    const heads = Array.from({ length: kvHeads }, (_, head) => {
      const from = (head * rows + query.row) * budget;
      return Array.from(indices.subarray(from, from + budget)).filter((block) => block >= 0);
    });
    layers.push(heads);
  }
  return { position: query.position, blockSize: sparse.blockSize, layers };
}
