/** When clusters take a decoding step: each (row, KV head) pair keeps its partial results in one cluster's shared memory. */
import type { LaunchSize, Machine } from "../machine.ts";

/** Blocks of threads of a cluster: `kCluster` of common/cluster.cuh. */
export const CLUSTER = 16;

/**
 * Do the clusters of all pairs run at the same time? Each takes most of 16 multiprocessors that share a part of the chip;
 * more of them than run at once are slower than kernels that spread over the whole chip.
 */
export function fitsClusters(machine: Machine, kernel: string, pairs: number, size: LaunchSize): boolean {
  return pairs <= machine.clusters(kernel, { ...size, cluster: CLUSTER });
}
