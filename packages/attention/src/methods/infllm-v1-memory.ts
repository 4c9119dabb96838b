/** Which tokens have left the window, in which blocks, and what represents each block; see `infllm-v1.ts`. */
import type { InfllmV1Options } from "./infllm-v1.ts";
import { largest } from "./largest.ts";
import type { LayerPlace } from "./method.ts";
import type { TokenRange } from "./token-lists.ts";

/** Rows of the tokens that may still join a block: index 0 is token `from`. */
class RecentRows {
  #rows: Float32Array[] = [];
  #from = 0;

  constructor(private readonly width: number) {}

  append(rows: Float32Array): void {
    for (let at = 0; at < rows.length; at += this.width) this.#rows.push(rows.slice(at, at + this.width));
  }

  at(token: number): Float32Array {
    const row = this.#rows[token - this.#from];
    if (row === undefined) throw new RangeError(`Token ${token} is not among the recent ones.`);
    return row;
  }

  forgetBefore(token: number): void {
    this.#rows = this.#rows.slice(token - this.#from);
    this.#from = token;
  }
}

export class InfllmV1Memory {
  readonly #queries: RecentRows;
  readonly #keys: RecentRows;
  readonly #farKeys: RecentRows;
  /** f32 `[heads * headDim]` of each block: mean representative key of each query head, not rotated. */
  readonly #blocks: Float32Array[] = [];
  #length = 0;
  #init = 0;

  constructor(
    private readonly place: LayerPlace,
    private readonly options: InfllmV1Options,
  ) {
    const { heads, kvHeads, headDim } = place;
    this.#queries = new RecentRows(heads * headDim);
    this.#keys = new RecentRows(kvHeads * headDim);
    this.#farKeys = new RecentRows(kvHeads * headDim);
  }

  /** First tokens that have left the window. */
  get init(): number {
    return this.#init;
  }

  /** Tokens that are first ones or in a block. */
  get joined(): number {
    return this.#init + this.#blocks.length * this.options.blockSize;
  }

  /** The blocks for these queries, in token order. `farQueries` is f32 `[rows, heads * headDim]`, rotated for far keys. */
  lookUp(farQueries: Float32Array): TokenRange[] {
    const { blockSize, topk } = this.options;
    const width = this.place.heads * this.place.headDim;
    const sum = new Float64Array(width);
    for (let at = 0; at < farQueries.length; at += width) {
      for (let i = 0; i < width; i++) sum[i] = (sum[i] as number) + (farQueries[at + i] as number);
    }
    const scores = this.#blocks.map((means) => {
      let score = 0;
      for (let i = 0; i < width; i++) score += (means[i] as number) * (sum[i] as number);
      return score;
    });
    return largest(scores, topk).map((block) => [this.#init + block * blockSize, this.#init + (block + 1) * blockSize]);
  }

  /** Takes rows that have attended: f32 `[rows, heads or kvHeads * headDim]`. */
  append(q: Float32Array, keys: Float32Array, farKeys: Float32Array): void {
    const { initTokens, localWindow, blockSize } = this.options;
    this.#queries.append(q);
    this.#keys.append(keys);
    this.#farKeys.append(farKeys);
    this.#length += keys.length / (this.place.kvHeads * this.place.headDim);
    this.#init = Math.max(0, Math.min(initTokens, this.#length - localWindow));
    if (this.#init < initTokens) return;
    while (this.joined + blockSize + localWindow <= this.#length) this.#blocks.push(this.#represent(this.joined));
    for (const rows of [this.#queries, this.#keys, this.#farKeys]) rows.forgetBefore(this.joined);
  }

  /** What stands for the block that begins at token `from`. */
  #represent(from: number): Float32Array {
    const { heads, kvHeads, headDim } = this.place;
    const { blockSize, representatives } = this.options;
    const scores = this.#representativeScores(from);
    const means = new Float32Array(heads * headDim);
    for (let head = 0; head < heads; head++) {
      const at = Math.floor((head * kvHeads) / heads) * headDim;
      const best = largest(scores.subarray(head * blockSize, (head + 1) * blockSize), representatives);
      for (let d = 0; d < headDim; d++) {
        means[head * headDim + d] = best.reduce((sum, token) => sum + (this.#farKeys.at(from + token)[at + d] as number), 0) / best.length;
      }
    }
    return means;
  }

  /** f64 `[heads, blockSize]`: Σ over the `localWindow` queries after each token of q · k. */
  #representativeScores(from: number): Float64Array {
    const { heads, kvHeads, headDim } = this.place;
    const { blockSize, localWindow } = this.options;
    const sums = new Float64Array(heads * headDim);
    const add = (token: number, sign: 1 | -1): void => {
      const row = this.#queries.at(token);
      for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + sign * (row[i] as number);
    };
    for (let next = 1; next < localWindow; next++) add(from + next, 1);
    const scores = new Float64Array(heads * blockSize);
    for (let token = 0; token < blockSize; token++) {
      add(from + token + localWindow, 1);
      if (token > 0) add(from + token, -1);
      const key = this.#keys.at(from + token);
      for (let head = 0; head < heads; head++) {
        const at = Math.floor((head * kvHeads) / heads) * headDim;
        let score = 0;
        for (let d = 0; d < headDim; d++) score += (sums[head * headDim + d] as number) * (key[at + d] as number);
        scores[head * blockSize + token] = score;
      }
    }
    return scores;
  }
}
