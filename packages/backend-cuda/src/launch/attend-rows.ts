/** Attention of a few rows: kernels/decode-attend-cluster.cu, or spread over the whole chip kernels/decode-attend.cu. */
import type { KernelArgs } from "../kernel-args.ts";
import type { Machine } from "../machine.ts";
import { cachedRowsVariant, rowsVariant } from "../paths.ts";
import type { AttendJob } from "./attend-job.ts";
import { CLUSTER, fitsClusters } from "./clusters.ts";
import { gathered, packedBytes, queriesAreOld, scattered } from "./queries.ts";

/** Warps of a block of threads; each takes 64 * headDim bytes of shared memory. */
const WARPS = 4;
const CLUSTER_THREADS = 384;
/** Bytes of the page table that a block of a cluster may copy to shared memory: two million tokens. */
const CLUSTER_PAGES = 2 ** 17;
/** Room for the query heads of a KV head. */
const HEADS = 16;
/** Blocks of threads per multiprocessor: many short lists gain from fewer parts to add up, measured at 32k to 512k. */
const WAVES = { chosen: 0.75, all: 3 } as const;

/** Over selected blocks, one cluster a (row, KV head) where they fit; else partial results go through device memory. */
export function attendByRows(machine: Machine, job: AttendJob): void {
  const { queries, layer, sequences, out, chosen } = job;
  const { kvHeads, headDim, blockSize } = layer.shape;
  const { tensor, heads } = queries;
  const { rows } = tensor;
  const pairs = rows * kvHeads;
  const variant = rowsVariant(machine, layer.shape);
  const cached = cachedRowsVariant(machine, layer.shape);
  const cluster = `decode_attend_cluster_${cached}`;
  const clusterSize = { grid: [CLUSTER, kvHeads, rows], block: [CLUSTER_THREADS], shared: 4 * sequences.blocks(blockSize), cluster: CLUSTER } as const;
  const clustered = chosen !== undefined && clusterSize.shared <= CLUSTER_PAGES && fitsClusters(machine, cluster, pairs, clusterSize);
  const most = Math.floor((machine.device.multiprocessors * (chosen ? WAVES.chosen : WAVES.all)) / pairs);
  const splits = clustered ? CLUSTER : Math.max(1, Math.min(most, chosen?.budget ?? sequences.blocks(blockSize)));
  const partials = clustered ? 0 : pairs * splits * HEADS;
  const [weights = 0, partial = 0, packedQ = 0, packedOut = 0] = machine.scratch(
    "attention", partials * 8, partials * headDim * 4, packedBytes(tensor), packedBytes(out),
  );
  const q = gathered(machine, tensor, packedQ);
  const overlap = queriesAreOld(machine);
  scattered(machine, out, packedOut, (to) => {
    const pack = (args: KernelArgs): KernelArgs => packDecode(args, job, { splits, q, weights, partial, to });
    if (clustered) {
      machine.launch(cluster, { ...clusterSize, overlap }, pack);
      return;
    }
    const size = { grid: [splits, kvHeads, rows], block: [32 * WARPS], shared: 64 * headDim * WARPS, overlap } as const;
    machine.launch(`decode_attend_${cached}`, size, pack);
    machine.launch(`decode_combine_${variant}`, { grid: [heads, rows], block: [4 * headDim], overlap: true }, pack);
  });
}

/** Addresses, and the parts that a (row, KV head) is split into. */
interface DecodePlaces {
  readonly splits: number;
  readonly q: number;
  readonly weights: number;
  readonly partial: number;
  readonly to: number;
}

/** `struct DecodeAttendArgs` */
function packDecode(args: KernelArgs, { queries, layer, sequences, scaleLog2, chosen }: AttendJob, places: DecodePlaces): KernelArgs {
  return args.struct((s) =>
    sequences
      .pack(s)
      .f32(scaleLog2)
      .i32(queries.heads)
      .i32(layer.shape.kvHeads)
      .i32(chosen?.budget ?? 0)
      .i32(chosen?.capacity ?? 0)
      .i32(places.splits)
      .pointer(chosen?.address ?? 0)
      .pointer(places.q)
      .pointer(layer.addresses.keys)
      .pointer(layer.addresses.values)
      .pointer(layer.addresses.scales)
      .pointer(places.weights)
      .pointer(places.partial)
      .pointer(places.to),
  );
}
