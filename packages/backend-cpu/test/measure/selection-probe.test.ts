import { freeBlocks, overlap, selectionProbe } from "@infllm/attention/measure";
import type { SelectionSample } from "@infllm/attention/measure";
import { selectForQueries, sparseConfig } from "@infllm/block-selection";
import { describe, expect, it } from "vitest";
import { attendAs, dotAt, expectClose, methodInputs, rotated, runMethod } from "../methods/method-run.ts";

const inputs = methodInputs({ heads: 4, kvHeads: 2, headDim: 8, length: 170, seed: 12, sharpness: 2 });
const { heads, kvHeads, headDim, length } = inputs;
const config = sparseConfig({ kernelSize: 8, kernelStride: 4, blockSize: 8, windowSize: 8, topk: 3, initBlocks: 1 });

/** Dense attention probabilities of one query head. */
function probabilities(row: number, head: number): number[] {
  const weights = Array.from({ length: row + 1 }, (_, token) => Math.exp(dotAt(inputs, row, head, token, row, token) / Math.sqrt(headDim)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

function recallOf(row: number, head: number, blocks: readonly number[]): number {
  return probabilities(row, head).reduce((sum, probability, token) => sum + (blocks.includes(Math.floor(token / config.blockSize)) ? probability : 0), 0);
}

/** All queries and keys, rotated. */
function rotatedRows(what: "q" | "k", count: number): Float32Array {
  const rows = Array.from({ length: length * count }, (_, i) => [...rotated(inputs, inputs[what], i * headDim, Math.floor(i / count))]);
  return Float32Array.from(rows.flat());
}

async function samples(chunks: readonly number[]) {
  const seen: SelectionSample[] = [];
  const wants = (position: number) => position % 40 === 9 || position === 100 || position === 10;
  const probe = selectionProbe({ config, wants, onSample: (sample) => seen.push(sample) });
  const { out } = await runMethod(probe, inputs, chunks);
  return { seen, out };
}

describe("the selection probe", () => {
  it("attends densely, and sees what the reference selects and how much dense attention lies there", async () => {
    const { seen, out } = await samples([64, 70, 1]);
    expectClose(out, attendAs(inputs, (row, _, token) => (token <= row ? [row, token] : undefined)));
    expect(seen.map(({ position }) => position)).toEqual([9, 10, 49, 89, 100, 129, 169]);
    const positions = seen.map(({ position }) => position);
    const q = rotatedRows("q", heads);
    const all = Float32Array.from(positions.flatMap((position) => [...q.subarray(position * heads * headDim, (position + 1) * heads * headDim)]));
    for (const lse of ["approx", "exact"] as const) {
      const expected = selectForQueries({ q: all, k: rotatedRows("k", kvHeads), heads, kvHeads, headDim, config: { ...config, lse }, positions });
      seen.forEach((sample, row) => {
        for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
          const at = (kvHead * positions.length + row) * expected.budget;
          expect(sample[lse].blocks[kvHead]).toEqual([...expected.blockIndices.subarray(at, at + expected.budget)].filter((block) => block >= 0));
        }
        for (let head = 0; head < heads; head++) {
          const blocks = sample[lse].blocks[Math.floor((head * kvHeads) / heads)] ?? [];
          expect(sample[lse].recall[head]).toBeCloseTo(recallOf(sample.position, head, blocks), 5);
        }
      });
    }
  });

  it("brackets the recall: forced blocks alone below, the best choice of each KV head above", async () => {
    const { seen } = await samples([length]);
    for (const { position, approx, exact, forcedRecall, bestRecall } of seen) {
      const own = Math.floor(position / config.blockSize);
      const forced = [0, own - 1, own].filter((block, i, list) => block >= 0 && list.indexOf(block) === i);
      for (let head = 0; head < heads; head++) expect(forcedRecall[head]).toBeCloseTo(recallOf(position, head, forced), 5);
      for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
        const group = (recall: Float64Array) => recall.subarray(2 * kvHead, 2 * kvHead + 2).reduce((sum, value) => sum + value, 0);
        for (const { recall } of [approx, exact]) {
          expect(group(recall)).toBeLessThanOrEqual(group(bestRecall) + 1e-6);
          expect(group(recall)).toBeGreaterThanOrEqual(group(forcedRecall) - 1e-6);
        }
        if (own < 4) expect(group(bestRecall)).toBeCloseTo(2, 5);
      }
    }
  });

  it("sees the same whatever the chunks", async () => {
    const [whole, chunked] = [await samples([length]), await samples([33])];
    expect(chunked.seen.map(({ approx }) => approx.blocks)).toEqual(whole.seen.map(({ approx }) => approx.blocks));
  });
});

describe("overlap of selections", () => {
  it("is the shared part of all blocks that either chose", () => {
    expect(overlap([1, 2, 3], [2, 3, 4])).toBe(0.5);
    expect(overlap([], [])).toBe(1);
    expect(overlap([1], [])).toBe(0);
  });

  it("may leave out what every query is forced to read", () => {
    expect(freeBlocks([0, 2, 5, 9, 10], 87, config)).toEqual([2, 5]);
  });
});
