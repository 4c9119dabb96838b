/** Products of many rows with 4-bit weights on Hopper: kernels/linear-four-bit.cu. */
import type { Product } from "../cublaslt.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { Machine } from "../machine.ts";
import { TENSOR_MAP_ALIGNMENT } from "../tensor-map.ts";
import { candidatesOf, fastest } from "./linear-hopper.ts";
import type { HopperPlan, ProductShape, SplitWeights } from "./linear-hopper.ts";
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

/** Does this GPU have the kernels, and can the copy engine read these rows? */
export function fourBitMultiplies(machine: Machine, { type, x }: Pick<Product, "type" | "x">): boolean {
  return machine.has(`linear_four_bit_${type}_256`) && x.address % 16 === 0 && x.rowStride % 8 === 0;
}

/** Enqueues the product; its bias is f32. `overlap`: the weight was not written by the launch before this one. */
export function multiplyFourBit(machine: Machine, product: Omit<Product, "weight">, weight: CudaWeight, overlap: boolean): void {
  const { rows, columns, outs, type, x, out, bias } = product;
  const { width, cluster, blocks } = planFourBit(product, machine.device.multiprocessors);
  const size = { grid: [blocks], block: [width === 256 ? 384 : 288], shared: sharedBytes(width), cluster, overlap } as const;
  machine.launch(`linear_four_bit_${type}_${width}`, size, (args) =>
    args
      .struct((op) =>
        op
          .pointer(bias?.address ?? 0)
          .pointer(out.address)
          .i64(out.rowStride)
          .i32(rows)
          .i32(columns)
          .i32(outs)
          .i32(product.outType === "f32" ? 1 : 0),
      )
      .pointer(weight.address)
      .bytes(matrixMap(machine, type, x, [rows, columns], width), TENSOR_MAP_ALIGNMENT),
  );
}

/** 360 clocks a step were measured on an H100, whatever the width. */
const FOUR_BITS: SplitWeights = { bytes: TILE_BYTES / (16 * UNIT), partColumns: UNIT, widths: [32, 64, 128, 256], stepClocks: 360 };

/** Tiles half as wide as they could be are worth it where they fill more multiprocessors. */
export function planFourBit(shape: ProductShape, multiprocessors: number): HopperPlan {
  const widths = FOUR_BITS.widths.filter((width) => width < 2 * shape.rows || width === 32).slice(-2);
  return fastest(widths.flatMap((width) => candidatesOf(shape, width, multiprocessors, FOUR_BITS)));
}

/** `Layout` of linear-four-bit.cu, and room to align it. */
function sharedBytes(width: number): number {
  const { stages = 0, tiles = 0 } = rings[width] ?? {};
  const used = stages * width * STEP * 2 + WARPS * tiles * TILE_BYTES;
  const sums = width * SUM_PITCH * 4;
  return Math.floor(Math.max(used, sums) / 16) * 16 + 16 + 16 * stages + 1024;
}
