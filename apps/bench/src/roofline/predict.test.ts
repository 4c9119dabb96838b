import { describe, expect, it } from "vitest";
import { shapeNamed } from "../shapes.ts";
import { presetNamed } from "./hardware.ts";
import { predict, predictOp } from "./predict.ts";

const shape = shapeNamed("minicpm4-8b");
/** One FLOP/s, and memory that costs nothing: seconds are FLOP. */
const counting = { ...presetNamed("h100"), flops: 1, bandwidth: Infinity };
/** The other way round: seconds are bytes. */
const moving = { ...presetNamed("h100"), flops: Infinity, bandwidth: 1 };

describe("predict", () => {
  it("counts the operations of dense attention by hand", () => {
    // 32 layers, 32 heads of 128; 3 queries see 1 + 2 + 3 keys; two products of 2 operations each.
    expect(predict(shape, counting, "prefill", 3).ops.attendDense).toBe(32 * 4 * 32 * 128 * 6);
    expect(predict(shape, counting, "decode", 1000).ops.attendDense).toBe(32 * 4 * 32 * 128 * 1000);
  });

  it("counts the bytes of a decode step by hand", () => {
    // 2 KV heads of 128 in 16 bits, keys and values, and one query and its output of 32 heads.
    const query = 2 * 32 * 128 * 2;
    expect(predict(shape, moving, "decode", 1000).ops.attendDense).toBe(32 * (query + 2 * 1000 * 2 * 128 * 2));
    expect(predict(shape, moving, "decode", 100_000).ops.attendBlocks).toBe(32 * (query + 2 * 96 * 64 * 2 * 128 * 2));
  });

  it("lets a query over blocks see its budget at most", () => {
    const seen = (rows: number, length: number): number => predictOp(shape, counting, "attendBlocks", rows, length) / (4 * 32 * 128);
    expect(seen(1, 100_000)).toBe(96 * 64);
    expect(seen(3, 3)).toBe(6);
    expect(seen(10, 96 * 64 + 5)).toBe(10 * 96 * 64 - (4 + 3 + 2 + 1));
  });

  it("is dense below the model's dense length and gains with length above it", () => {
    const h100 = presetNamed("h100");
    const short = predict(shape, h100, "prefill", 4096);
    expect(short.sparse).toBe(short.dense);
    const gains = [16_384, 131_072, 1_048_576].map((length) => predict(shape, h100, "decode", length)).map(({ dense, sparse }) => dense / sparse);
    expect(gains).toEqual([...gains].sort((a, b) => a - b));
    expect(gains[2]).toBeGreaterThan(2);
  });

  it("takes a pass over fine keys in place of the coarse ones with the exact LSE", () => {
    const exact = { ...shape, sparse: { ...shape.sparse, lse: "exact" as const } };
    const [approximate, twice] = [shape, exact].map((of) => predictOp(of, counting, "select", 1, 16_384));
    expect((twice ?? 0) / (approximate ?? 1)).toBe(2 / 1.25);
  });
});
