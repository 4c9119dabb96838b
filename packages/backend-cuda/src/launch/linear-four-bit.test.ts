import { describe, expect, it } from "vitest";
import { planFourBit } from "./linear-four-bit.ts";

/** Of an H100 and an H200. */
const MULTIPROCESSORS = 132;
const plan = (rows: number, columns: number, outs: number) => planFourBit({ rows, columns, outs }, MULTIPROCESSORS);

describe("planFourBit", () => {
  it("takes the widest tiles for many rows", () => {
    expect(plan(4096, 4096, 32768)).toEqual({ width: 256, cluster: 1, blocks: 4096 });
    expect(plan(300, 16384, 32768).width).toBe(256);
  });

  it("splits columns where tiles are fewer than multiprocessors", () => {
    expect(plan(256, 4096, 4608)).toEqual({ width: 256, cluster: 2, blocks: 72 });
    expect(plan(256, 16384, 4096)).toEqual({ width: 128, cluster: 2, blocks: 128 });
    expect(plan(64, 4096, 4096)).toEqual({ width: 32, cluster: 2, blocks: 128 });
  });

  it("never splits into more parts than there are units of 128 columns, and covers every row and output", () => {
    for (const rows of [17, 32, 33, 65, 200, 1000]) {
      for (const columns of [128, 256, 384, 4096]) {
        for (const outs of [1, 128, 129, 5000]) {
          const { width, cluster, blocks } = plan(rows, columns, outs);
          expect(cluster).toBeLessThanOrEqual(columns / 128);
          expect(blocks).toBe(Math.ceil(rows / width) * Math.ceil(outs / 128) * cluster);
          expect([32, 64, 128, 256]).toContain(width);
        }
      }
    }
  });
});
