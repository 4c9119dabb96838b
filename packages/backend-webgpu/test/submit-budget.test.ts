/** How work is cut into submits: what is learnt from the time they take, and that long ops are cut. */
import { BatchState, KvCache } from "@infllm/attention";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { webgpuBackend } from "../src/index.ts";
import type { WebGpuBackend } from "../src/index.ts";
import { SubmitBudget } from "../src/submit-budget.ts";
import { openNullDevice } from "./null-device.ts";

/** A GPU of constant speed that does one submit after the other, in the time that `vi` keeps. */
class SteadyQueue {
  #busyUntil = 0;
  constructor(private readonly operationsPerMillisecond: number) {}

  submit(cost: number): number {
    const milliseconds = cost / this.operationsPerMillisecond;
    this.#busyUntil = Math.max(this.#busyUntil, performance.now()) + milliseconds;
    return milliseconds;
  }

  onSubmittedWorkDone(): Promise<undefined> {
    return new Promise((resolve) => setTimeout(() => resolve(undefined), this.#busyUntil - performance.now()));
  }
}

/** Submits as much as the budget allows, `count` times, two at a time; the milliseconds that each took. */
async function run(operationsPerMillisecond: number, count: number): Promise<number[]> {
  const budget = new SubmitBudget();
  const queue = new SteadyQueue(operationsPerMillisecond);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    for (let each = 0; each < 2; each++) {
      const cost = budget.operations;
      times.push(queue.submit(cost));
      budget.submitted(cost, queue as unknown as GPUQueue);
    }
    await vi.runAllTimersAsync();
  }
  return times;
}

describe("the budget of a submit", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  // Operations a millisecond: a CPU that stands in for a GPU, a phone, a desktop GPU, an H200.
  for (const speed of [1e7, 2e8, 5e9, 2e10]) {
    it(`comes to about 50 ms on a GPU of ${speed / 1e9} Gop/ms`, async () => {
      const times = await run(speed, 24);
      for (const time of times.slice(-6)) expect(time).toBeGreaterThan(25);
      for (const time of times.slice(-6)) expect(time).toBeLessThan(100);
    });
  }

  it("begins with what a phone does in time, before anything is known", async () => {
    const [first = NaN] = await run(2e8, 1);
    expect(first).toBe(50);
  });

  it("stays below what a driver takes for a hang, even on a CPU", async () => {
    for (const time of await run(1e7, 24)) expect(time).toBeLessThan(2000);
  });

  it("learns nothing from submits that are too small to measure", async () => {
    const budget = new SubmitBudget();
    const before = budget.operations;
    let asked = 0;
    const queue = { onSubmittedWorkDone: () => Promise.resolve(asked++) };
    for (let i = 0; i < 10; i++) budget.submitted(before / 10, queue as unknown as GPUQueue);
    await vi.runAllTimersAsync();
    expect(asked).toBe(0);
    expect(budget.operations).toBe(before);
  });
});

describe("long ops, before anything is known of the GPU", () => {
  const [rows, heads, kvHeads, headDim] = [1024, 32, 8, 128];

  async function countSubmits(use: (backend: WebGpuBackend, counted: (work: () => void) => Promise<number>) => Promise<void>): Promise<void> {
    const { device, submits, close } = await openNullDevice();
    const backend = await webgpuBackend({ device });
    await use(backend, async (work) => {
      const before = submits();
      work();
      await backend.sync();
      return submits() - before;
    });
    await backend.close();
    close();
  }

  it("a chunk's dense attention over 32k tokens is many submits", () =>
    countSubmits(async (backend, counted) => {
      const cache = KvCache.allocate(backend, { layers: 1, kvHeads, headDim, contextLength: 32768, dtype: "f16" });
      const state = BatchState.allocate(backend, cache, { rows, sequences: 1 });
      state.set([{ sequence: cache.addSequence(), count: rows }]);
      const [q, out] = [backend.allocate("f32", [rows, heads * headDim]), backend.allocate("f32", [rows, heads * headDim])];
      for (const layer of cache.layers) {
        const submits = await counted(() => backend.attention.attendDense({ q, cache: layer, batch: state.batch, scale: 0.1, out }));
        // 64 rows over 32k keys are 3.4e10 operations: as much as a submit may have, and more.
        expect(submits).toBeGreaterThanOrEqual(rows / 64);
      }
    }));

  it("a large product is several submits, small ops share one", () =>
    countSubmits(async (backend, counted) => {
      const weight = backend.neural.allocateWeight(4096, heads * headDim, "f16");
      const [x, out] = [backend.allocate("f32", [rows, heads * headDim]), backend.allocate("f32", [rows, 4096])];
      const norm = backend.allocate("f32", [heads * headDim]);
      const many = () => {
        for (let i = 0; i < 20; i++) backend.neural.rmsNorm({ x, weight: norm, epsilon: 1e-5, out });
      };
      expect(await counted(many)).toBe(1);
      expect(await counted(() => backend.neural.linear({ x, weight, out }))).toBeGreaterThan(1);
    }));
});
