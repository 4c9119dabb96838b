import { describe, expect, it } from "vitest";
import { OutOfMemoryError, UsageError } from "@infllm/tensor";
import { sparseConfig, blockBudget } from "@infllm/block-selection";
import type { SequenceBatch } from "@infllm/block-selection";
import { cpuBackend } from "../src/index.ts";

describe("memory", () => {
  it("refuses with needed and available bytes, and counts what is released", async () => {
    const backend = await cpuBackend({ threads: 1, memoryLimit: 8 * 2 ** 20 });
    const { available } = backend.memory();
    const first = backend.allocate("f32", [2 ** 20]);
    let error: unknown;
    try {
      backend.allocate("f32", [2 ** 20]);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect((error as OutOfMemoryError).needed).toBe(2 ** 22);
    expect((error as OutOfMemoryError).available).toBe(available - 2 ** 22);
    expect((error as OutOfMemoryError).message).toContain("memoryLimit");
    expect(() => backend.neural.allocateWeight(4096, 4096, "bf16")).toThrow(OutOfMemoryError);
    expect(() => backend.selection.allocateCache({ pages: 4096, kvHeads: 8, headDim: 128, blockSize: 64, dtype: "f32" })).toThrow(OutOfMemoryError);
    first.release();
    first.release();
    expect(backend.memory()).toEqual({ used: 0, available, scratch: 0 });
    await backend.close();
  });

  it("grows in place: what was written before is still there", async () => {
    for (const threads of [1, 2]) {
      const backend = await cpuBackend({ threads });
      const small = backend.allocate("i32", [1000]);
      const values = Int32Array.from({ length: 1000 }, (_, i) => i * 7);
      backend.write(small, values);
      const large = backend.allocate("u8", [100 * 2 ** 20]);
      expect(await backend.read(small)).toEqual(values);
      large.release();
      await backend.close();
    }
  });

  it("attention at 32k tokens, 16 query heads, 1 KV head of 64 takes scratch far below 64 MiB", async () => {
    const backend = await cpuBackend({ threads: 2 });
    const [length, rows, heads, headDim] = [32768, 8192, 16, 64];
    const denseRows = 16;
    const config = sparseConfig({ windowSize: 512, topk: 16 });
    const cache = backend.selection.allocateCache({ pages: length / 64, kvHeads: 1, headDim, blockSize: 64, dtype: "f32", sparse: config });
    const lists = {
      queryStarts: backend.allocate("i32", [2]),
      queryPositions: backend.allocate("i32", [1]),
      kvLengths: backend.allocate("i32", [1]),
      pageTable: backend.allocate("i32", [1, length / 64]),
    };
    backend.write(lists.pageTable, Int32Array.from({ length: length / 64 }, (_, page) => page));
    backend.write(lists.kvLengths, Int32Array.of(length));
    const kv = backend.allocate("f32", [2048, headDim]);
    backend.write(kv, Float32Array.from({ length: 2048 * headDim }, (_, i) => Math.sin(i)));
    const q = backend.allocate("f32", [rows, heads * headDim]);
    backend.write(q, Float32Array.from({ length: rows * heads * headDim }, (_, i) => Math.cos(i)));
    const out = backend.allocate("f32", [rows, heads * headDim]);
    const blockIndices = backend.allocate("i32", [1, rows, blockBudget(config)]);
    const before = backend.memory().used;
    for (let position = 0; position < length; position += 2048) {
      backend.write(lists.queryStarts, Int32Array.of(0, 2048));
      backend.write(lists.queryPositions, Int32Array.of(position));
      const batch = { sequences: 1, rows: 2048, maxQueryLength: 2048, maxKvLength: length, ...lists };
      backend.selection.appendKv({ k: kv, v: kv, cache, batch });
      backend.selection.compressKeys({ cache, batch });
    }
    const batchOf = (count: number): SequenceBatch => {
      backend.write(lists.queryStarts, Int32Array.of(0, count));
      backend.write(lists.queryPositions, Int32Array.of(length - count));
      return { sequences: 1, rows: count, maxQueryLength: count, maxKvLength: length, ...lists };
    };
    const all = batchOf(rows);
    backend.selection.selectBlocks({ q, cache, batch: all, scale: 0.125, blockIndices });
    backend.attention.attendBlocks({ q, cache, batch: all, scale: 0.125, blockIndices, out });
    const some = { rows: [rows - denseRows, rows] } as const;
    backend.attention.attendDense({ q: q.view(some), cache, batch: batchOf(denseRows), scale: 0.125, out: out.view(some) });
    expect(((await backend.read(out)) as Float32Array).every(Number.isFinite)).toBe(true);
    expect(backend.memory().used - before).toBeLessThan(2 * 2 ** 20);
    await backend.close();
  });
});

describe("misuse", () => {
  it("says so: after close, after release, with another backend's tensors", async () => {
    const backend = await cpuBackend({ threads: 1 });
    const other = await cpuBackend({ threads: 1 });
    const [x, out, foreign] = [backend.allocate("f32", [2, 4]), backend.allocate("f32", [2, 2]), other.allocate("f32", [2, 4])];
    const weight = backend.neural.allocateWeight(2, 4, "f32");
    expect(() => backend.neural.linear({ x: foreign, weight, out })).toThrow(/linear: x was not allocated by this backend/);
    expect(() => other.neural.linear({ x: foreign, weight, out: foreign })).toThrow(/linear: weight was not allocated/);
    const step = backend.record(() => backend.neural.linear({ x, weight, out }));
    step.run();
    x.release();
    expect(() => backend.neural.linear({ x, weight, out })).toThrow(/after release/);
    expect(() => step.run()).toThrow(UsageError);
    weight.release();
    expect(() => backend.neural.embed({ ids: backend.allocate("i32", [2]), table: weight, scale: 1, out: x })).toThrow(/after release/);
    await backend.close();
    await backend.close();
    expect(() => backend.allocate("f32", [1])).toThrow(/closed.*cpuBackend\(\)/);
    expect(() => backend.neural.linear({ x, weight, out })).toThrow(/closed/);
    expect(() => step.run()).toThrow(/closed/);
    await expect(backend.read(out)).rejects.toThrow(/closed/);
    await other.close();
  });

  it("refuses pages outside the cache and rows that are not cached before any memory is touched", async () => {
    const backend = await cpuBackend({ threads: 1 });
    const cache = backend.selection.allocateCache({ pages: 2, kvHeads: 1, headDim: 8, blockSize: 64, dtype: "f32" });
    const lists = {
      queryStarts: backend.allocate("i32", [2]),
      queryPositions: backend.allocate("i32", [1]),
      kvLengths: backend.allocate("i32", [1]),
      pageTable: backend.allocate("i32", [1, 2]),
    };
    const q = backend.allocate("f32", [1, 8]);
    const out = backend.allocate("f32", [1, 8]);
    const batch = { sequences: 1, rows: 1, maxQueryLength: 1, maxKvLength: 128, ...lists };
    const attend = (length: number, position: number, pages: [number, number]): void => {
      backend.write(lists.queryStarts, Int32Array.of(0, 1));
      backend.write(lists.queryPositions, Int32Array.of(position));
      backend.write(lists.kvLengths, Int32Array.of(length));
      backend.write(lists.pageTable, Int32Array.from(pages));
      backend.attention.attendDense({ q, cache, batch, scale: 1, out });
    };
    expect(() => attend(100, 99, [0, 2])).toThrow(/page 2 for block 1.*pages 0 to 1/);
    expect(() => attend(100, 99, [-1, 0])).toThrow(/page -1 for block 0/);
    expect(() => attend(100, 100, [0, 1])).toThrow(/every row must be cached/);
    expect(() => attend(129, 128, [0, 1])).toThrow(UsageError);
    await backend.close();
  });
});
