import type { AttendBlocksArgs } from "@infllm/attention";
import { ownCache, perHeadRows } from "../checks.ts";
import type { Machine } from "../machine.ts";
import { attend } from "./attend.ts";

/** Softmax over the tokens of each row's blocks up to the row's own. */
export function attendBlocks(machine: Machine, args: AttendBlocksArgs): void {
  const { kvHeads } = ownCache(machine, "attendBlocks: cache", args.cache).shape;
  const expected = { dtype: "i32", kvHeads, rows: args.batch.rows } as const;
  const { tensor, capacity, columns } = perHeadRows(machine, "attendBlocks: blockIndices", args.blockIndices, expected);
  attend(machine, "attendBlocks", args, { tensor, capacity, budget: columns });
}
