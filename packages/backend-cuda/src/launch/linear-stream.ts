/** Which products the kernels of linear-stream.cu take: few rows, weights of 4 bits or of the activations' type. */
import type { CudaTensor } from "../cuda-tensor.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { LaunchSize, Machine } from "../machine.ts";

/** How a kernel was compiled: its warps, the tiles that each has on their way, blocks a multiprocessor. */
interface Variant {
  readonly warps: number;
  readonly stages: number;
  readonly blocks: number;
}

const TILE_OUTPUTS = 16;
const FOUR_BIT = { tileBytes: 1088, variants: { 8: { warps: 8, stages: 6, blocks: 3 }, 16: { warps: 8, stages: 6, blocks: 2 } } } as const;
const PLAIN = { tileBytes: 4096, variants: { 8: { warps: 8, stages: 3, blocks: 2 }, 16: undefined } } as const;

/** The kernel for this product and its launch; nothing when another kernel must take it. */
export function streamingKernel(machine: Machine, x: CudaTensor, weight: CudaWeight): (LaunchSize & { readonly kernel: string }) | undefined {
  if (x.rows > 16) return undefined;
  const rows = x.rows <= 8 ? 8 : 16;
  const kernel = `linear_stream_${weight.dtype}_${x.dtype}_${rows}`;
  const { tileBytes, variants } = weight.dtype === "q4_g128" ? FOUR_BIT : PLAIN;
  const variant: Variant | undefined = variants[rows];
  if (variant === undefined || !machine.has(kernel)) return undefined;
  const { warps, stages, blocks } = variant;
  const shared = warps * stages * tileBytes;
  if (shared > machine.device.sharedBytes) return undefined;
  const tiles = Math.ceil(weight.rows / TILE_OUTPUTS);
  const turns = Math.ceil(tiles / (blocks * machine.device.multiprocessors));
  return { kernel, grid: [Math.ceil(tiles / turns)], block: [32 * warps], shared };
}
