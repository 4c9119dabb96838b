import { attend, attendBlocksReference, attendDenseReference } from "@infllm/attention";
import { selectForQueries, sparseConfig } from "@infllm/block-selection";
import { ConfigError, OutOfMemoryError, ShapeError, random } from "@infllm/tensor";
import { describe, expect, test } from "vitest";
import { referenceBackend } from "../src/reference/index.ts";

const shape = { heads: 4, kvHeads: 2, headDim: 16 };
const config = sparseConfig({ windowSize: 64, topk: 2, denseLen: 300 });
const { normals } = random(9);
const [length, rows] = [330, 150];
const q = normals(rows * 64, 2);
const k = normals(length * 32, 2);
const v = normals(length * 32);
const input = { q, k, v, ...shape };
const backend = referenceBackend();

/** Rows of `[…, rows, width]`, per leading axis. */
function pick<T extends Float32Array | Int32Array>(from: T, heads: number, width: number, wanted: number[]): number[] {
  const size = from.length / heads;
  return Array.from({ length: heads }, (_, head) =>
    wanted.map((row) => Array.from(from.subarray(head * size + row * width, head * size + (row + 1) * width))),
  ).flat(2);
}

describe("attend", () => {
  const selection = selectForQueries({ ...input, config });
  const sparseOut = Float32Array.from(attendBlocksReference({ ...input, blockSize: 64, blockIndices: selection.blockIndices }));

  test.each([1, 7, 64, 1000])("sparse, in chunks of %i, is selection and attention at once", async (chunk) => {
    const result = await attend(backend, { ...input, config, mode: "sparse", chunk });
    expect(result.sparse).toBe(true);
    expect(result.blockIndices).toEqual(selection.blockIndices);
    expect(result.blockScores).toEqual(selection.blockScores);
    expect(result.out).toEqual(sparseOut);
  });

  test("sampled rows, in any order", async () => {
    const wanted = [149, 3, 4, 5, 0, 149];
    const result = await attend(backend, { ...input, config, mode: "sparse", rows: wanted, chunk: 4 });
    expect(Array.from(result.out)).toEqual(pick(sparseOut, 1, 64, wanted));
    expect(Array.from(result.blockIndices ?? [])).toEqual(pick(selection.blockIndices, 2, 3, wanted));
    expect(Array.from(result.blockScores ?? [])).toEqual(pick(selection.blockScores, 2, 6, wanted));
  });

  test("dense", async () => {
    const result = await attend(backend, { ...input, config, mode: "dense", chunk: 40 });
    expect(result).toEqual({ sparse: false, out: Float32Array.from(attendDenseReference(input)) });
  });

  test("auto switches by the number of keys", async () => {
    const auto = async (denseLen: number): Promise<boolean> =>
      (await attend(backend, { ...input, rows: [0], config: { ...config, denseLen } })).sparse;
    expect(await auto(330)).toBe(true);
    expect(await auto(331)).toBe(false);
    expect((await attend(backend, { ...input, rows: [0] })).sparse).toBe(false);
  });

  test("scores can be left out", async () => {
    const result = await attend(backend, { ...input, config, mode: "sparse", rows: [1], scores: false });
    expect(Object.keys(result)).toEqual(["sparse", "out", "blockIndices"]);
  });

  test("everything is released, also after an error", async () => {
    expect(backend.memory().used).toBe(0);
    // From too little for the cache to just too little for the last tensor.
    let refused = 0;
    for (let memoryLimit = 80_000; memoryLimit < 200_000; memoryLimit += 8_000) {
      const small = referenceBackend({ memoryLimit });
      await attend(small, { ...input, config, mode: "sparse", rows: [0] }).catch((error: unknown) => {
        expect(error).toBeInstanceOf(OutOfMemoryError);
        refused++;
      });
      expect(small.memory().used).toBe(0);
    }
    expect(refused).toBeGreaterThan(3);
    expect(refused).toBeLessThan(15);
  });

  test.each([
    [{ rows: [150] }, ShapeError, "row 150 is not among the 150 rows"],
    [{ rows: [] }, ShapeError, "rows is empty"],
    [{ q: new Float32Array(0) }, ShapeError, "q has no rows"],
    [{ v: v.subarray(0, 32) }, ShapeError, "v holds 32 numbers"],
    [{ chunk: 0 }, ConfigError, "chunk is 0"],
    [{ mode: "sparse" as const }, ConfigError, "needs a sparse config"],
    [{ heads: 3 }, ShapeError, "cannot share"],
  ])("refuses %#", async (change, kind, message) => {
    await expect(attend(backend, { ...input, ...change })).rejects.toThrow(kind);
    await expect(attend(backend, { ...input, ...change })).rejects.toThrow(message);
  });
});
