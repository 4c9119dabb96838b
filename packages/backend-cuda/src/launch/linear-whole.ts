/** Products of very few rows with 4-bit weights in whole numbers, and what they take along: kernels/linear-whole.cu. */
import type { AddLinearArgs, DeviceTensor, NormBefore, NormGatedLinearArgs, NormLinearArgs, WeightMatrix } from "@infllm/tensor";
import { UnsupportedError } from "@infllm/tensor";
import { activationRows, f32Vector, ownWeight, rowsOf } from "../checks.ts";
import type { CudaTensor } from "../cuda-tensor.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { LaunchSize, Machine } from "../machine.ts";
import { launchLinear } from "./launch-linear.ts";
import type { Operands } from "./launch-linear.ts";

type Product = "linear_whole" | "gated_whole";
export type Launch = LaunchSize & { readonly kernel: string };

/** How a kernel was compiled, and which matrices it is for. */
interface Variant {
  readonly name: string;
  readonly mostRows: number;
  readonly warps: number;
  /** Pairs of tiles on their way to a warp. */
  readonly stages: number;
  /** Blocks a multiprocessor. */
  readonly blocks: number;
  readonly leastColumns?: number;
  /** Only for matrices with so many outputs for each multiprocessor, or with at most so many. */
  readonly leastOutputs?: number;
  readonly mostOutputs?: number;
}

const TILE_BYTES = 1088;
/** Two tiles of 16, which a warp takes at a time. */
const OUTPUTS = 32;
const UNIT = 128;
/** `WholeRows`: bytes of a row's unit. */
const UNIT_BYTES = 420;
/** Rows up to which norms and additions are taken along. */
const MOST_FUSED = 2;

const variants: Readonly<Record<Product, readonly Variant[]>> = {
  linear_whole: [
    { name: "2_long", mostRows: 2, warps: 16, stages: 3, blocks: 1, leastColumns: 8192 },
    { name: "2_even", mostRows: 2, warps: 16, stages: 2, blocks: 1, leastColumns: 8192 },
    { name: "2_even", mostRows: 2, warps: 16, stages: 2, blocks: 1, leastOutputs: OUTPUTS, mostOutputs: 2 * OUTPUTS },
    { name: "2", mostRows: 2, warps: 8, stages: 4, blocks: 2 },
    { name: "4", mostRows: 4, warps: 16, stages: 2, blocks: 1, leastOutputs: 128 },
  ],
  gated_whole: [
    { name: "2", mostRows: 2, warps: 8, stages: 4, blocks: 2 },
    { name: "4", mostRows: 4, warps: 16, stages: 2, blocks: 1, leastOutputs: 128 },
  ],
};

/** The kernel for this product, or for the swiglu of its two halves, and its launch; nothing when another kernel must take it. */
export function wholeKernel(machine: Machine, product: Product, rows: number, weight: CudaWeight): Launch | undefined {
  const { multiprocessors, sharedBytes } = machine.device;
  if (weight.dtype !== "q4_g128" || (product === "gated_whole" && weight.rows % OUTPUTS !== 0)) return undefined;
  for (const variant of variants[product]) {
    const { name, mostRows, warps, blocks, leastColumns = 0, leastOutputs = 0, mostOutputs = Infinity } = variant;
    const outputs = weight.rows / multiprocessors;
    if (rows > mostRows || weight.columns < leastColumns || outputs < leastOutputs || outputs > mostOutputs) continue;
    const kernel = `${product}_q4_g128_${machine.activation}_${name}`;
    const shared = sharedBytesOf(variant, rows, weight.columns);
    if (shared > sharedBytes || !machine.has(kernel)) continue;
    const tiles = Math.ceil(weight.rows / OUTPUTS);
    const turns = Math.ceil(tiles / (blocks * multiprocessors));
    return { kernel, grid: [Math.ceil(tiles / turns)], block: [32 * warps], shared };
  }
  return undefined;
}

/** `linear_whole`: the tiles on their way, x, the warps' sums twice and their sums of squares. */
function sharedBytesOf({ mostRows, warps, stages }: Variant, rows: number, columns: number): number {
  const sums = 2 * warps * 2 * mostRows * (OUTPUTS + 1) + mostRows * warps;
  return warps * stages * 2 * TILE_BYTES + (columns / UNIT) * rows * UNIT_BYTES + 4 * sums;
}

/** Is a product with this weight and so many rows faster with the norm before or the addition after it? */
export function suitsFused(machine: Machine, weight: WeightMatrix, rows: number): boolean {
  const matrix = ownWeight(machine, "suits: weight", weight);
  return rows <= MOST_FUSED && matrix.rows % OUTPUTS === 0 && wholeKernel(machine, "linear_whole", rows, matrix) !== undefined;
}

/** out = rmsNorm(x) · weightᵀ + bias */
export function normLinear(machine: Machine, { x, norm, weight, bias, out }: NormLinearArgs): void {
  const { matrix, input } = operandsOf(machine, "normLinear", x, weight);
  const to = rowsOf(machine, "normLinear: out", out, [machine.activation, "f32"], { rows: input.rows, columns: matrix.rows });
  const operands = { x: input, weight: matrix, bias: bias && f32Vector(machine, "normLinear: bias", bias, matrix.rows), out: to };
  multiply(machine, "normLinear", "linear_whole", operands, { norm });
}

/** out = swiglu(rmsNorm(x) · weightᵀ) */
export function normGatedLinear(machine: Machine, { x, norm, weight, out }: NormGatedLinearArgs): void {
  const { matrix, input } = operandsOf(machine, "normGatedLinear", x, weight);
  const to = activationRows(machine, "normGatedLinear: out", out, { rows: input.rows, columns: matrix.rows / 2 });
  multiply(machine, "normGatedLinear", "gated_whole", { x: input, weight: matrix, bias: undefined, out: to }, { norm });
}

/** out += scale · (x · weightᵀ + bias) */
export function addLinear(machine: Machine, { x, weight, bias, out, scale }: AddLinearArgs): void {
  const { matrix, input } = operandsOf(machine, "addLinear", x, weight);
  const to = activationRows(machine, "addLinear: out", out, { rows: input.rows, columns: matrix.rows });
  const operands = { x: input, weight: matrix, bias: bias && f32Vector(machine, "addLinear: bias", bias, matrix.rows), out: to };
  multiply(machine, "addLinear", "linear_whole", operands, { added: { stream: to, scale } });
}

function operandsOf(machine: Machine, op: string, x: DeviceTensor, weight: WeightMatrix): { readonly matrix: CudaWeight; readonly input: CudaTensor } {
  const matrix = ownWeight(machine, `${op}: weight`, weight);
  return { matrix, input: activationRows(machine, `${op}: x`, x, { columns: matrix.columns }) };
}

interface Surroundings {
  readonly norm?: NormBefore;
  readonly added?: { readonly stream: CudaTensor; readonly scale: number };
}

function multiply(machine: Machine, op: string, product: Product, operands: Operands, around: Surroundings): void {
  const { x, weight } = operands;
  if (x.rows === 0) return;
  const launch = wholeKernel(machine, product, x.rows, weight);
  if (launch === undefined) {
    throw new UnsupportedError(`${op}: no kernel takes ${x.rows} rows with a ${weight.dtype} weight [${weight.rows}, ${weight.columns}]. Ask suits first, and run the parts where it says no.`);
  }
  launchWhole(machine, launch, operands, around);
}

/** `Linear`, then `Around` of kernels/linear-whole.cuh. */
export function launchWhole(machine: Machine, launch: Launch, operands: Operands, { norm, added }: Surroundings = {}): void {
  const gains = norm && f32Vector(machine, "norm.weight", norm.weight, operands.weight.columns);
  launchLinear(machine, launch, operands, (args) =>
    args.struct((fields) =>
      fields
        .pointer(gains?.address ?? 0)
        .pointer(added?.stream.address ?? 0)
        .i64(added?.stream.rowStride ?? 0)
        .f32(norm?.epsilon ?? 0)
        .f32(added?.scale ?? 0),
    ),
  );
}
