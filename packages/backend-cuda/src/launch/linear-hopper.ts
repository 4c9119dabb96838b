/** Products of many rows on Hopper without a library: kernels/linear-tiles.cu and linear-split.cu. */
import type { Product } from "../cublaslt.ts";
import type { KernelArgs } from "../kernel-args.ts";
import type { Machine } from "../machine.ts";
import { TENSOR_MAP_ALIGNMENT } from "../tensor-map.ts";
import { matrixMap } from "./tensor-maps.ts";

/** Columns of a step, rows of the first operand's tile. */
const STEP = 64;
const FIRST_ROWS = 128;
const THREADS = { tiles: 384, split: 288 } as const;
/** Buffers in shared memory by the tile's other side: outputs of a tile of 128 rows, or rows of a tile of 128 outputs. */
export const stages = {
  tiles: { 192: 5, 256: 4 },
  split: { 16: 6, 32: 5, 64: 4, 128: 3, 256: 4 },
} as const;

/** Bytes a clock that one multiprocessor gets: from L2 with all asking, from L2 alone, from memory with all asking. */
const RATE = { shared: 32, alone: 40, memory: 17 } as const;
/** Of the tensor cores' peak, 4096 multiply-adds a clock for two warpgroups. */
const TENSOR_SHARE = 0.9;
/** Clocks to start and store a tile, and to add the sums of splits. */
const TILE_CLOCKS = 2500;
const SPLIT_CLOCKS = 1500;

export interface ProductShape {
  readonly rows: number;
  readonly columns: number;
  readonly outs: number;
}

/** `cluster`: blocks that share weights ("tiles") or split a tile's columns ("split"). */
export interface HopperPlan {
  readonly kernel: "tiles" | "split";
  readonly width: number;
  readonly cluster: number;
  readonly blocks: number;
}

interface Candidate extends HopperPlan {
  readonly clocks: number;
}

/** Does this GPU have the kernels, and can the copy engine read these rows? */
export function hopperMultiplies(machine: Machine, { type, x }: Product): boolean {
  return machine.has(`linear_tiles_${type}_256`) && x.address % 16 === 0 && x.rowStride % 8 === 0;
}

/** Enqueues the product; its bias is f32. `overlap`: the weight was not written by the launch before this one. */
export function multiplyOnHopper(machine: Machine, product: Product, overlap: boolean): void {
  const { rows, columns, outs, type, x, weight } = product;
  const plan = planProduct(product, machine.device.multiprocessors);
  const tiles = plan.kernel === "tiles";
  const size = { grid: [plan.blocks], block: [THREADS[plan.kernel]], shared: sharedBytes(plan), cluster: plan.cluster, overlap } as const;
  machine.launch(`linear_${plan.kernel}_${type}_${plan.width}`, size, (args) =>
    args
      .struct((op) => packProduct(op, product))
      .bytes(matrixMap(machine, type, x, [rows, columns], tiles ? FIRST_ROWS : plan.width), TENSOR_MAP_ALIGNMENT)
      .bytes(matrixMap(machine, type, weight, [outs, columns], tiles ? plan.width / 2 : FIRST_ROWS), TENSOR_MAP_ALIGNMENT),
  );
}

/** `struct LinearHopper` of kernels/linear-hopper.cuh. */
export function packProduct(op: KernelArgs, { rows, columns, outs, outType, out, bias }: Omit<Product, "weight">): KernelArgs {
  return op
    .pointer(bias?.address ?? 0)
    .pointer(out.address)
    .i64(out.rowStride)
    .i32(rows)
    .i32(columns)
    .i32(outs)
    .i32(outType === "f32" ? 1 : 0);
}

/** The kernel, tile and cluster that a plain reckoning of clocks finds fastest; of equals the first. */
export function planProduct(shape: ProductShape, multiprocessors: number): HopperPlan {
  const candidates = [...splitCandidates(shape, multiprocessors), ...tileCandidates(shape, multiprocessors)];
  const { kernel, width, cluster, blocks } = candidates.reduce((best, other) => (other.clocks < best.clocks ? other : best));
  return { kernel, width, cluster, blocks };
}

function tileCandidates({ rows, columns, outs }: ProductShape, multiprocessors: number): Candidate[] {
  const steps = Math.ceil(columns / STEP);
  const memory = memoryClocks(columns * outs, multiprocessors);
  return [256, 192].flatMap((width) =>
    [2, 1].map((cluster): Candidate => {
      const tiles = Math.ceil(rows / (FIRST_ROWS * cluster)) * Math.ceil(outs / width);
      const clusters = Math.min(tiles, Math.floor(multiprocessors / cluster));
      const rounds = Math.ceil(tiles / clusters);
      const bytes = tiles * cluster * steps * (FIRST_ROWS + width / cluster) * STEP * 2;
      const clocks = Math.max(rounds * steps * tensorClocks(width), bytes / (RATE.shared * multiprocessors), memory);
      return { kernel: "tiles", width, cluster, blocks: clusters * cluster, clocks: clocks + rounds * TILE_CLOCKS };
    }),
  );
}

function splitCandidates({ rows, columns, outs }: ProductShape, multiprocessors: number): Candidate[] {
  const steps = Math.ceil(columns / STEP);
  const width = [16, 32, 64, 128].find((most) => rows <= most) ?? 256;
  const tiles = Math.ceil(rows / width) * Math.ceil(outs / FIRST_ROWS);
  const memory = memoryClocks(columns * outs, multiprocessors);
  return [1, 2, 4, 8]
    .filter((splits) => splits <= steps)
    .map((splits): Candidate => {
      const blocks = tiles * splits;
      const stepsOfBlock = Math.ceil(steps / splits);
      const bytes = stepsOfBlock * (FIRST_ROWS + width) * STEP * 2;
      const rounds = Math.ceil(blocks / multiprocessors);
      const busiest = rounds * Math.max(stepsOfBlock * tensorClocks(width), bytes / RATE.alone);
      const all = (blocks * bytes) / (RATE.shared * multiprocessors);
      const adding = splits > 1 ? SPLIT_CLOCKS + 16 * width : 0;
      return { kernel: "split", width, cluster: splits, blocks, clocks: Math.max(busiest, all, memory) + rounds * TILE_CLOCKS + adding };
    });
}

/** To read this many weights. */
function memoryClocks(weights: number, multiprocessors: number): number {
  return (weights * 2) / (RATE.memory * multiprocessors);
}

/** Of a step of 128 x `width` x 64. */
function tensorClocks(width: number): number {
  return (4 * width) / TENSOR_SHARE;
}

/** `Buffers` of linear-hopper.cuh, and room to align them. */
function sharedBytes({ kernel, width }: HopperPlan): number {
  const stagesOf: Readonly<Record<number, number>> = stages[kernel];
  return (stagesOf[width] ?? 0) * ((FIRST_ROWS + width) * STEP * 2 + 16) + 1024;
}
