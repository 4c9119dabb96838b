import { sparseConfig } from "@infllm/block-selection";
import { describe, expect, test } from "vitest";
import { expectClose, expectRowsClose, expectSame, expectScores, expectSelection } from "./compare.ts";
import { accuracyOf } from "./tolerance.ts";
import { linear } from "./maths.ts";

describe("comparisons fail", () => {
  test.each([
    ["a number too far off", () => expectClose("x", [1, 2], [1, 2.2], 0.1)],
    ["NaN", () => expectClose("x", [1, NaN], [1, 2], 1e9)],
    ["an unexpected infinity", () => expectClose("x", [Infinity], [1], 1e9)],
    ["a missing number", () => expectClose("x", [1], [1, 2], 1)],
    ["inequality", () => expectSame("x", [1, 2], [1, 2 + 1e-15])],
    ["a row of the wrong direction", () => expectRowsClose("x", [1, 0, 0, 1], [1, 0, 1, 0], 2, 0.1)],
    ["a finite score for a block without windows", () => expectScores("x", [0], [-Infinity], 1)],
    ["a score off by more than its tolerance", () => expectScores("x", [1.001], [1], 1e-4)],
  ])("for %s", (_, run) => {
    expect(run).toThrow(/x: /);
  });

  test("NaN where NaN is expected is the same", () => {
    expectSame("x", [NaN, -Infinity], [NaN, -Infinity]);
  });
});

describe("expectSelection", () => {
  const config = sparseConfig({ windowSize: 64, topk: 3 });
  const scores = [9, 1, 5, 5.00001, 2, 0, 0];
  const check = (actual: number[], tolerance: number | "strict" = 1e-5, own = scores): void =>
    expectSelection("x", {
      actual: Int32Array.from(actual), expected: Int32Array.from([0, 3, 5, 6]), scores: own, position: 6 * 64, config, tolerance,
    });

  test("accepts the expected blocks, and one of equal score to rounding", () => {
    check([0, 3, 5, 6]);
    check([0, 2, 5, 6]);
  });

  test.each([
    ["a worse block", [0, 4, 5, 6]],
    ["a missing forced block", [0, 2, 3, 6]],
    ["too few blocks", [0, 5, 6, -1]],
    ["disorder", [3, 0, 5, 6]],
    ["a repeated block", [0, 5, 5, 6]],
    ["padding in the middle", [0, -1, 5, 6]],
    ["a block after the row's own", [0, 5, 6, 7]],
    ["another budget", [0, 3, 5, 6, -1]],
  ])("refuses %s", (_, actual) => {
    expect(() => check(actual)).toThrow("x: ");
  });

  test("refuses an exchange when strict, or among scores of 0", () => {
    expect(() => check([0, 2, 5, 6], "strict")).toThrow("took the place");
    expect(() => check([0, 4, 5, 6], 1e-5, [0, 0, 0, 0, 0, 0, 0])).toThrow("took the place");
  });
});

test("the tolerance is far below the effect of one wrong element", () => {
  const numbers = (seed: number, length: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(seed + i * 1.7));
  const [x, w] = [numbers(1, 130), numbers(2, 130)];
  const { allowed } = accuracyOf("f32", (precision) => linear(x, w, undefined, 1, 130, precision));
  expect(allowed).toBeGreaterThan(1e-7);
  expect(allowed).toBeLessThan(Math.abs((x[7] ?? 0) * (w[7] ?? 0)) / 1000);
});
