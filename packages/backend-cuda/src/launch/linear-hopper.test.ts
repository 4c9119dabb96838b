import { describe, expect, it } from "vitest";
import { planProduct, stages } from "./linear-hopper.ts";
import type { ProductShape } from "./linear-hopper.ts";

/** Of an H200. */
const MULTIPROCESSORS = 132;
const plan = (rows: number, columns: number, outs: number) => planProduct({ rows, columns, outs }, MULTIPROCESSORS);

describe("planProduct", () => {
  it("takes the widest tiles in pairs of blocks for large products", () => {
    expect(plan(4096, 4096, 4096)).toEqual({ kernel: "tiles", width: 256, cluster: 2, blocks: 132 });
  });

  it("takes narrower tiles where those fill the last round better", () => {
    expect(plan(512, 4096, 12288)).toEqual({ kernel: "tiles", width: 192, cluster: 2, blocks: 132 });
  });

  it("splits columns where tiles are fewer than multiprocessors", () => {
    expect(plan(64, 4096, 4096)).toEqual({ kernel: "split", width: 64, cluster: 4, blocks: 128 });
    expect(plan(128, 4096, 4096)).toEqual({ kernel: "split", width: 128, cluster: 4, blocks: 128 });
  });

  it("takes the narrowest tile that holds a few rows", () => {
    for (const [rows, width] of [[9, 16], [16, 16], [17, 32], [33, 64], [65, 128]] as const) expect(plan(rows, 4096, 4096).width).toBe(width);
  });

  it("gives every split a step, and every cluster whole blocks and a tile", () => {
    const some: ProductShape[] = [];
    for (const rows of [9, 17, 100, 129, 300, 1000, 5000]) {
      for (const columns of [1, 64, 65, 200, 1000, 4096]) for (const outs of [1, 100, 259, 4096, 73448]) some.push({ rows, columns, outs });
    }
    for (const shape of some) {
      const { kernel, width, cluster, blocks } = planProduct(shape, MULTIPROCESSORS);
      expect(Object.keys(stages[kernel]).map(Number)).toContain(width);
      expect(blocks % cluster).toBe(0);
      expect(blocks).toBeGreaterThan(0);
      if (kernel === "split") {
        expect(cluster).toBeLessThanOrEqual(Math.ceil(shape.columns / 64));
        expect(blocks).toBe(Math.ceil(shape.rows / width) * Math.ceil(shape.outs / 128) * cluster);
      } else {
        expect(blocks).toBeLessThanOrEqual(MULTIPROCESSORS);
      }
    }
  });
});
