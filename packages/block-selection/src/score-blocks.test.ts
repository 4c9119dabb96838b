import { random } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { sparseConfig } from "./config.ts";
import { visibleWindows } from "./geometry.ts";
import { scoreBlocks } from "./score-blocks.ts";
import { compressBoth } from "./select-for-queries.ts";

const shape = { heads: 6, kvHeads: 2, headDim: 8 };
const length = 400;
const numbers = random(1);
const keys = numbers.normals(length * shape.kvHeads * shape.headDim);
const q = numbers.normals(shape.heads * shape.headDim);
const exact = sparseConfig({ lse: "exact" });
const approx = sparseConfig({ lse: "approx" });
const compressed = compressBoth(keys, shape, exact);

const scores = (position: number, config = exact, kvHead = 0): number[] =>
  Array.from(scoreBlocks({ q, ...shape, kvHead, position, scale: 0.5 }, compressed, config));

describe("scoreBlocks", () => {
  test("with the exact LSE, the visible windows of each head share a mass of 1", () => {
    for (const position of [31, 32, 47, 200, 399]) {
      const sum = scores(position).reduce((a, b) => a + b, 0);
      expect(sum).toBeCloseTo(3, 12);
    }
  });

  test("windows that end after the position score 0, and only those", () => {
    for (const position of [0, 30, 31, 46, 47, 300]) {
      const visible = visibleWindows(position, 32, 16);
      expect(scores(position).map((score) => score > 0)).toEqual(Array.from({ length: 24 }, (_, j) => j < visible));
    }
  });

  test("with the approximate LSE, all score 0 until a coarse window is visible", () => {
    expect(scores(126, approx).every((score) => score === 0)).toBe(true);
    expect(scores(127, approx).filter((score) => score > 0)).toHaveLength(visibleWindows(127, 32, 16));
  });

  test("both LSEs differ by one factor per head, without a correction for the number of keys", () => {
    const one = { heads: 2, kvHeads: 2, headDim: 8 };
    const row = { q: q.subarray(0, 16), ...one, kvHead: 1, position: 399, scale: 0.5 };
    const ratios = Array.from(scoreBlocks(row, compressed, approx), (score, i) => score / (scoreBlocks(row, compressed, exact)[i] ?? NaN));
    for (const ratio of ratios) expect(ratio / (ratios[0] ?? NaN)).toBeCloseTo(1, 12);
    // 24 fine and 5 coarse windows of like size: about 24 / 5 more mass each.
    expect(ratios[0]).toBeGreaterThan(3);
    expect(ratios[0]).toBeLessThan(8);
  });

  test("KV heads are scored apart", () => {
    expect(scores(300, exact, 0)).not.toEqual(scores(300, exact, 1));
  });
});
