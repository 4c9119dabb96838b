/** How far the next-token distributions of two models lie apart on the same text. */
import { UsageError } from "@infllm/tensor";
import { klDivergence, largestIndex } from "./distribution.ts";
import type { LogitRows } from "./logit-rows.ts";

/** One position. */
export interface Agreement {
  readonly position: number;
  /** KL(first ‖ second) in nats. */
  readonly kl: number;
  /** Whether both find the same next token most likely. */
  readonly sameTop: boolean;
}

/**
 * Compares two streams of `scoreRows` over the same positions, holding the rows of one step only: the same weights
 * under two attentions, or any two models of one vocabulary.
 * @throws UsageError when the streams give different positions, ShapeError when the vocabularies differ
 */
export async function* compareRows(
  first: AsyncIterable<LogitRows>,
  second: AsyncIterable<LogitRows>,
): AsyncGenerator<Agreement, void, undefined> {
  const [as, bs] = [singleRows(first), singleRows(second)];
  try {
    for (;;) {
      const [a, b] = [await as.next(), await bs.next()];
      if (a.done === true && b.done === true) return;
      if (a.done === true || b.done === true || a.value.position !== b.value.position) {
        throw new UsageError("compareRows: the two streams give different positions. Ask both for the same ones.");
      }
      const { position, logits } = a.value;
      const kl = klDivergence(logits, b.value.logits);
      yield { position, kl, sameTop: largestIndex(logits) === largestIndex(b.value.logits) };
    }
  } finally {
    await as.return();
    await bs.return();
  }
}

async function* singleRows(rows: AsyncIterable<LogitRows>): AsyncGenerator<{ position: number; logits: Float32Array }, void, undefined> {
  for await (const { first, count, logits } of rows) {
    const width = logits.length / count;
    for (let row = 0; row < count; row++) yield { position: first + row, logits: logits.subarray(row * width, (row + 1) * width) };
  }
}
