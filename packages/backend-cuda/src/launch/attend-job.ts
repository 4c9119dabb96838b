/** What dense and block-sparse attention have in common after their arguments were checked. */
import type { AttendDenseArgs } from "@infllm/attention";
import { activationRows, ownCache } from "../checks.ts";
import type { CudaCache } from "../cuda-cache.ts";
import type { CudaTensor } from "../cuda-tensor.ts";
import type { Machine } from "../machine.ts";
import { pathOf } from "../paths.ts";
import type { Path, PathOp } from "../paths.ts";
import { Sequences } from "../sequences.ts";
import { LOG2E, queriesOf } from "./queries.ts";
import type { Queries } from "./queries.ts";

/** Selected blocks `[kvHeads, capacity, budget]`. */
export interface Chosen {
  readonly address: number;
  readonly capacity: number;
  readonly budget: number;
}

export interface AttendJob {
  readonly queries: Queries;
  readonly layer: CudaCache;
  readonly sequences: Sequences;
  readonly out: CudaTensor;
  readonly scaleLog2: number;
  /** Absent: every block. */
  readonly chosen?: Chosen;
  readonly path: Path;
}

export function attendJob(machine: Machine, op: PathOp, { q, cache, batch, scale, out }: AttendDenseArgs, chosen?: Chosen): AttendJob {
  const layer = ownCache(machine, `${op}: cache`, cache);
  const { kvHeads, headDim, blockSize, dtype, sparse } = layer.shape;
  const queries = queriesOf(machine, op, q, layer.shape, batch);
  return {
    queries,
    layer,
    sequences: new Sequences(machine, op, batch, layer.shape),
    out: activationRows(machine, `${op}: out`, out, { rows: batch.rows, columns: queries.tensor.columns }),
    scaleLog2: scale * LOG2E,
    ...(chosen && { chosen }),
    path: pathOf(machine, op, { dtype, headDim, group: queries.group, kvHeads, blockSize, sparse }, batch.rows),
  };
}
