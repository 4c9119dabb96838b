/** All four steps on host arrays, one query row and one KV head at a time. */
import { ShapeError } from "@infllm/tensor";
import type { SparseConfig } from "./config.ts";
import { COARSE_FACTOR, compressKeys, rowCount } from "./compress-keys.ts";
import type { KeyShape } from "./compress-keys.ts";
import { blockBudget, blockCount } from "./geometry.ts";
import { poolScores } from "./pool-scores.ts";
import { scoreBlocks } from "./score-blocks.ts";
import type { CompressedKeys, QueryRow } from "./score-blocks.ts";
import { selectBlocks } from "./select-blocks.ts";

export interface RowSelection {
  /** i32 `[budget]`, ascending, −1 padded */
  readonly indices: Int32Array;
  /** f64 `[blocks]`: pooled scores before forcing */
  readonly scores: Float64Array;
}

/** Steps 2 to 4 for one row and one KV head of a sequence of `length` tokens. */
export function selectForRow(row: QueryRow, keys: CompressedKeys, length: number, config: SparseConfig): RowSelection {
  const scores = poolScores(scoreBlocks(row, keys, config), blockCount(length, config.blockSize), config);
  return { indices: selectBlocks(scores, row.position, config), scores };
}

/** Fine and coarse keys of one sequence. `keys` is f32 `[length, kvHeads, headDim]`. */
export function compressBoth(keys: Float32Array, shape: KeyShape, config: SparseConfig): CompressedKeys {
  const { kernelSize, kernelStride } = config;
  return {
    fine: compressKeys(keys, shape, kernelSize, kernelStride),
    coarse: compressKeys(keys, shape, COARSE_FACTOR * kernelSize, COARSE_FACTOR * kernelStride),
  };
}

export interface SelectForQueriesInput {
  /** f32 `[rows, heads, headDim]`, after RoPE */
  readonly q: Float32Array;
  /** f32 `[length, kvHeads, headDim]`, after RoPE */
  readonly k: Float32Array;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly config: SparseConfig;
  /** Absolute position of each row of q; the last positions of the sequence when absent. */
  readonly positions?: ArrayLike<number>;
  /** Multiplies q·k; 1 / √headDim when absent. */
  readonly scale?: number;
}

export interface Selection {
  readonly rows: number;
  /** `topk` + local: room for one row's blocks */
  readonly budget: number;
  /** Blocks of the whole sequence */
  readonly blocks: number;
  /** i32 `[kvHeads, rows, budget]`, ascending, −1 padded */
  readonly blockIndices: Int32Array;
  /** f32 `[kvHeads, rows, blocks]`: pooled, before forcing; −Infinity where a block has no window */
  readonly blockScores: Float32Array;
}

/**
 * Block selection alone, in float64, for any shapes.
 * @throws ShapeError when arrays, heads or positions do not fit together.
 */
export function selectForQueries(input: SelectForQueriesInput): Selection {
  const { q, k, heads, kvHeads, headDim, config } = input;
  const { rows, length, positions } = checkQueries(input);
  const keys = compressBoth(k, { kvHeads, headDim }, config);
  const budget = blockBudget(config);
  const blocks = blockCount(length, config.blockSize);
  const blockIndices = new Int32Array(kvHeads * rows * budget);
  const blockScores = new Float32Array(kvHeads * rows * blocks);
  const scale = input.scale ?? 1 / Math.sqrt(headDim);
  const width = heads * headDim;
  for (let r = 0; r < rows; r++) {
    const row = { q: q.subarray(r * width, (r + 1) * width), heads, kvHeads, headDim, position: positions[r] as number, scale };
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const { indices, scores } = selectForRow({ ...row, kvHead }, keys, length, config);
      blockIndices.set(indices, (kvHead * rows + r) * budget);
      blockScores.set(scores, (kvHead * rows + r) * blocks);
    }
  }
  return { rows, budget, blocks, blockIndices, blockScores };
}

/** Rows of q, tokens of k and a position for every row. @throws ShapeError */
export function checkQueries(
  input: Pick<SelectForQueriesInput, "q" | "k" | "heads" | "kvHeads" | "headDim" | "positions">,
): { readonly rows: number; readonly length: number; readonly positions: ArrayLike<number> } {
  const { q, k, heads, kvHeads, headDim } = input;
  for (const [name, count] of Object.entries({ heads, kvHeads, headDim })) {
    if (!Number.isInteger(count) || count < 1) throw new ShapeError(`${name} is ${count}; it must be a positive integer.`);
  }
  if (heads % kvHeads !== 0) {
    throw new ShapeError(`${heads} query heads cannot share ${kvHeads} KV heads: kvHeads must divide heads.`);
  }
  const rows = rowCount("q", q, heads * headDim);
  const length = rowCount("k", k, kvHeads * headDim);
  if (input.positions === undefined && rows > length) {
    throw new ShapeError(`q has ${rows} rows but k only ${length}: the queries are the last positions of the keys.`);
  }
  const positions = input.positions ?? Array.from({ length: rows }, (_, r) => length - rows + r);
  if (positions.length !== rows) throw new ShapeError(`${rows} query rows were given ${positions.length} positions.`);
  for (let r = 0; r < rows; r++) {
    const position = positions[r] as number;
    if (!Number.isInteger(position) || position < 0 || position >= length) {
      throw new ShapeError(`Query row ${r} has position ${position}; a sequence of ${length} keys allows 0 to ${length - 1}.`);
    }
  }
  return { rows, length, positions };
}
