import { afterAll, describe, expect, it } from "vitest";
import { DeviceLostError } from "@infllm/tensor";
import { op } from "../src/abi.ts";
import { compileKernels, instantiateKernels } from "../src/wasm/kernels.ts";
import { Machine } from "../src/wasm/machine.ts";
import { Memory } from "../src/wasm/memory.ts";
import { Threads } from "../src/wasm/threads.ts";
import { startWorker } from "../src/wasm/workers.ts";

const LIMIT = 64 * 2 ** 20;

async function machineWith(threads: number): Promise<Machine> {
  const memory = new Memory(LIMIT, true);
  const module = await compileKernels("simd", true);
  const workers = await Promise.all(
    Array.from({ length: threads - 1 }, (_, i) => startWorker({ module, memory: memory.wasm, index: i + 1 })),
  );
  return new Machine(memory, new Threads(memory.wasm.buffer, instantiateKernels(module, memory.wasm), workers));
}

/** Words of an rmsNorm over `rows` rows of one number, one row a task; each gives weight · sign(x). */
function normWords(x: number, weight: number, out: number, rows: number): Int32Array {
  return Int32Array.of(x, 1, 0, 0, 0, weight, 0, out, 1, rows, 1, 1);
}

describe("threads", async () => {
  const machine = await machineWith(3);
  afterAll(() => machine.close());
  const { memory } = machine;
  const rows = 500;
  const [x, weight, out] = [rows, 1, rows].map((count) => memory.take("test data", count * 4).at) as [number, number, number];

  it("runs each task of each op exactly once", () => {
    memory.f32[weight / 4] = 3;
    for (let round = 1; round <= 200; round++) {
      memory.f32.fill(round % 2 ? 5 : -5, x / 4, x / 4 + rows);
      memory.f32.fill(NaN, out / 4, out / 4 + rows);
      machine.run(op.rmsNorm, normWords(x, weight, out, rows), rows);
      expect(new Set(memory.f32.subarray(out / 4, out / 4 + rows))).toEqual(new Set([round % 2 ? 3 : -3]));
    }
  });

  it("does not hang when a kernel traps, and goes on working", () => {
    const outside = LIMIT * 4;
    // On the workers and here, whoever takes tasks first.
    for (let round = 0; round < 20; round++) {
      expect(() => machine.run(op.rmsNorm, normWords(outside, weight, out, 50), 50)).toThrow(/DeviceLost|trapped|out of bounds/);
    }
    memory.f32.fill(1, x / 4, x / 4 + rows);
    try {
      machine.run(op.rmsNorm, normWords(x, weight, out, rows), rows);
    } catch (error) {
      // A worker's trap of the last round may be reported by this one.
      expect(error).toBeInstanceOf(DeviceLostError);
    }
    machine.run(op.rmsNorm, normWords(x, weight, out, rows), rows);
    expect(new Set(memory.f32.subarray(out / 4, out / 4 + rows))).toEqual(new Set([3]));
  });
});
