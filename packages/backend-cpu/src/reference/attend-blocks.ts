import { attendBlocksReference } from "@infllm/attention";
import type { AttendBlocksArgs } from "@infllm/attention";
import { f32Rows } from "./checks.ts";
import { ownCache } from "./layer-cache.ts";
import { perHeadRows, queriesOf, rowsOf } from "./queries.ts";
import { rowPositions, sequencesOf } from "./sequences.ts";

/** Softmax over the tokens of each row's blocks up to the row's own. */
export function attendBlocks({ q, cache, batch, scale, blockIndices, out }: AttendBlocksArgs): () => void {
  const layer = ownCache("attendBlocks: cache", cache);
  const { kvHeads, headDim, blockSize } = cache.shape;
  const queries = queriesOf("attendBlocks", q, cache, batch);
  const to = f32Rows("attendBlocks: out", out, { rows: batch.rows, columns: queries.columns });
  const indices = perHeadRows<Int32Array>("attendBlocks: blockIndices", blockIndices, { dtype: "i32", kvHeads, rows: batch.rows });
  const sequences = sequencesOf("attendBlocks", batch);
  return () => {
    for (const sequence of sequences()) {
      const { start, count, pages, length } = sequence;
      const chosen = new Int32Array(kvHeads * count * indices.columns);
      for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
        for (let i = 0; i < count; i++) {
          chosen.set(indices.row(kvHead, start + i), (kvHead * count + i) * indices.columns);
        }
      }
      const result = attendBlocksReference({
        q: rowsOf(queries, sequence),
        k: layer.load("keys", pages, 0, length),
        v: layer.load("values", pages, 0, length),
        positions: rowPositions(sequence),
        heads: queries.heads, kvHeads, headDim, scale, blockSize, blockIndices: chosen,
      });
      const width = queries.columns;
      for (let i = 0; i < count; i++) to.row(start + i).set(result.subarray(i * width, (i + 1) * width));
    }
  };
}
