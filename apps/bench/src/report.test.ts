import { describe, expect, it } from "vitest";
import { mustAgree } from "./check.ts";
import { measure, summary } from "./measure.ts";
import { rate, ratio, table } from "./report.ts";

describe("bench", () => {
  it("summarises as median and quartiles, and turns times into rates", () => {
    const sample = summary([5, 1, 4, 2, 3]);
    expect(sample).toEqual({ median: 3, low: 2, high: 4 });
    expect(rate("x", 12, sample, "GFLOP/s", 4)).toEqual({ name: "x", value: 4, low: 3, high: 6, unit: "GFLOP/s", target: 4 });
  });

  it("says what was reached and what was missed", () => {
    const text = table([ratio("fast", 2, 1.8), ratio("slow", 1.5, 1.8), ratio("free", 9)]);
    expect(text).toMatch(/fast +2\.00 x +1\.80 x: reached\nslow +1\.50 x +1\.80 x: MISSED\nfree +9\.00 x$/);
  });

  it("times each task in turn, after one untimed round", () => {
    const order: string[] = [];
    measure({ a: () => order.push("a"), b: () => order.push("b") }, { rounds: 2, repeat: 2 });
    expect(order.join("")).toBe("aabb".repeat(3));
  });

  it("does not time what is wrong", () => {
    expect(() => mustAgree("x", [1, 2], [1, 2.1], 1e-3)).toThrow(/x is wrong/);
    expect(() => mustAgree("x", [1, NaN], [1, 2], 1)).toThrow(/x is wrong/);
    expect(() => mustAgree("x", [1], [1, 2], 1)).toThrow(/x is wrong/);
    mustAgree("x", [1, 2.001], [1, 2], 1e-3);
  });
});
