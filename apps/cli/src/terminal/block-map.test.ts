import { describe, expect, it } from "vitest";
import { drawBlocks, showsUnicode, type BlockMap } from "./block-map.ts";

const map = (counts: number[], marked: number[] = []): BlockMap => ({ counts, selections: 8, blockSize: 64, marked });

describe("drawBlocks", () => {
  it("shows one character a block, by the share of layers that chose it", () => {
    const [line] = drawBlocks(map([8, 0, 3, 4, 7, 8]), 80, false).split("\n");
    expect(line?.trim()).toBe("0  #.-++#");
    expect(drawBlocks(map([8, 0, 3, 4]), 80, true)).toContain("█·░▓");
  });

  it("points at the marked block, also on a later line", () => {
    const counts = Array.from({ length: 40 }, () => 0);
    const lines = drawBlocks(map(counts, [17]), 30, false).split("\n");
    expect(lines[1]).toBe(`1,024  ${".".repeat(16)}`);
    expect(lines[2]).toBe(`${" ".repeat("1,024  ".length + 1)}^`);
  });

  it.each([24, 40, 80, 200])("keeps to %i columns", (columns) => {
    const counts = Array.from({ length: 300 }, (_, index) => index % 9);
    for (const line of drawBlocks(map(counts, [3]), columns, true).split("\n")) {
      expect(line.length).toBeLessThanOrEqual(Math.max(columns, 27));
    }
  });

  it("draws every block once", () => {
    const counts = Array.from({ length: 131 }, () => 8);
    const drawn = drawBlocks(map(counts), 60, false).split("\n").slice(0, -1).join("");
    expect(drawn.match(/#/gu)?.length).toBe(131 + 1); // one more in the legend
  });
});

describe("showsUnicode", () => {
  it.runIf(process.platform !== "win32")("follows the locale", () => {
    expect(showsUnicode({ LANG: "de_DE.UTF-8" })).toBe(true);
    expect(showsUnicode({ LANG: "de_DE.UTF-8", LC_ALL: "C" })).toBe(false);
    expect(showsUnicode({})).toBe(false);
  });
});
