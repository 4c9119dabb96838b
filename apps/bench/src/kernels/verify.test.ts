import { cpuBackend } from "@infllm/backend-cpu";
import { sparseConfig } from "@infllm/block-selection";
import { afterAll, describe, expect, it } from "vitest";
import { timeCopy, timeProduct } from "./products.ts";
import { verifyAttention } from "./verify.ts";

const config = sparseConfig({ windowSize: 64, topk: 4, initBlocks: 1 });
const shape = { heads: 4, kvHeads: 2, headDim: 16 };
const opening = cpuBackend({ threads: 1 });
afterAll(async () => (await opening).close());

describe("verifyAttention", () => {
  it("lets a right backend be timed", async () => {
    await verifyAttention(await opening, shape, config);
  });

  it.each([
    ["attendDense", "dense attention is wrong"],
    ["attendBlocks", "sparse attention is wrong"],
    ["selectBlocks", "block selection is wrong"],
  ] as const)("stops one whose %s computes something else", async (op, message) => {
    const backend = await opening;
    const wrong = {
      ...backend,
      attention: {
        ...backend.attention,
        ...(op === "attendDense" && { attendDense: (args: Parameters<typeof backend.attention.attendDense>[0]) => backend.attention.attendDense({ ...args, scale: args.scale * 2 }) }),
        ...(op === "attendBlocks" && { attendBlocks: (args: Parameters<typeof backend.attention.attendBlocks>[0]) => backend.attention.attendBlocks({ ...args, scale: args.scale * 2 }) }),
      },
      selection: {
        ...backend.selection,
        ...(op === "selectBlocks" && {
          selectBlocks: ({ blockIndices }: Parameters<typeof backend.selection.selectBlocks>[0]) =>
            backend.write(blockIndices, new Int32Array(blockIndices.shape.reduce((a, b) => a * b, 1))),
        }),
      },
    };
    await expect(verifyAttention(wrong, shape, config)).rejects.toThrow(message);
  });
});

describe("ceilings", () => {
  it("times products of every weight type that it can make, and refuses others", async () => {
    const backend = await opening;
    for (const dtype of ["f32", "f16", "q8_0"] as const) {
      expect((await timeProduct(backend, { rows: 2, columns: 64, outputs: 32, dtype }, 1)).median).toBeGreaterThan(0);
    }
    await expect(timeProduct(backend, { rows: 2, columns: 256, outputs: 32, dtype: "q4_k" }, 1)).rejects.toThrow("q4_k cannot be made here");
  });

  it("counts the bytes that a copy reads and writes", async () => {
    const { bytes, median } = await timeCopy(await opening, 1 << 16, 1);
    expect(bytes).toBe(2 << 16);
    expect(median).toBeGreaterThan(0);
  });
});
