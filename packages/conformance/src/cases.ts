/**
 * Seeded attention inputs, the same numbers in every language. A value is an integer over 64 below 4, so it is exact
 * in bf16, f16 and f32. Keys cluster around topics that change every 48 tokens and queries follow topics of their
 * own, so that blocks differ in how much a query wants them; odd and even heads follow different ones.
 */
import { mustBe } from "./compare.ts";

/** One golden case, named as in `goldens/cases.json`; the queries are the last `q_length` positions. */
export interface GoldenCase {
  readonly name: string;
  readonly seed: number;
  readonly kv_length: number;
  readonly q_length: number;
  readonly heads: number;
  readonly kv_heads: number;
  readonly head_dim: number;
  /** Under the names of `sparse_config`, plus `lse`. */
  readonly config: Readonly<Record<string, number | string>>;
}

export interface CaseInputs {
  /** f32 `[q_length, heads, head_dim]` */
  readonly q: Float32Array;
  /** f32 `[kv_length, kv_heads, head_dim]` */
  readonly k: Float32Array;
  /** f32 `[kv_length, kv_heads, head_dim]` */
  readonly v: Float32Array;
}

const TOPICS = 24;
const KEY_TOPIC_TOKENS = 48;
const QUERY_TOPIC_TOKENS = 16;

/** Every use of the seed has a stream of its own. */
const salt = { k: 1, v: 2, q: 3, keyCentroids: 10, keyTopics: 11, valueCentroids: 12, evenTopics: 13, oddTopics: 14 } as const;

export function makeInputs(test: Pick<GoldenCase, "seed" | "kv_length" | "q_length" | "heads" | "kv_heads" | "head_dim">): CaseInputs {
  const { seed, kv_length: length, q_length: rows, heads, kv_heads: kvHeads, head_dim: headDim } = test;
  const width = kvHeads * headDim;
  const keyCentroids = centroids(seed, salt.keyCentroids, width);
  const keyTopics = topics(seed, salt.keyTopics, length, KEY_TOPIC_TOKENS);
  const k = aroundCentroids(seed, salt.k, keyTopics, keyCentroids, width);
  const v = aroundCentroids(seed, salt.v, keyTopics, centroids(seed, salt.valueCentroids, width), width);

  const even = topics(seed, salt.evenTopics, length, QUERY_TOPIC_TOKENS);
  const odd = topics(seed, salt.oddTopics, length, QUERY_TOPIC_TOKENS);
  const noise = stream(seed, salt.q);
  const q = new Float32Array(rows * heads * headDim);
  let at = 0;
  for (let position = length - rows; position < length; position++) {
    for (let head = 0; head < heads; head++) {
      const topic = mustBe((head % 2 === 1 ? odd : even)[position]);
      const centroid = topic * width + Math.floor(head / (heads / kvHeads)) * headDim;
      const first = (position * heads + head) * headDim;
      for (let d = 0; d < headDim; d++) {
        q[at++] = ((noise(first + d) % 127) - 63 + (keyCentroids[centroid + d] as number)) / 64;
      }
    }
  }
  return { q, k, v };
}

/** f32 `[topics.length, width]`: each token's centroid plus noise of the same size. */
function aroundCentroids(seed: number, own: number, tokenTopics: Int32Array, centers: Int32Array, width: number): Float32Array {
  const noise = stream(seed, own);
  const out = new Float32Array(tokenTopics.length * width);
  for (const [token, topic] of tokenTopics.entries()) {
    for (let i = 0; i < width; i++) {
      const center = centers[topic * width + i] as number;
      out[token * width + i] = ((noise(token * width + i) % 127) - 63 + center) / 64;
    }
  }
  return out;
}

/** i32 `[TOPICS, width]` in −64 … 64 */
function centroids(seed: number, own: number, width: number): Int32Array {
  const numbers = stream(seed, own);
  return Int32Array.from({ length: TOPICS * width }, (_, i) => (numbers(i) % 129) - 64);
}

/** i32 `[length]` in 0 … TOPICS − 1, constant over runs of `run` tokens */
function topics(seed: number, own: number, length: number, run: number): Int32Array {
  const numbers = stream(seed, own);
  return Int32Array.from({ length }, (_, token) => numbers(Math.floor(token / run)) % TOPICS);
}

/** 32-bit numbers by index: a hash of seed, stream and index. */
function stream(seed: number, own: number): (index: number) => number {
  const start = mix((seed * 1000003 + own) >>> 0);
  return (index) => mix((index + start) >>> 0);
}

/** A 32-bit avalanche hash: every input bit flips every output bit about half the time. */
function mix(word: number): number {
  let x = word;
  x ^= x >>> 16;
  x = Math.imul(x, 0x7feb352d);
  x ^= x >>> 15;
  x = Math.imul(x, 0x846ca68b);
  x ^= x >>> 16;
  return x >>> 0;
}
