import { ShapeError, random } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { sparseConfig } from "./config.ts";
import { selectForQueries } from "./select-for-queries.ts";

const shape = { heads: 4, kvHeads: 2, headDim: 8 };
const config = sparseConfig({ windowSize: 64, topk: 3, denseLen: 0 });
const numbers = random(4);
const length = 700;
const q = numbers.normals(length * 32, 2);
const k = numbers.normals(length * 16, 2);

describe("selectForQueries", () => {
  test("a row's blocks do not depend on the rows around it, nor on later keys", () => {
    const whole = selectForQueries({ q, k, ...shape, config });
    for (const [from, count, keys] of [[0, 1, 1], [63, 3, 66], [130, 200, 400], [699, 1, 700]] as const) {
      const part = selectForQueries({
        q: q.subarray(from * 32, (from + count) * 32), k: k.subarray(0, keys * 16), ...shape, config,
        positions: Array.from({ length: count }, (_, i) => from + i),
      });
      for (let kvHead = 0; kvHead < 2; kvHead++) {
        const expected = whole.blockIndices.subarray((kvHead * length + from) * 4, (kvHead * length + from + count) * 4);
        expect(part.blockIndices.subarray(kvHead * count * 4, (kvHead + 1) * count * 4)).toEqual(expected);
      }
    }
  });

  test("queries are the last positions unless said otherwise", () => {
    const last = { q: q.subarray(0, 64), k, ...shape, config };
    expect(selectForQueries(last)).toEqual(selectForQueries({ ...last, positions: [698, 699] }));
  });

  test("sizes of the result", () => {
    const { rows, budget, blocks, blockIndices, blockScores } = selectForQueries({ q: q.subarray(0, 96), k, ...shape, config });
    expect({ rows, budget, blocks }).toEqual({ rows: 3, budget: 4, blocks: 11 });
    expect([blockIndices.length, blockScores.length]).toEqual([2 * 3 * 4, 2 * 3 * 11]);
  });

  test.each([
    [{ heads: 3 }, "3 query heads cannot share 2 KV heads"],
    [{ headDim: 7 }, "no whole number of rows"],
    [{ kvHeads: 0 }, "kvHeads is 0"],
    [{ k: k.subarray(0, 16) }, "the queries are the last positions of the keys"],
    [{ positions: [1] }, "were given 1 positions"],
    [{ positions: [0, 700] }, "position 700"],
  ])("refuses %j", (change, message) => {
    const run = (): unknown => selectForQueries({ q: q.subarray(0, 64), k, ...shape, config, ...change });
    expect(run).toThrow(ShapeError);
    expect(run).toThrow(message);
  });
});
