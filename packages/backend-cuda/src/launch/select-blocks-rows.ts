/** Selection of a few rows, spread over the whole chip: kernels/decode-select.cu, two launches that overlap. */
import type { Machine } from "../machine.ts";
import { rowsVariant } from "../paths.ts";
import { gathered, packedBytes, queriesAreOld } from "./queries.ts";
import { normalKeys, packCommon } from "./select-job.ts";
import type { SelectJob } from "./select-job.ts";

const THREADS = 256;
/** Keys that are worth a block of threads: one pass of its eight warps. */
const KEYS = 64;
/** Blocks of threads per multiprocessor that run at a time. */
const WAVES = { lse: 3, score: 2 } as const;
/** Room for the log-sum-exps of a KV head's query heads. */
const HEADS = 16;

export function selectByRows(machine: Machine, job: SelectJob): void {
  const { queries, layer, sequences, fine, normal } = job;
  const { kvHeads } = layer.shape;
  const { tensor, heads } = queries;
  const { rows } = tensor;
  const pairs = rows * kvHeads;
  const spread = (stride: number, waves: number): number => {
    const most = Math.floor((machine.device.multiprocessors * waves) / pairs);
    return Math.max(1, Math.min(most, Math.ceil(sequences.maxKvLength / stride / KEYS)));
  };
  const lseSplits = spread(normal.stride, WAVES.lse);
  const maxBlocks = Math.ceil(job.blocks / 32) * 32 + 32;
  const [partial = 0, scores = 0, packed = 0] = machine.scratch(
    "selectBlocks", pairs * lseSplits * HEADS * 8, pairs * maxBlocks * 4, packedBytes(tensor),
  );
  const q = gathered(machine, tensor, packed);
  const arrived = machine.counters(pairs);
  const variant = rowsVariant(machine, layer.shape);
  const launch = (kernel: string, splits: number, overlap: boolean): void =>
    machine.launch(kernel, { grid: [splits, kvHeads, rows], block: [THREADS], overlap }, (args) =>
      args.struct((s) =>
        packCommon(s, job)
          .i32(heads)
          .i32(kvHeads)
          .i32(normal.stride)
          .i32(lseSplits)
          .i32(maxBlocks)
          .i32(job.capacity)
          .i32(job.pooledBlocks)
          .pointer(q)
          .pointer(layer.addresses["fine-keys"])
          .pointer(normalKeys(job))
          .pointer(partial)
          .pointer(scores)
          .pointer(arrived)
          .pointer(job.indices)
          .pointer(job.pooled),
      ),
    );
  launch(`decode_lse_${variant}`, lseSplits, queriesAreOld(machine));
  launch(`decode_score_${variant}`, spread(fine.stride, WAVES.score), true);
}
