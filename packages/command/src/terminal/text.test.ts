import { expect, it } from "vitest";
import { count, duration, rate, table, wrap } from "./text.ts";

it("writes numbers for people", () => {
  expect(count(8192.4)).toBe("8,192");
  expect([duration(0.347), duration(12.34), duration(200)]).toEqual(["0.35 s", "12.3 s", "3 min 20 s"]);
  expect([rate(8192, 2), rate(30, 7), rate(5, 0), rate(0, 1)]).toEqual(["4,096", "4.29", "–", "–"]);
});

it("aligns numbers to the right and words to the left", () => {
  expect(table([["", "dense"], ["prefill", "1"]])).toBe("         dense\nprefill      1\n");
  expect(table([["cpu", "a"], ["webgpu", "b"]], "words")).toBe("cpu     a\nwebgpu  b\n");
});

it("wraps at spaces within the width", () => {
  expect(wrap("one two three four", 10, "  ")).toBe("  one two\n  three\n  four\n");
  expect(wrap("averyveryverylongword x", 10)).toBe("averyveryverylongword\nx\n");
});
