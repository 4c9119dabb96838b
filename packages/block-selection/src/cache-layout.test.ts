import { ShapeError, UsageError } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { cachedRowBytes, checkCacheShape, compressedDType, rowPlaces, windowLevels } from "./cache-layout.ts";
import { sparseConfig } from "./config.ts";
import type { LayerCacheShape } from "./contracts.ts";

const sparse = sparseConfig({});
const shape: LayerCacheShape = { pages: 4, kvHeads: 2, headDim: 64, blockSize: 64, dtype: "f32", sparse };
const { sparse: _, ...dense } = shape;

describe("the shape of a cache", () => {
  it("is refused with sizes that are no counts, and with pages that are no blocks", () => {
    expect(() => checkCacheShape({ ...shape, pages: 0 })).toThrow(/pages is 0; it must be a positive integer/);
    expect(() => checkCacheShape({ ...shape, kvHeads: 1.5 })).toThrow(ShapeError);
    expect(() => checkCacheShape({ ...shape, blockSize: 32 })).toThrow(/pages of 32 tokens do not fit the sparse config's blocks of 64/);
    expect(() => checkCacheShape({ ...dense, blockSize: 32 })).not.toThrow();
  });
});

describe("compressed keys", () => {
  it("are stored as the cache is, but never in 8 bits", () => {
    expect(["f32", "f16", "bf16"].map((dtype) => compressedDType(dtype as "f32" | "f16" | "bf16", "f32"))).toEqual(["f32", "f16", "bf16"]);
    expect((["f32", "f16", "bf16"] as const).map((activation) => compressedDType("q8", activation))).toEqual(["f16", "f16", "bf16"]);
  });
});

describe("rows of a cache", () => {
  it("take the bytes of their numbers, in q8 one each and a scale", () => {
    expect((["f32", "f16", "bf16", "q8"] as const).map((dtype) => cachedRowBytes(dtype, 64))).toEqual([256, 128, 128, 66]);
  });

  it("has windows of 32 tokens each 16, and of 128 each 64", () => {
    expect(windowLevels("selectBlocks", shape)).toEqual({ fine: { size: 32, stride: 16, slots: 4 }, coarse: { size: 128, stride: 64, slots: 1 }, sparse });
    expect(() => windowLevels("selectBlocks", dense)).toThrow(UsageError);
  });

  it("places tokens in their block, windows in the block that they end in", () => {
    expect(rowPlaces("keys", dense).place(130)).toEqual({ block: 2, slot: 2 });
    const fine = rowPlaces("fine-keys", shape);
    expect(fine.slots).toBe(4);
    // Tokens 48 to 79.
    expect(fine.place(3)).toEqual({ block: 1, slot: 0 });
    // Tokens 64 to 191.
    expect(rowPlaces("coarse-keys", shape).place(1)).toEqual({ block: 2, slot: 0 });
  });

  it("refuses rows that a sequence does not have", () => {
    expect(() => rowPlaces("values", shape).check(0, 100, 100)).not.toThrow();
    expect(() => rowPlaces("values", shape).check(0, 101, 100)).toThrow(/\[0, 101\) are not among the 100 values of a sequence of 100 tokens/);
    expect(() => rowPlaces("fine-keys", shape).check(0, 5, 100)).not.toThrow();
    expect(() => rowPlaces("fine-keys", shape).check(0, 6, 100)).toThrow(/the 5 fine-keys/);
    expect(() => rowPlaces("fine-keys", dense)).toThrow(UsageError);
  });
});
