/** Which products the kernels of linear-stream.cu take: few rows, weights of 4 bits or of the activations' type. */
import type { CudaTensor } from "../cuda-tensor.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { LaunchSize, Machine } from "../machine.ts";

/** How a kernel was compiled. */
interface Variant {
  readonly name: string;
  readonly mostRows: number;
  /** Only for matrices with so many outputs for each multiprocessor; any when absent. */
  readonly leastOutputs?: number;
  /** Only for matrices of so many columns, or of so few outputs that every multiprocessor has one block at most. */
  readonly leastColumns?: number;
  /** Tiles of 16 outputs that a warp takes at a time. */
  readonly tiles: number;
  readonly warps: number;
  /** Times that many tiles, with their part of x, on their way to a warp. */
  readonly stages: number;
  /** Blocks a multiprocessor. */
  readonly blocks: number;
}

const TILE_OUTPUTS = 16;
const UNIT = 128;
const FOUR_BIT_TILE = 1088;
type Product = "linear_stream" | "linear_gated";

const FOUR_BIT: Readonly<Record<Product, readonly Variant[]>> = {
  linear_stream: [
    { name: "4_long", mostRows: 4, leastColumns: 8192, tiles: 2, warps: 16, stages: 2, blocks: 1 },
    { name: "4", mostRows: 4, tiles: 2, warps: 8, stages: 3, blocks: 2 },
    { name: "8", mostRows: 8, tiles: 2, warps: 16, stages: 2, blocks: 1 },
    { name: "16_wide", mostRows: 16, leastOutputs: 128, tiles: 4, warps: 4, stages: 2, blocks: 2 },
    { name: "16", mostRows: 16, tiles: 2, warps: 8, stages: 2, blocks: 1 },
  ],
  linear_gated: [
    { name: "4", mostRows: 4, tiles: 2, warps: 8, stages: 3, blocks: 2 },
    { name: "8", mostRows: 8, tiles: 2, warps: 16, stages: 2, blocks: 1 },
  ],
};
const PLAIN: Readonly<Record<Product, readonly Variant[]>> = {
  linear_stream: [{ name: "8", mostRows: 8, tiles: 1, warps: 8, stages: 3, blocks: 2 }],
  linear_gated: [{ name: "8", mostRows: 8, tiles: 2, warps: 8, stages: 3, blocks: 1 }],
};

/**
 * The kernel for this product, or for the swiglu of its two halves (`linear_gated`, whose halves must be whole tiles), and its
 * launch; nothing when another kernel must take it.
 */
export function streamingKernel(
  machine: Machine,
  product: Product,
  x: CudaTensor,
  weight: CudaWeight,
): (LaunchSize & { readonly kernel: string }) | undefined {
  if (product === "linear_gated" && weight.rows % (2 * TILE_OUTPUTS) !== 0) return undefined;
  const fourBit = weight.dtype === "q4_g128";
  const { multiprocessors, sharedBytes } = machine.device;
  const variant = (fourBit ? FOUR_BIT : PLAIN)[product].find(
    ({ mostRows, tiles, leastOutputs = 0, leastColumns = 0 }) =>
      x.rows <= mostRows &&
      weight.rows >= leastOutputs * multiprocessors &&
      (weight.columns >= leastColumns || weight.rows <= tiles * TILE_OUTPUTS * multiprocessors),
  );
  if (variant === undefined) return undefined;
  const kernel = `${product}_${weight.dtype}_${x.dtype}_${variant.name}`;
  const stageBytes = variant.tiles * (fourBit ? FOUR_BIT_TILE : TILE_OUTPUTS * UNIT * 2) + (fourBit ? x.rows * UNIT * 2 : 0);
  const shared = variant.warps * variant.stages * stageBytes + sumBytes(variant);
  if (!machine.has(kernel) || shared > sharedBytes) return undefined;
  const tiles = Math.ceil(weight.rows / (TILE_OUTPUTS * variant.tiles));
  const turns = Math.ceil(tiles / (variant.blocks * multiprocessors));
  return { kernel, grid: [Math.ceil(tiles / turns)], block: [32 * variant.warps], shared };
}

/** `StreamSums::Shared`: the warps' sums, twice unless there are many. */
function sumBytes({ mostRows, tiles, warps }: Variant): number {
  const across = Math.ceil(mostRows / 8);
  const buffers = tiles * across >= 4 ? 1 : 2;
  return buffers * warps * 8 * across * (tiles * TILE_OUTPUTS + 1) * 4;
}
