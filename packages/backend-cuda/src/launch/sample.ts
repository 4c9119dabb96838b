import type { SampleArgs } from "@infllm/tensor";
import { rowsOf } from "../checks.ts";
import type { KernelArgs } from "../kernel-args.ts";
import type { Machine } from "../machine.ts";
import { CLUSTER } from "./clusters.ts";

/** Fixed in the kernels. */
const THREADS = 1024;
const SHARED_BYTES = 68 * 1024;
/** Below this a block of threads is as fast alone. */
const FEWEST_LOGITS = 4096;
/** Six clusters run at the same time, but a block of threads on each of 132 multiprocessors. */
const MOST_ROWS = 24;

/** One token id a row; see `SampleArgs` for the rule. */
export function sample(machine: Machine, { logits, settings, out }: SampleArgs): void {
  const input = rowsOf(machine, "sample: logits", logits, ["f32"]);
  const options = rowsOf(machine, "sample: settings", settings, ["f32"], { rows: input.rows, columns: 4 });
  const to = rowsOf(machine, "sample: out", out, ["i32"], { rows: input.rows, columns: 1 });
  if (input.rows === 0) return;
  const pack = (args: KernelArgs): KernelArgs =>
    args
      .pointer(input.address)
      .i64(input.rowStride)
      .pointer(options.address)
      .i64(options.rowStride)
      .pointer(to.address)
      .i64(to.rowStride)
      .i32(input.columns);
  const size = { block: [THREADS], overlap: true } as const;
  const shared = clusterBytes(input.columns);
  const spread = { ...size, grid: [CLUSTER * input.rows], shared, cluster: CLUSTER } as const;
  const pays = input.columns >= FEWEST_LOGITS && input.rows <= MOST_ROWS && shared <= machine.device.sharedBytes;
  if (pays && machine.clusters("sample_cluster", { ...spread, overlap: false }) > 0) {
    machine.launch("sample_cluster", spread, pack);
  } else {
    machine.launch("sample", { ...size, grid: [input.rows], shared: SHARED_BYTES }, pack);
  }
}

/** Shared memory of each block of a cluster: it keeps its share of the logits, 1024 of every 16384. */
function clusterBytes(vocabulary: number): number {
  return SHARED_BYTES + 4 * THREADS * Math.ceil(vocabulary / (CLUSTER * THREADS));
}
