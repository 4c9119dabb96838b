import { ShapeError } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { compressKeys } from "./compress-keys.ts";

describe("compressKeys", () => {
  test("means of overlapping windows, per head and channel", () => {
    // Two heads of one channel: head 0 counts up, head 1 counts in tens.
    const keys = Float32Array.from([0, 0, 1, 10, 2, 20, 3, 30, 4, 40, 5, 50]);
    expect(Array.from(compressKeys(keys, { kvHeads: 2, headDim: 1 }, 4, 2))).toEqual([1.5, 15, 3.5, 35]);
  });

  test("an incomplete window does not exist", () => {
    const shape = { kvHeads: 1, headDim: 1 };
    expect(compressKeys(new Float32Array(31), shape, 32, 16)).toHaveLength(0);
    expect(compressKeys(new Float32Array(32), shape, 32, 16)).toHaveLength(1);
    expect(compressKeys(new Float32Array(47), shape, 32, 16)).toHaveLength(1);
    expect(compressKeys(new Float32Array(48), shape, 32, 16)).toHaveLength(2);
  });

  test("refuses keys that are not whole rows", () => {
    expect(() => compressKeys(new Float32Array(7), { kvHeads: 2, headDim: 2 }, 2, 1)).toThrow(ShapeError);
  });
});
