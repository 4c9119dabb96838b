import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { sparseConfig } from "./config.ts";
import { blockBudget } from "./geometry.ts";
import { isForced, selectBlocks } from "./select-blocks.ts";

const config = sparseConfig({ windowSize: 128, topk: 4 });
const at = (block: number): number => block * config.blockSize + 5;
const select = (scores: number[], block: number, of = config): number[] => Array.from(selectBlocks(Float64Array.from(scores), at(block), of));

describe("selectBlocks", () => {
  test("forces the first block and the local ones, then takes the best", () => {
    // Row in block 9: forced are 0, 7, 8, 9; two places are left.
    expect(select([0, 1, 9, 1, 1, 8, 1, 0, 0, 0, 99], 9)).toEqual([0, 2, 5, 7, 8, 9]);
  });

  test("a tie goes to the lower block", () => {
    expect(select([0, 3, 3, 3, 3, 3, 3, 0, 0, 0], 9)).toEqual([0, 1, 2, 7, 8, 9]);
  });

  test("forced blocks stay, even against infinite scores, and NaN ranks last", () => {
    expect(select([0, NaN, Infinity, NaN, Infinity, Infinity, 2, 0, 0, 0], 9)).toEqual([0, 2, 4, 7, 8, 9]);
    expect(select([0, NaN, NaN, -5, -Infinity, NaN, -6, 0, 0, 0], 9)).toEqual([0, 3, 6, 7, 8, 9]);
  });

  test("takes all blocks while they fit, and pads with −1", () => {
    expect(select([1], 0)).toEqual([0, -1, -1, -1, -1, -1]);
    expect(select([1, -Infinity, 1], 2)).toEqual([0, 1, 2, -1, -1, -1]);
    expect(select([1, 1, 1, 1, 1, 1], 5)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("never sees a block after its own", () => {
    expect(select([1, 1, 50, 50, 50], 1)).toEqual([0, 1, -1, -1, -1, -1]);
  });

  test("is what sorting says, for any scores", () => {
    const cases = fc.record({
      scores: fc.array(fc.oneof(fc.integer({ min: 0, max: 4 }), fc.double({ noNaN: true })), { minLength: 1, maxLength: 40 }),
      initBlocks: fc.integer({ min: 0, max: 2 }),
      local: fc.integer({ min: 0, max: 3 }),
      free: fc.integer({ min: 1, max: 5 }),
    });
    fc.assert(
      fc.property(cases, ({ scores, initBlocks, local, free }) => {
        const own = sparseConfig({ initBlocks, windowSize: 64 * local, topk: initBlocks + free });
        const block = scores.length - 1;
        const chosen = select(scores, block, own).filter((id) => id >= 0);
        const forced = scores.flatMap((_, id) => (isForced(id, block, own) ? [id] : []));
        expect(chosen).toEqual([...new Set(chosen)].sort((a, b) => a - b));
        expect(chosen).toHaveLength(Math.min(blockBudget(own), scores.length));
        expect(chosen).toEqual(expect.arrayContaining(forced));
        const left = scores.flatMap((_, id) => (chosen.includes(id) ? [] : [id]));
        for (const taken of chosen.filter((id) => !forced.includes(id))) {
          for (const other of left) {
            const [a, b] = [scores[taken] ?? NaN, scores[other] ?? NaN];
            expect(a > b || (a === b && taken < other)).toBe(true);
          }
        }
      }),
      { seed: 2, numRuns: 300 },
    );
  });
});
