/** Matrix products and plain copies: what the attention ops are held against, and the ceilings of the machine. */
import type { ModelBackend } from "@infllm/command";
import { encodableDTypes, fromF32, isEncodable, random, toF32, UnsupportedError, type WeightDType } from "@infllm/tensor";
import { mustAgree } from "../check.ts";
import { measureAsync, type Sample } from "../measure.ts";
import { readF32, writeF32 } from "./attention-layer.ts";

export interface ProductSize {
  readonly rows: number;
  readonly columns: number;
  readonly outputs: number;
  readonly dtype: WeightDType;
}

/** x · weightᵀ, checked against float64 in some of its elements, then timed. */
export async function timeProduct(backend: ModelBackend, size: ProductSize, rounds: number): Promise<Sample> {
  const { rows, columns, outputs, dtype } = size;
  if (!isEncodable(dtype)) throw new UnsupportedError(`Weights of ${dtype} cannot be made here; use one of ${encodableDTypes.join(", ")}.`);
  const { activation } = backend.capabilities;
  const x = backend.allocate(activation, [rows, columns]);
  const out = backend.allocate(activation, [rows, outputs]);
  const weight = backend.neural.allocateWeight(outputs, columns, dtype);
  try {
    const numbers = random(1);
    writeF32(backend, x, numbers.normals(rows * columns));
    const bytes = fromF32(dtype, numbers.normals(outputs * columns));
    weight.writeRows(0, bytes);
    const task = (): void => backend.neural.linear({ x, weight, out });
    task();
    const [result, input] = [await readF32(backend, out), await readF32(backend, x)];
    const weights = toF32(dtype, bytes, outputs * columns);
    const picked = Array.from({ length: 500 }, (_, i) => (i * 7919) % (rows * outputs));
    const exact = picked.map((at) => dot(input, Math.floor(at / outputs) * columns, weights, (at % outputs) * columns, columns));
    mustAgree("linear", picked.map((at) => result[at] ?? Number.NaN), exact, activation === "f32" ? 1e-4 : 2e-2);
    const repeat = Math.max(1, Math.round(2e8 / (2 * rows * columns * outputs)));
    const { product } = await measureAsync({ product: task }, () => backend.sync(), { rounds, repeat });
    return product;
  } finally {
    for (const item of [x, out, weight]) item.release();
  }
}

/** Bytes per second that the embedding op moves when it copies a whole f32 table, rows in order: reads and writes. */
export async function timeCopy(backend: ModelBackend, bytes: number, rounds: number): Promise<Sample & { readonly bytes: number }> {
  const columns = 1024;
  const { activation } = backend.capabilities;
  const dtype = backend.capabilities.weights.includes(activation) ? activation : "f32";
  const width = dtype === "f32" ? 4 : 2;
  const rows = Math.max(1, Math.floor(bytes / (columns * width)));
  const table = backend.neural.allocateWeight(rows, columns, dtype);
  const ids = backend.allocate("i32", [rows]);
  const out = backend.allocate(activation, [rows, columns]);
  try {
    table.writeRows(0, new Uint8Array(rows * columns * width));
    backend.write(ids, Int32Array.from({ length: rows }, (_, row) => row));
    const { copy } = await measureAsync({ copy: () => backend.neural.embed({ ids, table, scale: 1, out }) }, () => backend.sync(), { rounds });
    return { ...copy, bytes: rows * columns * (width + (activation === "f32" ? 4 : 2)) };
  } finally {
    for (const item of [table, ids, out]) item.release();
  }
}

function dot(a: Float32Array, from: number, b: Float32Array, at: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += (a[from + i] ?? Number.NaN) * (b[at + i] ?? Number.NaN);
  return sum;
}
