import type { LinearArgs } from "@infllm/tensor";
import { activationRows, f32Vector, ownWeight, rowsOf } from "../checks.ts";
import { MOST_WORKGROUPS } from "../machine.ts";
import type { Launch, Machine } from "../machine.ts";
import type { WebGpuTensor } from "../webgpu-tensor.ts";
import type { WebGpuWeight, WeightPart } from "../webgpu-weight.ts";
import { asFours, copiedBytes, pieces } from "./rows.ts";
import type { FourRows } from "./rows.ts";

/** Most rows of the kernel that reads every weight once, and outputs of its workgroups. */
const FEW_ROWS = 8;
const FEW_OUTPUTS = 4;
/** Rows and outputs of the tiles; the larger need half the reads, when there are enough for the GPU. */
const TILE = { small: 64, large: 128 };
const ENOUGH_TILES = 64;
/** Subgroup matrices gain more than an idle part of the GPU costs. */
const ENOUGH_MATRIX_TILES = 16;

interface Product {
  readonly x: FourRows;
  readonly weight: WebGpuWeight;
  readonly bias: WebGpuTensor | undefined;
  readonly out: WebGpuTensor;
}

/** out = x · weightᵀ + bias */
export function linear(machine: Machine, { x, weight, bias, out }: LinearArgs): void {
  const matrix = ownWeight(machine, "linear: weight", weight);
  const input = activationRows(machine, "linear: x", x, { columns: matrix.columns });
  const shape = { rows: input.rows, columns: matrix.rows };
  const to = rowsOf(machine, "linear: out", out, [machine.activation, "f32"], shape);
  const offsets = bias && f32Vector(machine, "linear: bias", bias, matrix.rows);
  const bytes = copiedBytes(input, to);
  const [scratch] = bytes > 0 ? machine.scratch("linear", bytes) : [];
  const product = { x: asFours(machine, input, scratch), weight: matrix, bias: offsets, out: to };
  for (const [first, end] of pieces(machine, input.rows, 2 * matrix.rows * matrix.columns)) {
    for (const part of matrix.parts) multiply(machine, product, part, first, end);
  }
}

function multiply(machine: Machine, { x, weight, bias, out }: Product, part: WeightPart, first: number, end: number): void {
  const { dtype, columns, layout } = weight;
  const rows = end - first;
  const outputs = part.to - part.from;
  const { bound: from, start4 } = x.bound(first, end);
  const target = out.bound(first, end);
  const offsets = bias?.bound() ?? machine.nothingRead;
  machine.launch({
    ...shapeOf(machine, rows, outputs),
    result: out.dtype === "f16" ? "f16" : "f32",
    weight: dtype,
    bind: [from, part.bound, offsets, target],
    params: (p) =>
      p
        .u32(rows, columns, outputs, layout.pitch, start4, x.stride4, target.start + part.from, out.rowStride)
        .u32(offsets.start + part.from, bias ? 1 : 0),
    cost: 2 * rows * outputs * columns,
  });
}

function shapeOf(machine: Machine, rows: number, outputs: number): Pick<Launch, "kernel" | "groups" | "constants"> {
  if (rows > FEW_ROWS) return tiled(machine, rows, outputs);
  const groups = Math.ceil(outputs / FEW_OUTPUTS);
  const across = Math.min(groups, MOST_WORKGROUPS);
  return {
    kernel: "linear-few",
    constants: { ROWS: rows === 1 ? 1 : FEW_ROWS },
    groups: [across, Math.ceil(groups / across)],
  };
}

function tiled({ activation, features, tiles }: Machine, rows: number, outputs: number): Pick<Launch, "kernel" | "groups" | "constants"> {
  const grid = (size: number) => [Math.ceil(outputs / size), Math.ceil(rows / size)] as const;
  const large = grid(TILE.large);
  const count = large[0] * large[1];
  if (activation === "f16" && features.subgroupMatrix && tiles.matrixDepth > 0 && count >= ENOUGH_MATRIX_TILES) {
    return { kernel: "linear-matrix", constants: { DEPTH: tiles.matrixDepth }, groups: large };
  }
  if (tiles.linearSlice > 0 && count >= ENOUGH_TILES) return { kernel: "linear-tile", constants: { SLICE: tiles.linearSlice }, groups: large };
  return { kernel: "linear", groups: grid(TILE.small) };
}
