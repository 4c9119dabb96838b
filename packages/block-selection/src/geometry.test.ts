import { describe, expect, test } from "vitest";
import { blockCount, visibleWindows, windowCount, windowSlot, windowsPerPage } from "./geometry.ts";

const levels = [[32, 16], [128, 64], [16, 16], [16, 8], [256, 128], [5, 5], [1, 1]] as const;

describe.each(levels)("windows of %i at stride %i", (size, stride) => {
  test("counts are those of a search", () => {
    for (let length = 0; length < 600; length++) {
      let count = 0;
      while (count * stride + size <= length) count++;
      expect(windowCount(length, size, stride)).toBe(count);
      expect(visibleWindows(length, size, stride)).toBe(windowCount(length + 1, size, stride));
    }
  });

  test("each lies in the page of the block it ends in, in a slot of its own", () => {
    for (const blockSize of [1, 4, 16, 32, 64, 128].filter((block) => block % stride === 0 || stride % block === 0)) {
      const taken = new Set<string>();
      for (let window = 0; window < 200; window++) {
        const { block, slot } = windowSlot(window, size, stride, blockSize);
        expect(block).toBe(Math.floor((window * stride + size - 1) / blockSize));
        expect(slot).toBeLessThan(windowsPerPage(blockSize, stride));
        taken.add(`${block}/${slot}`);
      }
      expect(taken.size).toBe(200);
    }
  });
});

test("a partial block counts", () => {
  expect([0, 1, 63, 64, 65].map((length) => blockCount(length, 64))).toEqual([0, 1, 1, 1, 2]);
});
