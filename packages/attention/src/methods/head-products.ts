/** Products of some queries with all keys, by the backend's matrix product. */
import { UnsupportedError } from "@infllm/tensor";
import type { DeviceTensor, NeuralOps, WeightMatrix } from "@infllm/tensor";
import type { HostSteeredBackend } from "./method.ts";
import { ScratchRows } from "./scratch-rows.ts";

/** The keys of one KV head, held as a matrix. Release it. */
export class HeadKeys {
  readonly #neural: NeuralOps;
  readonly #keys: WeightMatrix;
  readonly #queries: ScratchRows;
  readonly #products: ScratchRows;

  /** @param keys f32 `[tokens, headDim]`. @throws UnsupportedError when the backend multiplies no matrices */
  constructor(
    private readonly backend: HostSteeredBackend,
    keys: Float32Array,
    headDim: number,
  ) {
    if (backend.neural === undefined) {
      throw new UnsupportedError(`Scores of many keys need a matrix product, which this backend (${backend.capabilities.description}) lacks. Use the cpu backend.`);
    }
    this.#neural = backend.neural;
    const tokens = keys.length / headDim;
    this.#keys = this.#neural.allocateWeight(tokens, headDim, "f32");
    this.#keys.writeRows(0, new Uint8Array(keys.buffer, keys.byteOffset, keys.byteLength));
    this.#queries = new ScratchRows(backend, headDim);
    this.#products = new ScratchRows(backend, tokens);
  }

  /** f32 `[queries, tokens]`: q · k. `queries` is f32 `[queries, headDim]`. */
  products(queries: Float32Array): Float32Array {
    const x: DeviceTensor = this.#queries.filled(queries);
    const out = this.#products.rows(x.shape[0] ?? 0);
    this.#neural.linear({ x, weight: this.#keys, out });
    return this.backend.host.readNow(out) as Float32Array;
  }

  release(): void {
    this.#keys.release();
    this.#queries.release();
    this.#products.release();
  }
}

/** The columns of one head: f32 `[rows, headDim]` of `[rows, width]`. */
export function headRows(rows: Float32Array, width: number, head: number, headDim: number): Float32Array {
  const own = new Float32Array((rows.length / width) * headDim);
  for (let row = 0; row < rows.length / width; row++) {
    const at = row * width + head * headDim;
    own.set(rows.subarray(at, at + headDim), row * headDim);
  }
  return own;
}

/**
 * Products to probabilities in place: softmax of every row over its first `visible(row)` tokens, 0 beyond them.
 * @param products f32 `[rows, tokens]`
 */
export function softmaxRows(products: Float32Array, tokens: number, scale: number, visible: (row: number) => number): void {
  for (let row = 0; row < products.length / tokens; row++) {
    const own = products.subarray(row * tokens, (row + 1) * tokens);
    const end = Math.min(tokens, Math.max(0, visible(row)));
    let top = -Infinity;
    for (let i = 0; i < end; i++) top = Math.max(top, own[i] as number);
    let sum = 0;
    for (let i = 0; i < end; i++) sum += own[i] = Math.exp(scale * ((own[i] as number) - top));
    for (let i = 0; i < end; i++) own[i] = (own[i] as number) / sum;
    own.fill(0, end);
  }
}
