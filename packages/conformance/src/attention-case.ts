/** Runs dense or block-sparse attention on a backend and holds it against float64. */
import { tokensOfBlocks } from "@infllm/attention";
import { compressBoth, selectForRow } from "@infllm/block-selection";
import type { CompressedKeys, SparseConfig } from "@infllm/block-selection";
import { concatenate } from "./cache-rig.ts";
import type { CacheRig } from "./cache-rig.ts";
import { mustBe } from "./compare.ts";
import type { HeadShape } from "./configs.ts";
import { GuardedPerHead } from "./guards.ts";
import { rowRange } from "./layer-inputs.ts";
import { attention } from "./maths.ts";
import type { AttentionMaths } from "./maths.ts";
import type { BatchRow } from "./selection-case.ts";
import { accuracyOf, expectAccurate } from "./tolerance.ts";
import type { Accuracy } from "./tolerance.ts";

export interface AttentionCase extends HeadShape {
  readonly rig: CacheRig;
  /** f32 `[rows, heads, headDim]` as the device sees them */
  readonly q: Float32Array;
  readonly rows: readonly BatchRow[];
  readonly scale: number;
  /** Keys and values of each sequence as appended: f32 `[length, kvHeads, headDim]` */
  readonly contents: readonly { readonly k: Float32Array; readonly v: Float32Array }[];
}

/** Dense attention on the rig's current batch. @returns f32 `[rows, heads, headDim]` */
export async function checkDense(test: AttentionCase): Promise<Float32Array> {
  const { rig, q, rows, scale, heads, headDim } = test;
  const out = rig.device.output(rows.length, heads * headDim);
  rig.device.attention.attendDense({ q: rig.device.input(q, heads * headDim), cache: rig.layer, batch: rig.batch, scale, out: out.tensor });
  const result = await out.read();
  expectAttention("dense", test, result, (row) => Int32Array.from({ length: mustBe(rows[row]).position + 1 }, (_, token) => token));
  return result;
}

/**
 * Attention over given blocks, `[kvHeads, rows, budget]`, on the rig's current batch.
 * @returns f32 `[rows, heads, headDim]`
 */
export async function checkBlocks(test: AttentionCase, blocks: Int32Array): Promise<Float32Array> {
  const { rig, q, rows, scale, heads, kvHeads, headDim } = test;
  const { device } = rig;
  const budget = blocks.length / (kvHeads * rows.length);
  const indices = new GuardedPerHead(device, "i32", kvHeads, rows.length, budget);
  indices.fill(blocks);
  const out = device.output(rows.length, heads * headDim);
  const args = { q: device.input(q, heads * headDim), cache: rig.layer, batch: rig.batch, scale, out: out.tensor };
  device.attention.attendBlocks({ ...args, blockIndices: indices.tensor });
  const result = await out.read();
  expectSparse("sparse", test, result, blocks);
  return result;
}

/** @throws Error unless `result` is attention over these blocks, `[kvHeads, rows, budget]`, to rounding */
export function expectSparse(what: string, test: AttentionCase, result: Float32Array, blocks: Int32Array): void {
  expectAttention(what, test, result, tokensOf(test, blocks));
}

/** Attention of a single sequence's rows over these blocks in float64, and how far a backend may be off. */
export function sparseAccuracy(test: AttentionCase, blocks: Int32Array): Accuracy {
  const maths = mathsOf(test, 0, Array.from(test.rows.keys()), tokensOf(test, blocks));
  return accuracyOf(test.rig.device.activation, (precision) => attention(maths, precision));
}

type TokensOfRow = (row: number, kvHead: number) => Int32Array;

function tokensOf({ rows, kvHeads, rig }: AttentionCase, blocks: Int32Array): TokensOfRow {
  const budget = blocks.length / (kvHeads * rows.length);
  return (row, kvHead) => {
    const from = (kvHead * rows.length + row) * budget;
    return tokensOfBlocks(blocks.subarray(from, from + budget), rig.cache.blockSize, mustBe(rows[row]).position);
  };
}

/** Checks the rows of one sequence after the other. */
function expectAttention(what: string, test: AttentionCase, result: Float32Array, tokens: TokensOfRow): void {
  const { rig, rows, contents, heads, headDim } = test;
  for (const sequence of contents.keys()) {
    const own = rows.flatMap((row, index) => (row.sequence === sequence ? [index] : []));
    if (own.length === 0) continue;
    const maths = mathsOf(test, sequence, own, tokens);
    const name = `${what}, sequence ${sequence}, rows at ${own.map((row) => mustBe(rows[row]).position).join(" ")}`;
    const actual = gatherRows(result, own, heads * headDim);
    expectAccurate(name, actual, rig.device.activation, (precision) => attention(maths, precision));
  }
}

/** The maths of some rows that belong to one sequence. */
function mathsOf(test: AttentionCase, sequence: number, own: readonly number[], tokens: TokensOfRow): AttentionMaths {
  const { rig, q, contents, heads, kvHeads, headDim, scale } = test;
  const { k, v } = mustBe(contents[sequence]);
  return {
    q: gatherRows(q, own, heads * headDim), k: rig.asCached(k), v: rig.asCached(v), rows: own.length,
    heads, kvHeads, headDim, scale,
    tokens: (row, kvHead) => tokens(mustBe(own[row]), kvHead),
  };
}

function gatherRows(from: Float32Array, rows: readonly number[], width: number): Float32Array {
  return concatenate(rows.map((row) => rowRange(from, width, row, 1)));
}

/** Blocks as the float64 reference selects them from the cached keys: `[kvHeads, rows, budget]`. */
export function referenceBlocks(test: AttentionCase, config: SparseConfig, budget: number): Int32Array {
  const { rig, q, rows, contents, heads, kvHeads, headDim, scale } = test;
  const compressed = contents.map(({ k }): CompressedKeys => compressBoth(rig.asCached(k), { kvHeads, headDim }, config));
  const blocks = new Int32Array(kvHeads * rows.length * budget);
  for (const [r, { sequence, position }] of rows.entries()) {
    const row = { q: q.subarray(r * heads * headDim, (r + 1) * heads * headDim), heads, kvHeads, headDim, position, scale };
    const length = mustBe(contents[sequence]).k.length / (kvHeads * headDim);
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      const { indices } = selectForRow({ ...row, kvHead }, mustBe(compressed[sequence]), length, config);
      blocks.set(indices, (kvHead * rows.length + r) * budget);
    }
  }
  return blocks;
}
