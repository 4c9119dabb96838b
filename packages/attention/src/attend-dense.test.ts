import { ShapeError, random } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { attendDenseReference } from "./attend-dense.ts";

const shape = { heads: 2, kvHeads: 1, headDim: 2 };

describe("attendDenseReference", () => {
  test("a query of zeros averages the values up to its position", () => {
    const out = attendDenseReference({
      q: new Float32Array(3 * 4), k: new Float32Array(6).fill(1), v: Float32Array.from([1, 10, 2, 20, 6, 60]), ...shape,
    });
    const rows = [[1, 10], [1.5, 15], [3, 30]];
    rows.forEach((row, r) => expect(Array.from(out.subarray(r * 4, r * 4 + 4))).toEqual([...row, ...row]));
  });

  test("weights are the softmax of scaled dot products", () => {
    const input = { q: Float32Array.from([1, 0, 0, 2]), k: Float32Array.from([1, 0, 0, 1]), v: Float32Array.from([1, 0, 0, 1]), ...shape };
    const out = attendDenseReference({ ...input, scale: 1 });
    const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
    [sigmoid(1), 1 - sigmoid(1), 1 - sigmoid(2), sigmoid(2)].forEach((weight, i) => expect(out[i]).toBeCloseTo(weight, 12));
    const half = attendDenseReference({ ...input, scale: 1 / Math.sqrt(2) });
    expect(attendDenseReference(input)).toEqual(half);
  });

  test("later keys do not matter", () => {
    const { normals } = random(1);
    const [q, k, v] = [normals(4), normals(20), normals(20)];
    const early = attendDenseReference({ q, k: k.subarray(0, 12), v: v.subarray(0, 12), ...shape, positions: [5] });
    expect(attendDenseReference({ q, k, v, ...shape, positions: [5] })).toEqual(early);
  });

  test("refuses values that do not match keys", () => {
    expect(() => attendDenseReference({ q: new Float32Array(4), k: new Float32Array(4), v: new Float32Array(2), ...shape })).toThrow(ShapeError);
  });
});
