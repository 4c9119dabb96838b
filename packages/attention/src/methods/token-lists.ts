/** Builds the tiles and token lists of one `attendListed`. */
import { TILE_WORDS } from "../host-ops.ts";

/** Query rows (tokens × heads of a group) that share one gathering of keys: 64 to 1024 measured the same on a thread. */
const TILE_ROWS = 128;

/** Tokens `[from, to)`. */
export type TokenRange = readonly [from: number, to: number];

/** Entries of the list. */
export interface ListedEntries {
  readonly from: number;
  readonly entries: number;
}

export class TokenLists {
  readonly #tiles: number[] = [];
  #tokens = new Int32Array(1024);
  #length = 0;

  /** Lists the tokens of ascending, disjoint ranges. */
  list(ranges: readonly TokenRange[]): ListedEntries {
    const from = this.#length;
    for (const [first, end] of ranges) {
      this.#reserve(Math.max(0, end - first));
      for (let token = first; token < end; token++) this.#tokens[this.#length++] = token;
    }
    return { from, entries: this.#length - from };
  }

  /** Lists ascending tokens. */
  listTokens(tokens: ArrayLike<number>): ListedEntries {
    const from = this.#length;
    this.#reserve(tokens.length);
    this.#tokens.set(tokens, from);
    this.#length += tokens.length;
    return { from, entries: tokens.length };
  }

  /** A tile of rows and of heads of one KV head. */
  tile(row: number, rows: number, head: number, heads: number, { from, entries }: ListedEntries): void {
    this.#tiles.push(row, rows, head, heads, from, entries);
  }

  get tiles(): Int32Array {
    return Int32Array.from(this.#tiles);
  }

  get tileCount(): number {
    return this.#tiles.length / TILE_WORDS;
  }

  get tokens(): Int32Array {
    return this.#tokens.subarray(0, this.#length);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#tokens.length) return;
    const grown = new Int32Array(Math.max(2 * this.#tokens.length, this.#length + more));
    grown.set(this.#tokens);
    this.#tokens = grown;
  }
}

/**
 * Tiles over `rows` rows and all heads, every one with the list that `listed` makes for its rows; the same for all KV
 * heads.
 */
export function sharedLists(
  rows: number,
  { heads, kvHeads }: { readonly heads: number; readonly kvHeads: number },
  listed: (lists: TokenLists, row: number, count: number) => ListedEntries,
): TokenLists {
  const lists = new TokenLists();
  const group = heads / kvHeads;
  const perTile = Math.max(1, Math.floor(TILE_ROWS / group));
  for (let row = 0; row < rows; row += perTile) {
    const count = Math.min(perTile, rows - row);
    const entries = listed(lists, row, count);
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) lists.tile(row, count, kvHead * group, group, entries);
  }
  return lists;
}

/** i32 `[rows, 2]`: the first and last token that each row may see. */
export function rowBounds(rows: number, boundsOf: (row: number) => readonly [first: number, last: number]): Int32Array {
  const bounds = new Int32Array(2 * rows);
  for (let row = 0; row < rows; row++) bounds.set(boundsOf(row), 2 * row);
  return bounds;
}

/** The last `window` tokens of every row, its own included: lists and bounds of a step's rows. */
export function windowOf(
  { first, rows }: { readonly first: number; readonly rows: number },
  heads: { readonly heads: number; readonly kvHeads: number },
  window: number,
) {
  const begin = (row: number): number => first + row - window + 1;
  return {
    lists: sharedLists(rows, heads, (lists, row, count) => lists.list([[Math.max(0, begin(row)), first + row + count]])),
    boundsOf: (row: number) => [begin(row), first + row] as const,
  };
}
