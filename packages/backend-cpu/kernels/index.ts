/**
 * Entry of the kernels: one export that runs task `task` of op `op` with its arguments in memory at `args` and
 * `scratch` bytes of the calling thread's own. Op numbers as in `src/abi.ts`.
 */
import { appendKv } from "./append-kv";
import { attendBlocks } from "./attend-blocks";
import { attendDense } from "./attend-dense";
import { attendListed } from "./attend-listed";
import { compressKeys } from "./compress-keys";
import { embed } from "./embed";
import { linear } from "./linear";
import { packRows } from "./pack-rows";
import { rmsNorm } from "./rms-norm";
import { rotate } from "./rotate";
import { selectBlocks, selectChoose, selectLse, selectScores } from "./select-blocks";
import { swiglu } from "./swiglu";

export function run(op: i32, args: usize, task: i32, scratch: usize): void {
  switch (op) {
    case 0: linear(args, task, scratch); break;
    case 1: packRows(args); break;
    case 2: embed(args); break;
    case 3: rmsNorm(args, task); break;
    case 4: rotate(args, task); break;
    case 5: swiglu(args, task); break;
    case 6: appendKv(args, task); break;
    case 7: compressKeys(args, task, scratch); break;
    case 8: selectBlocks(args, task, scratch); break;
    case 9: attendDense(args, task, scratch); break;
    case 10: attendBlocks(args, task, scratch); break;
    case 11: selectLse(args, task, scratch); break;
    case 12: selectScores(args, task, scratch); break;
    case 13: selectChoose(args, task, scratch); break;
    case 14: attendListed(args, task, scratch); break;
  }
}
