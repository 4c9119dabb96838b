import { checkListed, listedTile, TILE_WORDS } from "@infllm/attention";
import type { AttendListedArgs } from "@infllm/attention";
import { dot } from "@infllm/block-selection";
import { f32Rows } from "./checks.ts";

/** Softmax over listed tokens of plain keys and values, those of them that a row may see. */
export function attendListed(args: AttendListedArgs): () => void {
  const { heads, group } = checkListed(args);
  const { headDim, scale, tiles, tokens, bounds, always = 0, lse } = args;
  const q = f32Rows("attendListed: q", args.q);
  const k = f32Rows("attendListed: k", args.k);
  const v = f32Rows("attendListed: v", args.v);
  const out = f32Rows("attendListed: out", args.out);
  return () => {
    lse?.fill(-Infinity);
    for (let index = 0; index < tiles.length / TILE_WORDS; index++) {
      const tile = listedTile(tiles, index);
      const listed = tokens.subarray(tile.from, tile.from + tile.entries);
      for (let row = tile.row; row < tile.row + tile.rows; row++) {
        const [first = 0, last = 0] = bounds.subarray(2 * row, 2 * row + 2);
        const seen = listed.filter((token) => token <= last && (token >= first || token < always));
        for (let head = tile.head; head < tile.head + tile.heads; head++) {
          const at = Math.floor(head / group) * headDim;
          const logits = Float64Array.from(seen, (token) => scale * dot(q.row(row), head * headDim, k.row(token), at, headDim));
          const top = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
          const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
          const to = out.row(row).subarray(head * headDim, (head + 1) * headDim);
          for (let d = 0; d < headDim; d++) {
            let sum = 0;
            seen.forEach((token, i) => (sum += Math.exp((logits[i] as number) - top) * (v.row(token)[at + d] as number)));
            to[d] = seen.length === 0 ? 0 : sum / total;
          }
          if (lse !== undefined && seen.length > 0) lse[row * heads + head] = top + Math.log(total);
        }
      }
    }
  };
}
