/** Selection for any shape: kernels/select-blocks-general.cu, one block of threads per (row, KV head). */
import type { Machine } from "../machine.ts";
import { gathered, packedBytes } from "./queries.ts";
import { normalKeys, packCommon } from "./select-job.ts";
import type { SelectJob } from "./select-job.ts";

const THREADS = 256;
/** Scratch for block scores; more rows are done in several launches. */
const SCORE_BYTES = 2 ** 26;

export function selectGeneral(machine: Machine, job: SelectJob): void {
  const { queries, layer, fine, normal, blocks } = job;
  const { kvHeads, headDim, blockSize } = layer.shape;
  const { tensor, heads, group } = queries;
  const perRow = 4 * kvHeads * blocks;
  const chunk = Math.min(tensor.rows, Math.max(1, Math.floor(SCORE_BYTES / perRow)));
  const [scores = 0, packed = 0] = machine.scratch("selectBlocks", chunk * perRow, packedBytes(tensor));
  const q = gathered(machine, tensor, packed);
  for (let row = 0; row < tensor.rows; row += chunk) {
    machine.launch(
      `select_general_${machine.activation}`,
      {
        grid: [Math.min(chunk, tensor.rows - row), kvHeads],
        block: [THREADS],
        shared: 4 * (group * (headDim + 1) + 2 * THREADS),
      },
      (args) =>
        args.struct((s) =>
          packCommon(s, job)
            .i32(heads)
            .i32(kvHeads)
            .i32(headDim)
            .i32(blockSize)
            .i32(fine.stride)
            .i32(fine.size)
            .i32(normal.stride)
            .i32(normal.size)
            .i32(blocks)
            .i32(job.capacity)
            .i32(job.pooledBlocks)
            .i32(row)
            .pointer(q)
            .pointer(layer.addresses["fine-keys"])
            .pointer(normalKeys(job))
            .pointer(scores)
            .pointer(job.indices)
            .pointer(job.pooled),
        ),
    );
  }
}
