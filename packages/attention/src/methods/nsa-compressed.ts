/** NSA's compressed keys and values of one layer and sequence; see `nsa.ts`. */
import { windowCount } from "@infllm/block-selection";
import type { DeviceTensor } from "@infllm/tensor";
import { headRows } from "./head-products.ts";
import type { AttendStep, LayerPlace } from "./method.ts";
import type { NsaOptions, NsaWeights } from "./nsa.ts";

export class NsaCompressed {
  /** `[runs of the whole context, kvHeads * headDim]` each; the first `count` are filled. */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  #count = 0;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: NsaOptions,
    private readonly weights: NsaWeights,
  ) {
    const { backend, kvHeads, headDim, contextLength } = place;
    const most = Math.max(1, this.runsBy(contextLength));
    this.k = backend.allocate(backend.capabilities.activation, [most, kvHeads * headDim]);
    this.v = backend.allocate(backend.capabilities.activation, [most, kvHeads * headDim]);
  }

  /** Runs that end within the first `tokens` tokens. */
  runsBy(tokens: number): number {
    return windowCount(tokens, this.options.compressSize, this.options.compressStride);
  }

  get count(): number {
    return this.#count;
  }

  /** Compresses what the step's rows complete; what was made of rows that it replaces is made again. */
  extend({ first, rows, k, v }: AttendStep): void {
    const { compressSize, compressStride } = this.options;
    this.#count = Math.min(this.#count, this.runsBy(first));
    const until = this.runsBy(first + rows);
    if (until <= this.#count) return;
    const from = this.#count * compressStride;
    const tokens = { rows: [from, (until - 1) * compressStride + compressSize] } as const;
    const { backend } = this.place;
    for (const [what, source, target] of [["keys", k, this.k], ["values", v, this.v]] as const) {
      backend.write(target, this.#compressed(what, backend.host.readNow(source.view(tokens)) as Float32Array, until - this.#count), this.#count);
    }
    this.#count = until;
  }

  release(): void {
    this.k.release();
    this.v.release();
  }

  /** f32 `[runs, kvHeads * headDim]` of tokens `[tokens, kvHeads * headDim]`. */
  #compressed(what: "keys" | "values", tokens: Float32Array, runs: number): Float32Array {
    const { kvHeads, headDim, layer } = this.place;
    const { compressSize, compressStride } = this.options;
    const compress = this.weights.compress ?? ((run: Float32Array) => mean(run, headDim));
    const out = new Float32Array(runs * kvHeads * headDim);
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const own = headRows(tokens, kvHeads * headDim, kvHead, headDim);
      for (let run = 0; run < runs; run++) {
        const from = run * compressStride * headDim;
        out.set(compress(own.subarray(from, from + compressSize * headDim), what, { layer, kvHead }), (run * kvHeads + kvHead) * headDim);
      }
    }
    return out;
  }
}

/** The mean of the rows, f32 `[headDim]`. */
function mean(rows: Float32Array, headDim: number): Float32Array {
  const count = rows.length / headDim;
  return Float32Array.from({ length: headDim }, (_, d) => {
    let sum = 0;
    for (let row = 0; row < count; row++) sum += rows[row * headDim + d] as number;
    return sum / count;
  });
}
