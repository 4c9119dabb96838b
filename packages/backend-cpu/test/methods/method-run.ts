/** Runs an attention method over random inputs, and what definitions of methods are written with. */
import { BatchState, KvCache, attendLayer } from "@infllm/attention";
import { methodBackend } from "@infllm/attention/methods";
import type { AttentionMethod } from "@infllm/attention/methods";
import { random } from "@infllm/tensor";
import { expect } from "vitest";
import { cpuBackend, referenceBackend } from "../../src/index.ts";

export interface MethodCase {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly length: number;
  readonly seed: number;
  /** Multiplies keys, so that some tokens clearly matter more than others. */
  readonly sharpness?: number;
}

/** q `[length, heads, headDim]`, k and v `[length, kvHeads, headDim]`, all before RoPE. */
export interface MethodInputs extends MethodCase {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly frequencies: Float32Array;
}

export function methodInputs(shape: MethodCase): MethodInputs {
  const { normals } = random(shape.seed);
  const { heads, kvHeads, headDim, length, sharpness = 1 } = shape;
  return {
    ...shape,
    q: normals(length * heads * headDim),
    k: normals(length * kvHeads * headDim, sharpness),
    v: normals(length * kvHeads * headDim),
    frequencies: Float32Array.from({ length: headDim / 2 }, (_, i) => 100 ** ((-2 * i) / headDim)),
  };
}

/** One head's vector, rotated for a position: f64 `[headDim]`. */
export function rotated({ headDim, frequencies }: MethodInputs, data: Float32Array, from: number, position: number): Float64Array {
  const half = headDim / 2;
  return Float64Array.from({ length: headDim }, (_, i) => {
    const pair = i % half;
    const angle = position * (frequencies[pair] ?? NaN);
    const [x, y] = [data[from + pair] ?? NaN, data[from + pair + half] ?? NaN];
    return i < half ? x * Math.cos(angle) - y * Math.sin(angle) : y * Math.cos(angle) + x * Math.sin(angle);
  });
}

/** Where a token's logit comes from: the positions that query and key are given, or undefined when the token is masked. */
export type Sight = (row: number, head: number, token: number) => readonly [query: number, key: number] | undefined;

/** Softmax attention as `sight` says, one pair at a time, in float64: `[length, heads, headDim]`. */
export function attendAs(inputs: MethodInputs, sight: Sight): Float64Array {
  const { heads, kvHeads, headDim, length, q, k, v } = inputs;
  const out = new Float64Array(length * heads * headDim);
  for (let row = 0; row < length; row++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const at = (row * heads + head) * headDim;
      let total = 0;
      for (let token = 0; token < length; token++) {
        const positions = sight(row, head, token);
        if (positions === undefined) continue;
        const from = (token * kvHeads + kvHead) * headDim;
        const query = rotated(inputs, q, at, positions[0]);
        const key = rotated(inputs, k, from, positions[1]);
        const weight = Math.exp(query.reduce((sum, value, d) => sum + value * (key[d] ?? NaN), 0) / Math.sqrt(headDim));
        total += weight;
        for (let d = 0; d < headDim; d++) out[at + d] = (out[at + d] ?? NaN) + weight * (v[from + d] ?? NaN);
      }
      for (let d = 0; d < headDim; d++) out[at + d] = (out[at + d] ?? NaN) / total;
    }
  }
  return out;
}

/** q · k, rotated for the given positions. */
export function dotAt(inputs: MethodInputs, row: number, head: number, token: number, query: number, key: number): number {
  const { heads, kvHeads, headDim, q, k } = inputs;
  const kvHead = Math.floor((head * kvHeads) / heads);
  const a = rotated(inputs, q, (row * heads + head) * headDim, query);
  const b = rotated(inputs, k, (token * kvHeads + kvHead) * headDim, key);
  return a.reduce((sum, value, d) => sum + value * (b[d] ?? NaN), 0);
}

/** What the method makes of the inputs when they come in chunks of these sizes; the last size repeats. */
export async function runMethod(method: AttentionMethod, inputs: MethodInputs, chunks: readonly number[], kind: "cpu" | "reference" = "cpu") {
  const { heads, kvHeads, headDim, length, frequencies } = inputs;
  const plain = kind === "cpu" ? await cpuBackend({ threads: 2 }) : referenceBackend();
  const backend = methodBackend(plain, method, { frequencies });
  const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength: length });
  const sequence = cache.addSequence();
  const state = BatchState.allocate(backend, cache, { rows: length, sequences: 1 });
  const out = new Float32Array(length * heads * headDim);
  const rotatedRows = (data: Float32Array, count: number, from: number, rows: number) => {
    const tensor = backend.allocate("f32", [rows, count * headDim]);
    const values: number[] = [];
    for (let row = from; row < from + rows; row++) {
      for (let head = 0; head < count; head++) values.push(...rotated(inputs, data, (row * count + head) * headDim, row));
    }
    backend.write(tensor, Float32Array.from(values));
    return tensor;
  };
  const [layer] = cache.layers;
  if (layer === undefined) throw new Error("The cache has one layer.");
  for (let from = 0, i = 0; from < length; i++) {
    const rows = Math.min(chunks[Math.min(i, chunks.length - 1)] ?? length, length - from);
    state.set([{ sequence, count: rows }]);
    const [q, k] = [rotatedRows(inputs.q, heads, from, rows), rotatedRows(inputs.k, kvHeads, from, rows)];
    const v = backend.allocate("f32", [rows, kvHeads * headDim]);
    backend.write(v, inputs.v.subarray(from * kvHeads * headDim, (from + rows) * kvHeads * headDim));
    const to = backend.allocate("f32", [rows, heads * headDim]);
    attendLayer(backend, { q, k, v, cache: layer, batch: state.batch, scale: 1 / Math.sqrt(headDim), sparse: false, out: to });
    out.set((await backend.read(to)) as Float32Array, from * heads * headDim);
    for (const tensor of [q, k, v, to]) tensor.release();
    from += rows;
  }
  state.release();
  cache.close();
  // The kernels keep their scratch memory; the reference has none.
  const leaked = kind === "reference" ? plain.memory().used : 0;
  await plain.close();
  return { out, leaked };
}

export function expectClose(actual: ArrayLike<number>, expected: Float64Array, digits = 4): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => expect(actual[i], `element ${i}`).toBeCloseTo(value, digits));
}
