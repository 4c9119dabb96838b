import { ConfigError, OutOfMemoryError, ShapeError, UsageError } from "@infllm/tensor";
import { sparseConfig } from "@infllm/block-selection";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fakeBackend } from "../test/fake-backend.ts";
import { KvCache } from "./kv-cache.ts";

const spec = { layers: 3, kvHeads: 2, headDim: 64, contextLength: 200 };

describe("KvCache", () => {
  test("allocates every layer once, for the stated context", () => {
    const backend = fakeBackend();
    const cache = KvCache.allocate(backend, spec);
    expect(cache.layers).toHaveLength(3);
    expect(cache.shape).toEqual({ pages: 4, kvHeads: 2, headDim: 64, blockSize: 64, dtype: "f16" });
    expect(cache.bytes).toBe(KvCache.bytes(backend, spec));
    expect(cache.bytes).toBe(12000);
  });

  test("pages follow the sparse config's blocks and the number of sequences", () => {
    const sparse = sparseConfig({ blockSize: 32, kernelStride: 8 });
    const { shape } = KvCache.allocate(fakeBackend(), { ...spec, sparse, sequences: 2, dtype: "f32" });
    expect(shape).toEqual({ pages: 14, kvHeads: 2, headDim: 64, blockSize: 32, dtype: "f32", sparse });
  });

  test("a layer that does not fit releases those before it", () => {
    const backend = fakeBackend(2);
    expect(() => KvCache.allocate(backend, spec)).toThrow("full");
    expect(backend.live.size).toBe(0);
  });

  test.each([[{ layers: 0 }], [{ contextLength: 1.5 }], [{ sequences: -1 }], [{ dtype: "bf16" as const }]])("refuses %j", (change) => {
    expect(() => KvCache.allocate(fakeBackend(), { ...spec, ...change })).toThrow(ConfigError);
    expect(() => KvCache.bytes(fakeBackend(), { ...spec, ...change })).toThrow(ConfigError);
  });

  test("says which types a backend offers", () => {
    expect(() => KvCache.allocate(fakeBackend(), { ...spec, dtype: "q8" })).toThrow(
      "a cache of q8 cannot be had on this backend; it offers f16, f32. Choose one of them",
    );
  });

  test("close releases layers and sequences, and refuses more", () => {
    const backend = fakeBackend();
    const cache = KvCache.allocate(backend, spec);
    const sequence = cache.addSequence();
    cache.close();
    cache.close();
    expect(backend.live.size).toBe(0);
    expect(() => cache.addSequence()).toThrow(UsageError);
    expect(() => sequence.extend(1)).toThrow(UsageError);
  });
});

describe("CachedSequence", () => {
  test("takes a page when a block begins and gives it back when its first token is truncated", () => {
    const cache = KvCache.allocate(fakeBackend(), spec);
    const sequence = cache.addSequence();
    const pages = (): number => sequence.pages.length;
    for (const [grow, held] of [[1, 1], [63, 1], [1, 2], [135, 4]] as const) {
      sequence.extend(grow);
      expect(pages()).toBe(held);
    }
    for (const [length, held] of [[193, 4], [192, 3], [65, 2], [64, 1], [0, 0]] as const) {
      sequence.truncate(length);
      expect([sequence.length, pages()]).toEqual([length, held]);
    }
  });

  test("refuses what exceeds the context and changes nothing", () => {
    const sequence = KvCache.allocate(fakeBackend(), spec).addSequence();
    sequence.extend(150);
    expect(() => sequence.extend(51)).toThrow(ShapeError);
    expect([sequence.length, sequence.pages.length]).toEqual([150, 3]);
    expect(() => sequence.extend(-1)).toThrow(ShapeError);
    expect(() => sequence.truncate(151)).toThrow(ConfigError);
  });

  test("without free pages it fails with both sizes", () => {
    const cache = KvCache.allocate(fakeBackend(), spec);
    cache.addSequence().extend(100);
    const second = cache.addSequence();
    second.extend(128);
    expect(() => second.extend(1)).toThrow(OutOfMemoryError);
    expect(second.length).toBe(128);
  });

  test("no page is ever in two sequences, and none is lost", () => {
    const step = fc.record({ sequence: fc.nat(3), action: fc.constantFrom("extend", "truncate", "release"), amount: fc.nat(120) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const cache = KvCache.allocate(fakeBackend(), { ...spec, sequences: 2 });
        const sequences = Array.from({ length: 4 }, () => cache.addSequence());
        for (const { sequence: index, action, amount } of steps) {
          const sequence = sequences[index] ?? cache.addSequence();
          try {
            if (action === "extend") sequence.extend(amount);
            if (action === "truncate") sequence.truncate(Math.min(amount, sequence.length));
            if (action === "release") {
              sequence.release();
              sequences[index] = cache.addSequence();
            }
          } catch (error) {
            if (!(error instanceof OutOfMemoryError || error instanceof ShapeError)) throw error;
          }
          const held = sequences.flatMap((each) => each.pages);
          expect(new Set(held).size).toBe(held.length);
          expect(held.length + cache.freePages).toBe(cache.shape.pages);
          for (const each of sequences) expect(each.pages.length).toBe(Math.ceil(each.length / 64));
        }
      }),
      { seed: 3, numRuns: 200 },
    );
  });
});
