import { blockBudget } from "@infllm/block-selection";
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
  const budget = blockBudget(sparse);
  const own = { columns: [query.row * budget, (query.row + 1) * budget] } as const;
  // All at once: a GPU then waits for its queue once, not once a layer.
  const read = await Promise.all(network.activations.blockIndices.map((tensor) => network.backend.read(tensor.view(own))));
  const layers = read.map((indices) =>
    Array.from({ length: indices.length / budget }, (_, head) =>
      Array.from(indices.subarray(head * budget, (head + 1) * budget)).filter((block) => block >= 0),
    ),
  );
  return { position: query.position, blockSize: sparse.blockSize, layers };
}
