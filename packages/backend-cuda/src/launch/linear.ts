import type { LinearArgs } from "@infllm/tensor";
import { activationRows, f32Vector, ownWeight, rowsOf } from "../checks.ts";
import { cublasLt } from "../cublaslt.ts";
import type { CublasLt, Product } from "../cublaslt.ts";
import type { CudaTensor } from "../cuda-tensor.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { LaunchSize, Machine } from "../machine.ts";
import { plainPitch } from "../weight-layout.ts";
import { fourBitMultiplies, multiplyFourBit } from "./linear-four-bit.ts";
import { launchLinear, weightIsOld } from "./launch-linear.ts";
import type { Operands } from "./launch-linear.ts";
import { hopperMultiplies, multiplyOnHopper } from "./linear-hopper.ts";
import { streamingKernel } from "./linear-stream.ts";
import { launchWhole, wholeKernel } from "./linear-whole.ts";
import { wideAccess } from "./wide-access.ts";

/** Most rows of the kernels that read every weight once. */
const FEW = [8, 16, 32] as const;
/** Outputs of a block of those, and its threads. */
const FEW_OUTPUTS = 16;
const FEW_THREADS = 256;
/** Rows of a tile with many rows; its outputs, which are its threads too; bytes of a row or output in its three stages. */
const TILE_ROWS = 128;
const TILE_OUTPUTS = { narrow: 128, wide: 256 } as const;
const STAGED_BYTES = 3 * 64 * 2;
/**
 * Rows from which a weight is wanted in the activations' type, by cuBLASLt or our Hopper kernels: bf16 x 4096 x 12288 on an
 * H200 takes cuBLASLt 29 µs, the kernels for few rows 33 with 8 rows and 69 with 32. Weights that must be converted first
 * stay with these for as many rows as they read them once for.
 */
const WIDE_ROWS = { same: 9, converted: 33, fourBit: 17 } as const;
/** Most scratch memory for a weight in the activations' type; larger ones are converted tile by tile. */
const MOST_CONVERTED = 512 * 1024 * 1024;

/** out = x · weightᵀ + bias */
export function linear(machine: Machine, { x, weight, bias, out }: LinearArgs): void {
  const matrix = ownWeight(machine, "linear: weight", weight);
  const input = activationRows(machine, "linear: x", x, { columns: matrix.columns });
  const shape = { rows: input.rows, columns: matrix.rows };
  const to = rowsOf(machine, "linear: out", out, [machine.activation, "f32"], shape);
  const operands = { x: input, weight: matrix, bias: bias && f32Vector(machine, "linear: bias", bias, matrix.rows), out: to };
  if (input.rows === 0) return;
  const from = matrix.dtype === input.dtype ? WIDE_ROWS.same : matrix.dtype === "q4_g128" ? WIDE_ROWS.fourBit : WIDE_ROWS.converted;
  if (input.rows >= from && multiplyWide(machine, operands)) return;
  multiplyByKernel(machine, operands);
}

/** By cuBLASLt, or where it is missing or has no algorithm by our Hopper kernels; false when neither can. */
function multiplyWide(machine: Machine, operands: Operands): boolean {
  const { x, weight, bias, out } = operands;
  const pitch = plainPitch(weight.columns);
  const converts = weight.dtype !== x.dtype;
  if (converts && weight.rows * pitch * 2 > MOST_CONVERTED) return false;
  const product: Product = {
    rows: x.rows,
    columns: weight.columns,
    outs: weight.rows,
    type: machine.activation,
    outType: out.dtype === "f32" ? "f32" : machine.activation,
    x,
    weight: { address: weight.address, rowStride: pitch },
    out,
    bias,
  };
  if (weight.dtype === "q4_g128" && fourBitMultiplies(machine, product)) {
    multiplyFourBit(machine, product, weight, weightIsOld(machine));
    return true;
  }
  const library = libraryFor(machine, operands, product);
  if (library === undefined && !hopperMultiplies(machine, product)) return false;
  const roundsBias = library !== undefined && bias !== undefined && product.outType !== "f32";
  const prepared = converts || roundsBias ? convert(machine, operands, product, { converts, roundsBias }) : product;
  if (library !== undefined) library.multiply(prepared);
  else multiplyOnHopper(machine, prepared, weightIsOld(machine));
  return true;
}

/** The product with copies of its weight or bias, or both, in the activations' type. */
function convert(
  machine: Machine,
  { weight, bias }: Operands,
  product: Product,
  { converts, roundsBias }: { readonly converts: boolean; readonly roundsBias: boolean },
): Product {
  const { rowStride } = product.weight;
  const [weightCopy = 0, biasCopy = 0] = machine.scratch("linear", converts ? weight.rows * rowStride * 2 : 0, roundsBias ? weight.rows * 2 : 0);
  if (converts) convertWeight(machine, weight, weightCopy);
  if (roundsBias && bias !== undefined) roundBias(machine, bias, biasCopy);
  return {
    ...product,
    weight: converts ? { address: weightCopy, rowStride } : product.weight,
    bias: roundsBias ? { address: biasCopy } : bias,
  };
}

/** The library is fast with aligned rows only. */
function libraryFor(machine: Machine, { x, out }: Operands, product: Product): CublasLt | undefined {
  const outBytes = out.dtype === "f32" ? 4 : 2;
  const aligned = wideAccess(x.columns, x) === 1 && out.address % 16 === 0 && (out.rowStride * outBytes) % 16 === 0;
  const library = aligned ? cublasLt(machine) : undefined;
  return library?.supports(product) ? library : undefined;
}

/** The whole weight in the activations' type: the embedding kernel without ids takes every row. */
function convertWeight(machine: Machine, weight: CudaWeight, to: number): void {
  const threads = Math.min(256, 32 * Math.ceil(weight.columns / 32 / 32));
  machine.launch(`embed_${weight.dtype}_${machine.activation}`, { grid: [weight.rows], block: [threads] }, (args) =>
    args.pointer(0).pointer(weight.address).pointer(to).i64(plainPitch(weight.columns)).i32(weight.rows).i32(weight.columns).f32(1),
  );
}

/** The library adds biases of the result's type only: to the embedding kernel they are a table of one row. */
function roundBias(machine: Machine, bias: CudaTensor, to: number): void {
  machine.launch(`embed_f32_${machine.activation}`, { grid: [1], block: [512] }, (args) =>
    args.pointer(0).pointer(bias.address).pointer(to).i64(bias.rows).i32(1).i32(bias.rows).f32(1),
  );
}

function multiplyByKernel(machine: Machine, operands: Operands): void {
  const { x, weight } = operands;
  const whole = wholeKernel(machine, "linear_whole", x.rows, weight);
  if (whole !== undefined) launchWhole(machine, whole, operands);
  else launchLinear(machine, streamingKernel(machine, "linear_stream", x, weight) ?? kernelFor(machine, x, weight), operands);
}

function kernelFor(machine: Machine, x: CudaTensor, weight: CudaWeight): LaunchSize & { readonly kernel: string } {
  const types = `${weight.dtype}_${x.dtype}`;
  const few = weight.dtype === "q4_g128" ? undefined : FEW.find((most) => x.rows <= most);
  if (few !== undefined) {
    return { kernel: `linear_few_${types}_${few}`, grid: [Math.ceil(weight.rows / FEW_OUTPUTS)], block: [FEW_THREADS] };
  }
  const tiles = (outputs: number): readonly [number, number] => [Math.ceil(x.rows / TILE_ROWS), Math.ceil(weight.rows / outputs)];
  const shared = (outputs: number): number => (TILE_ROWS + outputs) * STAGED_BYTES;
  const { narrow, wide } = TILE_OUTPUTS;
  const [down, across] = tiles(wide);
  const { multiprocessors, sharedBytes } = machine.device;
  // Wide tiles read less from L2; they pay when there is one for every multiprocessor.
  if (weight.dtype === x.dtype && down * across >= multiprocessors && shared(wide) <= sharedBytes) {
    return { kernel: `linear_wide_${x.dtype}`, grid: [down, across], block: [wide], shared: shared(wide) };
  }
  return { kernel: `linear_many_${types}`, grid: tiles(narrow), block: [narrow], shared: shared(narrow) };
}
