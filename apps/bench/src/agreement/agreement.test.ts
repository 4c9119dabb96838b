import type { SelectionSample } from "@infllm/attention/measure";
import { cpuBackend } from "@infllm/backend-cpu";
import { sparseConfig } from "@infllm/block-selection";
import { loadModel } from "@infllm/model";
import { describe, expect, it } from "vitest";
import { compareDistributions, spread } from "./distributions.ts";
import { keptRows, type RowSource } from "./kept-rows.ts";
import { choosingPairs, SelectionFigures } from "./selections.ts";

const config = sparseConfig({ windowSize: 64, topk: 3, initBlocks: 1 });
const context = { signal: new AbortController().signal, progress: () => {} };

describe("positions", () => {
  it("spreads evenly and ends at the last", () => {
    expect(spread(100, 4)).toEqual([24, 49, 74, 99]);
    expect(spread(3, 10)).toEqual([0, 1, 2]);
  });

  it("pairs neighbours that see more blocks than they may choose", () => {
    const budget = 4 * 64;
    const pairs = choosingPairs(1000, 3, config);
    expect(pairs).toHaveLength(6);
    expect(Math.min(...pairs)).toBeGreaterThanOrEqual(budget);
    expect(Math.max(...pairs)).toBe(999);
    expect(choosingPairs(budget, 3, config)).toEqual([]);
  });
});

describe("SelectionFigures", () => {
  const sample = (layer: number, position: number, approx: number[], exact: number[]): SelectionSample => ({
    layer,
    position,
    approx: { blocks: [approx], recall: Float64Array.of(0.5, 0.7) },
    exact: { blocks: [exact], recall: Float64Array.of(0.6, 0.8) },
    forcedRecall: Float64Array.of(0.1, 0.1),
    bestRecall: Float64Array.of(0.9, 0.9),
  });

  it("averages recall and compares the blocks that queries chose themselves", () => {
    const figures = new SelectionFigures(2, 2, config);
    // Block 0 is forced, so are the query's own and the one before: 9 and 8 at position 600.
    figures.add(0, sample(0, 600, [0, 3, 8, 9], [0, 4, 8, 9]));
    figures.add(0, sample(1, 600, [0, 3, 8, 9], [0, 3, 8, 9]));
    figures.add(0, sample(0, 601, [0, 3, 8, 9], [0, 3, 8, 9]));
    figures.add(0, sample(1, 601, [0, 5, 8, 9], [0, 5, 8, 9]));
    const found = figures.figures();
    expect(found).toMatchObject({ queries: 2, neighbourOverlapByLayer: [1, 0], neighbourOverlap: 0.5, lseOverlapByLayer: [0.5, 1], lseOverlap: 0.75 });
    expect(found["reached"]).toEqual([[0, 600, 0.6, 0.5], [0, 601, 0.6, 0.5]]);
    expect(found["recall"]).toEqual({ approx: expect.closeTo(0.6, 12) as unknown, exact: expect.closeTo(0.7, 12) as unknown, forced: expect.closeTo(0.1, 12) as unknown, best: expect.closeTo(0.9, 12) as unknown });
  });
});

describe("compareDistributions", () => {
  /** Rows of one text with two tokens in the vocabulary: ln p of the first, by position. */
  const rows = (...logProbs: number[]): RowSource => ({
    async *scoreRows(_, options) {
      for (const [index, first] of (options?.positions ?? []).entries()) {
        const p = logProbs[index] ?? Number.NaN;
        yield { first, count: 1, logits: Float32Array.of(p, Math.log(1 - Math.exp(p))) };
      }
    },
  });

  it("says how much of the mean the worst positions carry, and what every position has", async () => {
    const half = Math.log(0.5);
    const figures = await compareDistributions(rows(half, half, half, half), rows(half, half, half, Math.log(0.1)), { texts: [[1, 2, 3, 4]], positions: 4 }, context);
    const kl = 0.5 * Math.log(0.5 / 0.1) + 0.5 * Math.log(0.5 / 0.9);
    expect(figures).toMatchObject({ kl: expect.closeTo(kl / 4, 6) as unknown, medianKl: 0, largestKl: expect.closeTo(kl, 6) as unknown, worst: { positions: 1, shareOfKl: 1 } });
    expect(figures["compared"]).toEqual([[0, 0, 0], [0, 1, 0], [0, 2, 0], [0, 3, Number(kl.toPrecision(4))]]);
  });

  it("asks for the rows of a text once", async () => {
    let asked = 0;
    const kept = keptRows(async () => (asked++, rows(-1, -2)));
    const [text, other] = [[1, 2], [1, 2]];
    const read = async (ids: number[]) => {
      const found: number[] = [];
      for await (const { logits } of kept.scoreRows(ids, { positions: [0, 1] })) found.push(logits[0] ?? Number.NaN);
      return found;
    };
    expect([await read(text), await read(text), await read(other)]).toEqual([[-1, -2], [-1, -2], [-1, -2]]);
    expect(asked).toBe(2);
  });

  it("finds no difference between a method and itself", async () => {
    const backend = await cpuBackend({ threads: 1 });
    const models = [await loadModel("embedded", { backend, contextLength: 64 }), await loadModel("embedded", { backend, contextLength: 64 })] as const;
    const texts = [Array.from({ length: 48 }, (_, i) => 4 + i * 7)];
    const figures = await compareDistributions(...models, { texts, positions: 16 }, context);
    expect(figures).toMatchObject({ positions: 16, kl: 0, largestKl: 0, sameTop: 1 });
    expect(figures["byPosition"]).toHaveLength(8);
    for (const model of models) await model.close();
    await backend.close();
  });
});
