import { checkListed, listedTile, TILE_WORDS } from "@infllm/attention";
import type { AttendListedArgs } from "@infllm/attention";
import { LISTED_KEYS, f32Word, op } from "../abi.ts";
import { aligned } from "../wasm/heap.ts";
import type { Machine } from "../wasm/machine.ts";
import { scratchBytes } from "./attend.ts";
import { f32Rows } from "./checks.ts";
import { LOG2E } from "./queries.ts";

/** Softmax over listed tokens of plain keys and values, those of them that a row may see. */
export function attendListed(machine: Machine, args: AttendListedArgs): () => void {
  const { heads, group } = checkListed(args);
  const { headDim, scale, tiles, tokens, bounds, always = 0, lse } = args;
  const query = f32Rows(machine, "attendListed: q", args.q);
  const keys = f32Rows(machine, "attendListed: k", args.k);
  const values = f32Rows(machine, "attendListed: v", args.v);
  const to = f32Rows(machine, "attendListed: out", args.out);
  const count = tiles.length / TILE_WORDS;
  let most = 0;
  for (let tile = 0; tile < count; tile++) {
    const { rows, heads: some } = listedTile(tiles, tile);
    most = Math.max(most, rows * some);
  }

  return () => {
    const lists = [tiles, tokens, bounds];
    const words = lists.map((list) => aligned(list.byteLength) / 4);
    const sumWords = lse === undefined ? 0 : 2 * lse.length;
    const at = machine.table(words.reduce((sum, some) => sum + some, sumWords));
    const addresses = lists.map((list, i) => {
      const address = at + 4 * words.slice(0, i).reduce((sum, some) => sum + some, 0);
      machine.memory.i32.set(list, address >>> 2);
      return address;
    });
    const sums = lse === undefined ? 0 : at + 4 * words.reduce((sum, some) => sum + some, 0);
    if (lse !== undefined) machine.memory.f32.fill(0, sums >>> 2, (sums >>> 2) + sumWords);
    const job = Int32Array.of(
      query.address, query.rowStride, to.address, to.rowStride, keys.address, keys.rowStride, values.address, values.rowStride,
      heads, group, headDim, f32Word(scale * LOG2E), ...addresses, always, sums,
    );
    machine.run(op.attendListed, job, count, scratchBytes(most, headDim, LISTED_KEYS, true));
    if (lse !== undefined) readSums(machine.memory.f32.subarray(sums >>> 2, (sums >>> 2) + sumWords), lse);
  };
}

/** Maxima and sums in base 2 to natural logarithms of the whole; a sum of 0 stands for a row that sees nothing. */
function readSums(sums: Float32Array, lse: Float32Array): void {
  for (let i = 0; i < lse.length; i++) {
    const [top = 0, sum = 0] = sums.subarray(2 * i, 2 * i + 2);
    lse[i] = sum === 0 ? -Infinity : (top + Math.log2(sum)) / LOG2E;
  }
}
