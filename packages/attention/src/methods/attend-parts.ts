/** Attention whose keys come in parts, each with its own rotation of the queries, under one softmax. */
import type { DeviceTensor } from "@infllm/tensor";
import type { AttendStep, LayerPlace } from "./method.ts";
import { ScratchRows } from "./scratch-rows.ts";
import { rowBounds } from "./token-lists.ts";
import type { TokenLists } from "./token-lists.ts";

/** A token that several parts list counts once for each. */
export interface Part {
  /** f32 `[rows, heads * headDim]`; the step's own queries when absent. */
  readonly q?: Float32Array | undefined;
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly lists: TokenLists;
  /** First and last token that a row may see of those listed. */
  readonly boundsOf: (row: number) => readonly [first: number, last: number];
  readonly always?: number | undefined;
}

/** What came of one part. */
interface Partial {
  /** f32 `[rows, heads * headDim]` */
  readonly out: Float32Array;
  /** f32 `[rows, heads]` */
  readonly lse: Float32Array;
}

export class AttendParts {
  readonly #queries: ScratchRows;
  readonly #outputs: ScratchRows;

  constructor(private readonly place: LayerPlace) {
    const width = place.heads * place.headDim;
    this.#queries = new ScratchRows(place.backend, width);
    this.#outputs = new ScratchRows(place.backend, width);
  }

  attend(step: AttendStep, parts: readonly Part[]): void {
    const [only, second] = parts;
    if (only !== undefined && second === undefined) {
      this.#run(step, only, step.out);
      return;
    }
    let merged: Partial | undefined;
    for (const part of parts) {
      const lse = new Float32Array(step.rows * this.place.heads);
      const out = this.#outputs.rows(step.rows);
      this.#run(step, part, out, lse);
      const result = { out: this.place.backend.host.readNow(out) as Float32Array, lse };
      if (merged === undefined) merged = result;
      else join(merged, result, this.place.headDim);
    }
    if (merged !== undefined) this.place.backend.write(step.out, merged.out);
  }

  release(): void {
    this.#queries.release();
    this.#outputs.release();
  }

  #run({ rows, q, scale }: AttendStep, part: Part, out: DeviceTensor, lse?: Float32Array): void {
    const { k, v, lists, always } = part;
    this.place.backend.host.attendListed({
      q: part.q === undefined ? q : this.#queries.filled(part.q),
      k, v, headDim: this.place.headDim, scale, tiles: lists.tiles, tokens: lists.tokens,
      bounds: rowBounds(rows, part.boundsOf), always, out, lse,
    });
  }
}

/** Two parts of one softmax into the first: each weighs as its share of the sum of exponentials. */
function join(into: Partial, other: Partial, headDim: number): void {
  for (let i = 0; i < into.lse.length; i++) {
    const [a, b] = [into.lse[i] as number, other.lse[i] as number];
    if (b === -Infinity) continue;
    const top = Math.max(a, b);
    const [weightA, weightB] = [Math.exp(a - top), Math.exp(b - top)];
    const total = weightA + weightB;
    for (let at = i * headDim; at < (i + 1) * headDim; at++) {
      into.out[at] = (weightA * (into.out[at] as number) + weightB * (other.out[at] as number)) / total;
    }
    into.lse[i] = top + Math.log(total);
  }
}
