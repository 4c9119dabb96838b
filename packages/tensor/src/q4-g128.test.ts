import { describe, expect, it } from "vitest";
import { convertStored, fromF32, toF32 } from "./convert.ts";
import { FormatError, ShapeError } from "./errors.ts";
import { decodeF16, f16ToF32, f32ToF16 } from "./half.ts";
import { groupGrid } from "./q4-g128.ts";
import { random } from "./random.ts";

/** A group of known quants, scale bits and zero point. */
function block(quants: readonly number[], scaleBits: number, zero: number): Uint8Array {
  const data = new Uint8Array(68);
  const view = new DataView(data.buffer);
  view.setUint16(0, scaleBits, true);
  view.setUint16(2, f32ToF16(zero), true);
  for (let j = 0; j < 64; j++) data[4 + j] = (quants[2 * j] ?? 0) + 16 * (quants[2 * j + 1] ?? 0);
  return data;
}

/** Blocks of random quants, scales near 0.01 and the given zero points. */
function blocks(zeros: readonly number[], seed: number): Uint8Array {
  const numbers = random(seed);
  return new Uint8Array(
    zeros.flatMap((zero) => {
      const quants = Array.from({ length: 128 }, () => numbers.below(16));
      return [...block(quants, 0x2000 + numbers.below(0x400), zero)];
    }),
  );
}

describe("q4_g128", () => {
  it("holds element 2j in the low nibble of byte j, (quant − zero) · scale", () => {
    const quants = Array.from({ length: 128 }, (_, i) => (i * 7) % 16);
    const values = toF32("q4_g128", block(quants, f32ToF16(0.25), 5), 128);
    expect(Array.from(values)).toEqual(quants.map((quant) => (quant - 5) * 0.25));
  });

  it("decodes without rounding, whatever the scale: a product of 5 and 11 bits", () => {
    const scales = [0x0001, 0x03ff, 0x0400, 0x2fff, 0x3c01, 0x7bff, 0x83ff, 0xbbff];
    for (let zero = 0; zero <= 16; zero++) {
      for (const bits of scales) {
        const values = toF32("q4_g128", block(Array.from({ length: 128 }, (_, i) => i % 16), bits, zero), 128);
        values.forEach((value, i) => expect(value).toBe(((i % 16) - zero) * f16ToF32(bits)));
      }
    }
  });

  it("quantises to the nearest number of a grid from the smallest to the largest, and keeps what is on the grid", () => {
    const values = random(4).normals(1024, 0.02);
    const stored = fromF32("q4_g128", values);
    const decoded = toF32("q4_g128", stored, 1024);
    for (let group = 0; group < 8; group++) {
      const own = values.subarray(group * 128, group * 128 + 128);
      const { scale, zero } = groupGrid(values, group * 128);
      expect(scale).toBeCloseTo((Math.max(...own) - Math.min(...own)) / 15, 4);
      own.forEach((value, i) => {
        const errors = Array.from({ length: 16 }, (_, quant) => Math.abs((quant - zero) * scale - value));
        expect(Math.abs((decoded[group * 128 + i] ?? NaN) - value)).toBeLessThanOrEqual(Math.min(...errors) + 1e-9);
      });
    }
    // Not the whole grid is in use in every group, so a second pass may choose a finer one; on its own grid it is exact.
    const full = toF32("q4_g128", block(Array.from({ length: 128 }, (_, i) => i % 16), f32ToF16(0.5), 6), 128);
    expect(toF32("q4_g128", fromF32("q4_g128", full), 128)).toEqual(full);
  });

  it("keeps zero points within 1…15, also where all numbers have one sign, and stores zeros as zeros", () => {
    const positive = random(5).normals(128).map(Math.abs);
    expect(groupGrid(positive, 0).zero).toBe(1);
    expect(groupGrid(positive.map((value) => -value), 0).zero).toBe(15);
    for (const values of [positive, positive.map((value) => -value)]) {
      const step = groupGrid(values, 0).scale;
      toF32("q4_g128", fromF32("q4_g128", values), 128).forEach((value, i) => {
        expect(Math.abs(value - (values[i] ?? NaN))).toBeLessThanOrEqual(0.51 * step);
      });
    }
    expect(toF32("q4_g128", fromF32("q4_g128", new Float32Array(128)), 128)).toEqual(new Float32Array(128));
  });

  it("refuses rows that are no whole groups", () => {
    expect(() => fromF32("q4_g128", new Float32Array(64))).toThrow(ShapeError);
    expect(() => convertStored("q4_g128", "q4_1", new Uint8Array(67), 128)).toThrow("take 68 bytes; 67 were given");
  });
});

describe("q4_g128 in another type", () => {
  const zeros = [0, 1, 3, 7, 8, 11, 15, 16];
  const data = blocks(zeros, 6);
  const values = toF32("q4_g128", data, 1024);
  const scales = zeros.map((_, group) => decodeF16(new Uint16Array(data.slice(group * 68, group * 68 + 2).buffer))[0] ?? NaN);

  it("is exact in q8_0 and f32", () => {
    expect(toF32("q8_0", convertStored("q4_g128", "q8_0", data, 1024), 1024)).toEqual(values);
    expect(toF32("f32", convertStored("q4_g128", "f32", data, 1024), 1024)).toEqual(values);
    expect(convertStored("q4_g128", "q4_g128", data, 1024)).toBe(data);
  });

  it("is exact in q4_1 for zero points that are powers of two, and off by less than 1/128 of a step for others", () => {
    const repacked = toF32("q4_1", convertStored("q4_g128", "q4_1", data, 1024), 1024);
    zeros.forEach((zero, group) => {
      const allowed = Number.isInteger(Math.log2(zero)) || zero === 0 ? 0 : (scales[group] ?? NaN) / 128;
      for (let i = group * 128; i < group * 128 + 128; i++) {
        expect(Math.abs((repacked[i] ?? NaN) - (values[i] ?? NaN)), `zero ${zero}`).toBeLessThanOrEqual(allowed);
      }
    });
  });

  it("refuses what q4_1 cannot hold: 16 steps of a scale near the end of f16", () => {
    expect(() => convertStored("q4_g128", "q4_1", block([1], f32ToF16(60000), 15), 128)).toThrow(FormatError);
  });
});
