import { describe, expect, it } from "vitest";
import { ShapeError } from "./errors.ts";
import { f16ToF32, f32ToF16 } from "./half.ts";
import { decodeQ8Rows, encodeQ8Rows, roundedToQ8 } from "./q8-rows.ts";
import { random } from "./random.ts";

/** Nearest whole number, ties to even, without a trick. */
function nearestEven(value: number): number {
  const [below, rest] = [Math.floor(value), value - Math.floor(value)];
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

describe("rows of q8", () => {
  it("keep the largest number of a row and the rest to half a step", () => {
    const width = 64;
    const values = random(4).normals(50 * width).map((value, i) => value * 2 ** (Math.floor(i / width) % 20 - 10));
    const { quants, scales } = encodeQ8Rows(values, width);
    const decoded = decodeQ8Rows({ quants, scales }, width);
    for (let row = 0; row < 50; row++) {
      const own = values.subarray(row * width, (row + 1) * width);
      const most = own.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      const scale = f16ToF32(scales[row] ?? 0);
      expect(scale).toBe(f16ToF32(f32ToF16(Math.fround(most / 127))));
      own.forEach((value, i) => {
        const at = row * width + i;
        expect(quants[at]).toBe(Math.max(-127, Math.min(127, nearestEven(Math.fround(value / scale)))) + 0);
        // A scale rounded down in f16 leaves the largest numbers just out of reach.
        expect(Math.abs((decoded[at] ?? NaN) - value)).toBeLessThanOrEqual(scale * (0.5 + 127 * 2 ** -11));
      });
    }
  });

  it("round ties to even", () => {
    const { quants, scales } = encodeQ8Rows(Float32Array.of(127, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -125.5), 8);
    expect(f16ToF32(scales[0] ?? 0)).toBe(1);
    expect(Array.from(quants)).toEqual([127, 0, 2, 2, 0, -2, 126, -126]);
  });

  it("take zeros, what is too small, infinity and NaN", () => {
    const rows = [[0, -0], [1e-9, 1e-10], [Infinity, 1], [NaN, 1], [3e38, -3e38]];
    const { quants, scales } = encodeQ8Rows(Float32Array.from(rows.flat()), 2);
    expect(Array.from(scales).map(f16ToF32)).toEqual([0, 0, 65504, NaN, 65504]);
    expect(Array.from(quants)).toEqual([0, 0, 0, 0, 127, 0, 0, 0, 127, -127]);
    expect(Array.from(decodeQ8Rows({ quants, scales }, 2)).slice(4, 8)).toEqual([127 * 65504, 0, NaN, NaN]);
  });

  it("refuse rows that are not whole", () => {
    expect(() => roundedToQ8(new Float32Array(7), 2)).toThrow(ShapeError);
    expect(() => decodeQ8Rows({ quants: new Int8Array(4), scales: new Uint16Array(1) }, 2)).toThrow("2 rows of 2 numbers have 1 scales");
  });
});
