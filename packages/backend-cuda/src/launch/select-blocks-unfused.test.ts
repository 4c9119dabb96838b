import { describe, expect, it } from "vitest";
import { headScoreBytes, unfusedChunk } from "./select-blocks-unfused.ts";

describe("rows whose scores are held at a time", () => {
  it.each([
    { heads: 32, tokens: 131072, tileTokens: 16 },
    { heads: 16, tokens: 8192, tileTokens: 32 },
    { heads: 32, tokens: 1048576, tileTokens: 16 },
  ])("are the most whole tiles within 2 GiB: $heads heads, $tokens tokens", ({ heads, tokens, tileTokens }) => {
    const cells = tokens / 16 + 128;
    const rows = unfusedChunk(heads, cells, tileTokens);
    expect(rows % tileTokens).toBe(0);
    expect(headScoreBytes(heads, rows, cells)).toBeLessThanOrEqual(2 ** 31);
    expect(headScoreBytes(heads, rows + tileTokens, cells)).toBeGreaterThan(2 ** 31);
  });

  it("are 2016 at 128k tokens of 32 heads, and one tile where none fits", () => {
    expect(unfusedChunk(32, 8320, 16)).toBe(2016);
    expect(unfusedChunk(32, 2 ** 24, 16)).toBe(16);
  });
});
