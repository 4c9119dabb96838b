/** Products of many rows with 4-bit weights on Hopper: kernels/linear-four-bit.cu. */
import type { Product } from "../cublaslt.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { Machine } from "../machine.ts";
import { TENSOR_MAP_ALIGNMENT } from "../tensor-map.ts";
import { packProduct } from "./linear-hopper.ts";
import type { ProductShape } from "./linear-hopper.ts";
import { matrixMap } from "./tensor-maps.ts";

const STEP = 64;
const UNIT = 128;
const WARPS = 8;
const TILE_BYTES = 1088;
/** Of a block's sums [rows, 128]: floats from one row to the next. */
const SUM_PITCH = 132;
/** Tiles of x in shared memory, and tiles of weights a warp, by the rows of a tile. */
const rings: Readonly<Record<number, { readonly stages: number; readonly tiles: number }>> = {
  32: { stages: 6, tiles: 6 },
  64: { stages: 6, tiles: 4 },
  128: { stages: 6, tiles: 4 },
  256: { stages: 4, tiles: 4 },
};

const WIDTHS = [32, 64, 128, 256] as const;
const OUTPUTS = 128;
/** Clocks of a step of 64 columns, and to start and store a tile, measured on an H100. */
const stepClocks = (width: number): number => 600 + 2.13 * width;
const TILE_CLOCKS = 2500;
/** Share of the multiprocessors that clusters of so many blocks can have at once: a cluster lies within one GPC. */
const usable: Readonly<Record<number, number>> = { 4: 0.9, 8: 0.8 };

/** Does this GPU have the kernels, and can the copy engine read these rows? */
export function fourBitMultiplies(machine: Machine, { type, x }: Pick<Product, "type" | "x">): boolean {
  return machine.has(`linear_four_bit_${type}_256`) && x.address % 16 === 0 && x.rowStride % 8 === 0;
}

/** Enqueues the product; its bias is f32. `overlap`: the weight was not written by the launch before this one. */
export function multiplyFourBit(machine: Machine, product: Omit<Product, "weight">, weight: CudaWeight, overlap: boolean): void {
  const { rows, columns, type, x } = product;
  const { width, cluster, blocks } = planFourBit(product, machine.device.multiprocessors);
  const size = { grid: [blocks], block: [width === 256 ? 384 : 288], shared: sharedBytes(width), cluster, overlap } as const;
  machine.launch(`linear_four_bit_${type}_${width}`, size, (args) =>
    args
      .struct((op) => packProduct(op, product))
      .pointer(weight.address)
      .bytes(matrixMap(machine, type, x, [rows, columns], width), TENSOR_MAP_ALIGNMENT),
  );
}

interface Plan {
  /** Rows of a tile. */
  readonly width: number;
  /** Blocks of a cluster that split a tile's columns. */
  readonly cluster: number;
  readonly blocks: number;
}

/** The widest tiles that the rows fill, or such of half their width, and the split that a plain reckoning of clocks finds fastest. */
export function planFourBit({ rows, columns, outs }: ProductShape, multiprocessors: number): Plan {
  const units = Math.ceil(columns / UNIT);
  const widths = WIDTHS.filter((width) => width < 2 * rows || width === 32).slice(-2);
  const plans = widths.flatMap((width) =>
    [1, 2, 4, 8].filter((splits) => splits <= units).map((cluster) => {
      const blocks = Math.ceil(rows / width) * Math.ceil(outs / OUTPUTS) * cluster;
      const rounds = Math.ceil(blocks / (multiprocessors * (usable[cluster] ?? 1)));
      const steps = (UNIT / STEP) * Math.ceil(units / cluster);
      const adding = cluster > 1 ? 1500 + 16 * width + 3000 * cluster : 0;
      return { width, cluster, blocks, clocks: rounds * (steps * stepClocks(width) + TILE_CLOCKS) + adding };
    }),
  );
  const { width, cluster, blocks } = plans.reduce((best, other) => (other.clocks < best.clocks ? other : best));
  return { width, cluster, blocks };
}

/** `Layout` of linear-four-bit.cu, and room to align it. */
function sharedBytes(width: number): number {
  const { stages = 0, tiles = 0 } = rings[width] ?? {};
  const used = stages * width * STEP * 2 + WARPS * tiles * TILE_BYTES;
  const sums = width * SUM_PITCH * 4;
  return Math.floor(Math.max(used, sums) / 16) * 16 + 16 + 16 * stages + 1024;
}
