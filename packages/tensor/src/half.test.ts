import { getFloat16, setFloat16 } from "@petamoriken/float16";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bf16ToF32, decodeBf16, decodeF16, encodeBf16, encodeF16, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";

const view = new DataView(new ArrayBuffer(4));

/** The f16 library that JavaScript engines are tested against, independent of ours. */
function theirF16(bits: number): number {
  view.setUint16(0, bits);
  return getFloat16(view, 0);
}

function theirF16Bits(value: number): number {
  setFloat16(view, 0, value);
  return view.getUint16(0);
}

function f32FromBits(bits: number): number {
  view.setUint32(0, bits);
  return view.getFloat32(0);
}

/** Nearest bf16 by trying both neighbours: slow and plain. */
function nearestBf16(value: number): number {
  view.setFloat32(0, value);
  const below = view.getUint16(0);
  const low = Math.abs(f32FromBits(below * 65536));
  // Beyond the largest finite number the next step counts as 2^128, as IEEE rounding wants.
  const high = (below & 0x7fff) === 0x7f7f ? 2 ** 128 : Math.abs(f32FromBits((below + 1) * 65536));
  const magnitude = Math.abs(value);
  const nearer = magnitude - low === high - magnitude ? below % 2 : Number(high - magnitude < magnitude - low);
  return below + nearer;
}

const allBits = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

describe("f16", () => {
  it("decodes all 65,536 values as an independent library does", () => {
    const decoded = decodeF16(allBits);
    const wrong = (value: number | undefined, bits: number): boolean => !Object.is(value, theirF16(bits));
    expect(allBits.filter((bits) => wrong(f16ToF32(bits), bits) || wrong(decoded[bits], bits))).toHaveLength(0);
  });

  it("encodes every value back to its own bits", () => {
    const encoded = encodeF16(decodeF16(allBits));
    const expected = allBits.map((bits) => {
      const isNaNValue = (bits & 0x7c00) === 0x7c00 && (bits & 0x3ff) !== 0;
      // A signalling NaN becomes quiet; every other value keeps its bits.
      return isNaNValue ? bits | 0x200 : bits;
    });
    expect(allBits.filter((bits) => encoded[bits] !== expected[bits])).toHaveLength(0);
  });

  it("rounds to nearest even around every midpoint", () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x7c00; bits++) {
      const low = theirF16(bits);
      const high = bits + 1 === 0x7c00 ? 65536 : theirF16(bits + 1);
      const middle = (low + high) / 2;
      view.setFloat32(0, middle);
      const middleBits = view.getUint32(0);
      for (const value of [f32FromBits(middleBits - 1), middle, f32FromBits(middleBits + 1)]) {
        if (f32ToF16(value) !== theirF16Bits(value)) wrong.push(value);
        if (f32ToF16(-value) !== theirF16Bits(-value)) wrong.push(-value);
      }
    }
    expect(wrong).toEqual([]);
  });

  it("agrees with the library on any f32", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (bits) => {
        const value = f32FromBits(bits);
        fc.pre(!Number.isNaN(value));
        expect(f32ToF16(value)).toBe(theirF16Bits(value));
      }),
      { seed: 1, numRuns: 5000 },
    );
  });

  it("keeps infinities and NaN", () => {
    expect([Infinity, -Infinity, 65520, 65519.996, 1e30].map(f32ToF16)).toEqual([0x7c00, 0xfc00, 0x7c00, 0x7bff, 0x7c00]);
    expect(f16ToF32(f32ToF16(NaN))).toBeNaN();
    // The smallest f32 NaN has its only bit below what f16 keeps.
    expect(f16ToF32(encodeF16(new Float32Array(new Uint32Array([0x7f800001]).buffer))[0] ?? 0)).toBeNaN();
  });
});

describe("bf16", () => {
  it("decodes and encodes all 65,536 values", () => {
    const decoded = decodeBf16(allBits);
    const encoded = encodeBf16(decoded);
    const wrong = allBits.filter((bits) => {
      const value = f32FromBits(bits * 65536);
      const kept = encoded[bits] === (Number.isNaN(value) ? bits | 0x40 : bits);
      return !Object.is(bf16ToF32(bits), value) || !Object.is(decoded[bits], value) || !kept;
    });
    expect(wrong).toHaveLength(0);
  });

  it("rounds any f32 to the nearest, ties to even", () => {
    const cases = fc.oneof(
      fc.integer({ min: 0, max: 0xffffffff }),
      // Exact midpoints and their neighbours.
      fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: -1, max: 1 })).map(([top, d]) => top * 65536 + 0x8000 + d),
    );
    fc.assert(
      fc.property(cases, (bits) => {
        const value = f32FromBits(bits);
        fc.pre(Number.isFinite(value));
        expect(f32ToBf16(value)).toBe(nearestBf16(value));
      }),
      { seed: 2, numRuns: 10_000 },
    );
  });

  it("keeps infinities and NaN", () => {
    expect([Infinity, -Infinity, 3.4028234e38].map(f32ToBf16)).toEqual([0x7f80, 0xff80, 0x7f80]);
    expect(bf16ToF32(f32ToBf16(NaN))).toBeNaN();
    expect(bf16ToF32(encodeBf16(new Float32Array(new Uint32Array([0x7fffffff]).buffer))[0] ?? 0)).toBeNaN();
  });
});
