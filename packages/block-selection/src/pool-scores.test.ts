import { expect, test } from "vitest";
import { sparseConfig } from "./config.ts";
import { poolScores } from "./pool-scores.ts";

const config = sparseConfig();

test("a block takes the windows that start in it and the one before", () => {
  // Four windows start in each block; window 3 reaches from block 0 into block 1.
  const scores = Float64Array.from([1, 0, 0, 5, 2, 0, 0, 0, 7, 3]);
  expect(Array.from(poolScores(scores, 3, config))).toEqual([5, 5, 7]);
});

test("−Infinity where no window exists", () => {
  expect(Array.from(poolScores(Float64Array.from([1, 2, 3]), 3, config))).toEqual([3, -Infinity, -Infinity]);
  expect(Array.from(poolScores(Float64Array.from([1, 2, 3, 4]), 3, config))).toEqual([4, 4, -Infinity]);
  expect(Array.from(poolScores(new Float64Array(0), 1, config))).toEqual([-Infinity]);
});

test("a window of score 0 counts as a window", () => {
  expect(Array.from(poolScores(new Float64Array(5), 2, config))).toEqual([0, 0]);
});
