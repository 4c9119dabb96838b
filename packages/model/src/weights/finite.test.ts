import { FormatError, dtypeInfo, fromF32, quantize, random, toF32 } from "@infllm/tensor";
import type { DType, FloatDType, Random } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { assertFinite, firstNonFinite } from "./finite.ts";

/** The definition: decode everything, and look at one number after the other. */
function plainFirst(dtype: DType, data: Uint8Array): number {
  const { blockBytes, blockElements } = dtypeInfo(dtype);
  const at = toF32(dtype, data, (data.length / blockBytes) * blockElements).findIndex((value) => !Number.isFinite(value));
  return at < 0 ? -1 : at - (at % blockElements);
}

/** Bits of numbers of every size and sign, the largest finite ones among them. */
function finiteBytes(dtype: FloatDType, count: number, source: Random): Uint8Array {
  const largest = { f32: (2 - 2 ** -23) * 2 ** 127, bf16: (2 - 2 ** -7) * 2 ** 127, f16: 65504 }[dtype];
  const values = Float32Array.from({ length: count }, () => {
    const size = source.below(4) === 0 ? largest : 2 ** (source.below(24) - 12) * (1 + source.uniform());
    return source.below(2) === 0 ? size : -size;
  });
  return fromF32(dtype, values);
}

/** The same bytes, starting `offset` bytes after a multiple of 8, between bytes that would count as NaN. */
function placed(data: Uint8Array, offset: number): Uint8Array {
  const memory = new Uint8Array(8 + data.length + 8).fill(255);
  memory.set(data, offset);
  return memory.subarray(offset, offset + data.length);
}

const bad: Readonly<Record<FloatDType, readonly number[]>> = {
  // NaN with the least and the most mantissa, and both infinities.
  f32: [0x7f800001, 0xffffffff, 0x7f800000, 0xff800000],
  bf16: [0x7f81, 0xffff, 0x7f80, 0xff80],
  f16: [0x7c01, 0xffff, 0x7c00, 0xfc00],
};

function damage(data: Uint8Array, width: number, at: number, bits: number): void {
  for (let byte = 0; byte < width; byte++) data[at * width + byte] = (bits >>> (8 * byte)) & 255;
}

describe("the first number that is not finite", () => {
  for (const dtype of ["f32", "bf16", "f16"] as const) {
    const width = dtype === "f32" ? 4 : 2;

    it(`${dtype}: at every place of short and odd lengths, at every alignment`, () => {
      const source = random(3);
      for (const count of [0, 1, 2, 3, 7, 8, 9]) {
        const data = finiteBytes(dtype, count, source);
        for (let offset = 0; offset < 8; offset++) {
          expect(firstNonFinite(dtype, placed(data, offset))).toBe(-1);
          for (let at = 0; at < count; at++) {
            for (const bits of bad[dtype]) {
              const damaged = placed(data, offset);
              damage(damaged, width, at, bits);
              expect(firstNonFinite(dtype, damaged)).toBe(at);
            }
          }
        }
      }
    });

    it(`${dtype}: as a plain search finds it, in lengths around whole blocks`, () => {
      const source = random(4);
      for (const count of [255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 5000]) {
        const data = finiteBytes(dtype, count, source);
        expect(firstNonFinite(dtype, data)).toBe(-1);
        for (let round = 0; round < 40; round++) {
          const damaged = placed(data, source.below(8));
          for (let n = 1 + source.below(3); n > 0; n--) {
            const near = [0, count - 1, source.below(count)][source.below(3)] ?? 0;
            damage(damaged, width, near, bad[dtype][source.below(4)] ?? 0);
          }
          expect(firstNonFinite(dtype, damaged)).toBe(plainFirst(dtype, damaged));
        }
      }
    });
  }

  for (const [dtype, scales] of [["q8_0", [0]], ["q4_0", [0]], ["q4_1", [0, 2]], ["q4_g128", [0, 2]], ["q4_k", [0, 2]], ["q5_k", [0, 2]], ["q6_k", [208]]] as const) {
    it(`${dtype}: the first block with such a scale`, () => {
      const source = random(5);
      const { blockBytes, blockElements } = dtypeInfo(dtype);
      const blocks = 9;
      const clean = Uint8Array.from({ length: blocks * blockBytes }, () => source.below(256));
      // 1 as f16.
      for (let block = 0; block < blocks; block++) for (const scale of scales) damage(clean.subarray(block * blockBytes + scale), 2, 0, 0x3c00);
      expect(firstNonFinite(dtype, clean)).toBe(-1);
      for (let round = 0; round < 60; round++) {
        const damaged = placed(clean, source.below(8));
        let first = blocks;
        for (let n = 1 + source.below(3); n > 0; n--) {
          const block = source.below(blocks);
          damage(damaged.subarray(block * blockBytes + (scales[source.below(scales.length)] ?? 0)), 2, 0, bad.f16[source.below(4)] ?? 0);
          first = Math.min(first, block);
        }
        expect(firstNonFinite(dtype, damaged)).toBe(first * blockElements);
        expect(plainFirst(dtype, damaged)).toBe(first * blockElements);
      }
    });
  }

  it("nothing in numbers that cannot be", () => {
    for (const dtype of ["i32", "u32", "u8"] as const) expect(firstNonFinite(dtype, new Uint8Array(64).fill(255))).toBe(-1);
    expect(firstNonFinite("q4_0", quantize("q4_0", random(6).normals(320)))).toBe(-1);
  });
});

it("is named by tensor, row and column", () => {
  const data = fromF32("bf16", random(7).normals(60));
  expect(() => assertFinite("w", "bf16", data, 20, 100)).not.toThrow();
  damage(data, 2, 47, 0xff80);
  expect(() => assertFinite("w", "bf16", data, 20, 100)).toThrow(FormatError);
  expect(() => assertFinite("w", "bf16", data, 20, 100)).toThrow(/^w holds NaN or an infinite number \(row 102, column 7\)/);
});
