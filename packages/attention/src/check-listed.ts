/** What `attendListed` requires of its lists, the same on every backend. */
import { ShapeError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import { TILE_WORDS } from "./host-ops.ts";
import type { AttendListedArgs } from "./host-ops.ts";

/** One tile, spelled out. */
export interface ListedTile {
  readonly row: number;
  readonly rows: number;
  readonly head: number;
  readonly heads: number;
  /** Entries of `tokens`. */
  readonly from: number;
  readonly entries: number;
}

export interface ListedShape {
  readonly heads: number;
  readonly kvHeads: number;
  /** Query heads that share a KV head. */
  readonly group: number;
}

/** @throws ShapeError when tensors, tiles, tokens or bounds do not fit together */
export function checkListed({ q, k, v, headDim, tiles, tokens, bounds, out, lse }: AttendListedArgs): ListedShape {
  const rows = q.shape[0] ?? 0;
  const [heads, kvHeads] = [columns(q) / headDim, columns(k) / headDim];
  if (!Number.isInteger(heads) || !Number.isInteger(kvHeads) || kvHeads < 1 || heads % kvHeads !== 0 || heads < 1) {
    throw new ShapeError(`attendListed: q has ${columns(q)} columns and k ${columns(k)}; both are whole heads of ${headDim}, and KV heads divide query heads.`);
  }
  const length = k.shape[0] ?? 0;
  if (v.shape[0] !== length || columns(v) !== columns(k)) throw new ShapeError("attendListed: v must have the shape of k.");
  if (out.shape[0] !== rows || columns(out) !== columns(q)) throw new ShapeError("attendListed: out must have the shape of q.");
  if (bounds.length !== rows * 2) throw new ShapeError(`attendListed: bounds holds ${bounds.length} numbers; ${rows} rows need two each.`);
  if (lse !== undefined && lse.length !== rows * heads) throw new ShapeError(`attendListed: lse holds ${lse.length} numbers; ${rows} rows of ${heads} heads are needed.`);
  if (tiles.length % TILE_WORDS !== 0) throw new ShapeError(`attendListed: tiles holds ${tiles.length} numbers; a tile has ${TILE_WORDS}.`);
  const group = heads / kvHeads;
  for (let tile = 0; tile < tiles.length / TILE_WORDS; tile++) {
    const { row, rows: count, head, heads: some, from, entries } = listedTile(tiles, tile);
    const oneKvHead = some >= 1 && head >= 0 && head + some <= heads && Math.floor(head / group) === Math.floor((head + some - 1) / group);
    if (row < 0 || count < 1 || row + count > rows || !oneKvHead || from < 0 || entries < 0 || from + entries > tokens.length) {
      throw new ShapeError(
        `attendListed: tile ${tile} has rows ${row} to ${row + count - 1}, heads ${head} to ${head + some - 1}, entries ${from} to ${from + entries}; ` +
          `there are ${rows} rows, ${heads} heads in groups of ${group}, ${tokens.length} entries.`,
      );
    }
  }
  for (const token of tokens) {
    if (token < 0 || token >= length) throw new ShapeError(`attendListed: token ${token} is listed; there are ${length}.`);
  }
  return { heads, kvHeads, group };
}

export function listedTile(tiles: Int32Array, index: number): ListedTile {
  const [row = 0, rows = 0, head = 0, heads = 0, from = 0, entries = 0] = tiles.subarray(index * TILE_WORDS, (index + 1) * TILE_WORDS);
  return { row, rows, head, heads, from, entries };
}

function columns(tensor: DeviceTensor): number {
  return tensor.shape.slice(1).reduce((product, axis) => product * axis, 1);
}
