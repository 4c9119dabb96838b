import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromF32, toF32 } from "./convert.ts";
import { dtypeInfo } from "./dtype.ts";
import { FormatError, ShapeError, UnsupportedError } from "./errors.ts";
import { f16ToF32 } from "./half.ts";
import { quantizableDTypes, quantize } from "./quantize.ts";
import { random } from "./random.ts";
import { rowBytes } from "./shape.ts";

interface Sample {
  readonly blocks: string;
  readonly values: string;
}

/** Blocks and numbers made by llama.cpp's Python package, an implementation that is not ours. */
const samples = JSON.parse(readFileSync(new URL("../test/quantized-blocks.json", import.meta.url), "utf8")) as {
  readonly decode: Record<"q8_0" | "q4_0" | "q4_1" | "q4_k" | "q5_k" | "q6_k", Sample>;
  readonly encode: Record<"q8_0" | "q4_0" | "q4_1", Sample>;
};

function bytes(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, "base64"));
}

function numbers(base64: string): Float32Array {
  return new Float32Array(bytes(base64).buffer);
}

describe("decoding", () => {
  it.each(Object.keys(samples.decode) as (keyof typeof samples.decode)[])("%s equals the reference to the bit", (dtype) => {
    const blocks = bytes(samples.decode[dtype].blocks);
    const expected = numbers(samples.decode[dtype].values);
    expect(toF32(dtype, blocks, expected.length)).toEqual(expected);
  });

  it("refuses incomplete blocks and wrong lengths, with the numbers", () => {
    expect(() => toF32("q4_k", new Uint8Array(144), 128)).toThrow(/multiple of 256/);
    expect(() => toF32("q8_0", new Uint8Array(33), 32)).toThrow("32 numbers of q8_0 take 34 bytes; 33 were given");
    expect(() => rowBytes("q8_0", 40)).toThrow(ShapeError);
  });
});

describe("encoding", () => {
  it.each(["q8_0", "q4_0", "q4_1"] as const)("%s writes the reference's bytes", (dtype) => {
    expect(fromF32(dtype, numbers(samples.encode[dtype].values))).toEqual(bytes(samples.encode[dtype].blocks));
  });

  it.each(["q8_0", "q4_0", "q4_1", "q4_g128"] as const)("%s decodes to within a step of the input", (dtype) => {
    const { blockBytes, blockElements } = dtypeInfo(dtype);
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(1e-3, 1, 100), (seed, scale) => {
        const values = random(seed).normals(256, scale);
        const stored = fromF32(dtype, values);
        const decoded = toF32(dtype, stored, 256);
        values.forEach((value, i) => {
          const at = Math.floor(i / blockElements) * blockBytes;
          const step = Math.abs(f16ToF32((stored[at] ?? 0) | ((stored[at + 1] ?? 0) << 8)));
          // Half a step of rounding; q4_0's upper end is one step short of its lower. The scale itself is an f16,
          // so the far end (127, 8 or 15 steps) shifts by up to 2^-11 of it, or 2^-25 where the f16 is subnormal.
          const allowed = step * (dtype === "q4_0" ? 1 : 0.5) + 128 * (step * 2 ** -11 + 2 ** -25) + 2 ** -11 * Math.abs(value);
          expect(Math.abs((decoded[i] ?? NaN) - value)).toBeLessThanOrEqual(allowed);
        });
      }),
      { seed: 3, numRuns: 100 },
    );
  });

  it.each([NaN, Infinity, -Infinity, 3e38])("refuses %d in a quantised block", (bad) => {
    const values = new Float32Array(128).fill(1);
    values[9] = bad;
    for (const dtype of quantizableDTypes) expect(() => quantize(dtype, values)).toThrow(FormatError);
  });

  it("names the types it can write", () => {
    expect(() => fromF32("q4_k", new Float32Array(256))).toThrow(UnsupportedError);
    expect(() => fromF32("i32", new Float32Array(1))).toThrow(/f32, f16, bf16, q8_0, q4_0, q4_1, q4_g128/);
    expect(() => fromF32("q4_0", new Float32Array(31))).toThrow(ShapeError);
  });
});

describe("plain types", () => {
  it("round-trip, from unaligned bytes too", () => {
    const values = Float32Array.of(0, -1.5, 65504, 2 ** -24);
    for (const dtype of ["f32", "f16"] as const) {
      const stored = fromF32(dtype, values);
      const shifted = new Uint8Array(stored.length + 1);
      shifted.set(stored, 1);
      expect(toF32(dtype, shifted.subarray(1), 4)).toEqual(values);
    }
    expect(toF32("bf16", fromF32("bf16", Float32Array.of(1, -3.0625)), 2)).toEqual(Float32Array.of(1, -3.0625));
    expect(toF32("i32", new Uint8Array(Int32Array.of(-7, 9).buffer), 2)).toEqual(Float32Array.of(-7, 9));
    expect(toF32("u32", new Uint8Array(Uint32Array.of(0xffffffff).buffer), 1)).toEqual(Float32Array.of(2 ** 32));
    expect(toF32("u8", Uint8Array.of(3, 255), 2)).toEqual(Float32Array.of(3, 255));
  });

  it("never share memory with the input", () => {
    const values = Float32Array.of(1, 2);
    const stored = fromF32("f32", values);
    const decoded = toF32("f32", stored, 2);
    values[0] = 9;
    stored.fill(0);
    expect(decoded).toEqual(Float32Array.of(1, 2));
  });
});
