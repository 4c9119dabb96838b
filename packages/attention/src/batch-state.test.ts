import { ConfigError, OutOfMemoryError, ShapeError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { BatchState } from "./batch-state.ts";
import type { BatchCapacity } from "./batch-state.ts";
import { FakeTensor, fakeBackend } from "../test/fake-backend.ts";
import { KvCache } from "./kv-cache.ts";

function setUp(capacity: BatchCapacity, sequences = 2): { cache: KvCache; state: BatchState; writes: readonly DeviceTensor[] } {
  const backend = fakeBackend();
  const cache = KvCache.allocate(backend, { layers: 1, kvHeads: 1, headDim: 8, contextLength: 200, sequences });
  return { cache, state: BatchState.allocate(backend, cache, capacity), writes: backend.writes };
}

function contents(tensor: DeviceTensor): number[] {
  return tensor instanceof FakeTensor ? [...tensor.data] : [];
}

function written({ batch, positions }: BatchState): Record<string, number[]> {
  return {
    starts: contents(batch.queryStarts),
    first: contents(batch.queryPositions),
    lengths: contents(batch.kvLengths),
    pages: contents(batch.pageTable),
    positions: contents(positions),
  };
}

describe("BatchState", () => {
  test("set advances sequences and writes what the ops read", () => {
    const { cache, state } = setUp({ rows: 100, sequences: 3 });
    const [a, b] = [cache.addSequence(), cache.addSequence()];
    state.set([{ sequence: a, count: 3 }, { sequence: b, count: 70 }]);
    state.set([{ sequence: b, count: 2 }, { sequence: a, count: 1 }]);
    expect([a.length, b.length]).toEqual([4, 72]);
    expect(written(state)).toEqual({ starts: [0, 2, 3], first: [70, 3], lengths: [72, 4], pages: [1, 2, 0, 0, 0, 0, 0, 0], positions: [70, 71, 3] });
    const { rows, sequences, maxQueryLength, maxKvLength } = state.batch;
    expect({ rows, sequences, maxQueryLength, maxKvLength }).toEqual({ rows: 3, sequences: 2, maxQueryLength: 2, maxKvLength: 200 });
  });

  test("writes once a step, and the page table only when a sequence has other pages", () => {
    const { cache, state, writes } = setUp({ rows: 70, sequences: 1 });
    const sequence = cache.addSequence();
    const written = (count: number): number => {
      const before = writes.length;
      state.set([{ sequence, count }]);
      return writes.length - before;
    };
    expect([written(62), written(1), written(1), written(1), written(1)]).toEqual([2, 1, 1, 2, 1]);
    sequence.truncate(64);
    cache.addSequence().extend(1);
    expect([written(1), written(1)]).toEqual([2, 1]);
    expect(contents(state.batch.pageTable)).toEqual([0, 2, 0, 0]);
  });

  test("revisit reads cached positions and appends nothing", () => {
    const { cache, state } = setUp({ rows: 10, sequences: 2 });
    const sequence = cache.addSequence();
    sequence.extend(100);
    state.revisit([{ sequence, from: 98, count: 2 }, { sequence, from: 0, count: 1 }]);
    expect(sequence.length).toBe(100);
    expect(written(state)).toMatchObject({ starts: [0, 2, 3], first: [98, 0], lengths: [100, 100], positions: [98, 99, 0] });
    expect(() => state.revisit([{ sequence, from: 99, count: 2 }])).toThrow(ShapeError);
  });

  test("an error leaves sequences as they were", () => {
    const { cache, state } = setUp({ rows: 400, sequences: 3 }, 1);
    const [a, b] = [cache.addSequence(), cache.addSequence()];
    state.set([{ sequence: a, count: 60 }]);
    expect(() => state.set([{ sequence: a, count: 100 }, { sequence: b, count: 150 }])).toThrow(OutOfMemoryError);
    expect([a.length, a.pages.length, b.length, cache.freePages]).toEqual([60, 1, 0, 3]);
    expect(() => state.set([{ sequence: b, count: 1 }, { sequence: a, count: 141 }])).toThrow(ShapeError);
    expect([a.length, b.length]).toEqual([60, 0]);
  });

  test("refuses what exceeds its capacity", () => {
    const { cache, state } = setUp({ rows: 4, sequences: 2 });
    const [a, b, c] = [cache.addSequence(), cache.addSequence(), cache.addSequence()];
    const one = (sequence: typeof a): { sequence: typeof a; count: number } => ({ sequence, count: 1 });
    expect(() => state.set([])).toThrow(ShapeError);
    expect(() => state.set([{ sequence: a, count: 5 }])).toThrow("Process them in chunks");
    expect(() => state.set([one(a), one(b), one(c)])).toThrow(ShapeError);
    expect(() => state.set([{ sequence: a, count: 0 }])).toThrow(ShapeError);
    expect(() => state.set([one(a), one(a)])).toThrow("given twice");
    expect(() => setUp({ rows: 0, sequences: 1 })).toThrow(ConfigError);
  });
});
