/**
 * Inputs whose selections look like a language model's: keys belong to topics that change every 48 tokens, queries ask
 * for topics that change every 16, so neighbouring queries want nearly the same blocks.
 */
import { encodeBf16, random } from "@infllm/tensor";

const TOPICS = 24;
const VARIANTS = 61;
const KEY_RUN = 48;
const QUERY_RUN = 16;

export interface LayerRows {
  /** bf16 bits `[length, heads * dim]`, `[length, kvHeads * dim]` twice. */
  readonly q: Uint16Array;
  readonly k: Uint16Array;
  readonly v: Uint16Array;
}

export function structuredRows(length: number, heads: number, kvHeads: number, dim: number): LayerRows {
  const generator = random(1);
  const uniform = (): number => 2 * generator.uniform() - 1;
  const width = kvHeads * dim;
  const centres = Array.from({ length: TOPICS }, () => Float32Array.from({ length: width }, uniform));
  // Each topic's rows are its centre plus noise, in some variants that are used in turn.
  const variants = (columns: number, centreOf: (topic: number, column: number) => number): Uint16Array[][] =>
    Array.from({ length: TOPICS }, (_, topic) =>
      Array.from({ length: VARIANTS }, () =>
        encodeBf16(Float32Array.from({ length: columns }, (_, column) => uniform() + centreOf(topic, column))),
      ),
    );
  const keys = variants(width, (topic, column) => centres[topic]?.[column] ?? 0);
  const values = variants(width, () => 0);
  const group = heads / kvHeads;
  const queries = variants(heads * dim, (topic, column) => {
    const head = Math.floor(column / dim);
    return centres[topic]?.[Math.floor(head / group) * dim + (column % dim)] ?? 0;
  });
  const fill = (rows: Uint16Array[][], columns: number, run: number): Uint16Array => {
    const out = new Uint16Array(length * columns);
    let topic = 0;
    for (let i = 0; i < length; i++) {
      if (i % run === 0) topic = generator.next() % TOPICS;
      out.set(rows[topic]?.[generator.next() % VARIANTS] ?? [], i * columns);
    }
    return out;
  };
  return { q: fill(queries, heads * dim, QUERY_RUN), k: fill(keys, width, KEY_RUN), v: fill(values, width, KEY_RUN) };
}
