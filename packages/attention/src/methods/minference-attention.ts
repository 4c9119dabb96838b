/** MInference of one layer over one sequence; see `minference.ts`. */
import { HeadKeys, headRows, softmaxRows } from "./head-products.ts";
import type { AttendStep, LayerPlace, SequenceAttention } from "./method.ts";
import { TILE, blockSparseIndex, candidatePatterns, tileTokens, verticalSlashIndex } from "./minference-patterns.ts";
import type { HeadIndex, HeadPattern } from "./minference-patterns.ts";
import { ScratchRows } from "./scratch-rows.ts";
import { TokenLists, rowBounds } from "./token-lists.ts";

/** Tiles that the search compares outputs on, spread evenly over the prompt. */
const SEARCH_TILES = 16;

/** What indices of all heads are made from. */
interface Prompt {
  /** Position of the first row, rows, and tokens up to the last. */
  readonly first: number;
  readonly rows: number;
  readonly length: number;
  readonly scale: number;
  /** f32 `[rows, heads * headDim]` */
  readonly q: Float32Array;
  /** f32 `[length, kvHeads * headDim]` */
  readonly k: Float32Array;
}

export class MinferenceAttention implements SequenceAttention {
  readonly #outputs: ScratchRows;

  /** Found patterns are added to `patterns`, by layer. */
  constructor(
    private readonly place: LayerPlace,
    private readonly budget: number,
    private readonly patterns: HeadPattern[][],
  ) {
    this.#outputs = new ScratchRows(place.backend, place.heads * place.headDim);
  }

  attend(step: AttendStep): void {
    const { first, rows, q, k, scale } = step;
    const length = first + rows;
    if (rows === 1 || length <= this.budget) {
      step.attendDense(step.out);
      return;
    }
    const { host } = this.place.backend;
    const keys = host.readNow(k.view({ rows: [0, length] })) as Float32Array;
    const prompt = { first, rows, length, scale, q: host.readNow(q) as Float32Array, k: keys };
    const patterns = (this.patterns[this.place.layer] ??= this.#search(step, prompt));
    const indices = this.#indices(prompt, patterns);
    this.#run(step, this.#lists(prompt, indices, tilesOf(prompt)), step.out);
  }

  release(): void {
    this.#outputs.release();
  }

  /** For every head the candidate whose output differs least from full attention's, in squares over sampled tiles. */
  #search(step: AttendStep, prompt: Prompt): HeadPattern[] {
    const { heads } = this.place;
    const tiles = tilesOf(prompt);
    const every = Math.max(1, Math.floor(tiles.length / SEARCH_TILES));
    const sampled = tiles.filter((_, i) => (tiles.length - 1 - i) % every === 0);
    const full: HeadIndex = { kind: "a-shape", sinks: 0, window: Infinity };
    const expected = this.#outputOf(step, prompt, Array.from({ length: heads }, () => full), sampled);
    const best = Array.from({ length: heads }, () => ({ error: Infinity, pattern: undefined as HeadPattern | undefined }));
    for (const pattern of candidatePatterns(this.budget)) {
      const actual = this.#outputOf(step, prompt, this.#indices(prompt, Array.from({ length: heads }, () => pattern)), sampled);
      best.forEach((known, head) => {
        const error = this.#squaredError(prompt, expected, actual, sampled, head);
        if (error < known.error) Object.assign(known, { error, pattern });
      });
    }
    return best.map(({ pattern }) => pattern ?? { kind: "block-sparse", blocks: Math.floor(this.budget / TILE) });
  }

  #outputOf(step: AttendStep, prompt: Prompt, indices: readonly HeadIndex[], tiles: readonly number[]): Float32Array {
    const out = this.#outputs.rows(prompt.rows);
    this.#run(step, this.#lists(prompt, indices, tiles), out);
    return this.place.backend.host.readNow(out) as Float32Array;
  }

  #squaredError(prompt: Prompt, a: Float32Array, b: Float32Array, tiles: readonly number[], head: number): number {
    const { heads, headDim } = this.place;
    let error = 0;
    for (const tile of tiles) {
      const [from, to] = rowsOf(prompt, tile);
      for (let row = from; row < to; row++) {
        const at = (row * heads + head) * headDim;
        for (let i = at; i < at + headDim; i++) error += ((a[i] as number) - (b[i] as number)) ** 2;
      }
    }
    return error;
  }

  #run({ rows, first, q, k, v, scale }: AttendStep, lists: TokenLists, out: AttendStep["out"]): void {
    const bounds = rowBounds(rows, (row) => [0, first + row]);
    const { backend, headDim } = this.place;
    backend.host.attendListed({ q, k, v, headDim, scale, tiles: lists.tiles, tokens: lists.tokens, bounds, out });
  }

  #lists(prompt: Prompt, indices: readonly HeadIndex[], tiles: readonly number[]): TokenLists {
    const lists = new TokenLists();
    const firstTile = Math.floor(prompt.first / TILE);
    for (const tile of tiles) {
      const [from, to] = rowsOf(prompt, tile);
      const known = new Map<HeadIndex, ReturnType<TokenLists["listTokens"]>>();
      indices.forEach((index, head) => {
        const entries = known.get(index) ?? lists.listTokens(tileTokens(index, tile, firstTile, prompt.length));
        known.set(index, entries);
        lists.tile(from, to - from, head, 1, entries);
      });
    }
    return lists;
  }

  #indices(prompt: Prompt, patterns: readonly HeadPattern[]): HeadIndex[] {
    const { backend, heads, kvHeads, headDim } = this.place;
    const { q, k, length, rows, scale } = prompt;
    const last = Math.min(TILE, rows);
    const indices: HeadIndex[] = [];
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const ownKeys = headRows(k, kvHeads * headDim, kvHead, headDim);
      const matrix = new HeadKeys(backend, ownKeys, headDim);
      const meanKeys = blockMeans(ownKeys, headDim, 0);
      for (let head = (kvHead * heads) / kvHeads; head < ((kvHead + 1) * heads) / kvHeads; head++) {
        const pattern = patterns[head] as HeadPattern;
        const queries = headRows(q, heads * headDim, head, headDim);
        if (pattern.kind === "a-shape") indices.push(pattern);
        else if (pattern.kind === "block-sparse") {
          const means = blockMeans(queries, headDim, prompt.first % TILE);
          indices.push(blockSparseIndex(pattern.blocks, means, meanKeys, headDim, Math.floor(prompt.first / TILE)));
        } else {
          const probabilities = matrix.products(queries.subarray((rows - last) * headDim));
          softmaxRows(probabilities, length, scale, (row) => length - last + row + 1);
          indices.push(verticalSlashIndex(pattern, probabilities, length));
        }
      }
      matrix.release();
    }
    return indices;
  }
}

/** Tiles that the prompt's rows lie in, counted from position 0. */
function tilesOf({ first, length }: Prompt): number[] {
  const from = Math.floor(first / TILE);
  return Array.from({ length: Math.ceil(length / TILE) - from }, (_, i) => from + i);
}

/** The prompt's rows in a tile. */
function rowsOf({ first, rows }: Prompt, tile: number): readonly [from: number, to: number] {
  return [Math.max(0, tile * TILE - first), Math.min(rows, (tile + 1) * TILE - first)];
}

/** f32 `[blocks, headDim]`: means of blocks of rows, the first short by `missing`, the last by what is not there. */
function blockMeans(rows: Float32Array, headDim: number, missing: number): Float32Array {
  const count = rows.length / headDim;
  const means = new Float32Array(Math.ceil((count + missing) / TILE) * headDim);
  for (let block = 0; block < means.length / headDim; block++) {
    const [from, to] = [Math.max(0, block * TILE - missing), Math.min(count, (block + 1) * TILE - missing)];
    for (let d = 0; d < headDim; d++) {
      let sum = 0;
      for (let row = from; row < to; row++) sum += rows[row * headDim + d] as number;
      means[block * headDim + d] = sum / (to - from);
    }
  }
  return means;
}
