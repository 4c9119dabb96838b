/** NSA of one layer over one sequence; see `nsa.ts`. */
import type { DeviceTensor } from "@infllm/tensor";
import { HeadKeys, headRows, softmaxRows } from "./head-products.ts";
import { largest } from "./largest.ts";
import type { AttendStep, LayerPlace, SequenceAttention } from "./method.ts";
import { NsaCompressed } from "./nsa-compressed.ts";
import type { NsaOptions, NsaSeconds, NsaWeights } from "./nsa.ts";
import { ScratchRows } from "./scratch-rows.ts";
import { TokenLists, rowBounds, sharedLists, windowOf } from "./token-lists.ts";

/** Rows whose compressed probabilities are held at once. */
const SELECTION_ROWS = 512;

/** f32 `[rows, heads * headDim]` of each branch. */
type Branches = readonly [compressed: Float32Array, selected: Float32Array, window: Float32Array];

export class NsaAttention implements SequenceAttention {
  readonly #compressed: NsaCompressed;
  readonly #outputs: ScratchRows;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: NsaOptions,
    private readonly weights: NsaWeights,
    private readonly seconds: NsaSeconds,
  ) {
    this.#compressed = new NsaCompressed(place, options, weights);
    this.#outputs = new ScratchRows(place.backend, place.heads * place.headDim);
  }

  attend(step: AttendStep): void {
    const { backend, layer, heads, headDim } = this.place;
    const { first, rows } = step;
    const q = backend.host.readNow(step.q) as Float32Array;
    const compressed = this.#timed("compressed", () => {
      this.#compressed.extend(step);
      return this.#attendCompressed(step);
    });
    const blocks = this.#timed("selection", () => this.#select(step, q));
    const selected = this.#timed("selected", () => this.#attendSelected(step, blocks));
    const window = this.#timed("window", () => this.#attendWindow(step));
    const gates = this.weights.gates?.({ layer, first, rows, q }) ?? new Float32Array(rows * heads * 3).fill(1 / 3);
    backend.write(step.out, gated([compressed, selected, window], gates, headDim));
  }

  release(): void {
    this.#compressed.release();
    this.#outputs.release();
  }

  #timed<T>(part: keyof NsaSeconds, run: () => T): T {
    const started = performance.now();
    const result = run();
    this.seconds[part] += (performance.now() - started) / 1000;
    return result;
  }

  #attendCompressed(step: AttendStep): Float32Array {
    const { first, rows } = step;
    const { k, v } = this.#compressed;
    const lists = sharedLists(rows, this.place, (made, row, count) => made.list([[0, this.#compressed.runsBy(first + row + count)]]));
    return this.#listed(step, { k, v }, lists, (row) => [0, this.#compressed.runsBy(first + row + 1) - 1]);
  }

  #attendSelected(step: AttendStep, blocks: readonly (readonly (readonly number[])[])[]): Float32Array {
    const { heads, kvHeads } = this.place;
    const group = heads / kvHeads;
    const lists = new TokenLists();
    for (let row = 0; row < step.rows; row++) {
      const end = step.first + row + 1;
      for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
        const { blockSize } = this.options;
        const ranges = (blocks[kvHead]?.[row] ?? []).map((block) => [block * blockSize, Math.min(end, (block + 1) * blockSize)] as const);
        lists.tile(row, 1, kvHead * group, group, lists.list(ranges));
      }
    }
    return this.#listed(step, step, lists, (row) => [0, step.first + row]);
  }

  #attendWindow(step: AttendStep): Float32Array {
    const { lists, boundsOf } = windowOf(step, this.place, this.options.window);
    return this.#listed(step, step, lists, boundsOf);
  }

  #listed(
    { q, rows, scale }: AttendStep,
    { k, v }: { readonly k: DeviceTensor; readonly v: DeviceTensor },
    lists: TokenLists,
    boundsOf: (row: number) => readonly [number, number],
  ): Float32Array {
    const { backend, headDim } = this.place;
    const out = this.#outputs.rows(rows);
    backend.host.attendListed({ q, k, v, headDim, scale, tiles: lists.tiles, tokens: lists.tokens, bounds: rowBounds(rows, boundsOf), out });
    return backend.host.readNow(out) as Float32Array;
  }

  /** Blocks of each KV head and row, ascending. */
  #select(step: AttendStep, q: Float32Array): number[][][] {
    const { backend, heads, kvHeads, headDim } = this.place;
    const { first, rows } = step;
    const runs = this.#compressed.count;
    const keys = runs === 0 ? undefined : (backend.host.readNow(this.#compressed.k.view({ rows: [0, runs] })) as Float32Array);
    return Array.from({ length: kvHeads }, (_, kvHead) => {
      const matrix = keys && new HeadKeys(backend, headRows(keys, kvHeads * headDim, kvHead, headDim), headDim);
      const blocks: number[][] = [];
      for (let from = 0; from < rows; from += SELECTION_ROWS) {
        const count = Math.min(SELECTION_ROWS, rows - from);
        const some = q.subarray(from * heads * headDim, (from + count) * heads * headDim);
        const sums = matrix ? this.#groupProbabilities(matrix, kvHead, some, first + from, step.scale) : new Float32Array(0);
        for (let row = 0; row < count; row++) blocks.push(this.#best(sums.subarray(row * runs, (row + 1) * runs), first + from + row));
      }
      matrix?.release();
      return blocks;
    });
  }

  /** f32 `[rows, runs]`: compressed probabilities, summed over the query heads of a KV head. `q` is f32 `[rows, heads * headDim]`. */
  #groupProbabilities(matrix: HeadKeys, kvHead: number, q: Float32Array, first: number, scale: number): Float32Array {
    const { heads, kvHeads, headDim } = this.place;
    const runs = this.#compressed.count;
    const group = heads / kvHeads;
    const sums = new Float32Array((q.length / (heads * headDim)) * runs);
    for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
      const probabilities = matrix.products(headRows(q, heads * headDim, head, headDim));
      softmaxRows(probabilities, runs, scale, (row) => this.#compressed.runsBy(first + row + 1));
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (probabilities[i] as number);
    }
    return sums;
  }

  /** The blocks of one row. @param probabilities f32 `[runs]`, summed over the group */
  #best(probabilities: Float32Array, position: number): number[] {
    const { compressSize, compressStride, blockSize, blocks, initBlocks, localBlocks } = this.options;
    const [strides, overlaps] = [blockSize / compressStride, compressSize / compressStride];
    const own = Math.floor(position / blockSize);
    const scores = new Float64Array(own + 1);
    for (let block = 0; block <= own; block++) {
      if (block < initBlocks || block > own - localBlocks) {
        scores[block] = Infinity;
        continue;
      }
      let score = 0;
      for (let m = 0; m < strides; m++) {
        for (let n = 0; n < overlaps; n++) score += probabilities[strides * block + m - n] ?? 0;
      }
      scores[block] = score;
    }
    return largest(scores, blocks);
  }
}

/** Σ over branches of gate · output: f32 `[rows, heads * headDim]`. */
function gated(branches: Branches, gates: Float32Array, headDim: number): Float32Array {
  const [compressed, selected, window] = branches;
  const out = new Float32Array(compressed.length);
  for (let head = 0; head < out.length / headDim; head++) {
    const [a, b, c] = [gates[3 * head] as number, gates[3 * head + 1] as number, gates[3 * head + 2] as number];
    for (let i = head * headDim; i < (head + 1) * headDim; i++) {
      out[i] = a * (compressed[i] as number) + b * (selected[i] as number) + c * (window[i] as number);
    }
  }
  return out;
}
