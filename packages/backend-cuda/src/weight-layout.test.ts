import { describe, expect, it } from "vitest";
import { isFilledUp, liesAsStored, plainPitch, weightBytes } from "./weight-layout.ts";

describe("weightBytes", () => {
  it("takes what the stored form takes when rows are whole units", () => {
    // Bytes of a block in GGUF: 34, 18, 20 for 32 numbers, 144, 176, 210 for 256; scales of k types lie unpacked (+ 4 bytes,
    // 12 of 6 bits become 16 of 8).
    expect(weightBytes("q8_0", 3, 256)).toBe(3 * 8 * 34);
    expect(weightBytes("q4_0", 3, 256)).toBe(3 * 8 * 18);
    expect(weightBytes("q4_1", 4, 256)).toBe(4 * 8 * 20);
    expect(weightBytes("q4_k", 4, 256)).toBe(4 * (144 + 4));
    expect(weightBytes("q5_k", 4, 256)).toBe(4 * (176 + 4));
    expect(weightBytes("q6_k", 8, 256)).toBe(8 * 210);
  });

  it("fills the last tile of 16 rows where these lie together", () => {
    expect(weightBytes("q4_g128", 16, 256)).toBe(16 * 2 * 68);
    expect(weightBytes("q4_g128", 17, 256)).toBe(32 * 2 * 68);
    expect(isFilledUp("q4_g128", 17, 256)).toBe(true);
    expect(isFilledUp("q4_g128", 32, 256)).toBe(false);
  });

  it("fills the last unit of a row", () => {
    expect(weightBytes("q8_0", 2, 160)).toBe(weightBytes("q8_0", 2, 256));
    expect(weightBytes("bf16", 5, 65)).toBe(5 * 128 * 2);
    expect(weightBytes("f32", 5, 64)).toBe(5 * 64 * 4);
  });

  it("starts every plane at a multiple of 16 bytes", () => {
    // One row of one q4_0 unit: 64 bytes of quants, 8 of scales, filled up.
    expect(weightBytes("q4_0", 1, 32)).toBe(80);
    expect(weightBytes("q6_k", 1, 256)).toBe(128 + 64 + 16 + 16);
  });
});

describe("where rows lie", () => {
  it("copies plain rows of whole pitches, and rearranges the rest", () => {
    expect(plainPitch(65)).toBe(128);
    expect(liesAsStored("bf16", 4096)).toBe(true);
    expect(liesAsStored("bf16", 65)).toBe(false);
    expect(liesAsStored("q8_0", 4096)).toBe(false);
  });

  it("knows which weights have columns that must be zero", () => {
    expect(isFilledUp("f32", 16, 64)).toBe(false);
    expect(isFilledUp("f32", 16, 63)).toBe(true);
    expect(isFilledUp("q4_0", 16, 96)).toBe(true);
    expect(isFilledUp("q4_0", 16, 128)).toBe(false);
  });
});
