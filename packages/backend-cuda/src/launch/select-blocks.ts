import { UsageError } from "@infllm/tensor";
import { blockBudget, localBlocks, windowLevels } from "@infllm/block-selection";
import type { SelectBlocksArgs } from "@infllm/block-selection";
import { ownCache, perHeadRows } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { pathOf } from "../paths.ts";
import { Sequences } from "../sequences.ts";
import { LOG2E, queriesOf } from "./queries.ts";
import { selectByRows } from "./select-blocks-rows.ts";
import { selectGeneral } from "./select-blocks-general.ts";
import { selectHopper } from "./select-blocks-hopper.ts";
import type { SelectJob } from "./select-job.ts";

/** Scores, pools, forces and selects. */
export function selectBlocks(machine: Machine, { q, cache, batch, scale, blockIndices, blockScores }: SelectBlocksArgs): void {
  const layer = ownCache(machine, "selectBlocks: cache", cache);
  const { shape } = layer;
  const { kvHeads, headDim, blockSize, dtype } = shape;
  const { fine, coarse, sparse } = windowLevels("selectBlocks", shape);
  const queries = queriesOf(machine, "selectBlocks", q, shape, batch);
  const { rows } = batch;
  const budget = blockBudget(sparse);
  const indices = perHeadRows(machine, "selectBlocks: blockIndices", blockIndices, { dtype: "i32", kvHeads, rows, columns: budget });
  const scores = blockScores && perHeadRows(machine, "selectBlocks: blockScores", blockScores, { dtype: "f32", kvHeads, rows });
  if (scores && scores.capacity !== indices.capacity) {
    throw new UsageError(
      `selectBlocks: blockScores has room for ${scores.capacity} rows and blockIndices for ${indices.capacity}; make them equal.`,
    );
  }
  const sequences = new Sequences(machine, "selectBlocks", batch, shape);
  const job: SelectJob = {
    queries,
    layer,
    sequences,
    fine,
    normal: sparse.lse === "exact" ? fine : coarse,
    exact: sparse.lse === "exact",
    rules: { init: sparse.initBlocks, local: localBlocks(sparse), budget },
    scaleLog2: scale * LOG2E,
    blocks: sequences.blocks(blockSize),
    indices: indices.tensor.address,
    capacity: indices.capacity,
    pooled: scores?.tensor.address ?? 0,
    pooledBlocks: scores?.columns ?? 0,
  };
  const select = { hopper: selectHopper, rows: selectByRows, general: selectGeneral };
  select[pathOf(machine, "selectBlocks", { dtype, headDim, group: queries.group, kvHeads, blockSize, sparse }, rows)](machine, job);
}
