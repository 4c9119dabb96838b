import type { AttendBlocksArgs } from "@infllm/attention";
import { perHeadRows } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { attendGeneral } from "./attend-general.ts";
import { attendHopper } from "./attend-hopper.ts";
import { attendJob } from "./attend-job.ts";
import { attendByRows } from "./attend-rows.ts";

/** Softmax over the tokens of the selected blocks up to the row's own position. */
export function attendBlocks(machine: Machine, args: AttendBlocksArgs): void {
  const { tensor, capacity, columns } = perHeadRows(machine, "attendBlocks: blockIndices", args.blockIndices, {
    dtype: "i32", kvHeads: args.cache.shape.kvHeads, rows: args.batch.rows,
  });
  const job = attendJob(machine, "attendBlocks", args, { address: tensor.address, capacity, budget: columns });
  const attend = { hopper: attendHopper, rows: attendByRows, general: attendGeneral };
  attend[job.path](machine, job);
}
