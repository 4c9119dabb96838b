import { describe, expect, it } from "vitest";
import { fromF32, toF32 } from "./convert.ts";
import { decodeF8E4m3, encodeF8E4m3, f32ToF8E4m3, f8E4m3ToF32 } from "./float8.ts";
import { random } from "./random.ts";

const allBits = Uint8Array.from({ length: 256 }, (_, byte) => byte);

/** Of the OCP specification's table of E4M3, and numbers between. */
const known: readonly (readonly [bits: number, value: number])[] = [
  [0x00, 0], [0x01, 2 ** -9], [0x02, 2 ** -8], [0x07, 7 * 2 ** -9], [0x08, 2 ** -6], [0x09, 1.125 * 2 ** -6], [0x30, 0.5],
  [0x38, 1], [0x39, 1.125], [0x3c, 1.5], [0x3f, 1.875], [0x40, 2], [0x77, 240], [0x78, 256], [0x7d, 416], [0x7e, 448],
];

/** All finite magnitudes, by counting up: each exponent's eight steps, the step doubling with every exponent after the first. */
const magnitudes = ((): number[] => {
  const found = [0];
  for (let exponent = 0; exponent < 16; exponent++) {
    const step = 2 ** (Math.max(exponent, 1) - 10);
    for (let n = 0; n < 8; n++) found.push(mustBe(found.at(-1)) + step);
  }
  return found.slice(0, 0x7f);
})();

function mustBe(value: number | undefined): number {
  if (value === undefined) throw new Error("missing");
  return value;
}

/** Nearest by looking at all of them; the tie goes to the even one, what is larger than all to the largest. */
function nearest(value: number): number {
  const wanted = Math.abs(value);
  let best = 0;
  for (let byte = 1; byte < magnitudes.length; byte++) {
    const [better, present] = [Math.abs(mustBe(magnitudes[byte]) - wanted), Math.abs(mustBe(magnitudes[best]) - wanted)];
    if (better < present || (better === present && byte % 2 === 0)) best = byte;
  }
  return best | (Object.is(Math.sign(value), -1) || Object.is(value, -0) ? 0x80 : 0);
}

describe("f8_e4m3", () => {
  it("decodes the specification's values, of either sign", () => {
    for (const [byte, value] of known) {
      expect(f8E4m3ToF32(byte), byte.toString(16)).toBe(value);
      expect(f8E4m3ToF32(byte | 0x80), byte.toString(16)).toBe(-value);
    }
    expect([f8E4m3ToF32(0x7f), f8E4m3ToF32(0xff)]).toEqual([NaN, NaN]);
  });

  it("decodes all 256 values as counting up gives them", () => {
    const decoded = decodeF8E4m3(allBits);
    for (const [byte, magnitude] of magnitudes.entries()) {
      expect(decoded[byte]).toBe(magnitude);
      expect(decoded[byte | 0x80]).toBe(-magnitude);
    }
    expect(magnitudes.at(-1)).toBe(448);
  });

  it("encodes every value back to its own bits", () => {
    expect(encodeF8E4m3(decodeF8E4m3(allBits)).filter((byte, i) => (byte & 0x7f) !== (mustBe(allBits[i]) & 0x7f))).toHaveLength(0);
    expect(allBits.filter((byte) => (byte & 0x7f) !== 0x7f && f32ToF8E4m3(f8E4m3ToF32(byte)) !== byte)).toHaveLength(0);
  });

  it("rounds to nearest even at, below and above every midpoint", () => {
    for (let byte = 0; byte + 1 < magnitudes.length; byte++) {
      const middle = (mustBe(magnitudes[byte]) + mustBe(magnitudes[byte + 1])) / 2;
      for (const value of [middle, middle * (1 - 2 ** -20), middle * (1 + 2 ** -20)]) {
        expect(f32ToF8E4m3(value), `${value}`).toBe(nearest(value));
        expect(f32ToF8E4m3(-value), `${-value}`).toBe(nearest(-value));
      }
    }
  });

  it("rounds random numbers of all sizes to the nearest", () => {
    const { normals } = random(8);
    const values = normals(4000).map((value, i) => value * 2 ** ((i % 24) - 14));
    expect(Array.from(encodeF8E4m3(values))).toEqual(Array.from(values, nearest));
  });

  it("saturates what is too large, infinity included, and keeps NaN", () => {
    for (const value of [448, 449, 464, 480, 1e30, Infinity]) {
      expect(f32ToF8E4m3(value)).toBe(0x7e);
      expect(f32ToF8E4m3(-value)).toBe(0xfe);
    }
    expect(f32ToF8E4m3(NaN) & 0x7f).toBe(0x7f);
    expect([f32ToF8E4m3(2 ** -10), f32ToF8E4m3(-(2 ** -10)), f32ToF8E4m3(2 ** -149), f32ToF8E4m3(-0)]).toEqual([0, 0x80, 0, 0x80]);
  });

  it("is a dtype of stored data", () => {
    const bytes = fromF32("f8_e4m3", Float32Array.of(1, -0.3, 500));
    expect(Array.from(bytes)).toEqual([0x38, 0xaa, 0x7e]);
    expect(Array.from(toF32("f8_e4m3", bytes, 3))).toEqual([1, -0.3125, 448]);
  });
});
