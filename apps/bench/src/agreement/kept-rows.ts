import type { LogitRows, Model } from "@infllm/model";

/** What gives the logits of a text: a model, or rows that one gave. */
export type RowSource = Pick<Model, "scoreRows">;

/**
 * A source that asks `source` once for each text, however many methods are compared with it. The rows of every text, f32
 * `[positions, vocabulary]`, stay in memory; texts are told apart by identity, and always asked for the same positions.
 */
export function keptRows(source: () => Promise<RowSource>): RowSource {
  const kept = new Map<readonly number[], readonly LogitRows[]>();
  return {
    async *scoreRows(ids, options) {
      const known = kept.get(ids);
      if (known !== undefined) {
        yield* known;
        return;
      }
      const rows: LogitRows[] = [];
      for await (const each of (await source()).scoreRows(ids, options)) {
        rows.push({ ...each, logits: each.logits.slice() });
        yield each;
      }
      kept.set(ids, rows);
    },
  };
}
