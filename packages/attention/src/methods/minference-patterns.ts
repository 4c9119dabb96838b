/** The three patterns of MInference and what a head with one of them reads; see `minference.ts`. */
import { largest } from "./largest.ts";

/** Rows that share their tokens, and tokens of a block. */
export const TILE = 64;
/** Columns from the start, and diagonals next to the main one, that every vertical-slash head keeps (published code). */
export const FIRST_COLUMNS = 30;
export const NEAR_DIAGONALS = 100;

/** Numbers in tokens that a tile reads, all together. */
export type HeadPattern =
  /** The first tokens, and the last ones up to the tile's end. */
  | { readonly kind: "a-shape"; readonly sinks: number; readonly window: number }
  /** Columns, and diagonals a tile wide that together cover `slash` tokens, overlaps counted once. */
  | { readonly kind: "vertical-slash"; readonly vertical: number; readonly slash: number }
  | { readonly kind: "block-sparse"; readonly blocks: number };

/** Patterns that cost a head `budget` tokens a tile, among which the search chooses. */
export function candidatePatterns(budget: number): HeadPattern[] {
  const columns = [FIRST_COLUMNS, budget / 8, budget / 4, budget / 2].map(Math.floor).filter((vertical) => vertical >= FIRST_COLUMNS);
  return [
    { kind: "a-shape", sinks: TILE, window: budget - TILE },
    ...columns.map((vertical) => ({ kind: "vertical-slash", vertical, slash: budget - vertical }) as const),
    { kind: "block-sparse", blocks: Math.floor(budget / TILE) },
  ];
}

/** What the tokens of a tile of one head are made from, once for all its tiles. */
export type HeadIndex =
  | { readonly kind: "a-shape"; readonly sinks: number; readonly window: number }
  /** Columns ascending; distances of diagonals from the main one, descending. */
  | { readonly kind: "vertical-slash"; readonly columns: readonly number[]; readonly diagonals: readonly number[] }
  /** Blocks of each tile, ascending. */
  | { readonly kind: "block-sparse"; readonly blocks: readonly (readonly number[])[] };

/**
 * Columns and diagonals with the largest sums of attention probability.
 * @param probabilities f32 `[queries, tokens]` of the last queries
 */
export function verticalSlashIndex(
  { vertical, slash }: Extract<HeadPattern, { kind: "vertical-slash" }>,
  probabilities: Float32Array,
  tokens: number,
): HeadIndex {
  const columnSums = new Float64Array(tokens);
  const diagonalSums = new Float64Array(tokens);
  const queries = probabilities.length / tokens;
  for (let row = 0; row < queries; row++) {
    const position = tokens - queries + row;
    for (let token = 0; token <= position; token++) {
      const probability = probabilities[row * tokens + token] as number;
      columnSums[token] = (columnSums[token] as number) + probability;
      diagonalSums[position - token] = (diagonalSums[position - token] as number) + probability;
    }
  }
  columnSums.fill(Infinity, 0, FIRST_COLUMNS);
  diagonalSums.fill(Infinity, 0, NEAR_DIAGONALS);
  return { kind: "vertical-slash", columns: largest(columnSums, vertical), diagonals: coveringDiagonals(diagonalSums, slash) };
}

/** The best diagonals, best first, as long as what a tile reads along them stays within `most` tokens. */
function coveringDiagonals(sums: Float64Array, most: number): number[] {
  const ranked = Array.from(sums.keys()).sort((a, b) => (sums[a] === sums[b] ? a - b : (sums[b] as number) - (sums[a] as number)));
  const covered = new Uint8Array(sums.length + TILE);
  const chosen: number[] = [];
  let total = 0;
  for (const distance of ranked) {
    const range = covered.subarray(distance, distance + TILE);
    total += range.reduce((fresh, is) => fresh + 1 - is, 0);
    if (total > most) break;
    range.fill(1);
    chosen.push(distance);
  }
  return chosen.sort((a, b) => b - a);
}

/** The blocks with the largest products of mean query and mean key: f32 `[blocks, headDim]` each. */
export function blockSparseIndex(blocks: number, queries: Float32Array, keys: Float32Array, headDim: number, firstTile: number): HeadIndex {
  const tiles = queries.length / headDim;
  const chosen = Array.from({ length: tiles }, (_, tile) => {
    const scores = Array.from({ length: firstTile + tile + 1 }, (__, block) => {
      let score = 0;
      for (let d = 0; d < headDim; d++) score += (queries[tile * headDim + d] as number) * (keys[block * headDim + d] as number);
      return score;
    });
    return largest(scores, blocks);
  });
  return { kind: "block-sparse", blocks: chosen };
}

/** Tokens of one tile, ascending, below `length`. `tile` counts from position 0, `firstTile` is the first that has an index. */
export function tileTokens(index: HeadIndex, tile: number, firstTile: number, length: number): number[] {
  const end = (tile + 1) * TILE;
  const marked = (from: number, to: number): number[] => {
    const start = Math.max(0, from);
    return Array.from({ length: Math.max(0, Math.min(to, length) - start) }, (_, i) => start + i);
  };
  switch (index.kind) {
    case "a-shape": {
      const window = end - index.window;
      return [...marked(0, Math.min(index.sinks, Math.max(0, window))), ...marked(window, end)];
    }
    case "block-sparse":
      return (index.blocks[tile - firstTile] ?? []).flatMap((block) => marked(block * TILE, (block + 1) * TILE));
    case "vertical-slash":
      return columnsAndRanges(index.columns, index.diagonals.map((distance) => end - distance - TILE), Math.min(end, length));
  }
}

/** Columns and runs of a tile's width that begin at ascending `starts`, each token once, ascending, below `end`. */
function columnsAndRanges(columns: readonly number[], starts: readonly number[], end: number): number[] {
  const tokens: number[] = [];
  let column = 0;
  let next = 0;
  const addColumns = (below: number): void => {
    for (; column < columns.length && (columns[column] as number) < below; column++) {
      if ((columns[column] as number) >= next) tokens.push(columns[column] as number);
    }
  };
  for (const start of starts) {
    const to = Math.min(start + TILE, end);
    addColumns(Math.min(Math.max(start, next), end));
    for (let token = Math.max(start, next); token < to; token++) tokens.push(token);
    next = Math.max(next, to);
  }
  addColumns(end);
  return tokens;
}
