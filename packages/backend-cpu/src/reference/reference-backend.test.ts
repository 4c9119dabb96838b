import { OutOfMemoryError, ShapeError, UnsupportedError, UsageError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import { sparseConfig } from "@infllm/block-selection";
import type { SequenceBatch } from "@infllm/block-selection";
import { describe, expect, test } from "vitest";
import { referenceBackend } from "./index.ts";
import type { ReferenceBackend } from "./index.ts";

function i32(backend: ReferenceBackend, shape: number[], values: number[]): DeviceTensor {
  const tensor = backend.allocate("i32", shape);
  backend.write(tensor, Int32Array.from(values));
  return tensor;
}

/** One sequence of `length` cached tokens whose last `rows` are queried. */
function batchOf(backend: ReferenceBackend, rows: number, length: number, pages: number[]): SequenceBatch {
  return {
    sequences: 1, rows, maxQueryLength: rows, maxKvLength: 64 * pages.length,
    queryStarts: i32(backend, [2], [0, rows]),
    queryPositions: i32(backend, [1], [length - rows]),
    kvLengths: i32(backend, [1], [length]),
    pageTable: i32(backend, [1, pages.length], pages),
  };
}

const shape = { pages: 4, kvHeads: 2, headDim: 8, blockSize: 64, dtype: "f32" } as const;

describe("memory", () => {
  test("what does not fit is refused with both sizes, and released memory counts again", () => {
    const backend = referenceBackend({ memoryLimit: 1000 });
    const tensor = backend.allocate("f32", [200]);
    expect(backend.memory()).toEqual({ used: 800, available: 200 });
    expect(() => backend.allocate("f32", [51])).toThrow(OutOfMemoryError);
    expect(() => backend.neural.allocateWeight(8, 8, "bf16")).toThrow("256 B, but 200 B is available");
    expect(() => backend.selection.allocateCache(shape)).toThrow(OutOfMemoryError);
    tensor.release();
    tensor.release();
    expect(backend.memory()).toEqual({ used: 0, available: 1000 });
  });

  test("an absurd size is an error, not a crash", () => {
    expect(() => referenceBackend({ memoryLimit: 2 ** 60 }).allocate("f32", [2 ** 50])).toThrow(OutOfMemoryError);
  });
});

describe("arguments", () => {
  const backend = referenceBackend();
  const f32 = (...dims: number[]): DeviceTensor => backend.allocate("f32", dims);

  test("shapes that do not fit are refused, naming op and argument", () => {
    const weight = backend.neural.allocateWeight(5, 8, "f32");
    expect(() => backend.neural.linear({ x: f32(2, 7), weight, out: f32(2, 5) })).toThrow("linear: x has shape [2, 7]; it must hold [2, 8]");
    expect(() => backend.neural.linear({ x: f32(2, 8), weight, out: f32(3, 5) })).toThrow("linear: out");
    expect(() => backend.neural.linear({ x: f32(2, 8), weight, bias: f32(4), out: f32(2, 5) })).toThrow("linear: bias");
    expect(() => backend.neural.swiglu({ gateUp: f32(2, 7), out: f32(2, 4) })).toThrow(ShapeError);
    expect(() => backend.neural.rmsNorm({ x: f32(2, 8), weight: f32(7), epsilon: 1e-6, out: f32(2, 8) })).toThrow("rmsNorm: weight");
    const rotate = { x: f32(2, 16), heads: 2, headDim: 8, positions: i32(backend, [2], [0, 1]), frequencies: f32(5), amplitude: 1 };
    expect(() => backend.neural.rotate(rotate)).toThrow("5 frequencies turn 10 elements of a head");
  });

  test("dtypes are checked", () => {
    expect(() => backend.neural.swiglu({ gateUp: backend.allocate("f16", [2, 8]), out: f32(2, 4) })).toThrow("swiglu: gateUp is f16; it must be f32");
    expect(() => backend.allocate("q8_0", [2, 32])).toThrow(UnsupportedError);
    expect(() => backend.neural.allocateWeight(2, 33, "q8_0")).toThrow(UnsupportedError);
    expect(() => backend.neural.allocateWeight(0, 32, "f32")).toThrow(ShapeError);
  });

  test("a token id outside the table is refused", () => {
    const table = backend.neural.allocateWeight(3, 4, "f32");
    const ids = i32(backend, [1], [3]);
    expect(() => backend.neural.embed({ ids, table, scale: 1, out: f32(1, 4) })).toThrow("the table allows 0 to 2");
  });

  test("another backend's tensors are refused", () => {
    const foreign: DeviceTensor = { ...f32(1, 4), dtype: "f32", shape: [1, 4], rowStride: 4, view: () => foreign, release: () => undefined };
    expect(() => backend.neural.swiglu({ gateUp: f32(1, 8), out: foreign })).toThrow(UsageError);
  });

  test("weights written in part rows are refused", () => {
    const weight = backend.neural.allocateWeight(3, 4, "f16");
    expect(() => weight.writeRows(0, new Uint8Array(7))).toThrow(ShapeError);
    expect(() => weight.writeRows(2, new Uint8Array(16))).toThrow(ShapeError);
    weight.release();
    expect(() => weight.writeRows(0, new Uint8Array(8))).toThrow(UsageError);
  });
});

describe("sequences", () => {
  const backend = referenceBackend();
  const q = backend.allocate("f32", [1, 32]);
  const out = backend.allocate("f32", [1, 32]);
  const cache = backend.selection.allocateCache(shape);

  test("heads that do not fit are refused", () => {
    const batch = batchOf(backend, 1, 1, [0]);
    for (const columns of [12, 8]) {
      const odd = backend.allocate("f32", [1, columns]);
      expect(() => backend.attention.attendDense({ q: odd, cache, batch, scale: 1, out: odd })).toThrow("must be a multiple of 16");
    }
  });

  test("lengths and pages that contradict are refused when the op runs", () => {
    const run = (batch: SequenceBatch): void => backend.attention.attendDense({ q, cache, batch, scale: 1, out });
    expect(() => run(batchOf(backend, 1, 65, [0]))).toThrow("bound 64");
    expect(() => run(batchOf(backend, 1, 0, [0]))).toThrow("every row must be cached");
    expect(() => run(batchOf(backend, 1, 5, [4]))).toThrow("page 4 for block 0; the cache has pages 0 to 3");
    expect(() => run({ ...batchOf(backend, 1, 5, [0]), queryStarts: i32(backend, [2], [0, 2]) })).toThrow("query rows 0 to 2");
    expect(() => run({ ...batchOf(backend, 1, 5, [0]), kvLengths: i32(backend, [0], []) })).toThrow("batch.kvLengths has 0 entries");
  });

  test("selection needs a sparse cache and an indices tensor of its budget", () => {
    const batch = batchOf(backend, 1, 5, [0]);
    const blockIndices = backend.allocate("i32", [2, 1, 5]);
    expect(() => backend.selection.compressKeys({ cache, batch })).toThrow("no sparse config");
    expect(() => backend.selection.selectBlocks({ q, cache, batch, scale: 1, blockIndices })).toThrow("no sparse config");
    const sparse = backend.selection.allocateCache({ ...shape, sparse: sparseConfig({ topk: 4, windowSize: 128 }) });
    expect(() => backend.selection.selectBlocks({ q, cache: sparse, batch, scale: 1, blockIndices })).toThrow("it must be i32 [2, 1 or more, 6]");
  });

  test("readCache refuses what is not cached", async () => {
    const batch = batchOf(backend, 1, 5, [0]);
    await expect(backend.selection.readCache(cache, "keys", batch, 0, 0, 6)).rejects.toThrow(ShapeError);
    await expect(backend.selection.readCache(cache, "keys", batch, 1, 0, 1)).rejects.toThrow("sequence 1 is not in the batch");
    await expect(backend.selection.readCache(cache, "fine-keys", batch, 0, 0, 1)).rejects.toThrow(ShapeError);
  });

  test("pages must be the sparse config's blocks", () => {
    expect(() => backend.selection.cacheBytes({ ...shape, blockSize: 32, sparse: sparseConfig() })).toThrow(ShapeError);
    expect(() => backend.selection.cacheBytes({ ...shape, headDim: 0 })).toThrow("headDim is 0");
  });
});

describe("recording", () => {
  test("records without running, and replays on what the memory then holds", async () => {
    const backend = referenceBackend();
    const [gateUp, out] = [backend.allocate("f32", [1, 2]), backend.allocate("f32", [1, 1])];
    backend.write(gateUp, Float32Array.from([0, 1]));
    backend.write(out, Float32Array.from([7]));
    const step = backend.record(() => backend.neural.swiglu({ gateUp, out }));
    expect(await backend.read(out)).toEqual(Float32Array.from([7]));
    backend.write(gateUp, Float32Array.from([100, 3]));
    step.run();
    expect(await backend.read(out)).toEqual(Float32Array.from([300]));
  });

  test("what is not an op cannot be recorded", () => {
    const backend = referenceBackend();
    const tensor = backend.allocate("f32", [1]);
    expect(() => backend.record(() => backend.write(tensor, new Float32Array(1)))).toThrow(UsageError);
    expect(() => backend.record(() => backend.record(() => undefined))).toThrow(UsageError);
    backend.write(tensor, new Float32Array(1));
  });
});

test("a closed backend refuses everything, and closes twice", async () => {
  const backend = referenceBackend();
  const tensor = backend.allocate("f32", [1]);
  await backend.close();
  await backend.close();
  expect(() => backend.allocate("f32", [1])).toThrow(UsageError);
  expect(() => backend.memory()).toThrow(UsageError);
  expect(() => backend.neural.allocateWeight(1, 1, "f32")).toThrow(UsageError);
  await expect(backend.read(tensor)).rejects.toThrow(UsageError);
  await expect(backend.sync()).rejects.toThrow(UsageError);
});
