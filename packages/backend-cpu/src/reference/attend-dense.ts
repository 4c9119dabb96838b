import { attendDenseReference } from "@infllm/attention";
import type { AttendDenseArgs } from "@infllm/attention";
import { f32Rows } from "./checks.ts";
import { ownCache } from "./layer-cache.ts";
import { queriesOf, rowsOf } from "./queries.ts";
import { rowPositions, sequencesOf } from "./sequences.ts";

/** Softmax over all tokens up to each row's own. */
export function attendDense({ q, cache, batch, scale, out }: AttendDenseArgs): () => void {
  const layer = ownCache("attendDense: cache", cache);
  const { kvHeads, headDim } = cache.shape;
  const queries = queriesOf("attendDense", q, cache, batch);
  const to = f32Rows("attendDense: out", out, { rows: batch.rows, columns: queries.columns });
  const sequences = sequencesOf("attendDense", batch);
  return () => {
    for (const sequence of sequences()) {
      const { start, count, pages, length } = sequence;
      const result = attendDenseReference({
        q: rowsOf(queries, sequence),
        k: layer.load("keys", pages, 0, length),
        v: layer.load("values", pages, 0, length),
        positions: rowPositions(sequence),
        heads: queries.heads, kvHeads, headDim, scale,
      });
      const width = queries.columns;
      for (let i = 0; i < count; i++) to.row(start + i).set(result.subarray(i * width, (i + 1) * width));
    }
  };
}
