import { sparseConfig } from "@infllm/block-selection";
import { expect, test } from "vitest";
import { attendsSparsely } from "./switch.ts";

test("auto is sparse from denseLen on", () => {
  const config = sparseConfig({ denseLen: 100 });
  expect([0, 99, 100, 101].map((length) => attendsSparsely("auto", length, config))).toEqual([false, false, true, true]);
});

test("denseLen 0 and −1 mean always", () => {
  for (const denseLen of [0, -1]) expect(attendsSparsely("auto", 1, sparseConfig({ denseLen }))).toBe(true);
});

test("the mode overrides the length, and nothing is sparse without a config", () => {
  const config = sparseConfig();
  expect(attendsSparsely("sparse", 1, config)).toBe(true);
  expect(attendsSparsely("dense", 1e6, config)).toBe(false);
  for (const mode of ["auto", "dense", "sparse"] as const) expect(attendsSparsely(mode, 1e6, undefined)).toBe(false);
});
