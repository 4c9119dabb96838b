/** One cached sequence with queries at chosen positions: the usual set-up of an attention case. */
import { blockBudget } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { referenceBlocks } from "./attention-case.ts";
import type { AttentionCase } from "./attention-case.ts";
import { CacheRig, concatenate } from "./cache-rig.ts";
import type { RigShape } from "./cache-rig.ts";
import type { HeadShape } from "./configs.ts";
import type { Device } from "./device.ts";
import { layerInputs, rowRange } from "./layer-inputs.ts";
import { queryPositions } from "./selection-case.ts";

export interface LayerSetUp {
  readonly shape: HeadShape;
  readonly length: number;
  readonly positions: readonly number[];
  readonly seed?: number;
  readonly sparse?: SparseConfig;
  readonly dtype?: RigShape["dtype"];
}

/** Fills a cache and sets the batch to rows at `positions`. */
export function fillLayer(device: Device, { shape, length, positions, seed = length, sparse, dtype }: LayerSetUp): AttentionCase {
  const rig = CacheRig.create(device, {
    ...shape,
    contextLength: length,
    ...(sparse === undefined ? {} : { sparse }),
    ...(dtype === undefined ? {} : { dtype }),
  });
  const { q, k, v } = layerInputs(seed, length, shape);
  rig.append([{ sequence: 0, k, v }]);
  const rows = queryPositions(rig, positions);
  const width = shape.heads * shape.headDim;
  const picked = device.asActivations(concatenate(rows.map(({ position }) => rowRange(q, width, position, 1))));
  return { ...shape, rig, q: picked, rows, scale: 1 / Math.sqrt(shape.headDim), contents: [{ k, v }] };
}

/** The reference's blocks for the rows of a layer that was filled with this config. */
export function blocksFor(test: AttentionCase, config: SparseConfig): Int32Array {
  return referenceBlocks(test, config, blockBudget(config));
}
