import type { LinearArgs } from "@infllm/tensor";
import { activationRows, f32Vector, ownWeight, rowsOf } from "../checks.ts";
import { cublasLt } from "../cublaslt.ts";
import type { CudaTensor } from "../cuda-tensor.ts";
import type { CudaWeight } from "../cuda-weight.ts";
import type { LaunchSize, Machine } from "../machine.ts";
import { plainPitch } from "../weight-layout.ts";
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
 * Rows from which cuBLASLt is asked: bf16 x 4096 x 12288 on an H200 takes it 29 µs, our kernels 33 with 8 rows and 69 with
 * 32. Weights that must be converted first stay with our kernels for as many rows as these read them once for.
 */
const LIBRARY_ROWS = { same: 9, converted: 33 } as const;
/** Most scratch memory for a weight in the activations' type; larger ones are converted tile by tile. */
const MOST_CONVERTED = 512 * 1024 * 1024;

interface Operands {
  readonly x: CudaTensor;
  readonly weight: CudaWeight;
  readonly bias: CudaTensor | undefined;
  readonly out: CudaTensor;
}

/** out = x · weightᵀ + bias */
export function linear(machine: Machine, { x, weight, bias, out }: LinearArgs): void {
  const matrix = ownWeight(machine, "linear: weight", weight);
  const input = activationRows(machine, "linear: x", x, { columns: matrix.columns });
  const shape = { rows: input.rows, columns: matrix.rows };
  const to = rowsOf(machine, "linear: out", out, [machine.activation, "f32"], shape);
  const operands = { x: input, weight: matrix, bias: bias && f32Vector(machine, "linear: bias", bias, matrix.rows), out: to };
  if (input.rows === 0) return;
  const from = matrix.dtype === input.dtype ? LIBRARY_ROWS.same : LIBRARY_ROWS.converted;
  if (input.rows >= from && multiplyByLibrary(machine, operands)) return;
  multiplyByKernel(machine, operands);
}

/** The library takes no f32 bias beside 16-bit results, and is fast with aligned rows only. */
function multiplyByLibrary(machine: Machine, { x, weight, bias, out }: Operands): boolean {
  const outBytes = out.dtype === "f32" ? 4 : 2;
  const aligned = wideAccess(x.columns, x) === 1 && out.address % 16 === 0 && (out.rowStride * outBytes) % 16 === 0;
  if (bias !== undefined || !aligned) return false;
  const pitch = plainPitch(weight.columns);
  const converted = weight.dtype !== x.dtype;
  if (converted && weight.rows * pitch * 2 > MOST_CONVERTED) return false;
  const library = cublasLt(machine);
  if (library === undefined) return false;
  const address = converted ? convert(machine, weight, pitch) : weight.address;
  return library.multiply({
    rows: x.rows,
    columns: weight.columns,
    outs: weight.rows,
    type: machine.activation,
    outType: out.dtype === "f32" ? "f32" : machine.activation,
    x,
    weight: { address, rowStride: pitch },
    out,
  });
}

/** The whole weight in the activations' type, in scratch memory: the embedding kernel without ids takes every row. */
function convert(machine: Machine, weight: CudaWeight, pitch: number): number {
  const [address = 0] = machine.scratch("linear", weight.rows * pitch * 2);
  const threads = Math.min(256, 32 * Math.ceil(weight.columns / 32 / 32));
  machine.launch(`embed_${weight.dtype}_${machine.activation}`, { grid: [weight.rows], block: [threads] }, (args) =>
    args.pointer(0).pointer(weight.address).pointer(address).i64(pitch).i32(weight.rows).i32(weight.columns).f32(1),
  );
  return address;
}

function multiplyByKernel(machine: Machine, { x, weight, bias, out }: Operands): void {
  const { kernel, ...size } = kernelFor(machine, x, weight);
  // With few rows, weights are read before the kernel waits for the launch before it: that must not be their own writing.
  const overlap = !machine.lastKernel.startsWith("pack_weight");
  machine.launch(kernel, { ...size, overlap }, (args) =>
    args.struct((op) =>
      op
        .pointer(x.address)
        .i64(x.rowStride)
        .pointer(weight.address)
        .pointer(bias?.address ?? 0)
        .pointer(out.address)
        .i64(out.rowStride)
        .i32(x.rows)
        .i32(weight.columns)
        .i32(weight.rows)
        .i32(out.dtype === "f32" ? 1 : 0)
        .i32(wideAccess(x.columns, x)),
    ),
  );
}

function kernelFor(machine: Machine, x: CudaTensor, weight: CudaWeight): LaunchSize & { readonly kernel: string } {
  const types = `${weight.dtype}_${x.dtype}`;
  const few = FEW.find((most) => x.rows <= most);
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
