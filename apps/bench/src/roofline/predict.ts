/**
 * The least time that every op of a model can take: work over FLOP/s or bytes over bandwidth, whichever is longer, with
 * every operand moved once. One sequence; prefill is the whole prompt, decode the next token behind it.
 */
import { blockBudget } from "@infllm/block-selection";
import { matrixParameters, type ModelShape } from "../shapes.ts";
import type { Hardware } from "./hardware.ts";

export type Phase = "prefill" | "decode";
export type Op = "linear" | "attendDense" | "compress" | "select" | "attendBlocks";

interface Work {
  readonly flop: number;
  readonly bytes: number;
}

/** Seconds of every op over all layers. */
export type OpTimes = Readonly<Record<Op, number>>;

export interface Prediction {
  readonly ops: OpTimes;
  /** Seconds of the step, dense and sparse. Sparse is dense below the model's `denseLen`. */
  readonly dense: number;
  readonly sparse: number;
}

export function predict(shape: ModelShape, hardware: Hardware, phase: Phase, length: number): Prediction {
  const rows = phase === "prefill" ? length : 1;
  const seconds = (work: Work): number => Math.max(work.flop / hardware.flops, work.bytes / hardware.bandwidth);
  const perLayer = (work: Work): number => shape.layers * seconds(work);
  const ops: OpTimes = {
    linear: seconds(linearWork(shape, hardware, rows)),
    attendDense: perLayer(denseWork(shape, hardware, rows, length)),
    compress: perLayer(compressWork(shape, hardware, rows)),
    select: perLayer(selectWork(shape, hardware, rows, length)),
    attendBlocks: perLayer(blocksWork(shape, hardware, rows, length)),
  };
  const dense = ops.linear + ops.attendDense;
  const sparse = length < shape.sparse.denseLen ? dense : ops.linear + ops.compress + ops.select + ops.attendBlocks;
  return { ops, dense, sparse };
}

/** One layer's attention op over the last `rows` of `length` tokens: what the `kernels` suite times. */
export function predictOp(shape: ModelShape, hardware: Hardware, op: "attendDense" | "select" | "attendBlocks", rows: number, length: number): number {
  const work = { attendDense: denseWork, select: selectWork, attendBlocks: blocksWork }[op](shape, hardware, rows, length);
  return Math.max(work.flop / hardware.flops, work.bytes / hardware.bandwidth);
}

/** Every matrix once; the output matrix for one row only. */
function linearWork(shape: ModelShape, { weightBytes, activationBytes }: Hardware, rows: number): Work {
  const output = shape.vocabulary * shape.hidden;
  const layers = matrixParameters(shape) - output;
  const widths = shape.layers * (4 * shape.hidden + 2 * shape.headDim * (shape.heads + shape.kvHeads) + 3 * shape.intermediate);
  return { flop: 2 * (rows * layers + output), bytes: (layers + output) * weightBytes + rows * widths * activationBytes };
}

function denseWork(shape: ModelShape, hardware: Hardware, rows: number, length: number): Work {
  const keys = sumOfKeys(rows, length, length);
  return { flop: 4 * shape.heads * shape.headDim * keys, bytes: queryBytes(shape, hardware, rows) + cacheBytes(shape, hardware, length) };
}

/** Reads the new keys, writes their means. */
function compressWork({ kvHeads, headDim, sparse }: ModelShape, { cacheBytes, activationBytes }: Hardware, rows: number): Work {
  const elements = rows * kvHeads * headDim;
  const means = (elements / sparse.kernelStride) * 1.25;
  return { flop: elements * (sparse.kernelSize / sparse.kernelStride) * 2, bytes: elements * cacheBytes + means * activationBytes };
}

/** One pass over the fine keys for the scores, and one over the coarse or the fine ones for their LSE. */
function selectWork(shape: ModelShape, hardware: Hardware, rows: number, length: number): Work {
  const { kernelStride, lse } = shape.sparse;
  const passes = lse === "approx" ? 1.25 : 2;
  const windows = sumOfKeys(rows, length, length) / kernelStride;
  const stored = ((lse === "approx" ? 1.25 : 1) * length) / kernelStride;
  const bytes = queryBytes(shape, hardware, rows) / 2 + stored * shape.kvHeads * shape.headDim * hardware.activationBytes;
  return { flop: 2 * passes * shape.heads * shape.headDim * windows, bytes };
}

function blocksWork(shape: ModelShape, hardware: Hardware, rows: number, length: number): Work {
  const budget = blockBudget(shape.sparse) * shape.sparse.blockSize;
  const keys = sumOfKeys(rows, length, budget);
  const read = rows === 1 ? Math.min(length, budget) : length;
  return { flop: 4 * shape.heads * shape.headDim * keys, bytes: queryBytes(shape, hardware, rows) + cacheBytes(shape, hardware, read) };
}

/** Keys that the last `rows` of `length` queries see together, each at most `most`. */
function sumOfKeys(rows: number, length: number, most: number): number {
  const first = length - rows + 1;
  if (first >= most) return rows * most;
  const last = Math.min(length, most);
  const growing = ((first + last) * (last - first + 1)) / 2;
  return growing + Math.max(0, length - most) * most;
}

/** Queries in and outputs out. */
function queryBytes({ heads, headDim }: ModelShape, { activationBytes }: Hardware, rows: number): number {
  return 2 * rows * heads * headDim * activationBytes;
}

/** Keys and values of so many tokens. */
function cacheBytes({ kvHeads, headDim }: ModelShape, hardware: Hardware, tokens: number): number {
  return 2 * tokens * kvHeads * headDim * hardware.cacheBytes;
}
